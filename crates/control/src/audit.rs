//! Audit traces of commands (behaviour/audit.md).
//!
//! A command that is carried out leaves its traces in its own transaction. One that is refused leaves a trace of its own, rated as a
//! warning, in a later transaction: the caller does not wait for it. A flood of refusals costs no more than [`PENDING_MAX`] traces of
//! memory and [`PER_MINUTE_MAX`] rows a minute for a project; what goes beyond is told in the log as a number.

mod refusals;

use identity::Caller;
use model::{Timestamp, Trace, TraceRating};
use serde::Serialize;
use uuid::Uuid;

use crate::command::Draft;

pub(crate) use refusals::{Refusals, refused};

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
    let id = id.to_string();
    let called = if called.is_empty() { &id } else { called };
    // No noun with a secret is traced; a noun that cannot be written as JSON does not exist.
    let response = after.and_then(|after| serde_json::to_string(after).ok()).unwrap_or_default();
    let at = draft.now;
    draft.trace(Trace {
        rating: TraceRating::Normal,
        resource_name: called.to_owned(),
        response,
        ..trace(draft.caller, name.to_owned(), resource_type, id, at)
    });
}

/// A trace of what this caller did.
fn trace(caller: &Caller, name: String, resource_type: &str, id: String, at: Timestamp) -> Trace {
    Trace {
        id: Uuid::new_v4(),
        name,
        rating: TraceRating::Warning,
        project: caller.project,
        user: caller.user,
        user_name: caller.user_name.clone(),
        domain: caller.domain.clone(),
        source_ip: caller.origin.source_ip.map(|address| address.to_string()).unwrap_or_default(),
        resource_type: resource_type.to_owned(),
        resource_name: id.clone(),
        resource_id: id,
        at,
        api_version: caller.origin.api_version.to_owned(),
        request_id: caller.origin.request_id.clone(),
        response: String::new(),
    }
}

/// What a removal shows.
pub(crate) const NOTHING: Option<&()> = None;
