//! Lists: filters, order and pages, the same for every noun (behaviours.md section 2).
//!
//! - Items come in order of id. A repeated filter is OR, different filters are AND; a match is exact.
//! - A filter compares with what the answer shows. So each noun has a table of [`Filter`]s: the filter's name, how its value is
//!   read, and what an item shows for it (nothing: the item never matches).
//! - A page goes on after its marker, or with `page_reverse` ends before it; always in ascending order.
//! - Keys that are no filters are ignored, as the contract says.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::v3::fields::{Refusal, shorten};

/// Most items of a page, and how many there are when the caller does not say.
const LIMIT_MAX: usize = 2000;

/// The decoded parameters of a request's query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads the part of a URL after the question mark.
    pub(crate) fn parse(raw: &str) -> Self {
        let decode =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        };
        Self { pairs: raw.split('&').filter(|part| !part.is_empty()).map(pair).collect() }
    }

    /// All values of a parameter, in order.
    pub(crate) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a parameter.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.last("limit") else { return Ok(LIMIT_MAX) };
        match text.parse() {
            Ok(0) => Ok(LIMIT_MAX),
            Ok(limit) if limit <= LIMIT_MAX => Ok(limit),
            _ => Err(Refusal::new("limit", format!("must be from 0 to {LIMIT_MAX}, is '{}'", shorten(text)))),
        }
    }
}

/// How the value of a filter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As it is, case and all.
    Text,
    /// `true` or `false` in any case.
    Flag,
    /// A decimal integer.
    Integer,
    /// `key=value`.
    Pair,
}

/// A filter of a noun's list. `C` is what is needed to know what an item shows.
pub(crate) struct Filter<C: ?Sized, T: ?Sized> {
    /// Its name in the query.
    pub(crate) name: &'static str,
    kind: Kind,
    shown: fn(&C, &T) -> Vec<String>,
}

impl<C: ?Sized, T: ?Sized> Clone for Filter<C, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C: ?Sized, T: ?Sized> Copy for Filter<C, T> {}

impl<C: ?Sized, T: ?Sized> Filter<C, T> {
    /// Compares texts.
    pub(crate) const fn text(name: &'static str, shown: fn(&C, &T) -> Vec<String>) -> Self {
        Self { name, kind: Kind::Text, shown }
    }
    /// Compares booleans.
    pub(crate) const fn flag(name: &'static str, shown: fn(&C, &T) -> Vec<String>) -> Self {
        Self { name, kind: Kind::Flag, shown }
    }
    /// Compares integers.
    pub(crate) const fn integer(name: &'static str, shown: fn(&C, &T) -> Vec<String>) -> Self {
        Self { name, kind: Kind::Integer, shown }
    }
    /// Compares one field of an object, written `field=value`.
    pub(crate) const fn pair(name: &'static str, shown: fn(&C, &T) -> Vec<String>) -> Self {
        Self { name, kind: Kind::Pair, shown }
    }

    /// What the contract calls the type of its values.
    #[cfg(test)]
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Text | Kind::Pair => "string",
            Kind::Flag => "boolean",
            Kind::Integer => "integer",
        }
    }

    fn wanted(&self, value: &str) -> Result<String, Refusal> {
        let bad = |what: &str| Refusal::new(self.name, format!("'{}' is not {what}", shorten(value)));
        match self.kind {
            Kind::Text => Ok(value.to_owned()),
            Kind::Flag => match value.to_ascii_lowercase() {
                flag if flag == "true" || flag == "false" => Ok(flag),
                _ => Err(bad("true or false")),
            },
            Kind::Integer => match value.parse::<i64>() {
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err(bad("an integer")),
            },
            Kind::Pair if value.contains('=') => Ok(value.to_owned()),
            Kind::Pair => Err(bad("of the form field=value")),
        }
    }
}

/// What an item shows: one value.
pub(crate) fn one(value: impl ToString) -> Vec<String> {
    vec![value.to_string()]
}

/// What an item shows: a value, or null, which no filter matches.
pub(crate) fn maybe(value: Option<impl ToString>) -> Vec<String> {
    value.map(one).unwrap_or_default()
}

/// What an item shows: several values, each of which matches.
pub(crate) fn each(values: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

/// What an item shows for a field that is always null or empty here.
pub(crate) fn nothing() -> Vec<String> {
    Vec::new()
}

/// What an item shows for a boolean that selects nothing here: both match.
pub(crate) fn either() -> Vec<String> {
    vec!["true".to_owned(), "false".to_owned()]
}

/// What an item shows for its enterprise project; `all_granted_eps` means every one that the caller may see.
pub(crate) fn enterprise_project(id: Option<uuid::Uuid>) -> Vec<String> {
    vec![super::answer::enterprise_project(id), "all_granted_eps".to_owned()]
}

/// The `page_info` of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PageInfo {
    /// The id of the first item; null on an empty page.
    pub(crate) previous_marker: Option<String>,
    /// The id of the last item while more follow; left out on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_marker: Option<String>,
    /// How many items the page has.
    pub(crate) current_count: usize,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    /// The items, in order of id.
    pub(crate) items: Vec<T>,
    /// Where the page lies.
    pub(crate) info: PageInfo,
}

