//! Reading a TOML document so that every mistake is found, not only the first.
//!
//! A [`Section`] is a table with its full name. Each `take` removes a key, answers its value or the default, and notes a mistake if the
//! value is not legal; whatever is left when the section is finished is unknown. Legal values in messages come from
//! [`super::keys`], so the guide, the messages and the checks name the same keys.

use std::{cell::RefCell, fmt, ops::RangeInclusive};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::keys;

/// One mistake, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The line in the file, for mistakes in one; those elsewhere come first.
    line: Option<usize>,
    /// Where it stands: a file and line, an option, or an environment variable.
    place: String,
    /// The key and what is wrong with it.
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Where mistakes are collected while a document is read.
pub(crate) struct Mistakes<'t> {
    file: String,
    text: &'t str,
    found: RefCell<Vec<Mistake>>,
}

impl<'t> Mistakes<'t> {
    pub(crate) fn new(file: impl Into<String>, text: &'t str) -> Self {
        Self { file: file.into(), text, found: RefCell::default() }
    }

    /// A mistake at a byte of the document.
    pub(crate) fn at(&self, byte: usize, what: impl Into<String>) {
        let line = 1 + self.text.bytes().take(byte).filter(|&b| b == b'\n').count();
        self.found.borrow_mut().push(Mistake {
            line: Some(line),
            place: format!("{}:{line}", self.file),
            what: what.into(),
        });
    }

    /// A mistake elsewhere, for example in an environment variable.
    pub(crate) fn in_place(&self, place: impl Into<String>, what: impl Into<String>) {
        self.found.borrow_mut().push(Mistake { line: None, place: place.into(), what: what.into() });
    }

    /// All mistakes, in the order of the document.
    pub(crate) fn finish(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|mistake| mistake.line);
        found
    }
}

/// A table of the document.
pub(crate) struct Section<'t, 'm> {
    name: String,
    /// Where the table begins.
    pub(crate) at: usize,
    table: DeTable<'t>,
    mistakes: &'m Mistakes<'t>,
}

/// A value with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

impl<'t, 'm> Section<'t, 'm> {
    /// The document's root. What is no TOML is noted, and what could be read is still checked.
    pub(crate) fn root(mistakes: &'m Mistakes<'t>) -> Self {
        let (table, errors) = DeTable::parse_recoverable(mistakes.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            mistakes.at(at, format!("this is no TOML: {}", error.message()));
        }
        Self { name: String::new(), at: 0, table: table.into_inner(), mistakes }
    }

    /// The integer of a key within its range.
    pub(crate) fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.take(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        self.or_mistake(key, &value, number)
    }

    /// The boolean of a key.
    pub(crate) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        let flag = value.get_ref().as_bool();
        self.or_mistake(key, &value, flag)
    }

    /// The text of a key, as `parse` understands it; none from `parse` is a mistake.
    pub(crate) fn text<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Placed<T>> {
        let value = self.take(key)?;
        let parsed = value.get_ref().as_str().and_then(parse);
        let at = value.span().start;
        self.or_mistake(key, &value, parsed).map(|value| Placed { value, at })
    }

    /// The text of a key that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Placed<T>> {
        if !self.table.iter().any(|(name, _)| name.get_ref() == key) {
            self.mistakes
                .at(self.at, format!("{} is missing; it must be {}", self.full(key), self.legal(key)));
        }
        self.text(key, parse)
    }

    /// The list of texts of a key, as `parse` understands the whole.
    pub(crate) fn texts<T>(&mut self, key: &str, parse: impl FnOnce(Vec<&str>) -> Option<T>) -> Option<T> {
        let value = self.take(key)?;
        let texts =
            value.get_ref().as_array().and_then(|all| all.iter().map(|one| one.get_ref().as_str()).collect());
        let parsed = texts.and_then(parse);
        self.or_mistake(key, &value, parsed)
    }

    /// The table of a key; an empty one if it is not there.
    pub(crate) fn section(&mut self, key: &str) -> Section<'t, 'm> {
        let name = self.full(key);
        let empty = |at| Section { name: name.clone(), at, table: DeTable::new(), mistakes: self.mistakes };
        let Some(value) = self.take(key) else { return empty(0) };
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Table(table) => Section { name, at, table, mistakes: self.mistakes },
            other => {
                self.mistakes.at(at, format!("{name} = {}: it must be a table", shown(key, &other)));
                empty(at)
            }
        }
    }

    /// The repeated table of a key; none if it is not there.
    pub(crate) fn sections(&mut self, key: &str) -> Option<Vec<Section<'t, 'm>>> {
        let value = self.take(key)?;
        let name = self.full(key);
        let at = value.span().start;
        let DeValue::Array(entries) = value.into_inner() else {
            self.mistakes.at(at, format!("{name} must be {}", self.legal(key)));
            return Some(Vec::new());
        };
        let mut sections = Vec::new();
        for entry in entries {
            let at = entry.span().start;
            match entry.into_inner() {
                DeValue::Table(table) => {
                    sections.push(Section { name: name.clone(), at, table, mistakes: self.mistakes });
                }
                _ => self.mistakes.at(at, format!("{name} must be {}", self.legal(key))),
            }
        }
        Some(sections)
    }

    /// Notes a mistake at a place of the document.
    pub(crate) fn mistake(&self, at: usize, what: impl Into<String>) {
        self.mistakes.at(at, what);
    }

    /// Ends the section: what nobody asked for is unknown.
    pub(crate) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name = self.full(key.get_ref());
            let hint = match keys::nearest(&name) {
                Some(near) => format!("did you mean {near}?"),
                None => "see docs/guide/configuration.md for all keys".to_owned(),
            };
            self.mistakes.at(key.span().start, format!("{name} is no known key; {hint}"));
        }
    }

    fn take(&mut self, key: &str) -> Option<Spanned<DeValue<'t>>> {
        debug_assert!(keys::find(&self.full(key)).is_some(), "{} is not in the list of keys", self.full(key));
        self.table.remove(key)
    }

    fn or_mistake<T>(&self, key: &str, value: &Spanned<DeValue<'t>>, parsed: Option<T>) -> Option<T> {
        if parsed.is_none() {
            let (name, shown) = (self.full(key), shown(key, value.get_ref()));
            self.mistakes.at(value.span().start, format!("{name} = {shown}: it must be {}", self.legal(key)));
        }
        parsed
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// The legal values of a key and its default.
    fn legal(&self, key: &str) -> String {
        match keys::find(&self.full(key)) {
            Some(key) if matches!(key.default, "" | "required") => key.legal.to_owned(),
            Some(key) => format!("{} (default: {})", key.legal, key.default),
            None => "one of the documented values".to_owned(),
        }
    }
}

/// A value as a message shows it; secrets are not shown.
fn shown(key: &str, value: &DeValue<'_>) -> String {
    if matches!(key, "password" | "secret_key" | "location") {
        return "…".to_owned();
    }
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}
