//! What needs `unsafe`, and nothing else.

pub(crate) mod watched;