/// The items that pass all filters of the query, without pages.
pub(crate) fn filtered<'a, C: ?Sized, T: ?Sized>(
    query: &Query,
    context: &C,
    filters: &[Filter<C, T>],
    items: impl IntoIterator<Item = &'a T>,
) -> Result<Vec<&'a T>, Refusal> {
    let wishes = wishes(query, filters)?;
    Ok(items.into_iter().filter(|item| passes(&wishes, context, *item)).collect())
}

/// The page of a list that the query asks for. `items` are all that the caller may see, in order of `id`.
///
/// A marker without a limit counts too: the documents ask callers to send both, and a caller who does not would read the
/// first page for ever.
pub(crate) fn page<'a, C: ?Sized, T: ?Sized, I: Ord + ToString + FromStr>(
    query: &Query,
    context: &C,
    filters: &[Filter<C, T>],
    id: impl Fn(&T) -> I,
    items: Vec<&'a T>,
) -> Result<Page<&'a T>, Refusal> {
    let limit = query.limit()?;
    let reverse = match query.last("page_reverse") {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(text) => {
            return Err(Refusal::new("page_reverse", format!("'{}' is not true or false", shorten(text))));
        }
    };
    let marker = match query.last("marker") {
        None => None,
        Some(text) => {
            let index = text
                .parse()
                .ok()
                .and_then(|marker| items.binary_search_by(|item| id(item).cmp(&marker)).ok());
            Some(index.ok_or_else(|| {
                Refusal::new("marker", format!("'{}' is no id of an item of this list", shorten(text)))
            })?)
        }
    };
    let wishes = wishes(query, filters)?;
    let pass = |item: &&T| passes(&wishes, context, *item);

    let (shown, more) = if reverse {
        let (before, from) = items.split_at(marker.unwrap_or(items.len()));
        let mut shown: Vec<_> = before.iter().copied().rev().filter(pass).take(limit).collect();
        shown.reverse();
        (shown, from.iter().copied().any(|item| pass(&item)))
    } else {
        let after = &items[marker.map_or(0, |marker| marker + 1)..];
        let mut passing = after.iter().copied().filter(pass);
        (passing.by_ref().take(limit).collect(), passing.next().is_some())
    };
    let info = PageInfo {
        previous_marker: shown.first().map(|item| id(item).to_string()),
        next_marker: shown.last().filter(|_| more).map(|item| id(item).to_string()),
        current_count: shown.len(),
    };
    Ok(Page { items: shown, info })
}

/// A filter that a query uses, with the values of which one must be shown.
type Wish<'a, C, T> = (&'a Filter<C, T>, Vec<String>);

/// The filters that a query uses.
fn wishes<'a, C: ?Sized, T: ?Sized>(
    query: &Query,
    filters: &'a [Filter<C, T>],
) -> Result<Vec<Wish<'a, C, T>>, Refusal> {
    let mut wishes = Vec::new();
    for filter in filters {
        let values: Vec<_> =
            query.values(filter.name).map(|value| filter.wanted(value)).collect::<Result<_, _>>()?;
        if !values.is_empty() {
            wishes.push((filter, values));
        }
    }
    Ok(wishes)
}

