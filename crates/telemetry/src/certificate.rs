//! What is counted per certificate that clients are shown.

use crate::{Counter, Gauge};

/// The figures of a certificate. One thread writes them: that which asks for OCSP answers.
#[derive(Debug, Default)]
pub struct CertificateCounters {
    /// Until when the OCSP answer holds that is stapled, in seconds of Unix time; 0: none is stapled.
    pub ocsp_valid_until: Gauge,
    /// Times that no OCSP answer came that could be stapled.
    pub ocsp_failures: Counter,
}
