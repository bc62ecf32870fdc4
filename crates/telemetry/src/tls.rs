//! What is counted of the TLS handshakes of a listener, by one worker.

use model::TlsVersion;

use crate::Counter;

/// Handshakes of a listener in one worker.
#[derive(Debug, Default)]
pub struct TlsCounters {
    /// By version, and whether a session was resumed.
    stand: [[Counter; 2]; TlsVersion::ALL.len()],
    failed: [Counter; TlsFailure::ALL.len()],
}

/// Why no session came of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsFailure {
    /// No version in common.
    Version,
    /// No suite, group or signature scheme in common.
    Suite,
    /// The client showed no certificate where one is wanted.
    NoClientCertificate,
    /// The client's certificate does not verify.
    BadClientCertificate,
    /// The client said that it does not go on: most often it does not trust the certificate that it was shown.
    ClientAlert,
    /// The client went away.
    ClientGone,
    /// It took too long.
    Timeout,
    /// Anything else: what came is no TLS or breaks its rules, or the listener's terms cannot be carried out.
    Other,
}

impl TlsFailure {
    /// Every reason, in order of place.
    pub const ALL: [Self; 8] = [
        Self::Version,
        Self::Suite,
        Self::NoClientCertificate,
        Self::BadClientCertificate,
        Self::ClientAlert,
        Self::ClientGone,
        Self::Timeout,
        Self::Other,
    ];

    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Suite => "suite",
            Self::NoClientCertificate => "no_client_certificate",
            Self::BadClientCertificate => "bad_client_certificate",
            Self::ClientAlert => "client_alert",
            Self::ClientGone => "client_gone",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

impl TlsCounters {
    /// Counts a handshake that made a session.
    pub fn stands(&self, version: TlsVersion, resumed: bool) {
        self.stand[version as usize][usize::from(resumed)].inc();
    }

    /// Counts a handshake that failed.
    pub fn failed(&self, why: TlsFailure) {
        self.failed[why as usize].inc();
    }

    /// Sessions made of this version, resumed or not.
    pub fn standing(&self, version: TlsVersion, resumed: bool) -> u64 {
        self.stand[version as usize][usize::from(resumed)].value()
    }

    /// Handshakes that failed for this reason.
    pub fn failures(&self, why: TlsFailure) -> u64 {
        self.failed[why as usize].value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_reasons_are_listed_in_order_of_their_place() {
        for (place, version) in TlsVersion::ALL.into_iter().enumerate() {
            assert_eq!(version as usize, place, "{version:?}");
        }
        for (place, why) in TlsFailure::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, place, "{why:?}");
        }
    }

    #[test]
    fn a_handshake_counts_once_and_where_it_belongs() {
        let counters = TlsCounters::default();
        counters.stands(TlsVersion::V13, true);
        counters.stands(TlsVersion::V12, false);
        counters.failed(TlsFailure::Timeout);
        for version in TlsVersion::ALL {
            for resumed in [true, false] {
                let counted = (version, resumed);
                let expected = [(TlsVersion::V13, true), (TlsVersion::V12, false)].contains(&counted);
                assert_eq!(counters.standing(version, resumed), u64::from(expected), "{counted:?}");
            }
        }
        for why in TlsFailure::ALL {
            assert_eq!(counters.failures(why), u64::from(why == TlsFailure::Timeout), "{why:?}");
        }
    }
}
