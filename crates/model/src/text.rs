//! Names and descriptions: free text of at most 255 characters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text longer than its bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text has {length} characters; at most {max} are allowed")]
pub struct TooLong {
    /// Characters given.
    pub length: usize,
    /// Characters allowed.
    pub max: usize,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $max:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most characters (not bytes) that fit.
            pub const MAX: usize = $max;
            /// The text.
            pub fn as_str(&self) -> &str { &self.0 }
            /// Whether nothing was said.
            pub fn is_empty(&self) -> bool { self.0.is_empty() }
        }
        impl TryFrom<String> for $name {
            type Error = TooLong;
            fn try_from(text: String) -> Result<Self, TooLong> {
                // A byte is at least one character, so only long texts need counting.
                let length = if text.len() <= $max { text.len() } else { text.chars().count() };
                if length <= $max { Ok(Self(text)) } else { Err(TooLong { length, max: $max }) }
            }
        }
        impl TryFrom<&str> for $name {
            type Error = TooLong;
            fn try_from(text: &str) -> Result<Self, TooLong> { text.to_owned().try_into() }
        }
        impl From<$name> for String { fn from(text: $name) -> String { text.0 } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )+};
}

texts! {
    /// What people call an object; need not be unique.
    Name 255;
    /// A remark about an object.
    Description 255;
}
