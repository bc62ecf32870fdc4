//! The rules of access control (huawei/behaviours.md section 6, behaviour/features.md section 11).

use std::collections::BTreeSet;

use model::{ListenerId, QuotaKey, listener::AccessControl};

use crate::{Error, command::Draft};

/// Whether the groups that an access control names are there and may be bound; `listener` is the one that is changed.
pub(super) fn check(
    draft: &Draft<'_>,
    access: &AccessControl,
    listener: Option<ListenerId>,
) -> Result<(), Error> {
    if access.groups.is_empty() {
        return Err(Error::invalid("ipgroup", "ipgroup_id is needed; null removes the access control"));
    }
    let mut seen = BTreeSet::new();
    for &id in &access.groups {
        if !seen.insert(id) {
            return Err(Error::invalid("ipgroup", format!("IP group {id} stands twice")));
        }
        draft.ip_group(id)?;
        let others = draft.state.listeners_with_ip_group(id).filter(|other| Some(other.id) != listener);
        draft.quota(QuotaKey::IpgroupBindings, others.count() + 1)?;
    }
    draft.quota(QuotaKey::IpgroupsPerListener, access.groups.len())
}
