//! How fields are read, row by row.

use super::*;

/// Decodes an object of that content, strictly; a refusal is told by the field's name alone.
pub(crate) fn read<T>(
    content: Value,
    decode: impl FnOnce(Fields<'_>) -> Result<T, Refusal>,
) -> Result<T, String> {
    let unknown = UnknownFields::new(true);
    let body = serde_json::json!({ "it": content }).to_string();
    let fields = Fields::open(body.as_bytes(), "it", &unknown).map_err(|refusal| refusal.field)?;
    decode(fields).map_err(|refusal| refusal.field.trim_start_matches("it.").to_owned())
}

fn open<'a>(body: &str, unknown: &'a UnknownFields) -> Result<Fields<'a>, Refusal> {
    Fields::open(body.as_bytes(), "listener", unknown)
}

fn refusal<T: std::fmt::Debug>(
    body: &str,
    read: impl FnOnce(&mut Fields<'_>) -> Result<T, Refusal>,
) -> String {
    let unknown = UnknownFields::new(false);
    let mut fields = open(body, &unknown).unwrap();
    read(&mut fields).unwrap_err().to_string()
}

#[test]
fn a_body_that_is_not_the_wrapped_object_is_refused_by_the_wrappers_name() {
    let unknown = UnknownFields::new(false);
    for body in [
        "",
        "  ",
        "{",
        "[]",
        "null",
        "7",
        "{}",
        r#"{"listener":null}"#,
        r#"{"listener":[]}"#,
        r#"{"listener":{"a":1,"a":1}}"#,
        r#"{"listener":{}} x"#,
        r#"{"pool":{}}"#,
    ] {
        let refusal = open(body, &unknown).unwrap_err();
        assert_eq!(refusal.field, "listener", "{body}: {refusal}");
    }
    let deep = format!("{{\"listener\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(open(&deep, &unknown).is_err(), "nesting is bounded");
}

#[test]
fn integers_are_json_integers_of_the_range() {
    for (value, why) in [
        ("0", "must be from 1 to 65535, is 0"),
        ("65536", "must be from 1 to 65535, is 65536"),
        ("18446744073709551615", "must be from 1 to 65535"),
        ("80.0", "must be an integer, is the number 80.0"),
        ("\"80\"", "must be an integer, is the string '80'"),
        ("true", "must be an integer, is true"),
        ("null", "must be an integer, is null"),
    ] {
        let body = format!(r#"{{"listener":{{"protocol_port":{value}}}}}"#);
        let text = refusal(&body, |fields| fields.integer("protocol_port", 1..=65535));
        assert!(text.starts_with("listener.protocol_port: ") && text.contains(why), "{text}");
    }
    let unknown = UnknownFields::new(false);
    let mut fields = open(r#"{"listener":{"protocol_port":65535}}"#, &unknown).unwrap();
    assert_eq!(fields.integer("protocol_port", 1..=65535), Ok(Some(65535)));
    assert_eq!(fields.integer("protocol_port", 1..=65535), Ok(None), "once read, a field is gone");
}

#[test]
fn absent_null_and_a_value_are_three_things() {
    let unknown = UnknownFields::new(false);
    let mut fields = open(r#"{"listener":{"a":null,"b":"x"}}"#, &unknown).unwrap();
    assert_eq!(fields.nullable_string("a", 0..=9), Ok(Patch::Clear));
    assert_eq!(fields.nullable_string("b", 0..=9), Ok(Patch::Set("x".to_owned())));
    assert_eq!(fields.nullable_string("c", 0..=9), Ok(Patch::Keep));
    assert_eq!(fields.done(), Ok(()));
}

#[test]
fn characters_are_counted_not_bytes() {
    let unknown = UnknownFields::new(false);
    let mut fields = open(r#"{"listener":{"name":"äöü"}}"#, &unknown).unwrap();
    assert_eq!(fields.string("name", 0..=3), Ok(Some("äöü".to_owned())));
    let text = refusal(r#"{"listener":{"name":"abcd"}}"#, |fields| fields.string("name", 0..=3));
    assert_eq!(text, "listener.name: must have from 0 to 3 characters, has 4");
}

#[test]
fn a_field_of_a_later_feature_may_be_named_but_not_used() {
    let unknown = UnknownFields::new(false);
    for (value, harmless, fits) in [
        ("null", Harmless::Off, true),
        ("false", Harmless::Off, true),
        ("true", Harmless::Off, false),
        ("\"\"", Harmless::Empty, true),
        ("\"x\"", Harmless::Empty, false),
        ("\"tls-1-2\"", Harmless::Default("tls-1-2"), true),
        ("\"tls-1-0\"", Harmless::Default("tls-1-2"), false),
        ("[]", Harmless::NoItems, true),
        ("[1]", Harmless::NoItems, false),
        ("{}", Harmless::NoFields, true),
        ("{\"a\":1}", Harmless::NoFields, false),
        ("false", Harmless::Empty, false),
    ] {
        let body = format!(r#"{{"listener":{{"x":{value}}}}}"#);
        let mut fields = open(&body, &unknown).unwrap();
        assert_eq!(fields.later("x", harmless).is_ok(), fits, "{value} {harmless:?}");
    }
}

#[test]
fn unknown_fields_are_ignored_or_refused_as_the_operator_wants() {
    let body = r#"{"listener":{"inner":{"brand_new":1}}}"#;
    let lax = UnknownFields::new(false);
    let mut fields = open(body, &lax).unwrap();
    fields.object("inner").unwrap().unwrap().done().unwrap();
    assert_eq!(lax.told.lock().unwrap().iter().collect::<Vec<_>>(), ["listener.inner.brand_new"]);
    let strict = UnknownFields::new(true);
    let mut fields = open(body, &strict).unwrap();
    let refusal = fields.object("inner").unwrap().unwrap().done().unwrap_err();
    assert_eq!(refusal.field, "listener.inner.brand_new");
}

#[test]
fn made_up_names_do_not_fill_the_memory() {
    let unknown = UnknownFields::new(false);
    for n in 0..10_000 {
        unknown.meet(format!("listener.x{n}")).unwrap();
    }
    assert_eq!(unknown.told.lock().unwrap().len(), UnknownFields::TOLD_MAX);
}