fn passes<C: ?Sized, T: ?Sized>(wishes: &[Wish<'_, C, T>], context: &C, item: &T) -> bool {
    wishes.iter().all(|(filter, wanted)| {
        let shown = (filter.shown)(context, item);
        shown.iter().any(|value| wanted.contains(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Item {
        id: u32,
        colour: &'static str,
        size: i64,
        on: bool,
    }

    const FILTERS: &[Filter<(), Item>] = &[
        Filter::text("id", |_, item| one(item.id)),
        Filter::text("colour", |_, item| one(item.colour)),
        Filter::integer("size", |_, item| one(item.size)),
        Filter::flag("on", |_, item| one(item.on)),
        Filter::pair("drain", |_, item| vec![format!("enable={}", item.on)]),
        Filter::text("absent", |_, _| nothing()),
        Filter::flag("include_recycle_bin", |_, _| either()),
    ];

    fn items(count: u32) -> Vec<Item> {
        let colour = |n| ["red", "green", "Red"][n as usize % 3];
        (0..count)
            .map(|n| Item { id: n * 2, colour: colour(n), size: i64::from(n % 2), on: n % 2 == 0 })
            .collect()
    }

    fn ask(query: &str, items: &[Item]) -> Result<Page<u32>, Refusal> {
        let page = page(&Query::parse(query), &(), FILTERS, |item| item.id, items.iter().collect())?;
        Ok(Page { items: page.items.iter().map(|item| item.id).collect(), info: page.info })
    }

    #[test]
    fn filters_compare_exactly_with_what_is_shown() {
        let items = items(6);
        for (why, query, expect) in [
            ("no filter, all items", "", &[0, 2, 4, 6, 8, 10][..]),
            ("case counts", "colour=red", &[0, 6]),
            ("a repeated key is OR", "colour=red&colour=Red", &[0, 4, 6, 10]),
            ("different keys are AND", "colour=red&on=true", &[0]),
            ("booleans in any case", "on=TRUE", &[0, 4, 8]),
            ("integers by value", "size=01", &[2, 6, 10]),
            ("fields of an object", "drain=enable%3Dfalse", &[2, 6, 10]),
            ("what is null matches nothing", "absent=", &[]),
            ("a switch that selects nothing", "include_recycle_bin=false", &[0, 2, 4, 6, 8, 10]),
            ("unknown keys are ignored", "flavour=sweet&&=&x", &[0, 2, 4, 6, 8, 10]),
            ("pages keep to the filter", "on=true&limit=1&marker=2", &[4]),
        ] {
            assert_eq!(ask(query, &items).unwrap().items, expect, "{why}");
        }
    }

    #[test]
    fn a_parameter_that_cannot_be_read_is_refused_by_its_name() {
        let items = items(3);
        for query in [
            "limit=2001",
            "limit=-1",
            "limit=x",
            "limit=",
            "marker=",
            "marker=1",
            "marker=x",
            "page_reverse=1",
            "on=yes",
            "size=big",
            "drain=enable",
        ] {
            let refusal = ask(query, &items).unwrap_err();
            assert_eq!(Some(refusal.field.as_str()), query.split('=').next(), "{query}");
        }
    }

    #[test]
    fn page_info_names_the_ends_of_the_page() {
        let items = items(5);
        let info = |query| {
            let PageInfo { previous_marker, next_marker, current_count } = ask(query, &items).unwrap().info;
            (previous_marker.unwrap_or_default(), next_marker.unwrap_or_default(), current_count)
        };
        for (why, query, previous, next, count) in [
            ("the first page", "limit=2", "0", "2", 2),
            ("a middle page", "limit=2&marker=2", "4", "6", 2),
            ("the last page has no next", "limit=2&marker=6", "8", "", 1),
            ("a full last page has none either", "limit=5", "0", "", 5),
            ("limit 0 is the default", "limit=0", "0", "", 5),
            ("after the last item", "limit=2&marker=8", "", "", 0),
            ("the page before", "limit=2&marker=4&page_reverse=true", "0", "2", 2),
            ("before the first item", "limit=2&marker=0&page_reverse=true", "", "", 0),
        ] {
            assert_eq!(info(query), (previous.to_owned(), next.to_owned(), count), "{why}");
        }
        let json = serde_json::to_value(ask("limit=2&marker=8", &items).unwrap().info).unwrap();
        assert_eq!(json, serde_json::json!({"previous_marker": null, "current_count": 0}));
    }

    #[test]
    fn keys_and_values_are_decoded() {
        let query = Query::parse("n%61me=a+b%20c%3D%C3%BC&flag");
        assert_eq!(query.values("name").collect::<Vec<_>>(), ["a b c=ü"]);
        assert_eq!(query.last("flag"), Some(""));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn walking_forward_yields_each_item_once_and_backward_is_the_reverse(
            count in 0u32..40,
            limit in 1usize..9,
            filter in prop::sample::select(vec!["", "&on=true", "&colour=red", "&colour=red&colour=green"]),
        ) {
            let items = items(count);
            let all = ask(filter, &items).unwrap().items;

            let mut forward = Vec::new();
            let mut query = format!("limit={limit}{filter}");
            loop {
                let page = ask(&query, &items).unwrap();
                forward.extend(page.items);
                let Some(next) = page.info.next_marker else { break };
                query = format!("limit={limit}&marker={next}{filter}");
            }
            prop_assert_eq!(&forward, &all);

            let mut backward = Vec::new();
            let mut query = format!("limit={limit}&page_reverse=true{filter}");
            loop {
                let page = ask(&query, &items).unwrap();
                backward.extend(page.items.into_iter().rev());
                let Some(previous) = page.info.previous_marker else { break };
                query = format!("limit={limit}&page_reverse=true&marker={previous}{filter}");
            }
            backward.reverse();
            prop_assert_eq!(&backward, &all);
        }
    }
}
