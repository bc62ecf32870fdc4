//! A health monitor: how a pool's members are probed.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    HealthMonitorId, Name, Patch, PoolId, Port, ProjectId, Timestamp,
    range::{ProbeInterval, ProbeThreshold, ProbeTimeout},
    target::ProbeSettings,
};

/// The health monitor of a pool; a pool has at most one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthMonitor {
    /// Its id.
    pub id: HealthMonitorId,
    /// The pool whose members are probed.
    pub pool: PoolId,
    /// The owning project, that of its pool.
    pub project: ProjectId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// Down: members are not probed and count as healthy.
    pub admin_up: bool,
    /// How members are probed.
    pub probe: ProbeSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MonitorType {
    /// A connection that is made counts.
    Tcp,
    /// The status of an HTTP answer counts.
    Http,
    /// The same over TLS; the member's certificate is not verified.
    Https,
    /// A TLS handshake that is done counts; the member's certificate is not verified.
    Tls,
    /// The status of a gRPC answer counts.
    Grpc,
    /// The member's machine answers an ICMP echo, and the port does not answer that nobody is there; with a [`DatagramProbe`] the
    /// answer counts.
    Udp,
}

impl MonitorType {
    /// The codes that it expects; none: it looks at no codes.
    pub const fn codes(self) -> Option<CodeKind> {
        match self {
            Self::Http | Self::Https => Some(CodeKind::Http),
            Self::Grpc => Some(CodeKind::Grpc),
            Self::Tcp | Self::Tls | Self::Udp => None,
        }
    }
}

/// What the codes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// Statuses of HTTP, 200–599.
    Http,
    /// Statuses of gRPC, 0–99.
    Grpc,
}

/// What a UDP probe sends and expects (slb/mapping.md, HealthCheckReq and HealthCheckExp).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagramProbe {
    /// What is sent.
    pub send: ProbeText,
    /// What the answer must begin with.
    pub expect: ProbeText,
}

/// The content of a probe's datagram: 1–500 printable ASCII characters (slb/state-machine.md, Limits).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProbeText(String);

impl ProbeText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for ProbeText {
    type Error = BadProbe;
    fn try_from(text: String) -> Result<Self, BadProbe> {
        let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if (1..=500).contains(&text.len()) && printable { Ok(Self(text)) } else { Err(BadProbe::Text) }
    }
}
impl From<ProbeText> for String {
    fn from(text: ProbeText) -> Self {
        text.0
    }
}

/// What a probe that speaks HTTP says and expects. Kept for the other monitors too, as the type may change later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// The request's method.
    pub method: ProbeMethod,
    /// The request's path, maybe with a query; begins with `/`.
    pub path: ProbePath,
    /// The request's Host; none: the member's address and port (open-questions.md row 17).
    pub host: Option<ProbeHost>,
    /// Statuses that count as healthy.
    pub expected: ExpectedStatuses,
}

/// The method of an HTTP probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProbeMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
    /// POST, with an empty body.
    Post,
}

impl fmt::Display for ProbeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        })
    }
}

/// A text that may stand in a probe's request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProbe {
    /// The path is not one.
    #[error(
        "a probe path has 1 to 80 characters, begins with '/' and holds letters, digits and _-/.%?#&;~!()*[]@$^:',+= only"
    )]
    Path,
    /// The host is not one.
    #[error("a probe host has 1 to 100 letters, digits, '-' and '.', and begins with a letter or digit")]
    Host,
    /// The expected statuses cannot be read.
    #[error(
        "expected codes are at most 5 of: a code from 200 to 599 or a range like 200-204 (for gRPC from 0 to 99); given: '{0}'"
    )]
    Expected(String),
    /// The content of a datagram is not one.
    #[error("the text of a UDP probe has 1 to 500 printable ASCII characters")]
    Text,
}

/// The path of an HTTP probe: 1–80 characters, safe to write into a request line as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProbePath(String);

impl ProbePath {
    /// `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for ProbePath {
    type Error = BadProbe;
    fn try_from(text: String) -> Result<Self, BadProbe> {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"_-/.%?#&;~!()*[]@$^:',+=".contains(&b);
        if text.starts_with('/') && text.len() <= 80 && text.bytes().all(safe) {
            Ok(Self(text))
        } else {
            Err(BadProbe::Path)
        }
    }
}
impl From<ProbePath> for String {
    fn from(path: ProbePath) -> Self {
        path.0
    }
}

/// The Host of an HTTP probe: 1–100 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProbeHost(String);

impl ProbeHost {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for ProbeHost {
    type Error = BadProbe;
    fn try_from(text: String) -> Result<Self, BadProbe> {
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        if begins && text.len() <= 100 && text.bytes().all(safe) {
            Ok(Self(text))
        } else {
            Err(BadProbe::Host)
        }
    }
}
impl From<ProbeHost> for String {
    fn from(host: ProbeHost) -> Self {
        host.0
    }
}

/// Statuses that count as healthy: at most five codes or ranges, for example `200,202,300-302`. All of one kind: of HTTP from 200 to
/// 599, of gRPC from 0 to 99.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExpectedStatuses {
    text: String,
    ranges: Vec<(u16, u16)>,
}

