//! Headers that a policy writes and takes away.

use model::{
    Patch,
    policy::{HeaderEdits, InsertedHeader, InsertedValue, SystemValue},
};
use serde::Serialize;
use serde_json::{Value, from_value, to_value};

use crate::v3::fields::{Fields, Refusal, shorten};

// ---- wire ----

/// Headers that are written.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WireInsert {
    configs: Vec<WireHeader>,
}

#[derive(Clone, Debug, Serialize)]
struct WireHeader {
    key: String,
    value_type: &'static str,
    value: String,
}

/// Headers that are taken away.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WireRemove {
    configs: Vec<WireKey>,
}

#[derive(Clone, Debug, Serialize)]
struct WireKey {
    key: String,
}

// ---- decode ----

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Text,
    Header,
    System,
}

const SOURCES: &[(&str, Option<Source>)] = &[
    ("USER_DEFINED", Some(Source::Text)),
    ("REFERENCE_HEADER", Some(Source::Header)),
    ("SYSTEM_DEFINED", Some(Source::System)),
];
/// Most headers of a list; how many a policy may have is `control`'s to say.
const HEADERS_MAX: usize = 100;

/// `insert_headers_config`; null and `{}` take all away.
pub(super) fn decode_insert(config: &mut Fields<'_>) -> Result<Patch<Vec<InsertedHeader>>, Refusal> {
    decode_list(config, "insert_headers_config", |mut item| {
        let key = item.string("key", 1..=40)?;
        let source = item.choice("value_type", SOURCES)?;
        let value = item.string("value", 1..=128)?;
        let value = item.required("value", value)?;
        let header = InsertedHeader {
            name: item.required("key", key)?,
            value: match item.required("value_type", source)? {
                Source::Text => InsertedValue::Text(value),
                Source::Header => InsertedValue::Header(value),
                Source::System => InsertedValue::System(system_value(&item, &value)?),
            },
        };
        item.done()?;
        Ok(header)
    })
}

/// `remove_headers_config`; null and `{}` take all away.
pub(super) fn decode_remove(config: &mut Fields<'_>) -> Result<Patch<Vec<String>>, Refusal> {
    decode_list(config, "remove_headers_config", |mut item| {
        let key = item.string("key", 1..=40)?;
        let key = item.required("key", key)?;
        item.done()?;
        Ok(key)
    })
}

/// A list inside `configs`.
fn decode_list<T>(
    config: &mut Fields<'_>,
    name: &str,
    read: impl Fn(Fields<'_>) -> Result<T, Refusal>,
) -> Result<Patch<Vec<T>>, Refusal> {
    let mut fields = match config.nullable_object(name)? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) if fields.is_empty() => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    let items = fields.objects("configs", HEADERS_MAX)?;
    let items = fields.required("configs", items)?;
    fields.done()?;
    items.into_iter().map(read).collect::<Result<_, _>>().map(Patch::Set)
}

fn system_value(item: &Fields<'_>, word: &str) -> Result<SystemValue, Refusal> {
    from_value(Value::String(word.to_owned())).map_err(|_| {
        item.refuse("value", format!("'{}' is no value of the system, such as CLIENT-IP", shorten(word)))
    })
}

// ---- encode ----

/// What is written, as answers show it; nothing is null.
pub(super) fn encode_insert(edits: &HeaderEdits) -> Option<WireInsert> {
    let shown = |header: &InsertedHeader| {
        let (value_type, value) = match &header.value {
            InsertedValue::Text(text) => ("USER_DEFINED", text.clone()),
            InsertedValue::Header(name) => ("REFERENCE_HEADER", name.clone()),
            InsertedValue::System(value) => ("SYSTEM_DEFINED", system_word(*value)),
        };
        WireHeader { key: header.name.clone(), value_type, value }
    };
    let configs: Vec<_> = edits.insert.iter().map(shown).collect();
    (!configs.is_empty()).then_some(WireInsert { configs })
}

/// What is taken away, as answers show it; nothing is null.
pub(super) fn encode_remove(edits: &HeaderEdits) -> Option<WireRemove> {
    let configs: Vec<_> = edits.remove.iter().map(|key| WireKey { key: key.clone() }).collect();
    (!configs.is_empty()).then_some(WireRemove { configs })
}

/// The model writes these values as the vendor does.
fn system_word(value: SystemValue) -> String {
    match to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
