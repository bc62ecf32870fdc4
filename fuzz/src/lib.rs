//! What several fuzz targets ask of the codecs.

pub mod cut;
pub mod h1;
