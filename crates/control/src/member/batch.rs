//! Several members at once. A batch is one command: all of it lands, or nothing does.

use std::{net::IpAddr, sync::Arc};

use identity::{Caller, Verb};
use model::{Member, MemberId, MemberPatch, NewMember, PoolId, Port};

use super::{action, create, remove, unprotected, update};
use crate::{
    Control, Error,
    command::{Draft, command},
    pool::ordinary,
};

/// What became of a member that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchCreated {
    /// It is new.
    Created,
    /// The pool has a member of that address and port; it is left as it is.
    Existed,
}

/// What became of an object that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It is gone.
    Done,
    /// It was not there.
    NotFound,
}

/// How a batch names a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRef {
    /// By its id.
    Id(MemberId),
    /// By its address and port; no port in pools that keep the client's.
    Address(IpAddr, Option<Port>),
}

/// Adds members; those that exist are no error. At most [`BATCH_MAX`].
pub async fn member_create_batch(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    new: Vec<NewMember>,
) -> Result<Vec<(Arc<Member>, BatchCreated)>, Error> {
    command(control, caller, action(Verb::Create), |draft| create_batch(draft, pool, &new)).await
}

/// Changes members. At most [`BATCH_MAX`].
pub async fn member_update_batch(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    patches: Vec<(MemberId, MemberPatch)>,
) -> Result<Vec<Arc<Member>>, Error> {
    command(control, caller, action(Verb::Put), |draft| update_batch(draft, pool, &patches)).await
}

/// Removes members; those that are not there are no error. At most [`BATCH_MAX`]. The answer names each by its id, where it was
/// found or named so.
pub async fn member_delete_batch(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    wishes: Vec<MemberRef>,
) -> Result<Vec<(Option<MemberId>, BatchOutcome)>, Error> {
    command(control, caller, action(Verb::Delete), |draft| delete_batch(draft, pool, &wishes)).await
}

pub(crate) fn create_batch(
    draft: &mut Draft<'_>,
    pool: PoolId,
    new: &[NewMember],
) -> Result<Vec<(Arc<Member>, BatchCreated)>, Error> {
    check_batch("members", new.len())?;
    let any_port = ordinary(draft, pool)?.any_port;
    let mut made = Vec::with_capacity(new.len());
    for wanted in new {
        let port = if any_port { None } else { wanted.port };
        made.push(match draft.state.member_at(pool, wanted.address, port).cloned() {
            Some(member) => (member, BatchCreated::Existed),
            None => (create(draft, pool, wanted.clone())?, BatchCreated::Created),
        });
    }
    Ok(made)
}

pub(crate) fn update_batch(
    draft: &mut Draft<'_>,
    pool: PoolId,
    patches: &[(MemberId, MemberPatch)],
) -> Result<Vec<Arc<Member>>, Error> {
    check_batch("members", patches.len())?;
    patches.iter().map(|(id, patch)| update(draft, pool, *id, patch.clone())).collect()
}

pub(crate) fn delete_batch(
    draft: &mut Draft<'_>,
    pool: PoolId,
    wishes: &[MemberRef],
) -> Result<Vec<(Option<MemberId>, BatchOutcome)>, Error> {
    check_batch("members", wishes.len())?;
    let pool = unprotected(draft, pool)?.id;
    let mut outcomes = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let found = match *wish {
            MemberRef::Id(id) => draft.member(pool, id).ok(),
            MemberRef::Address(address, port) => draft.state.member_at(pool, address, port).cloned(),
        };
        outcomes.push(match (found, wish) {
            (Some(member), _) => {
                remove(draft, &member);
                (Some(member.id), BatchOutcome::Done)
            }
            (None, MemberRef::Id(id)) => (Some(*id), BatchOutcome::NotFound),
            (None, MemberRef::Address(..)) => (None, BatchOutcome::NotFound),
        });
    }
    Ok(outcomes)
}

/// Most objects of one batch (huawei/behaviours.md section 8).
pub const BATCH_MAX: usize = 200;

/// Refuses a batch that is too long.
pub(crate) fn check_batch(field: &'static str, length: usize) -> Result<(), Error> {
    if length > BATCH_MAX {
        return Err(Error::invalid(field, format!("has {length} entries; at most {BATCH_MAX} are allowed")));
    }
    Ok(())
}
