//! The catalogue of a token: where the services are. Only services that exist stand in it.

use model::ProjectId;
use serde_json::{Value, json};

/// The catalogue for a project; `base` is the server's address as the client knows it.
pub(super) fn catalogue(base: &str, identity_base: &str, region: &str, project: Option<ProjectId>) -> Value {
    let mut services = vec![service("identity", "keystone", &format!("{identity_base}/v3"), region)];
    if let Some(project) = project {
        let project = project.simple();
        services.push(service("elb", "elb", &format!("{base}/v3/{project}"), region));
        services.push(service("elbv3", "elbv3", &format!("{base}/v3/{project}"), region));
        services.push(service("vpc", "vpc", &format!("{base}/v1/{project}"), region));
    }
    Value::Array(services)
}

fn service(kind: &str, name: &str, url: &str, region: &str) -> Value {
    // Clients keep ids only to tell entries apart; they need not be UUIDs.
    let endpoints: Vec<_> = ["public", "internal", "admin"]
        .iter()
        .map(|interface| {
            json!({ "id": format!("{name}-{interface}"), "interface": interface, "region": region, "region_id": region, "url": url })
        })
        .collect();
    json!({ "id": name, "type": kind, "name": name, "endpoints": endpoints })
}
