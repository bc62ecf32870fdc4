//! The verbs of access logs (huawei/behaviours.md section 10, where they are called logtanks).

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{AccessLog, AccessLogId, AccessLogPatch, LoadBalancerId, NewAccessLog, Object};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
};

/// Makes the access log of a load balancer that has none.
pub async fn access_log_create(
    control: &Control,
    caller: &Caller,
    new: NewAccessLog,
) -> Result<Arc<AccessLog>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes an access log.
pub async fn access_log_update(
    control: &Control,
    caller: &Caller,
    id: AccessLogId,
    patch: AccessLogPatch,
) -> Result<Arc<AccessLog>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes an access log; what was written stays.
pub async fn access_log_delete(control: &Control, caller: &Caller, id: AccessLogId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("logtanks", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewAccessLog) -> Result<Arc<AccessLog>, Error> {
    let project = draft.caller.project;
    let lb = draft.load_balancer(new.load_balancer)?;
    check_name("log_group_id", &new.group)?;
    check_name("log_topic_id", &new.topic)?;
    if let Some(other) = draft.state.access_log_of(lb.id) {
        return Err(Error::InUse {
            what: format!("load balancer {}", lb.id),
            by: format!("it has the access log {}; update that one", other.id),
        });
    }
    let id = AccessLogId::new(Uuid::new_v4());
    draft.claim(claim(lb.id), id);
    let made = Arc::new(AccessLog { id, project, load_balancer: lb.id, group: new.group, topic: new.topic });
    draft.put(Object::AccessLog(made.clone()));
    audit::record(draft, "createLogtank", "logtank", id, "", Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: AccessLogId,
    patch: AccessLogPatch,
) -> Result<Arc<AccessLog>, Error> {
    let mut log = AccessLog::clone(&*draft.access_log(id)?);
    log.group = patch.group.unwrap_or(log.group);
    log.topic = patch.topic.unwrap_or(log.topic);
    check_name("log_group_id", &log.group)?;
    check_name("log_topic_id", &log.topic)?;
    let changed = Arc::new(log);
    draft.put(Object::AccessLog(changed.clone()));
    audit::record(draft, "updateLogtank", "logtank", id, "", Some(&changed));
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: AccessLogId) -> Result<(), Error> {
    let log = draft.access_log(id)?;
    remove(draft, &log);
    Ok(())
}

pub(crate) fn remove(draft: &mut Draft<'_>, log: &Arc<AccessLog>) {
    draft.release(claim(log.load_balancer));
    draft.delete(Object::AccessLog(log.clone()));
    audit::record(draft, "deleteLogtank", "logtank", log.id, "", audit::NOTHING);
}

/// One log per load balancer.
pub(crate) fn claim(load_balancer: LoadBalancerId) -> String {
    format!("log/{load_balancer}")
}

/// The names are the log service's; here they are only carried, so they must be fit for a line of a log.
fn check_name(field: &'static str, name: &str) -> Result<(), Error> {
    let fits = (1..=NAME_MAX).contains(&name.chars().count()) && !name.contains(|c: char| c.is_control());
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("must have 1 to {NAME_MAX} characters, none of them a control character"),
    ))
}

/// huawei/v3.json, `log_group_id`.
const NAME_MAX: usize = 36;

#[cfg(test)]
mod tests;
