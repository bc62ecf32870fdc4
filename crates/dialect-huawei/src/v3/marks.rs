//! Fields that several nouns have in the same form: modification protection, tags, enterprise project, names.

use model::{
    Description, Name, Tag,
    load_balancer::{Protection, ProtectionPatch},
};
use uuid::Uuid;

use crate::v3::fields::{Fields, Refusal};

/// `name` and `description`: texts of at most 255 characters.
pub(crate) fn name(fields: &mut Fields<'_>) -> Result<Option<Name>, Refusal> {
    let text = fields.string("name", 0..=Name::MAX)?;
    text.map(|text| fields.typed("name", text)).transpose()
}

/// See [`name`].
pub(crate) fn description(fields: &mut Fields<'_>) -> Result<Option<Description>, Refusal> {
    let text = fields.string("description", 0..=Description::MAX)?;
    text.map(|text| fields.typed("description", text)).transpose()
}

/// `project_id` in a create: documented as ignored, the path's project counts.
pub(crate) fn project(fields: &mut Fields<'_>) -> Result<(), Refusal> {
    fields.string("project_id", 1..=36).map(drop)
}

/// `protection_status` and `protection_reason` in a create; a reason is only legal while protected.
pub(crate) fn protection(fields: &mut Fields<'_>) -> Result<Protection, Refusal> {
    let ProtectionPatch { console, reason } = protection_patch(fields)?;
    match (console, reason) {
        (Some(true), reason) => Ok(Protection::Console { reason: reason.unwrap_or_default() }),
        (_, Some(reason)) if !reason.is_empty() => {
            Err(fields.refuse("protection_reason", "only legal with protection_status consoleProtection"))
        }
        _ => Ok(Protection::None),
    }
}

/// `protection_status` and `protection_reason` in an update.
pub(crate) fn protection_patch(fields: &mut Fields<'_>) -> Result<ProtectionPatch, Refusal> {
    const STATUSES: &[(&str, Option<bool>)] =
        &[("nonProtection", Some(false)), ("consoleProtection", Some(true))];
    let console = fields.choice("protection_status", STATUSES)?;
    let reason = fields.string("protection_reason", 0..=Description::MAX)?;
    if reason.as_ref().is_some_and(|reason| reason.contains(['<', '>'])) {
        return Err(fields.refuse("protection_reason", "must not hold < or >"));
    }
    let reason = reason.map(|reason| fields.typed("protection_reason", reason)).transpose()?;
    Ok(ProtectionPatch { console, reason })
}

/// `tags` in a create: at most 20, keys unique.
pub(crate) fn tags(fields: &mut Fields<'_>) -> Result<Vec<Tag>, Refusal> {
    let mut tags: Vec<Tag> = Vec::new();
    for mut item in fields.objects("tags", Tag::PER_OBJECT_MAX)?.unwrap_or_default() {
        let key = item.string("key", 1..=128)?;
        let key = item.required("key", key)?;
        let value = item.string("value", 0..=255)?.unwrap_or_default();
        let tag = Tag::new(key, value).map_err(|error| item.refuse("key", error.to_string()))?;
        if tags.iter().any(|known| known.key() == tag.key()) {
            return Err(item.refuse("key", format!("the key '{}' occurs twice", tag.key())));
        }
        item.done()?;
        tags.push(tag);
    }
    Ok(tags)
}

/// `enterprise_project_id` in a create: "0" is the default project.
pub(crate) fn enterprise_project(fields: &mut Fields<'_>) -> Result<Option<Uuid>, Refusal> {
    let Some(text) = fields.string("enterprise_project_id", 1..=36)? else { return Ok(None) };
    match text.as_str() {
        "0" => Ok(None),
        text => match Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Ok(Some(id)),
            _ => Err(fields.refuse("enterprise_project_id", "must be \"0\" or an id (uuid)")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v3::fields::UnknownFields;

    fn read<T>(body: &str, decode: impl FnOnce(&mut Fields<'_>) -> Result<T, Refusal>) -> Result<T, String> {
        let unknown = UnknownFields::new(true);
        let mut fields = Fields::open(body.as_bytes(), "pool", &unknown).unwrap();
        decode(&mut fields).map_err(|refusal| refusal.field)
    }

    #[test]
    fn a_reason_needs_protection() {
        let reason = |text: &str| Protection::Console { reason: text.try_into().unwrap() };
        for (body, expect) in [
            (r#"{"pool":{}}"#, Ok(Protection::None)),
            (
                r#"{"pool":{"protection_status":"nonProtection","protection_reason":""}}"#,
                Ok(Protection::None),
            ),
            (r#"{"pool":{"protection_status":"consoleProtection"}}"#, Ok(reason(""))),
            (
                r#"{"pool":{"protection_status":"consoleProtection","protection_reason":"live"}}"#,
                Ok(reason("live")),
            ),
            (r#"{"pool":{"protection_reason":"live"}}"#, Err("pool.protection_reason")),
            (
                r#"{"pool":{"protection_status":"consoleProtection","protection_reason":"<b>"}}"#,
                Err("pool.protection_reason"),
            ),
            (r#"{"pool":{"protection_status":"full"}}"#, Err("pool.protection_status")),
        ] {
            assert_eq!(read(body, protection), expect.map_err(str::to_owned), "{body}");
        }
    }

    #[test]
    fn tags_have_unique_lawful_keys() {
        for (body, expect) in [
            (r#"{"pool":{"tags":[{"key":"a","value":"1"},{"key":"b"}]}}"#, Ok(2)),
            (r#"{"pool":{"tags":[{"key":"a"},{"key":"a"}]}}"#, Err("pool.tags[1].key")),
            (r#"{"pool":{"tags":[{"key":""}]}}"#, Err("pool.tags[0].key")),
            (r#"{"pool":{"tags":[{"key":"a=b"}]}}"#, Err("pool.tags[0].key")),
            (r#"{"pool":{"tags":[{"value":"1"}]}}"#, Err("pool.tags[0].key")),
            (r#"{"pool":{"tags":{"key":"a"}}}"#, Err("pool.tags")),
        ] {
            assert_eq!(read(body, tags).map(|tags| tags.len()), expect.map_err(str::to_owned), "{body}");
        }
        let many: Vec<_> = (0..21).map(|n| format!(r#"{{"key":"k{n}"}}"#)).collect();
        let body = format!(r#"{{"pool":{{"tags":[{}]}}}}"#, many.join(","));
        assert_eq!(read(&body, tags).map(|tags| tags.len()), Err("pool.tags".to_owned()));
    }

    #[test]
    fn the_default_enterprise_project_is_zero() {
        let id = "0123abcd-0123-4567-89ab-0123456789ab";
        for (text, expect) in [("\"0\"", Ok(None)), ("\"\"", Err(())), ("\"x\"", Err(())), ("0", Err(()))] {
            let body = format!(r#"{{"pool":{{"enterprise_project_id":{text}}}}}"#);
            assert_eq!(read(&body, enterprise_project).map_err(|_| ()), expect, "{text}");
        }
        let body = format!(r#"{{"pool":{{"enterprise_project_id":"{id}"}}}}"#);
        assert_eq!(read(&body, enterprise_project), Ok(Some(id.parse().unwrap())));
    }
}
