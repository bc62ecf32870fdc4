//! `ip_list`: the entries of an IP group, and the calls that add and remove some of them.

use axum::response::Response;
use http::StatusCode;
use model::{IpEntry, IpSpan};
use serde::Serialize;

use crate::v3::{
    call::Call,
    errors::Problem,
    fields::{Fields, Refusal},
    ip_group::{WRAPPER, decode_patch, encode as encode_group},
    marks,
};

// ---- wire ----

/// An entry as answers show it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Wire {
    ip: String,
    description: String,
}

// ---- decode ----

/// Most entries in one request. How many a group may have is a quota (`ipgroup_max_length`, 300 unless changed).
const ENTRIES_MAX: usize = 50_000;
const SPAN: &str = "an IP address, a network (10.0.0.0/8) or a rising range (10.0.0.1-10.0.0.9)";

/// The field `ip_list`.
pub(crate) fn decode(group: &mut Fields<'_>) -> Result<Option<Vec<IpEntry>>, Refusal> {
    let Some(items) = group.objects("ip_list", ENTRIES_MAX)? else { return Ok(None) };
    items.into_iter().map(decode_one).collect::<Result<_, _>>().map(Some)
}

/// One of the entries.
pub(crate) fn decode_one(mut item: Fields<'_>) -> Result<IpEntry, Refusal> {
    let description = marks::description(&mut item)?.unwrap_or_default();
    let entry = IpEntry { span: span(&mut item)?, description };
    item.done()?;
    Ok(entry)
}

/// The body of a removal.
pub(crate) fn decode_removal(mut group: Fields<'_>) -> Result<Vec<IpSpan>, Refusal> {
    let items = group.objects("ip_list", ENTRIES_MAX)?;
    let mut spans = Vec::new();
    for mut item in group.required("ip_list", items)? {
        spans.push(span(&mut item)?);
        // Callers send entries back as they were shown.
        marks::description(&mut item)?;
        item.done()?;
    }
    group.done()?;
    Ok(spans)
}

fn span(item: &mut Fields<'_>) -> Result<IpSpan, Refusal> {
    let span = item.parsed("ip", SPAN)?;
    item.required("ip", span)
}

// ---- encode ----

/// An entry as answers show it.
pub(crate) fn encode(entry: &IpEntry) -> Wire {
    Wire { ip: entry.span.to_string(), description: entry.description.to_string() }
}

// ---- operations ----

/// `POST …/ipgroups/{ipgroup_id}/iplist/create-or-update`.
pub(crate) async fn put(call: Call) -> Result<Response, Problem> {
    let id = call.id("ipgroup_id")?;
    let patch = decode_patch(call.fields(WRAPPER)?)?;
    let changed = control::ip_group_entries_put(call.control(), &call.caller, id, patch).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode_group(&call.now().snapshot, &changed)))
}

/// `POST …/ipgroups/{ipgroup_id}/iplist/batch-delete`.
pub(crate) async fn remove(call: Call) -> Result<Response, Problem> {
    let id = call.id("ipgroup_id")?;
    let spans = decode_removal(call.fields(WRAPPER)?)?;
    let changed = control::ip_group_entries_remove(call.control(), &call.caller, id, spans).await?;
    Ok(call.one(StatusCode::OK, WRAPPER, encode_group(&call.now().snapshot, &changed)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v3::{fields::tests::read, ip_group::decode_new};

    #[test]
    fn an_entry_is_an_address_a_network_or_a_range() {
        for (ip, expect) in [
            ("10.0.0.1", Ok("10.0.0.1")),
            ("10.0.0.1/32", Ok("10.0.0.1")),
            ("10.1.2.3/8", Ok("10.0.0.0/8")),
            ("2001:DB8::/32", Ok("2001:db8::/32")),
            ("10.0.0.1-10.0.0.9", Ok("10.0.0.1-10.0.0.9")),
            ("10.0.0.9-10.0.0.1", Err("ip_list[0].ip")),
            ("example.com", Err("ip_list[0].ip")),
            ("", Err("ip_list[0].ip")),
        ] {
            let shown =
                read(json!({"ip_list": [{"ip": ip}]}), decode_new).map(|new| encode(&new.entries[0]).ip);
            assert_eq!(shown, expect.map(str::to_owned).map_err(str::to_owned), "{ip}");
        }
        assert_eq!(read(json!({"ip_list": []}), decode_new).unwrap().entries, []);
        assert_eq!(read(json!({"ip_list": [{}]}), decode_new).unwrap_err(), "ip_list[0].ip");
    }

    #[test]
    fn a_removal_names_spans() {
        let spans = read(
            json!({"ip_list": [{"ip": "::1"}, {"ip": "10.0.0.0/8", "description": "x"}]}),
            decode_removal,
        );
        assert_eq!(spans.unwrap().len(), 2);
        assert_eq!(read(json!({}), decode_removal).unwrap_err(), "ip_list");
    }
}
