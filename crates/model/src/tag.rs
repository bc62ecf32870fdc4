//! A tag: a key and a value that an operator puts on a load balancer or listener.

use serde::{Deserialize, Serialize};

/// One tag. Keys are unique per object; at most 20 per object (huawei/behaviours.md section 16).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Tag {
    key: String,
    value: String,
}

impl Tag {
    /// Most tags on one object.
    pub const PER_OBJECT_MAX: usize = 20;

    /// Checks and makes a tag: key 1–128 characters, value 0–255, neither with one of `= * < > \ , | /`.
    pub fn new(key: String, value: String) -> Result<Self, BadTag> {
        let forbidden = |text: &str| text.chars().find(|c| "=*<>\\,|/".contains(*c));
        if !(1..=128).contains(&key.chars().count()) {
            return Err(BadTag::KeyLength);
        }
        if value.chars().count() > 255 {
            return Err(BadTag::ValueLength { key });
        }
        if let Some(character) = forbidden(&key).or_else(|| forbidden(&value)) {
            return Err(BadTag::Character { key, character });
        }
        Ok(Self { key, value })
    }
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }
    /// The value, maybe empty.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Why a tag is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTag {
    /// The key is empty or too long.
    #[error("a tag's key must have 1 to 128 characters")]
    KeyLength,
    /// The value is too long.
    #[error("the value of tag '{key}' has more than 255 characters")]
    ValueLength {
        /// The tag's key.
        key: String,
    },
    /// A character that tags may not hold.
    #[error("tag '{key}' holds the character '{character}', which tags may not")]
    Character {
        /// The tag's key.
        key: String,
        /// The offending character.
        character: char,
    },
}

#[derive(Deserialize)]
struct Raw {
    key: String,
    value: String,
}
impl TryFrom<Raw> for Tag {
    type Error = BadTag;
    fn try_from(raw: Raw) -> Result<Self, BadTag> {
        Self::new(raw.key, raw.value)
    }
}
