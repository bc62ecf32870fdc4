//! Audit traces of commands (behaviour/audit.md).

use model::{Trace, TraceRating};
use serde::Serialize;
use uuid::Uuid;

use crate::command::Draft;

/// Notes that something was made, changed or removed. `name` is the trace name of behaviour/audit.md, for example
/// `createListener`; `after` is the object as it is now, `None` for a removal.
pub(crate) fn record(
    draft: &mut Draft<'_>,
    name: &str,
    resource_type: &str,
    id: impl ToString,
    called: &str,
    after: Option<&impl Serialize>,
) {
    let caller = draft.caller;
    let id = id.to_string();
    let trace = Trace {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        rating: TraceRating::Normal,
        project: caller.project,
        user: caller.user,
        user_name: caller.user_name.clone(),
        domain: caller.domain.clone(),
        source_ip: caller.origin.source_ip.map(|address| address.to_string()).unwrap_or_default(),
        resource_type: resource_type.to_owned(),
        resource_name: if called.is_empty() { id.clone() } else { called.to_owned() },
        resource_id: id,
        at: draft.now,
        api_version: caller.origin.api_version.to_owned(),
        request_id: caller.origin.request_id.clone(),
        // No noun with a secret is traced; a noun that cannot be written as JSON does not exist.
        response: after.and_then(|after| serde_json::to_string(after).ok()).unwrap_or_default(),
    };
    draft.trace(trace);
}

/// What a removal shows.
pub(crate) const NOTHING: Option<&()> = None;
