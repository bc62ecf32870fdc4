//! The contract, walked: every operation, filter, answer field and request field of v3 (tests/data, taken from the vendor's SDK).

mod answers;
mod filters;
mod operations;
mod requests;
mod world;

use std::collections::BTreeMap;

use serde_json::Value;

/// The tables of a file of the contract, by name.
fn tables(text: &'static str) -> BTreeMap<String, Value> {
    serde_json::from_str(text).unwrap()
}
