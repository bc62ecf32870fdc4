//! Several members at once. A batch is one command: all of it lands, or nothing does.

use std::{net::IpAddr, sync::Arc};

use identity::{Caller, Verb};
use model::{Member, MemberId, MemberPatch, NewMember, PoolId, Port};

use super::{action, create, remove, unprotected, update};
use crate::{Control, Error, command::command};

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

/// Adds members; those that exist are no error.
pub async fn member_create_batch(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    new: Vec<NewMember>,
) -> Result<Vec<(Arc<Member>, BatchCreated)>, Error> {
    command(control, caller, action(Verb::Create), |draft| {
        let any_port = draft.pool(pool)?.any_port;
        let mut made = Vec::with_capacity(new.len());
        for wanted in &new {
            let port = if any_port { None } else { wanted.port };
            let twin =
                draft.state.members_of(pool).find(|m| m.address == wanted.address && m.port == port).cloned();
            made.push(match twin {
                Some(member) => (member, BatchCreated::Existed),
                None => (create(draft, pool, wanted.clone())?, BatchCreated::Created),
            });
        }
        Ok(made)
    })
    .await
}

/// Changes members.
pub async fn member_update_batch(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    patches: Vec<(MemberId, MemberPatch)>,
) -> Result<Vec<Arc<Member>>, Error> {
    command(control, caller, action(Verb::Put), |draft| {
        patches.iter().map(|(id, patch)| update(draft, pool, *id, patch.clone())).collect()
    })
    .await
}

/// Removes members; those that are not there are no error.
pub async fn member_delete_batch(
    control: &Control,
    caller: &Caller,
    pool: PoolId,
    wishes: Vec<MemberRef>,
) -> Result<Vec<(Option<MemberId>, BatchOutcome)>, Error> {
    command(control, caller, action(Verb::Delete), |draft| {
        let pool = unprotected(draft, pool)?.id;
        let mut outcomes = Vec::with_capacity(wishes.len());
        for wish in &wishes {
            let found = match *wish {
                MemberRef::Id(id) => draft.member(pool, id).ok(),
                MemberRef::Address(address, port) => {
                    draft.state.members_of(pool).find(|m| m.address == address && m.port == port).cloned()
                }
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
    })
    .await
}
