//! Opening a body: what is inside its wrapper.

use std::str::FromStr;

use serde_json::Value;

use crate::v3::fields::{Fields, Refusal, UnknownFields, json::Json, wrong_type};

impl<'a> Fields<'a> {
    /// The fields inside the wrapper of a body: `{"listener": {…}}`.
    pub(crate) fn open(
        body: &[u8],
        wrapper: &'static str,
        unknown: &'a UnknownFields,
    ) -> Result<Self, Refusal> {
        let mut envelope = Self::envelope(body, wrapper, unknown)?;
        let inside = envelope.object(wrapper)?;
        let inside = inside
            .ok_or_else(|| Refusal::new(wrapper, format!("the body must be {{\"{wrapper}\": {{…}}}}")))?;
        envelope.done()?;
        Ok(inside)
    }

    /// The items of the list in a body, each an object: `{"members": [{…}, …]}`; from one to `most`.
    pub(crate) fn open_items(
        body: &[u8],
        wrapper: &'static str,
        most: usize,
        unknown: &'a UnknownFields,
    ) -> Result<Vec<Self>, Refusal> {
        Self::open_list(body, wrapper, unknown, |envelope| envelope.objects(wrapper, most))
    }

    /// The ids of the list in a body: `{"pools": ["…", …]}`; from one to `most`.
    pub(crate) fn open_ids<T: FromStr>(
        body: &[u8],
        wrapper: &'static str,
        most: usize,
        unknown: &'a UnknownFields,
    ) -> Result<Vec<T>, Refusal> {
        Self::open_list(body, wrapper, unknown, |envelope| {
            envelope.parsed_list(wrapper, most, "an id (uuid)")
        })
    }

    fn open_list<T>(
        body: &[u8],
        wrapper: &'static str,
        unknown: &'a UnknownFields,
        read: impl FnOnce(&mut Self) -> Result<Option<Vec<T>>, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let mut envelope = Self::envelope(body, wrapper, unknown)?;
        let items = read(&mut envelope)?;
        let items =
            items.ok_or_else(|| Refusal::new(wrapper, format!("the body must be {{\"{wrapper}\": […]}}")))?;
        envelope.done()?;
        if items.is_empty() { Err(Refusal::new(wrapper, "the list must not be empty")) } else { Ok(items) }
    }

    fn envelope(body: &[u8], wrapper: &str, unknown: &'a UnknownFields) -> Result<Self, Refusal> {
        if body.trim_ascii().is_empty() {
            return Err(Refusal::new(wrapper, "the body is empty; it must be a JSON object"));
        }
        match serde_json::from_slice(body) {
            Ok(Json(Value::Object(values))) => Ok(Self { path: String::new(), values, unknown }),
            Ok(Json(other)) => {
                Err(Refusal::new(wrapper, format!("the body {}", wrong_type("an object", &other))))
            }
            Err(error) => Err(Refusal::new(wrapper, format!("the body is not JSON: {error}"))),
        }
    }

    /// The fields of a body that has no wrapper.
    pub(crate) fn open_bare(body: &[u8], unknown: &'a UnknownFields) -> Result<Self, Refusal> {
        Self::envelope(body, "body", unknown)
    }
}
