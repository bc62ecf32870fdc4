//! The member in v3 words.

pub(crate) mod all;
pub(crate) mod batch;
pub(crate) mod check;
pub(crate) mod status;

use std::net::IpAddr;

use axum::response::Response;
use control::View;
use http::StatusCode;
use identity::Verb;
use model::{Member, MemberPatch, NewMember, Pool, PoolId, Port, SubnetId, Weight};
use serde::Serialize;

use crate::v3::{
    answer,
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    list::{Filter, enterprise_project, maybe, nothing, one},
    marks,
};

const WRAPPER: &str = "member";
const RESOURCE: &str = "members";

// ---- wire ----

/// A member as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    #[serde(flatten)]
    core: Core,
    availability_zone: String,
    ip_version: &'static str,
}

/// What all forms of a member show.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Core {
    id: String,
    name: String,
    project_id: String,
    address: String,
    protocol_port: u16,
    subnet_cidr_id: Option<String>,
    weight: u16,
    admin_state_up: bool,
    member_type: &'static str,
    instance_id: &'static str,
    operating_status: &'static str,
    reason: Option<status::Reason>,
    status: Vec<status::OfListener>,
    created_at: String,
    updated_at: String,
}

// ---- decode ----

/// The widest weight of this API; the model's is wider.
const WEIGHT_MAX: i64 = 100;
const WEIGHT_DEFAULT: Weight = Weight::of(1);

/// The body of a create in that pool.
pub(crate) fn decode_new(mut fields: Fields<'_>, pool: &Pool) -> Result<NewMember, Refusal> {
    marks::project(&mut fields)?;
    let admin_up = fields.flag("admin_state_up")?.unwrap_or(true);
    let new = NewMember { admin_up, ..decode_new_fields(&mut fields, pool)? };
    fields.done()?;
    Ok(new)
}

/// What a create and an item of a batch have in common.
fn decode_new_fields(fields: &mut Fields<'_>, pool: &Pool) -> Result<NewMember, Refusal> {
    let weight = weight(fields)?.unwrap_or(WEIGHT_DEFAULT);
    let zone = zone(fields)?;
    Ok(NewMember { weight, zone, ..decode_place(fields, pool.any_port)? })
}

/// What every new member has, also one of an active/standby pool.
pub(crate) fn decode_place(fields: &mut Fields<'_>, any_port: bool) -> Result<NewMember, Refusal> {
    let address = fields.parsed::<IpAddr>("address", "an IP address")?;
    Ok(NewMember {
        name: marks::name(fields)?.unwrap_or_default(),
        address: fields.required("address", address)?,
        port: decode_new_port(fields, any_port)?,
        weight: WEIGHT_DEFAULT,
        subnet: fields.id::<SubnetId>("subnet_cidr_id")?,
        zone: None,
        admin_up: true,
    })
}

/// In a pool whose members are reached on the client's port a member has none of its own; what is said is ignored.
fn decode_new_port(fields: &mut Fields<'_>, any_port: bool) -> Result<Option<Port>, Refusal> {
    if any_port {
        fields.integer("protocol_port", 0..=65535)?;
        return Ok(None);
    }
    let port = port(fields)?;
    fields.required("protocol_port", port).map(Some)
}

/// Fixed at creation (behaviours.md section 4).
pub(crate) const FIXED: &[&str] = &["address", "subnet_cidr_id", "project_id"];

/// The body of an update.
pub(crate) fn decode_patch(mut fields: Fields<'_>) -> Result<MemberPatch, Refusal> {
    fields.fixed(FIXED)?;
    let patch = MemberPatch {
        name: marks::name(&mut fields)?,
        port: port(&mut fields)?,
        weight: weight(&mut fields)?,
        zone: zone(&mut fields)?,
        admin_up: fields.flag("admin_state_up")?,
    };
    fields.done()?;
    Ok(patch)
}

fn port(fields: &mut Fields<'_>) -> Result<Option<Port>, Refusal> {
    let port = fields.integer("protocol_port", 1..=65535)?;
    port.map(|port| fields.typed("protocol_port", port)).transpose()
}

fn weight(fields: &mut Fields<'_>) -> Result<Option<Weight>, Refusal> {
    let weight = fields.integer("weight", 0..=WEIGHT_MAX)?;
    weight.map(|weight| fields.typed("weight", weight)).transpose()
}

