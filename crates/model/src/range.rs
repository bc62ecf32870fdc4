//! Numbers with a range. The model holds the widest range of all dialects; a dialect narrows it where its contract does.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A number outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}; it must be from {min} to {max}")]
pub struct OutOfRange {
    /// What the number is, in words.
    pub what: &'static str,
    /// The number that was given.
    pub value: i64,
    /// The smallest legal number.
    pub min: i64,
    /// The largest legal number.
    pub max: i64,
}

macro_rules! ranges {
    ($($(#[$doc:meta])* $name:ident($inner:ty) $what:literal $min:literal ..= $max:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name($inner);

        impl $name {
            /// The smallest value.
            pub const MIN: Self = Self($min);
            /// The largest value.
            pub const MAX: Self = Self($max);
            /// A value known when the program is written; one outside the range does not compile in a constant.
            pub const fn of(value: $inner) -> Self {
                // The assert guards our own constants; input goes through `TryFrom`.
                assert!(value as i64 >= $min && value as i64 <= $max);
                Self(value)
            }
            /// The bare number.
            pub const fn value(self) -> $inner { self.0 }
        }
        impl TryFrom<i64> for $name {
            type Error = OutOfRange;
            fn try_from(value: i64) -> Result<Self, OutOfRange> {
                if ($min..=$max).contains(&value) {
                    Ok(Self(value as $inner))
                } else {
                    Err(OutOfRange { what: $what, value, min: $min, max: $max })
                }
            }
        }
        impl From<$name> for i64 { fn from(n: $name) -> i64 { n.0.into() } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({})", stringify!($name), self.0) }
        }
    )+};
}

ranges! {
    /// A TCP or UDP port, 1–65535.
    Port(u16) "port" 1..=65535;
    /// A member's share of new work. 0 takes no new work (drain by weight). 256 is Octavia's bound, the widest of the dialects.
    Weight(u16) "weight" 0..=256;
    /// Seconds without traffic after which a kept connection ends. 0 (HTTP only): the connection is not kept after an answer.
    IdleTimeout(u32) "idle timeout" 0..=4000;
    /// Seconds to wait for the next piece of a request or of a response (open-questions.md row 12).
    ExchangeTimeout(u32) "timeout" 1..=3600;
    /// Seconds to wait for a connection to a member.
    ConnectTimeout(u32) "connect timeout" 1..=300;
    /// Seconds between two probes of a member.
    ProbeInterval(u32) "probe interval" 1..=65535;
    /// Seconds after which a probe without answer has failed. Not capped by the interval (slb/mapping.md).
    ProbeTimeout(u32) "probe timeout" 1..=65535;
    /// Probes in a row that change a member's health.
    ProbeThreshold(u8) "probe threshold" 1..=10;
    /// Seconds that existing connections of a leaving member may last.
    DrainTimeout(u32) "drain timeout" 0..=4000;
    /// Seconds over which a new member's share grows to its weight.
    SlowStartDuration(u32) "slow start duration" 30..=1200;
    /// A policy's place: smaller is asked first (behaviour/forwarding.md). 0 is for redirects to a listener.
    Priority(u16) "priority" 0..=10000;
    /// Requests per second, or requests in excess of that; 0: no limit (behaviour/forwarding.md, Extras).
    RequestRate(u32) "rate" 0..=100_000;
    /// Failures in a row that leave a member out; 0: they do not count.
    FailureRow(u16) "failures in a row" 0..=1000;
    /// Seconds for which a member is left out.
    EjectionTime(u32) "ejection time" 1..=86_400;
    /// Members that may be left out at a time, in percent.
    EjectedPercent(u8) "share of members" 1..=100;
    /// Minutes for which a client keeps its member.
    StickyMinutes(u32) "persistence timeout" 1..=1440;
    /// How many bytes of a QUIC connection id place a connection.
    CidLength(u8) "connection id length" 1..=20;
    /// The first byte of a QUIC connection id that places a connection.
    CidOffset(u8) "connection id offset" 0..=19;
}

macro_rules! seconds {
    ($($name:ident)+) => {$(
        impl $name {
            /// The same as a duration.
            pub const fn duration(self) -> Duration { Duration::from_secs(self.0 as u64) }
        }
    )+};
}
seconds!(IdleTimeout ExchangeTimeout ConnectTimeout ProbeInterval ProbeTimeout DrainTimeout SlowStartDuration EjectionTime);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_inside_and_their_neighbours_outside() {
        for (value, fits) in [(0, false), (1, true), (65535, true), (65536, false), (-1, false)] {
            assert_eq!(Port::try_from(value).is_ok(), fits, "port {value}");
        }
        for (value, fits) in [(-1, false), (0, true), (256, true), (257, false)] {
            assert_eq!(Weight::try_from(value).is_ok(), fits, "weight {value}");
        }
    }

    #[test]
    fn a_stored_number_outside_the_range_does_not_come_back() {
        assert!(serde_json::from_str::<Port>("80").is_ok());
        let error = serde_json::from_str::<Port>("0").unwrap_err().to_string();
        assert!(error.contains("port is 0; it must be from 1 to 65535"), "{error}");
    }
}
