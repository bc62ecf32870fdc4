//! Creating, changing and deleting several members in one call: all of them or none.

use std::net::IpAddr;

use axum::response::Response;
use control::{BatchCreated, BatchOutcome, MemberRef, View};
use http::StatusCode;
use model::{Member, MemberId, MemberPatch, NewMember, Pool, PoolId, Port};
use serde::Serialize;

use crate::v3::{
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    marks, member,
};

const WRAPPER: &str = "members";
/// Most members of one call.
const MEMBERS_MAX: usize = 200;

// ---- wire ----

/// A member of a batch-add.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Created {
    #[serde(flatten)]
    core: member::Core,
    port_id: &'static str,
    ret_status: &'static str,
}

/// A member of a batch-update.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Updated {
    #[serde(flatten)]
    core: member::Core,
    availability_zone: String,
    port_id: &'static str,
}

/// A member of a batch-delete.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Deleted {
    id: String,
    ret_status: &'static str,
}

// ---- decode ----

pub(crate) fn decode_new(mut fields: Fields<'_>, pool: &Pool) -> Result<NewMember, Refusal> {
    let new = member::decode_new_fields(&mut fields, pool)?;
    fields.done()?;
    Ok(new)
}

pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<(MemberId, MemberPatch), Refusal> {
    fields.fixed(member::FIXED)?;
    let id = fields.id::<MemberId>("id")?;
    let id = fields.required("id", id)?;
    let patch = MemberPatch {
        name: marks::name(&mut fields)?,
        port: member::port(&mut fields)?,
        weight: member::weight(&mut fields)?,
        zone: member::zone(&mut fields)?,
        admin_up: fields.flag("admin_state_up")?,
    };
    fields.done()?;
    Ok((id, patch))
}

/// An id alone, or an address with a port (none in pools whose members have no port of their own).
pub(crate) fn decode_ref(mut fields: Fields<'_>, pool: &Pool) -> Result<MemberRef, Refusal> {
    let id = fields.id::<MemberId>("id")?;
    let address = fields.parsed::<IpAddr>("address", "an IP address")?;
    let port = fields.integer("protocol_port", 0..=65535)?;
    let wish = match (id, address, port) {
        (Some(id), None, None) => MemberRef::Id(id),
        (Some(_), ..) => return Err(fields.refuse("id", "give the id alone, or address and protocol_port")),
        (None, None, _) => return Err(fields.refuse("id", "give the id, or address and protocol_port")),
        (None, Some(address), None | Some(0)) if pool.any_port => MemberRef::Address(address, None),
        (None, Some(address), port) => {
            let port = fields.required("protocol_port", port)?;
            MemberRef::Address(address, Some(fields.typed::<_, Port>("protocol_port", port)?))
        }
    };
    fields.done()?;
    Ok(wish)
}

// ---- encode ----

/// A created or found member.
pub(crate) fn encode_created(view: &View, member: &Member, created: BatchCreated) -> Created {
    let ret_status = match created {
        BatchCreated::Created => "successful",
        BatchCreated::Existed => "existed",
    };
    Created { core: member::encode_core(view, member), port_id: "", ret_status }
}

/// A changed member.
pub(crate) fn encode_updated(view: &View, member: &Member) -> Updated {
    let availability_zone = member.zone.clone().unwrap_or_default();
    Updated { core: member::encode_core(view, member), availability_zone, port_id: "" }
}

/// What became of a member that was to be deleted; one that was named by its address and not found has no id.
pub(crate) fn encode_deleted(id: Option<MemberId>, outcome: BatchOutcome) -> Deleted {
    let ret_status = match outcome {
        BatchOutcome::Done => "successful",
        BatchOutcome::NotFound => "not found",
    };
    Deleted { id: id.map(|id| id.to_string()).unwrap_or_default(), ret_status }
}

// ---- operations ----

/// `POST …/pools/{pool_id}/members/batch-add`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let (id, view) = (call.id::<PoolId>("pool_id")?, call.now());
    let pool = view.pool(id)?;
    let items = call.items(WRAPPER, MEMBERS_MAX)?;
    let new = items.into_iter().map(|item| decode_new(item, pool)).collect::<Result<_, _>>()?;
    let made = control::member_create_batch(call.control(), &call.caller, id, new).await?;
    let view = call.now();
    let wire: Vec<_> = made.iter().map(|(member, created)| encode_created(&view, member, *created)).collect();
    Ok(call.one(StatusCode::CREATED, WRAPPER, wire))
}

