//! What needs `unsafe`, and nothing else.

pub(crate) mod datagrams;
pub(crate) mod reuseport;
pub(crate) mod rtt;
pub(crate) mod watched;
