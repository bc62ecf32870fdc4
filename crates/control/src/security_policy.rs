//! The verbs of TLS security policies (huawei/behaviours.md section 10, behaviour/tls.md). The system's own policies are facts of
//! the model and have no verbs.

use std::sync::Arc;

use identity::{Action, Caller, Verb};
use model::{
    CipherSuite, Listener, NewSecurityPolicy, Object, QuotaKey, SecurityPolicy, SecurityPolicyId,
    SecurityPolicyPatch, TlsVersion,
};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
};

/// Makes a security policy.
pub async fn security_policy_create(
    control: &Control,
    caller: &Caller,
    new: NewSecurityPolicy,
) -> Result<Arc<SecurityPolicy>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes a security policy; its listeners follow at once.
pub async fn security_policy_update(
    control: &Control,
    caller: &Caller,
    id: SecurityPolicyId,
    patch: SecurityPolicyPatch,
) -> Result<Arc<SecurityPolicy>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes a security policy that no listener names.
pub async fn security_policy_delete(
    control: &Control,
    caller: &Caller,
    id: SecurityPolicyId,
) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("security-policies", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewSecurityPolicy) -> Result<Arc<SecurityPolicy>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::SecurityPolicy)?;
    let made = Arc::new(SecurityPolicy {
        id: SecurityPolicyId::new(Uuid::new_v4()),
        project,
        name: new.name,
        description: new.description,
        versions: new.versions,
        suites: new.suites,
        enterprise_project: new.enterprise_project,
        created_at: draft.now,
        updated_at: draft.now,
    });
    check(&made.versions, &made.suites)?;
    draft.put(Object::SecurityPolicy(made.clone()));
    audit::record(draft, "createSecurityPolicy", "security_policy", made.id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: SecurityPolicyId,
    patch: SecurityPolicyPatch,
) -> Result<Arc<SecurityPolicy>, Error> {
    let mut policy = SecurityPolicy::clone(&*draft.security_policy(id)?);
    policy.versions = patch.versions.unwrap_or(policy.versions);
    policy.suites = patch.suites.unwrap_or(policy.suites);
    check(&policy.versions, &policy.suites)?;
    policy.name = patch.name.unwrap_or(policy.name);
    policy.description = patch.description.unwrap_or(policy.description);
    policy.updated_at = draft.now;
    let early = |listener: &&Arc<Listener>| listener.tls().is_some_and(|tls| tls.early_data);
    if !policy.versions.contains(&TlsVersion::V13)
        && let Some(listener) = draft.state.listeners_with_security_policy(id).find(early)
    {
        return Err(Error::InUse {
            what: format!("TLSv1.3 of security policy {id}"),
            by: format!("listener {} has ssl_early_data_enable; switch that off first", listener.id),
        });
    }
    let changed = Arc::new(policy);
    draft.put(Object::SecurityPolicy(changed.clone()));
    audit::record(
        draft,
        "updateSecurityPolicy",
        "security_policy",
        id,
        changed.name.as_str(),
        Some(&changed),
    );
    Ok(changed)
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: SecurityPolicyId) -> Result<(), Error> {
    let policy = draft.security_policy(id)?;
    if let Some(listener) = draft.state.listeners_with_security_policy(id).next() {
        return Err(Error::InUse {
            what: format!("security policy {id}"),
            by: format!("listener {} uses it; give that another one first", listener.id),
        });
    }
    draft.delete(Object::SecurityPolicy(policy.clone()));
    let name = policy.name.as_str();
    audit::record(draft, "deleteSecurityPolicy", "security_policy", id, name, audit::NOTHING);
    Ok(())
}

/// Every version has a suite, and every suite a version; nothing stands twice.
fn check(versions: &[TlsVersion], suites: &[CipherSuite]) -> Result<(), Error> {
    if versions.is_empty() {
        return Err(Error::invalid("protocols", "at least one is needed"));
    }
    for (n, version) in versions.iter().enumerate() {
        if versions[..n].contains(version) {
            return Err(Error::invalid("protocols", format!("{} stands twice", version.as_str())));
        }
        if !suites.iter().any(|suite| suite.fits(*version)) {
            let reason = format!("none of them fits {}; add one or leave the protocol out", version.as_str());
            return Err(Error::invalid("ciphers", reason));
        }
    }
    for (n, suite) in suites.iter().enumerate() {
        if suites[..n].contains(suite) {
            return Err(Error::invalid("ciphers", format!("{} stands twice", suite.as_str())));
        }
        if !versions.iter().any(|version| suite.fits(*version)) {
            let reason = format!("{} fits none of the protocols; leave it out", suite.as_str());
            return Err(Error::invalid("ciphers", reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
