//! Texts with a form: names, passwords, keys.

use model::{Name, Secret};

/// A name that fits into URLs, logs and metrics: 1–64 of `a-zA-Z0-9-_.`.
pub(super) fn name(text: &str) -> Option<Name> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain);
    fits.then(|| Name::try_from(text).ok()).flatten()
}

/// 1–16 different names.
pub(super) fn zones(texts: Vec<&str>) -> Option<Vec<String>> {
    let different = texts.iter().enumerate().all(|(at, text)| !texts[..at].contains(text));
    let fit = (1..=16).contains(&texts.len()) && different && texts.iter().all(|text| name(text).is_some());
    fit.then(|| texts.into_iter().map(str::to_owned).collect())
}

/// A password that is no joke: 8–128 characters.
pub(super) fn password(text: &str) -> Option<Secret> {
    (8..=128).contains(&text.chars().count()).then(|| Secret::new(text))
}

/// The secret half of an access key: 8–128 printable ASCII characters.
pub(super) fn secret_key(text: &str) -> Option<Secret> {
    let fits = (8..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| Secret::new(text))
}

/// A log filter: levels, alone or of a target, separated by commas. The filter's own parser takes any word as a target.
pub(super) fn log_filter(text: &str) -> Option<String> {
    let level = |word: &str| ["off", "error", "warn", "info", "debug"].contains(&word);
    let part = |part: &str| match part.split_once('=') {
        Some((target, word)) => !target.is_empty() && level(word),
        None => level(part),
    };
    let fits = text.split(',').all(part) && text.parse::<tracing_subscriber::filter::Targets>().is_ok();
    fits.then(|| text.to_owned())
}
