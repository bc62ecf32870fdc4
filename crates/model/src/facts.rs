//! Facts: what a node reports back. The control plane reads them and never writes them.

use serde::{Deserialize, Serialize};

use crate::{ListenerId, MemberId, Revision, TargetId, Timestamp};

/// What a node knows about itself. Cheap to clone: the maps share structure.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The revision that traffic runs on.
    pub applied: Revision,
    /// Listeners that are not in force, with the reason.
    pub faults: imbl::OrdMap<ListenerId, Fault>,
    /// Verdicts of health probes, and members that are left out for failing their work (they are down). A pair without one was not
    /// probed to an end yet, or is not probed and not left out.
    pub health: imbl::OrdMap<(TargetId, MemberId), MemberHealth>,
}

/// Why a listener is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What failed, why and how to mend it, in words for the listener's owner.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// The health of a member in a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberHealth {
    /// Healthy or not.
    pub verdict: Verdict,
    /// When the verdict was reached.
    pub since: Timestamp,
    /// Why it is down; none when it is up.
    pub failure: Option<ProbeFailure>,
}

/// Healthy or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Gets new work.
    Up,
    /// Gets none.
    Down,
}

/// Why a probe failed, or the work of a member that is left out for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFailure {
    /// The kind of failure.
    pub code: ProbeFailureCode,
    /// What was expected; only for a mismatch.
    pub expected: String,
    /// What came; only for a mismatch.
    pub got: String,
    /// The failure in words, for example "connection refused by 127.0.0.1:9001".
    pub detail: String,
}

/// Kinds of probe failure (behaviour/features.md section 8, "Failure codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProbeFailureCode {
    /// No connection within the timeout.
    ConnectTimeout,
    /// The member refused the connection.
    ConnectRefused,
    /// The connection could not be made, for another reason.
    ConnectFailed,
    /// The connection broke before an answer.
    ConnectInterrupt,
    /// The TLS handshake failed.
    SslHandshakeError,
    /// The request could not be sent.
    SendRequestFailed,
    /// The request could not be sent within the timeout.
    SendRequestTimeout,
    /// The answer could not be read.
    RecvResponseFailed,
    /// No answer within the timeout.
    RecvResponseTimeout,
    /// The answer is not of the protocol.
    ResponseFormatError,
    /// The answer is not the expected one.
    ResponseMismatch,
}

impl ProbeFailureCode {
    /// The code as written in APIs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectTimeout => "CONNECT_TIMEOUT",
            Self::ConnectRefused => "CONNECT_REFUSED",
            Self::ConnectFailed => "CONNECT_FAILED",
            Self::ConnectInterrupt => "CONNECT_INTERRUPT",
            Self::SslHandshakeError => "SSL_HANDSHAKE_ERROR",
            Self::SendRequestFailed => "SEND_REQUEST_FAILED",
            Self::SendRequestTimeout => "SEND_REQUEST_TIMEOUT",
            Self::RecvResponseFailed => "RECV_RESPONSE_FAILED",
            Self::RecvResponseTimeout => "RECV_RESPONSE_TIMEOUT",
            Self::ResponseFormatError => "RESPONSE_FORMAT_ERROR",
            Self::ResponseMismatch => "RESPONSE_MISMATCH",
        }
    }
}