/// `POST …/pools/{pool_id}/members/batch-update`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let id = call.id::<PoolId>("pool_id")?;
    call.now().pool(id)?;
    let items = call.items(WRAPPER, MEMBERS_MAX)?;
    let patches = items.into_iter().map(decode_patch).collect::<Result<_, _>>()?;
    let changed = control::member_update_batch(call.control(), &call.caller, id, patches).await?;
    let view = call.now();
    let wire: Vec<_> = changed.iter().map(|member| encode_updated(&view, member)).collect();
    Ok(call.one(StatusCode::OK, WRAPPER, wire))
}

/// `POST …/pools/{pool_id}/members/batch-delete`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let (id, view) = (call.id::<PoolId>("pool_id")?, call.now());
    let pool = view.pool(id)?;
    let items = call.items(WRAPPER, MEMBERS_MAX)?;
    let wishes = items.into_iter().map(|item| decode_ref(item, pool)).collect::<Result<_, _>>()?;
    let outcomes = control::member_delete_batch(call.control(), &call.caller, id, wishes).await?;
    let wire: Vec<_> = outcomes.into_iter().map(|(id, outcome)| encode_deleted(id, outcome)).collect();
    Ok(call.one(StatusCode::OK, WRAPPER, wire))
}

#[cfg(test)]
mod tests {
    use model::PoolProtocol;
    use serde_json::json;

    use super::*;
    use crate::v3::{fields::tests::read, pool};

    const ID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    #[test]
    fn a_member_is_named_by_its_id_or_by_its_address_never_both() {
        let own_ports = pool::tests::pool(PoolProtocol::Tcp);
        let any_port = Pool { any_port: true, ..own_ports.clone() };
        let address: IpAddr = [127, 88, 1, 1].into();
        for (content, pool, expect) in [
            (json!({"id": ID}), &own_ports, Ok(MemberRef::Id(ID.parse().unwrap()))),
            (
                json!({"address": "127.88.1.1", "protocol_port": 80}),
                &own_ports,
                Ok(MemberRef::Address(address, Some(Port::of(80)))),
            ),
            (json!({"address": "127.88.1.1"}), &any_port, Ok(MemberRef::Address(address, None))),
            (
                json!({"address": "127.88.1.1", "protocol_port": 0}),
                &any_port,
                Ok(MemberRef::Address(address, None)),
            ),
            (json!({"address": "127.88.1.1"}), &own_ports, Err("protocol_port")),
            (json!({"address": "127.88.1.1", "protocol_port": 0}), &own_ports, Err("protocol_port")),
            (json!({"id": ID, "address": "127.88.1.1"}), &own_ports, Err("id")),
            (json!({"id": ID, "protocol_port": 80}), &own_ports, Err("id")),
            (json!({"protocol_port": 80}), &own_ports, Err("id")),
            (json!({}), &own_ports, Err("id")),
        ] {
            let named = read(content.clone(), |fields| decode_ref(fields, pool));
            assert_eq!(format!("{named:?}"), format!("{:?}", expect.map_err(str::to_owned)), "{content}");
        }
    }

    #[test]
    fn in_a_pool_with_the_clients_port_a_member_has_none() {
        let own_ports = pool::tests::pool(PoolProtocol::Tcp);
        let any_port = Pool { any_port: true, ..own_ports.clone() };
        let port =
            |content, pool: &Pool| read(content, |fields| decode_new(fields, pool)).map(|new| new.port);
        assert_eq!(
            port(json!({"address": "127.88.1.1", "protocol_port": 80}), &own_ports),
            Ok(Some(Port::of(80)))
        );
        assert_eq!(port(json!({"address": "127.88.1.1"}), &own_ports), Err("protocol_port".to_owned()));
        assert_eq!(port(json!({"address": "127.88.1.1", "protocol_port": 80}), &any_port), Ok(None));
        assert_eq!(port(json!({"address": "127.88.1.1"}), &any_port), Ok(None));
    }
}
