//! Sans-I/O protocol codecs. Pure.
