//! Reading a request's fields one by one: each is asked for by name, with its type and range, so that every refusal names the field.
//!
//! A decoder opens the body, takes each field that it knows, and ends with [`Fields::done`], which deals with the fields that
//! nobody asked for. What "absent", "null" and "a value" mean is in the return type: `Option` for fields that cannot be null,
//! [`Patch`] for those that can.
//!
//! JSON is read as it is: `80.0`, `"80"` and `true` are no integers, `"true"` and 1 are no booleans (behaviours.md section 1).
//! A key that occurs twice is refused: which of the two counts would be a guess. Nesting is bounded by the JSON reader (128 levels).

mod body;
mod json;
mod unknown;

use std::{ops::RangeInclusive, str::FromStr};

use model::Patch;
use serde_json::Value;

pub(crate) use unknown::UnknownFields;

type Object = serde_json::Map<String, Value>;

/// A field that cannot be taken as it is, with the reason in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(crate) struct Refusal {
    /// The field's path in the body, for example `listener.insert_headers.X-Real-IP`.
    pub(crate) field: String,
    /// What is wrong and what would be right.
    pub(crate) reason: String,
}

impl Refusal {
    /// A refusal of a field.
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// Values that leave everything as it is, of a field whose feature is not built. Null always does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Harmless {
    /// `false`.
    Off,
    /// The empty string.
    Empty,
    /// The empty string and the documented default.
    Default(&'static str),
    /// The empty list.
    NoItems,
    /// The empty object.
    NoFields,
}

/// The fields of one object of a request.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    values: Object,
    unknown: &'a UnknownFields,
}

impl<'a> Fields<'a> {
    /// A text of so many characters.
    pub(crate) fn string(
        &mut self,
        name: &str,
        length: RangeInclusive<usize>,
    ) -> Result<Option<String>, Refusal> {
        self.take(name).map(|value| self.as_string(name, value, &length)).transpose()
    }

    /// A text of so many characters, or null.
    pub(crate) fn nullable_string(
        &mut self,
        name: &str,
        length: RangeInclusive<usize>,
    ) -> Result<Patch<String>, Refusal> {
        self.nullable(name, |fields, value| fields.as_string(name, value, &length))
    }

    /// An integer of that range, both ends included.
    pub(crate) fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Refusal> {
        self.take(name).map(|value| self.as_integer(name, &value, &range)).transpose()
    }

    /// An integer of that range, as a number or as its digits in a string.
    pub(crate) fn integer_or_digits(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let value = match &value {
            Value::String(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<i64>().map_or(value, Value::from)
            }
            _ => value,
        };
        self.as_integer(name, &value, &range).map(Some)
    }

