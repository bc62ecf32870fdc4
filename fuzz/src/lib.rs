//! What several fuzz targets ask of the codecs.

pub mod h1;