/// A zone's code; the empty string is none.
fn zone(fields: &mut Fields<'_>) -> Result<Option<String>, Refusal> {
    Ok(fields.string("availability_zone", 0..=255)?.filter(|zone| !zone.is_empty()))
}

// ---- encode ----

/// The member as answers show it.
pub(crate) fn encode(view: &View, member: &Member) -> Wire {
    Wire {
        core: encode_core(view, member),
        availability_zone: member.zone.clone().unwrap_or_default(),
        ip_version: ip_version(member),
    }
}

/// What all forms of a member show.
pub(crate) fn encode_core(view: &View, member: &Member) -> Core {
    let status = status::encode(view, member);
    Core {
        id: member.id.to_string(),
        name: member.name.to_string(),
        project_id: member.project.simple(),
        address: member.address.to_string(),
        protocol_port: shown_port(member),
        subnet_cidr_id: member.subnet.map(|subnet| subnet.to_string()),
        weight: member.weight.value(),
        admin_state_up: member.admin_up,
        member_type: member_type(member),
        instance_id: "",
        operating_status: status.overall,
        reason: status.reason,
        status: status.of_listeners,
        created_at: answer::time(member.created_at),
        updated_at: answer::time(member.updated_at),
    }
}

/// A member without a port of its own shows 0.
pub(crate) fn shown_port(member: &Member) -> u16 {
    member.port.map_or(0, Port::value)
}

pub(crate) fn ip_version(member: &Member) -> &'static str {
    if member.address.is_ipv4() { "v4" } else { "v6" }
}

pub(crate) fn member_type(member: &Member) -> &'static str {
    if member.subnet.is_some() { "instance" } else { "ip" }
}

// ---- list ----

/// What the list of a pool's members can be filtered by.
pub(crate) const FILTERS: &[Filter<View, Member>] = &[
    Filter::text("id", |_, member| one(member.id)),
    Filter::text("name", |_, member| one(&member.name)),
    Filter::integer("weight", |_, member| one(member.weight)),
    Filter::flag("admin_state_up", |_, member| one(member.admin_up)),
    Filter::text("subnet_cidr_id", |_, member| maybe(member.subnet)),
    Filter::text("address", |_, member| one(member.address)),
    Filter::integer("protocol_port", |_, member| one(shown_port(member))),
    Filter::text("operating_status", |view, member| one(status::encode(view, member).overall)),
    Filter::text("enterprise_project_id", |view, member| {
        enterprise_project(view.snapshot.pool(member.pool).and_then(|pool| pool.enterprise_project))
    }),
    Filter::text("ip_version", |_, member| one(ip_version(member))),
    Filter::text("member_type", |_, member| one(member_type(member))),
    Filter::text("instance_id", |_, _| nothing()),
    Filter::text("availability_zone", |_, member| one(member.zone.as_deref().unwrap_or_default())),
];

// ---- operations ----

/// `GET …/pools/{pool_id}/members`.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::List)?;
    let pool = view.pool(call.id("pool_id")?)?.id;
    let own = view.snapshot.members_of(pool).map(AsRef::as_ref).collect();
    call.page(RESOURCE, &view, FILTERS, |member: &Member| member.id, own, |member| encode(&view, member))
}

/// `POST …/pools/{pool_id}/members`.
pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let pool = call.id::<PoolId>("pool_id")?;
    let new = decode_new(call.fields(WRAPPER)?, call.now().pool(pool)?)?;
    let made = control::member_create(call.control(), &call.caller, pool, new).await?;
    Ok(call.one(StatusCode::CREATED, WRAPPER, encode(&call.now(), &made)))
}

/// `GET …/pools/{pool_id}/members/{member_id}`.
pub(crate) async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.view(RESOURCE, Verb::Get)?;
    let found = view.member(call.id("pool_id")?, call.id("member_id")?)?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&view, found)))
}

/// `PUT …/pools/{pool_id}/members/{member_id}`.
pub(crate) async fn update(call: Call) -> Result<Response, Problem> {
    let (pool, id) = (call.id("pool_id")?, call.id("member_id")?);
    call.now().member(pool, id)?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::member_update(call.control(), &call.caller, pool, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode(&call.now(), &changed)))
}

/// `DELETE …/pools/{pool_id}/members/{member_id}`.
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    control::member_delete(call.control(), &call.caller, call.id("pool_id")?, call.id("member_id")?).await?;
    Ok(call.gone())
}
