//! A data plane that writes an access log, and what it wrote.

use std::{fs, sync::Arc};

use dataplane::Config;
use model::AccessLogId;
use plan::{AccessLogPlan, ListenerPlan};
use telemetry::{AccessLogs, access_log::Rotation};

use super::rig::{Rig, eventually};

/// A data plane that writes into a directory.
pub(crate) fn logging(listener: ListenerPlan) -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let access_logs = AccessLogs::start(dir.path().to_owned(), Rotation::default()).unwrap();
    let rig = Rig::with_config(Config { workers: 2, access_logs, ..Config::default() });
    let log = AccessLogPlan {
        id: AccessLogId::new(uuid::Uuid::nil()),
        load_balancer: listener.load_balancer,
        project: listener.project,
        group: "group".into(),
        topic: "topic".into(),
    };
    let _ = rig.apply([ListenerPlan { access_log: Some(Arc::new(log)), ..listener }]);
    (rig, dir)
}

/// The records, once there are so many.
pub(crate) fn records(dir: &tempfile::TempDir, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    eventually("the records are written", || {
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        lines = files
            .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}
