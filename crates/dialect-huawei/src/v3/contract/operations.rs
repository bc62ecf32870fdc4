//! Every operation has a route.

use std::collections::BTreeSet;

use serde_json::Value;

#[test]
fn every_operation_of_the_contract_has_one_route_and_there_are_no_others() {
    let contract: Vec<Value> =
        serde_json::from_str(include_str!("../../../tests/data/v3_operations.json")).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    // The tag operations lie outside /elb/; they are known all the same.
    let documented: BTreeSet<_> =
        contract.iter().map(|row| (text(row, "method"), text(row, "path"))).collect();
    let operations = crate::v3::operations();
    let routed: BTreeSet<_> =
        operations.iter().map(|op| (op.method.to_string(), op.path.to_owned())).collect();
    assert_eq!(routed.len(), operations.len(), "an operation has one route");
    let versions = BTreeSet::from([("GET".to_owned(), "/versions".to_owned())]);
    assert_eq!(routed.union(&versions).cloned().collect::<BTreeSet<_>>(), documented);
}

#[test]
fn the_routes_do_not_clash() {
    let _ = crate::v3::router().merge(crate::vpc::router()).fallback(crate::v3::unknown_uri);
}
