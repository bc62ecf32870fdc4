//! The Fulcrum binary.
fn main() {}