    /// An integer of that range, or null.
    pub(crate) fn nullable_integer(
        &mut self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Patch<i64>, Refusal> {
        self.nullable(name, |fields, value| fields.as_integer(name, &value, &range))
    }

    /// A boolean.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.refuse(name, wrong_type("true or false", &other))),
        }
    }

    /// A boolean of which only true is legal (behaviours.md: `admin_state_up` of listeners and pools).
    pub(crate) fn only_true(&mut self, name: &str) -> Result<(), Refusal> {
        match self.flag(name)? {
            None | Some(true) => Ok(()),
            Some(false) => Err(self.refuse(name, "only true is accepted here")),
        }
    }

    /// A text that is one of a table. `None` in the table: the word is known, what it stands for is not built.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &str,
        table: &[(&str, Option<T>)],
    ) -> Result<Option<T>, Refusal> {
        let Some(word) = self.string(name, 0..=255)? else { return Ok(None) };
        match table.iter().find(|(known, _)| *known == word) {
            Some((_, Some(meaning))) => Ok(Some(*meaning)),
            Some((_, None)) => {
                Err(self.refuse(name, format!("{word} is not supported yet; {}", one_of(table))))
            }
            None => Err(self.refuse(name, format!("'{}' is not known; {}", shorten(&word), one_of(table)))),
        }
    }

    /// A text that is parsed: an id, an address …
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Refusal> {
        self.take(name).map(|value| self.as_parsed(name, what, value)).transpose()
    }

    /// A text that is parsed, or null.
    pub(crate) fn nullable_parsed<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Patch<T>, Refusal> {
        self.nullable(name, |fields, value| fields.as_parsed(name, what, value))
    }

    /// An id.
    pub(crate) fn id<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        self.parsed(name, "an id (uuid)")
    }

    /// An id, or null.
    pub(crate) fn nullable_id<T: FromStr>(&mut self, name: &str) -> Result<Patch<T>, Refusal> {
        self.nullable_parsed(name, "an id (uuid)")
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Fields<'a>>, Refusal> {
        self.take(name).map(|value| self.as_object(name, value)).transpose()
    }

    /// An object, or null.
    pub(crate) fn nullable_object(&mut self, name: &str) -> Result<Patch<Fields<'a>>, Refusal> {
        self.nullable(name, |fields, value| fields.as_object(name, value))
    }

    /// A list of at most so many items.
    pub(crate) fn list(&mut self, name: &str, most: usize) -> Result<Option<Vec<Value>>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) if items.len() <= most => Ok(Some(items)),
            Some(Value::Array(items)) => {
                Err(self
                    .refuse(name, format!("the list has {} items; at most {most} are allowed", items.len())))
            }
            Some(other) => Err(self.refuse(name, wrong_type("a list", &other))),
        }
    }

    /// A list of texts of so many characters each.
    pub(crate) fn strings(
        &mut self,
        name: &str,
        most: usize,
        length: RangeInclusive<usize>,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let Some(items) = self.list(name, most)? else { return Ok(None) };
        let read = |(index, value)| self.as_string(&format!("{name}[{index}]"), value, &length);
        items.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// A list of texts that are parsed.
    pub(crate) fn parsed_list<T: FromStr>(
        &mut self,
        name: &str,
        most: usize,
        what: &str,
    ) -> Result<Option<Vec<T>>, Refusal> {
        let Some(items) = self.list(name, most)? else { return Ok(None) };
        let parse = |(index, value)| self.as_parsed(&format!("{name}[{index}]"), what, value);
        items.into_iter().enumerate().map(parse).collect::<Result<_, _>>().map(Some)
    }

    /// A list of objects.
    pub(crate) fn objects(&mut self, name: &str, most: usize) -> Result<Option<Vec<Fields<'a>>>, Refusal> {
        let Some(items) = self.list(name, most)? else { return Ok(None) };
        let open = |(index, value)| self.as_object(&format!("{name}[{index}]"), value);
        items.into_iter().enumerate().map(open).collect::<Result<_, _>>().map(Some)
    }

    /// A field that must be there.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| self.refuse(name, "this field is required"))
    }

    /// Fields that are fixed at creation; an update must not name them (behaviours.md section 4).
    pub(crate) fn fixed(&mut self, names: &[&str]) -> Result<(), Refusal> {
        match names.iter().find(|name| self.values.contains_key(**name)) {
            None => Ok(()),
            Some(name) => {
                Err(self.refuse(name, "this field is set at creation and cannot be changed; leave it out"))
            }
        }
    }

    /// A field of a feature that is not built. Values that leave everything as it is are accepted, others refused.
    pub(crate) fn later(&mut self, name: &str, harmless: Harmless) -> Result<(), Refusal> {
        self.only_harmless(name, harmless, "not supported yet; leave this field out")
    }

    /// A field that may only be said with a value that leaves everything as it is; `why` tells those who say another one.
    pub(crate) fn only_harmless(&mut self, name: &str, harmless: Harmless, why: &str) -> Result<(), Refusal> {
        let Some(value) = self.take(name) else { return Ok(()) };
        let changes_nothing = match (&value, harmless) {
            (Value::Null, _) | (Value::Bool(false), Harmless::Off) => true,
            (Value::String(text), Harmless::Empty) => text.is_empty(),
            (Value::String(text), Harmless::Default(default)) => text.is_empty() || text == default,
            (Value::Array(items), Harmless::NoItems) => items.is_empty(),
            (Value::Object(fields), Harmless::NoFields) => fields.is_empty(),
            _ => false,
        };
        if changes_nothing { Ok(()) } else { Err(self.refuse(name, why)) }
    }

    /// Whether it has no field (any more).
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether a field is there with a value other than null.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// A refusal of one of these fields.
    pub(crate) fn refuse(&self, name: &str, reason: impl Into<String>) -> Refusal {
        let field = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Refusal::new(field, reason)
    }

    /// Turns a plain value into a typed one; what is wrong with it is told under the field's name.
    pub(crate) fn typed<S, T>(&self, name: &str, value: S) -> Result<T, Refusal>
    where
        T: TryFrom<S>,
        T::Error: std::fmt::Display,
    {
        T::try_from(value).map_err(|error| self.refuse(name, error.to_string()))
    }

    /// The same for a field that can be null.
    pub(crate) fn typed_patch<S, T>(&self, name: &str, wish: Patch<S>) -> Result<Patch<T>, Refusal>
    where
        T: TryFrom<S>,
        T::Error: std::fmt::Display,
    {
        match wish {
            Patch::Keep => Ok(Patch::Keep),
            Patch::Clear => Ok(Patch::Clear),
            Patch::Set(value) => self.typed(name, value).map(Patch::Set),
        }
    }

    /// Ends the reading: fields that nobody asked for are unknown.
    pub(crate) fn done(self) -> Result<(), Refusal> {
        for name in self.values.keys() {
            self.unknown.meet(self.refuse(&shorten(name), "").field)?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name)
    }

    fn nullable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Self, Value) -> Result<T, Refusal>,
    ) -> Result<Patch<T>, Refusal> {
        match self.take(name) {
            None => Ok(Patch::Keep),
            Some(Value::Null) => Ok(Patch::Clear),
            Some(value) => read(self, value).map(Patch::Set),
        }
    }

    fn as_string(&self, name: &str, value: Value, length: &RangeInclusive<usize>) -> Result<String, Refusal> {
        let Value::String(text) = value else {
            return Err(self.refuse(name, wrong_type("a string", &value)));
        };
        let given = text.chars().count();
        if length.contains(&given) {
            return Ok(text);
        }
        let (min, max) = (length.start(), length.end());
        Err(self.refuse(name, format!("must have from {min} to {max} characters, has {given}")))
    }

    fn as_integer(&self, name: &str, value: &Value, range: &RangeInclusive<i64>) -> Result<i64, Refusal> {
        let (min, max) = (range.start(), range.end());
        match value.as_i64() {
            Some(number) if range.contains(&number) => Ok(number),
            None if !value.is_u64() => Err(self.refuse(name, wrong_type("an integer", value))),
            _ => Err(self.refuse(name, format!("must be from {min} to {max}, is {value}"))),
        }
    }

    fn as_parsed<T: FromStr>(&self, name: &str, what: &str, value: Value) -> Result<T, Refusal> {
        let text = self.as_string(name, value, &(0..=usize::MAX))?;
        text.parse().map_err(|_| self.refuse(name, format!("'{}' is not {what}", shorten(&text))))
    }

    fn as_object(&self, name: &str, value: Value) -> Result<Fields<'a>, Refusal> {
        let path = self.refuse(name, "").field;
        match value {
            Value::Object(values) => Ok(Fields { path, values, unknown: self.unknown }),
            other => Err(Refusal::new(path, wrong_type("an object", &other))),
        }
    }
}

fn wrong_type(wanted: &str, given: &Value) -> String {
    let given = match given {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string '{}'", shorten(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    format!("must be {wanted}, is {given}")
}

fn one_of<T>(table: &[(&str, Option<T>)]) -> String {
    let words: Vec<_> =
        table.iter().filter(|(_, meaning)| meaning.is_some()).map(|(word, _)| *word).collect();
    format!("one of {} is accepted", words.join(", "))
}

/// A caller's text as it is repeated in an answer or in the log: no longer than a line.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
pub(crate) mod tests;
