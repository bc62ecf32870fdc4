//! `outlier_detection`: whether members that fail their work are left out for a while. A field of our own; the documents have none.

use model::{OutlierDetection as Model, Patch};
use serde::Serialize;

use crate::v3::fields::{Fields, Refusal};

// ---- wire ----

/// When members are left out, and for how long.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OutlierDetection {
    enable: bool,
    connect_failures: u16,
    server_errors: u16,
    ejection_time: u32,
    ejection_time_max: u32,
    ejected_percent_max: u8,
}

// ---- decode ----

/// What a request says of a pool that has `now` so far; what it leaves open stays so.
pub(super) fn decode(pool: &mut Fields<'_>, now: Option<Model>) -> Result<Patch<Model>, Refusal> {
    let mut fields = match pool.nullable_object("outlier_detection")? {
        Patch::Keep => return Ok(Patch::Keep),
        Patch::Clear => return Ok(Patch::Clear),
        Patch::Set(fields) => fields,
    };
    let mut detection = now.unwrap_or_default();
    let enable = fields.flag("enable")?;
    detection.enabled = enable.unwrap_or(detection.enabled);
    read(&mut fields, "connect_failures", &mut detection.connect_failures)?;
    read(&mut fields, "server_errors", &mut detection.server_errors)?;
    read(&mut fields, "ejection_time", &mut detection.ejection_time)?;
    read(&mut fields, "ejection_time_max", &mut detection.ejection_time_max)?;
    read(&mut fields, "ejected_percent_max", &mut detection.ejected_percent_max)?;
    fields.done()?;
    Ok(Patch::Set(detection))
}

/// Takes a number that is said; its type knows its range.
fn read<T: TryFrom<i64, Error: std::fmt::Display>>(
    fields: &mut Fields<'_>,
    name: &str,
    into: &mut T,
) -> Result<(), Refusal> {
    if let Some(number) = fields.integer(name, i64::MIN..=i64::MAX)? {
        *into = fields.typed(name, number)?;
    }
    Ok(())
}

// ---- encode ----

/// The setting as answers show it.
pub(super) fn encode(detection: Model) -> OutlierDetection {
    OutlierDetection {
        enable: detection.enabled,
        connect_failures: detection.connect_failures.value(),
        server_errors: detection.server_errors.value(),
        ejection_time: detection.ejection_time.value(),
        ejection_time_max: detection.ejection_time_max.value(),
        ejected_percent_max: detection.ejected_percent_max.value(),
    }
}

#[cfg(test)]
mod tests {
    use model::range::{EjectionTime, FailureRow};
    use serde_json::{Value, json};

    use super::*;
    use crate::v3::fields::tests::read;

    #[test]
    fn what_is_left_open_stays_or_is_as_by_default() {
        let default = Model::default();
        let now = Model { enabled: false, ejection_time: EjectionTime::of(7), ..default };
        for (why, before, content, expect) in [
            ("nothing of a new one", None, json!({}), Ok(Patch::Set(default))),
            ("off", None, json!({"enable": false}), Ok(Patch::Set(Model { enabled: false, ..default }))),
            ("nothing of one", Some(now), json!({}), Ok(Patch::Set(now))),
            ("on", Some(now), json!({"enable": true}), Ok(Patch::Set(Model { enabled: true, ..now }))),
            (
                "a number",
                Some(now),
                json!({"server_errors": 0}),
                Ok(Patch::Set(Model { server_errors: FailureRow::of(0), ..now })),
            ),
            ("null", Some(now), Value::Null, Ok(Patch::Clear)),
            ("a text", None, json!("on"), Err("outlier_detection")),
            ("what there is not", None, json!({"interval": 1}), Err("outlier_detection.interval")),
            ("too many", None, json!({"connect_failures": 1001}), Err("outlier_detection.connect_failures")),
            ("below zero", None, json!({"server_errors": -1}), Err("outlier_detection.server_errors")),
            ("no time", None, json!({"ejection_time": 0}), Err("outlier_detection.ejection_time")),
            (
                "more than a day",
                None,
                json!({"ejection_time_max": 86_401}),
                Err("outlier_detection.ejection_time_max"),
            ),
            ("nobody", None, json!({"ejected_percent_max": 0}), Err("outlier_detection.ejected_percent_max")),
            (
                "more than all",
                None,
                json!({"ejected_percent_max": 101}),
                Err("outlier_detection.ejected_percent_max"),
            ),
        ] {
            let found = read(json!({ "outlier_detection": content }), |mut pool| decode(&mut pool, before));
            assert_eq!(found, expect.map_err(str::to_owned), "{why}");
        }
        assert_eq!(read(json!({}), |mut pool| decode(&mut pool, Some(now))), Ok(Patch::Keep));
    }

    #[test]
    fn what_is_shown_is_what_was_said() {
        let said = json!({
            "enable": true, "connect_failures": 1, "server_errors": 2, "ejection_time": 3, "ejection_time_max": 4,
            "ejected_percent_max": 50,
        });
        let Ok(Patch::Set(read)) =
            read(json!({ "outlier_detection": said }), |mut pool| decode(&mut pool, None))
        else {
            panic!("it is lawful")
        };
        assert_eq!(serde_json::to_value(encode(read)).unwrap(), said);
    }
}
