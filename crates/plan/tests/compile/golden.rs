//! Golden pairs: `tests/golden/<behaviour>/{snapshot,plan}.json`. `UPDATE_GOLDEN=1` writes the plans anew.

use std::{collections::BTreeSet, fs, path::Path};

use model::{Snapshot, snapshot::DataPlaneSnapshot};
use plan::compile;
use serde_json::json;

/// What must be shown; a folder more or less is a failure, so that none is lost by mistake.
const BEHAVIOURS: &[&str] = &[
    "access-control-in-three-states",
    "access-log-of-http-listeners",
    "admin-down-load-balancer-leaves-no-listener",
    "admin-down-member-is-not-there",
    "admin-down-monitor-does-not-probe",
    "admin-down-pool-is-no-target",
    "advanced-policies-with-extras-in-order-of-priority",
    "any-port-pool-uses-the-listeners-port",
    "certificates-that-cannot-be-read-are-faults",
    "http-listener-with-pool",
    "https-listener-with-certificates-by-name",
    "ipv6-member-and-vip",
    "listener-overrides-settings-of-its-pool",
    "listener-without-pool",
    "member-of-weight-0-stays",
    "monitor-with-its-own-port",
    "plain-policies-without-the-faulty-one",
    "pool-with-stickiness",
    "pool-with-verified-members",
    "pool-without-monitor",
    "redirect-to-a-listener-is-alone",
    "two-listeners-share-a-pool",
];

#[test]
fn snapshots_compile_to_their_golden_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let found: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, BEHAVIOURS.iter().map(|&behaviour| behaviour.to_owned()).collect());
    for behaviour in BEHAVIOURS {
        let folder = folder.join(behaviour);
        let text = fs::read_to_string(folder.join("snapshot.json")).unwrap();
        let snapshot: DataPlaneSnapshot = serde_json::from_str(&text).unwrap();
        let plan = compile(&Snapshot::from(snapshot), None);
        let listeners: Vec<_> = plan.listeners.values().collect();
        let json = json!({ "revision": plan.revision, "listeners": listeners });
        let written = format!("{}\n", serde_json::to_string_pretty(&json).unwrap());
        let file = folder.join("plan.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &written).unwrap();
        }
        let expect = fs::read_to_string(&file).unwrap_or_default();
        assert!(written == expect, "{behaviour}: the plan differs from {}; it is\n{written}", file.display());
    }
}
