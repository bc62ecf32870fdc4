//! The settings of a listener that depend on what it speaks: timeouts, and what only HTTP has.

use model::{
    ExchangeTimeout, FlavorLayer, IdleTimeout, ListenerProtocol, Patch,
    listener::{DesyncMode, HttpService, InsertHeaders, InsertHeadersPatch},
};

use crate::v3::{
    fields::{Fields, Refusal},
    listener::insert_headers,
};

/// What a request says about them; what the protocol does not have is none.
#[derive(Default)]
pub(super) struct Said {
    pub(super) idle_timeout: Option<IdleTimeout>,
    pub(super) request_timeout: Option<ExchangeTimeout>,
    pub(super) response_timeout: Option<ExchangeTimeout>,
    pub(super) member_retry: Option<bool>,
    pub(super) insert_headers: Option<InsertHeadersPatch>,
    pub(super) gzip: Option<bool>,
    pub(super) http2: Option<bool>,
    pub(super) enhanced_policies: Option<bool>,
    pub(super) desync: Option<DesyncMode>,
}

/// Ours: how strict a listener is with requests that are odd without being wrong (docs/guide/limits.md).
const DESYNC_MODES: &[(&str, Option<DesyncMode>)] = &[
    ("monitor", Some(DesyncMode::Monitor)),
    ("defensive", Some(DesyncMode::Defensive)),
    ("strictest", Some(DesyncMode::Strictest)),
];

/// The fields of a listener of that protocol.
pub(super) fn decode(fields: &mut Fields<'_>, protocol: ListenerProtocol) -> Result<Said, Refusal> {
    let shortest_idle = match protocol.layer() {
        FlavorLayer::L4 => 10,
        FlavorLayer::L7 => 0,
    };
    let idle = fields.integer("keepalive_timeout", shortest_idle..=4000)?;
    let said = Said {
        idle_timeout: idle.map(|seconds| fields.typed("keepalive_timeout", seconds)).transpose()?,
        request_timeout: exchange_timeout(fields, "client_timeout")?,
        response_timeout: exchange_timeout(fields, "member_timeout")?,
        member_retry: fields.flag("enable_member_retry")?,
        insert_headers: insert_headers::decode(fields, protocol)?,
        gzip: fields.flag("gzip_enable")?,
        http2: fields.flag("http2_enable")?,
        enhanced_policies: fields.flag("enhance_l7policy_enable")?,
        desync: fields.choice("desync_mode", DESYNC_MODES)?,
    };
    match protocol.layer() {
        FlavorLayer::L7 => Ok(said),
        FlavorLayer::L4 => {
            let changes_a_request =
                said.insert_headers.as_ref().is_some_and(insert_headers::changes_a_request);
            let misplaced = [
                ("client_timeout", said.request_timeout.is_some()),
                ("member_timeout", said.response_timeout.is_some()),
                ("enable_member_retry", said.member_retry == Some(false)),
                ("insert_headers", changes_a_request),
                ("gzip_enable", said.gzip == Some(true)),
                ("enhance_l7policy_enable", said.enhanced_policies == Some(true)),
                ("desync_mode", said.desync.is_some()),
            ];
            match misplaced.iter().find(|(_, misplaced)| *misplaced) {
                Some((name, _)) => Err(fields
                    .refuse(name, "only HTTP, HTTPS and QUIC listeners have this setting; leave it out")),
                None => Ok(Said { idle_timeout: said.idle_timeout, ..Said::default() }),
            }
        }
    }
}

impl Said {
    /// The HTTP settings of a new listener; `http2` is what holds where nothing is said.
    pub(super) fn into_http(self, http2: bool) -> HttpService {
        HttpService {
            request_timeout: self.request_timeout.unwrap_or(HttpService::EXCHANGE_TIMEOUT_DEFAULT),
            response_timeout: self.response_timeout.unwrap_or(HttpService::EXCHANGE_TIMEOUT_DEFAULT),
            member_retry: self.member_retry.unwrap_or(true),
            insert_headers: self.insert_headers.unwrap_or_default().apply(InsertHeaders::default()),
            gzip: self.gzip.unwrap_or(false),
            http2: self.http2.unwrap_or(http2),
            enhanced_policies: self.enhanced_policies.unwrap_or(false),
            desync: self.desync.unwrap_or_default(),
        }
    }
}

/// Null means the default, as the documents say of these two fields.
fn exchange_timeout(fields: &mut Fields<'_>, name: &str) -> Result<Option<ExchangeTimeout>, Refusal> {
    // The vendor's documents print both 300 and 3600 as the longest; the wider one is taken (open-questions.md row 12).
    match fields.nullable_integer(name, 1..=3600)? {
        Patch::Keep => Ok(None),
        Patch::Clear => Ok(Some(HttpService::EXCHANGE_TIMEOUT_DEFAULT)),
        Patch::Set(seconds) => fields.typed(name, seconds).map(Some),
    }
}

/// The word of a mode.
pub(super) fn desync_mode(mode: DesyncMode) -> &'static str {
    match mode {
        DesyncMode::Monitor => "monitor",
        DesyncMode::Defensive => "defensive",
        DesyncMode::Strictest => "strictest",
    }
}