impl ExpectedStatuses {
    /// 200 alone.
    pub fn ok() -> Self {
        Self { text: "200".to_owned(), ranges: vec![(200, 200)] }
    }
    /// What is expected where nothing is said: HTTP 200, gRPC 0.
    pub fn default_of(kind: CodeKind) -> Self {
        match kind {
            CodeKind::Http => Self::ok(),
            CodeKind::Grpc => Self { text: "0".to_owned(), ranges: vec![(0, 0)] },
        }
    }
    /// What its codes are.
    pub fn kind(&self) -> CodeKind {
        if self.ranges.iter().all(|&(_, to)| to <= GRPC_MAX) { CodeKind::Grpc } else { CodeKind::Http }
    }
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Whether a status counts as healthy.
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|&(from, to)| (from..=to).contains(&status))
    }
}
impl FromStr for ExpectedStatuses {
    type Err = BadProbe;
    fn from_str(text: &str) -> Result<Self, BadProbe> {
        let bad = || BadProbe::Expected(text.chars().take(64).collect());
        let code = |part: &str| match part.trim().parse::<u16>() {
            Ok(code) if code <= GRPC_MAX || (200..=599).contains(&code) => Ok(code),
            _ => Err(bad()),
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (from, to) = match part.split_once('-') {
                Some((from, to)) => (code(from)?, code(to)?),
                None => (code(part)?, code(part)?),
            };
            if from > to {
                return Err(bad());
            }
            ranges.push((from, to));
        }
        let of_grpc =
            ranges.iter().flat_map(|&(from, to)| [from, to]).filter(|&code| code <= GRPC_MAX).count();
        if ranges.len() > 5 || text.len() > 64 || (of_grpc > 0 && of_grpc < 2 * ranges.len()) {
            return Err(bad());
        }
        Ok(Self { text: text.to_owned(), ranges })
    }
}
/// The highest code that a gRPC probe can expect.
const GRPC_MAX: u16 = 99;

impl TryFrom<String> for ExpectedStatuses {
    type Error = BadProbe;
    fn try_from(text: String) -> Result<Self, BadProbe> {
        text.parse()
    }
}
impl From<ExpectedStatuses> for String {
    fn from(statuses: ExpectedStatuses) -> Self {
        statuses.text
    }
}

/// What a caller says to create a health monitor; defaults are already filled in by the dialect.
#[derive(Clone, Debug)]
pub struct NewHealthMonitor {
    /// See [`HealthMonitor::pool`].
    pub pool: PoolId,
    /// See [`HealthMonitor::name`].
    pub name: Name,
    /// See [`HealthMonitor::admin_up`].
    pub admin_up: bool,
    /// See [`HealthMonitor::probe`].
    pub probe: ProbeSettings,
}

/// What a caller says to change a health monitor.
#[derive(Clone, Debug, Default)]
pub struct HealthMonitorPatch {
    /// See [`HealthMonitor::name`].
    pub name: Option<Name>,
    /// See [`HealthMonitor::admin_up`].
    pub admin_up: Option<bool>,
    /// See [`ProbeSettings::kind`].
    pub kind: Option<MonitorType>,
    /// See [`ProbeSettings::interval`].
    pub interval: Option<ProbeInterval>,
    /// See [`ProbeSettings::timeout`].
    pub timeout: Option<ProbeTimeout>,
    /// See [`ProbeSettings::rise`].
    pub rise: Option<ProbeThreshold>,
    /// See [`ProbeSettings::fall`].
    pub fall: Option<ProbeThreshold>,
    /// See [`ProbeSettings::port`].
    pub port: Patch<Port>,
    /// See [`HttpProbe::method`].
    pub method: Option<ProbeMethod>,
    /// See [`HttpProbe::path`].
    pub path: Option<ProbePath>,
    /// See [`HttpProbe::host`].
    pub host: Patch<ProbeHost>,
    /// See [`HttpProbe::expected`].
    pub expected: Option<ExpectedStatuses>,
    /// See [`ProbeSettings::datagram`].
    pub datagram: Patch<DatagramProbe>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_statuses_are_codes_and_ranges_and_nothing_else() {
        for (text, inside, outside) in [
            ("200", &[200][..], &[199, 201, 202][..]),
            ("200,202", &[200, 202], &[201]),
            ("200-204,301", &[200, 203, 204, 301], &[205, 300, 302]),
        ] {
            let set: ExpectedStatuses = text.parse().unwrap();
            assert!(inside.iter().all(|&s| set.contains(s)), "{text}");
            assert!(!outside.iter().any(|&s| set.contains(s)), "{text}");
            assert_eq!(set.as_str(), text);
        }
        let bad = [
            "",
            "100",
            "199",
            "600",
            "204-200",
            "200-",
            "abc",
            "200,,201",
            "200,201,202,203,204,205",
            "-1",
            "0,200",
            "0-200",
            "99-200",
        ];
        for bad in bad {
            assert!(bad.parse::<ExpectedStatuses>().is_err(), "{bad}");
        }
        for (text, kind) in [
            ("0", CodeKind::Grpc),
            ("0,12-99", CodeKind::Grpc),
            ("200", CodeKind::Http),
            ("200-299,404", CodeKind::Http),
        ] {
            assert_eq!(text.parse::<ExpectedStatuses>().unwrap().kind(), kind, "{text}");
        }
        for kind in [CodeKind::Http, CodeKind::Grpc] {
            let default = ExpectedStatuses::default_of(kind);
            assert_eq!(default.kind(), kind);
            assert_eq!(default.as_str().parse(), Ok(default.clone()));
        }
    }

    #[test]
    fn a_probe_path_cannot_break_out_of_the_request_line() {
        for (path, fits) in
            [("/", true), ("/health?x=1", true), ("health", false), ("/a b", false), ("/a\r\nX: y", false)]
        {
            assert_eq!(ProbePath::try_from(path.to_owned()).is_ok(), fits, "{path:?}");
        }
    }
}
