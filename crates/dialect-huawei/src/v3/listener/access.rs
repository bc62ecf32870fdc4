//! `ipgroup`: who may connect to a listener (huawei/behaviours.md section 6).

use model::{
    IpGroupId, Patch,
    listener::{AccessControl, AccessMode},
};
use serde::Serialize;

use crate::v3::fields::{Fields, Refusal};

// ---- wire ----

/// Access control as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    ipgroup_id: String,
    enable_ipgroup: bool,
    #[serde(rename = "type")]
    mode: &'static str,
}

// ---- decode ----

const MODES: &[(&str, Option<AccessMode>)] =
    &[("white", Some(AccessMode::White)), ("black", Some(AccessMode::Black))];

/// The field `ipgroup` of a listener that has `now` so far; what it leaves open stays. Null and `{}` remove it.
pub(crate) fn decode(
    listener: &mut Fields<'_>,
    now: Option<&AccessControl>,
) -> Result<Patch<AccessControl>, Refusal> {
    let fields = match listener.nullable_object("ipgroup")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) if fields.is_empty() => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    read(fields, now).map(Patch::Set)
}

/// The fields inside it.
pub(crate) fn read(mut fields: Fields<'_>, now: Option<&AccessControl>) -> Result<AccessControl, Refusal> {
    let groups = groups(&mut fields)?.or_else(|| now.map(|now| now.groups.clone()));
    let access = AccessControl {
        groups: fields.required("ipgroup_id", groups)?,
        enabled: fields.flag("enable_ipgroup")?.or(now.map(|now| now.enabled)).unwrap_or(true),
        mode: fields.choice("type", MODES)?.or(now.map(|now| now.mode)).unwrap_or_default(),
    };
    fields.done()?;
    Ok(access)
}

/// `ipgroup_id`: one id, or several joined by commas.
fn groups(fields: &mut Fields<'_>) -> Result<Option<Vec<IpGroupId>>, Refusal> {
    let Some(text) = fields.string("ipgroup_id", 1..=TEXT_MAX)? else { return Ok(None) };
    let ids = text.split(',').map(|id| id.trim().parse()).collect::<Result<_, _>>();
    ids.map(Some)
        .map_err(|_| fields.refuse("ipgroup_id", "must be an id (uuid), or several joined by commas"))
}

/// Room for a hundred ids.
const TEXT_MAX: usize = 3700;

// ---- encode ----

/// Access control as answers show it.
pub(crate) fn encode(access: &AccessControl) -> Wire {
    Wire {
        ipgroup_id: access.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        enable_ipgroup: access.enabled,
        mode: match access.mode {
            AccessMode::White => "white",
            AccessMode::Black => "black",
        },
    }
}
