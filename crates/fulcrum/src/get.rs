//! `fulcrum get KIND [ID]`: objects of a running server, as a table or as JSON.

use std::fmt::Write;

use anyhow::{Context, anyhow};
use serde_json::Value;

use crate::{
    cli::{self, Output},
    client::Client,
    credentials::Credentials,
    say,
};

/// What can be asked for.
struct Kind {
    /// The name in the plural, as in the API's path and answer.
    plural: &'static str,
    /// The name in the singular, as in the API's answer.
    singular: &'static str,
    /// The path of the list, behind the project: `{project}` is filled in.
    list: &'static str,
    /// Whether one can be asked for by id.
    by_id: bool,
    /// The columns of the table.
    columns: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        plural: "loadbalancers",
        singular: "loadbalancer",
        list: "/v3/{project}/elb/loadbalancers",
        by_id: true,
        columns: &["id", "name", "vip_address", "provisioning_status", "operating_status"],
    },
    Kind {
        plural: "listeners",
        singular: "listener",
        list: "/v3/{project}/elb/listeners",
        by_id: true,
        columns: &["id", "name", "protocol", "protocol_port", "default_pool_id"],
    },
    Kind {
        plural: "pools",
        singular: "pool",
        list: "/v3/{project}/elb/pools",
        by_id: true,
        columns: &["id", "name", "protocol", "lb_algorithm", "healthmonitor_id"],
    },
    Kind {
        plural: "members",
        singular: "member",
        list: "/v3/{project}/elb/members",
        by_id: false,
        columns: &["id", "name", "address", "protocol_port", "weight", "operating_status"],
    },
    Kind {
        plural: "healthmonitors",
        singular: "healthmonitor",
        list: "/v3/{project}/elb/healthmonitors",
        by_id: true,
        columns: &["id", "name", "type", "delay", "timeout", "max_retries"],
    },
    Kind {
        plural: "flavors",
        singular: "flavor",
        list: "/v3/{project}/elb/flavors",
        by_id: true,
        columns: &["id", "name", "type"],
    },
    Kind {
        plural: "availability_zones",
        singular: "availability_zone",
        list: "/v3/{project}/elb/availability-zones",
        by_id: false,
        columns: &["code", "state", "protocol"],
    },
    Kind {
        plural: "quotas",
        singular: "quota",
        list: "/v3/{project}/elb/quotas",
        by_id: false,
        columns: &[],
    },
    Kind {
        plural: "vpcs",
        singular: "vpc",
        list: "/v1/{project}/vpcs",
        by_id: false,
        columns: &["id", "name", "cidr", "status"],
    },
    Kind {
        plural: "subnets",
        singular: "subnet",
        list: "/v1/{project}/subnets",
        by_id: false,
        columns: &["id", "name", "cidr", "vpc_id", "gateway_ip"],
    },
    Kind {
        plural: "projects",
        singular: "project",
        list: "/v3/projects",
        by_id: false,
        columns: &["id", "name", "enabled", "domain_id"],
    },
];

/// Runs the command.
pub(crate) fn get(wish: &cli::Get) -> anyhow::Result<()> {
    let kind = kind(&wish.kind)?;
    let client = Client::new(Credentials::read(&wish.data)?)?;
    let path = kind.list.replace("{project}", client.project());
    match &wish.id {
        Some(id) => {
            let found = one(&client, kind, &path, id).with_context(|| format!("{} {id}", kind.singular))?;
            say(&serde_json::to_string_pretty(&found)?)
        }
        None => {
            let all = all(&client, kind, &path)?;
            match (&all, wish.output) {
                (Value::Array(objects), Output::Table) if !kind.columns.is_empty() => {
                    say(table(kind.columns, objects).trim_end())
                }
                _ => say(&serde_json::to_string_pretty(&all)?),
            }
        }
    }
}

/// The kind of that name: singular or plural, with `-` or `_`.
fn kind(text: &str) -> anyhow::Result<&'static Kind> {
    let wanted = text.replace('-', "_").to_ascii_lowercase();
    KINDS.iter().find(|kind| kind.plural == wanted || kind.singular == wanted).ok_or_else(|| {
        let known: Vec<_> = KINDS.iter().map(|kind| kind.plural).collect();
        anyhow!("there is no kind '{text}'; known are {}", known.join(", "))
    })
}

fn one(client: &Client, kind: &Kind, path: &str, id: &str) -> anyhow::Result<Value> {
    // An id goes into a path, so only what can be an id is sent.
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(anyhow!("'{id}' is no id"));
    }
    if kind.by_id {
        return Ok(client.get(&format!("{path}/{id}"))?[kind.singular].take());
    }
    let Value::Array(objects) = all(client, kind, path)? else { return Err(anyhow!("it has no id")) };
    let named = |object: &Value| object["id"] == id || object["code"] == id;
    objects.into_iter().find(named).ok_or_else(|| anyhow!("there is none of that id"))
}

/// All objects, page by page; what is not a list is given as it is.
fn all(client: &Client, kind: &Kind, path: &str) -> anyhow::Result<Value> {
    let mut objects = Vec::new();
    let mut target = path.to_owned();
    loop {
        let mut page = client.get(&target)?;
        match page.get_mut(kind.plural).map(Value::take) {
            // Zones come in sets.
            Some(Value::Array(found)) => objects.extend(found.into_iter().flat_map(|object| match object {
                Value::Array(set) => set,
                single => vec![single],
            })),
            _ => return Ok(page.get_mut(kind.singular).map_or(Value::Null, Value::take)),
        }
        match page["page_info"]["next_marker"].as_str() {
            Some(marker) if target != format!("{path}?marker={marker}") => {
                target = format!("{path}?marker={marker}")
            }
            _ => return Ok(Value::Array(objects)),
        }
    }
}

/// Columns as wide as their widest cell.
fn table(columns: &[&str], objects: &[Value]) -> String {
    let heads = columns.iter().map(|column| column.to_ascii_uppercase()).collect();
    let cells = objects.iter().map(|object| columns.iter().map(|column| cell(&object[*column])).collect());
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_known_in_every_spelling_and_others_are_named() {
        for (text, expect) in [
            ("loadbalancer", "loadbalancers"),
            ("loadbalancers", "loadbalancers"),
            ("availability-zones", "availability_zones"),
            ("Pool", "pools"),
        ] {
            assert_eq!(kind(text).unwrap().plural, expect, "{text}");
        }
        let told = kind("teapots").err().unwrap().to_string();
        assert!(told.contains("teapots") && told.contains("listeners"), "{told}");
    }

    #[test]
    fn tables_are_as_wide_as_their_widest_cell() {
        let objects = [
            json!({ "id": "1", "name": "long name" }),
            json!({ "id": "22", "name": "", "protocol": ["a", 1] }),
        ];
        assert_eq!(
            table(&["id", "name", "protocol"], &objects),
            "ID  NAME       PROTOCOL\n1   long name  -\n22  -          a,1\n"
        );
    }
}
