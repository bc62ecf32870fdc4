//! The verbs of IP groups (huawei/behaviours.md sections 6 and 10, behaviour/features.md section 11).

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use identity::{Action, Caller, Verb};
use model::{IpEntry, IpGroup, IpGroupId, IpGroupPatch, IpSpan, NewIpGroup, Object, QuotaKey};
use uuid::Uuid;

use crate::{
    Control, Error, audit,
    command::{Draft, command},
};

/// Makes an IP group.
pub async fn ip_group_create(
    control: &Control,
    caller: &Caller,
    new: NewIpGroup,
) -> Result<Arc<IpGroup>, Error> {
    command(control, caller, action(Verb::Create), |draft| create(draft, new.clone())).await
}

/// Changes an IP group; entries that are said replace all that were.
pub async fn ip_group_update(
    control: &Control,
    caller: &Caller,
    id: IpGroupId,
    patch: IpGroupPatch,
) -> Result<Arc<IpGroup>, Error> {
    command(control, caller, action(Verb::Put), |draft| update(draft, id, patch.clone())).await
}

/// Deletes an IP group that no listener names.
pub async fn ip_group_delete(control: &Control, caller: &Caller, id: IpGroupId) -> Result<(), Error> {
    command(control, caller, action(Verb::Delete), |draft| delete(draft, id)).await
}

/// Adds entries to an IP group; of those that it has, only the remark changes. What else the patch says changes, too.
pub async fn ip_group_entries_put(
    control: &Control,
    caller: &Caller,
    id: IpGroupId,
    patch: IpGroupPatch,
) -> Result<Arc<IpGroup>, Error> {
    command(control, caller, action(Verb::Put), |draft| put_entries(draft, id, patch.clone())).await
}

/// Removes entries from an IP group; those that it has not are no error.
pub async fn ip_group_entries_remove(
    control: &Control,
    caller: &Caller,
    id: IpGroupId,
    spans: Vec<IpSpan>,
) -> Result<Arc<IpGroup>, Error> {
    command(control, caller, action(Verb::Put), |draft| remove_entries(draft, id, &spans)).await
}

const fn action(verb: Verb) -> Action {
    Action::elb("ipgroups", verb)
}

pub(crate) fn create(draft: &mut Draft<'_>, new: NewIpGroup) -> Result<Arc<IpGroup>, Error> {
    let project = draft.caller.project;
    draft.quota_for_one_more(QuotaKey::Ipgroup)?;
    let made = Arc::new(IpGroup {
        id: IpGroupId::new(Uuid::new_v4()),
        project,
        name: new.name,
        description: new.description,
        entries: checked(draft, new.entries)?,
        enterprise_project: new.enterprise_project,
        created_at: draft.now,
        updated_at: draft.now,
    });
    draft.put(Object::IpGroup(made.clone()));
    audit::record(draft, "createIpgroup", "ipgroup", made.id, made.name.as_str(), Some(&made));
    Ok(made)
}

pub(crate) fn update(
    draft: &mut Draft<'_>,
    id: IpGroupId,
    patch: IpGroupPatch,
) -> Result<Arc<IpGroup>, Error> {
    let mut group = IpGroup::clone(&*draft.ip_group(id)?);
    if let Some(entries) = patch.entries {
        group.entries = checked(draft, entries)?;
    }
    group.name = patch.name.unwrap_or(group.name);
    group.description = patch.description.unwrap_or(group.description);
    Ok(changed(draft, group))
}

pub(crate) fn put_entries(
    draft: &mut Draft<'_>,
    id: IpGroupId,
    patch: IpGroupPatch,
) -> Result<Arc<IpGroup>, Error> {
    let mut entries = draft.ip_group(id)?.entries.clone();
    let mut places: BTreeMap<_, _> = entries.iter().enumerate().map(|(n, entry)| (entry.span, n)).collect();
    for entry in patch.entries.unwrap_or_default() {
        match places.entry(entry.span) {
            Entry::Occupied(place) => entries[*place.get()].description = entry.description,
            Entry::Vacant(place) => {
                place.insert(entries.len());
                entries.push(entry);
            }
        }
    }
    update(draft, id, IpGroupPatch { entries: Some(entries), ..patch })
}

pub(crate) fn remove_entries(
    draft: &mut Draft<'_>,
    id: IpGroupId,
    spans: &[IpSpan],
) -> Result<Arc<IpGroup>, Error> {
    let mut group = IpGroup::clone(&*draft.ip_group(id)?);
    let spans: BTreeSet<&IpSpan> = spans.iter().collect();
    group.entries.retain(|entry| !spans.contains(&entry.span));
    Ok(changed(draft, group))
}

pub(crate) fn delete(draft: &mut Draft<'_>, id: IpGroupId) -> Result<(), Error> {
    let group = draft.ip_group(id)?;
    if let Some(listener) = draft.state.listeners_with_ip_group(id).next() {
        return Err(Error::InUse {
            what: format!("IP group {id}"),
            by: format!("listener {} has it in its access control; take it out there first", listener.id),
        });
    }
    draft.delete(Object::IpGroup(group.clone()));
    audit::record(draft, "deleteIpgroup", "ipgroup", id, group.name.as_str(), audit::NOTHING);
    Ok(())
}

fn changed(draft: &mut Draft<'_>, group: IpGroup) -> Arc<IpGroup> {
    let changed = Arc::new(IpGroup { updated_at: draft.now, ..group });
    draft.put(Object::IpGroup(changed.clone()));
    audit::record(draft, "updateIpgroup", "ipgroup", changed.id, changed.name.as_str(), Some(&changed));
    changed
}

/// Each span once, the first remark stays; no more than the quota allows.
fn checked(draft: &Draft<'_>, entries: Vec<IpEntry>) -> Result<Vec<IpEntry>, Error> {
    let mut seen = BTreeSet::new();
    let mut entries = checked_remarks(entries)?;
    entries.retain(|entry| seen.insert(entry.span));
    draft.quota(QuotaKey::IpgroupMaxLength, entries.len())?;
    Ok(entries)
}

/// A remark has no `<` or `>` (behaviour/features.md section 11).
fn checked_remarks(entries: Vec<IpEntry>) -> Result<Vec<IpEntry>, Error> {
    match entries.iter().find(|entry| entry.description.as_str().contains(['<', '>'])) {
        Some(entry) => Err(Error::invalid(
            "ip_list",
            format!("the description of {} must not hold '<' or '>'", entry.span),
        )),
        None => Ok(entries),
    }
}

#[cfg(test)]
mod tests;
