//! A listener: a port of a load balancer, the protocol spoken there, and where its traffic goes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ConnectTimeout, Description, ExchangeTimeout, IdleTimeout, ListenerId, LoadBalancerId, Name, Patch,
    PoolId, Port, ProjectId, Tag, TargetOverride, Timestamp,
    load_balancer::{Protection, ProtectionPatch},
};

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its id.
    pub id: ListenerId,
    /// The owning project, that of its load balancer.
    pub project: ProjectId,
    /// The load balancer whose VIPs it listens on.
    pub load_balancer: LoadBalancerId,
    /// What people call it; need not be unique.
    pub name: Name,
    /// A remark.
    pub description: Description,
    /// Down: takes no traffic.
    pub admin_up: bool,
    /// The port; unique on its load balancer per transport.
    pub port: Port,
    /// What is spoken on the port, with the settings that only this protocol has.
    pub service: Service,
    /// Where traffic goes that no policy sends elsewhere; none: HTTP answers 404, TCP closes.
    pub default_pool: Option<PoolId>,
    /// What this listener sets in place of its pool's settings.
    #[serde(default)]
    pub target: TargetOverride,
    /// Connections without traffic for so long are ended; for HTTP: kept connections between two requests.
    pub idle_timeout: IdleTimeout,
    /// How long a connection to a member may take to be made; default 5 s (behaviour/features.md section 3).
    pub connect_timeout: ConnectTimeout,
    /// Whether members of layer 4 should see the client's address.
    pub transparent_client_ip: bool,
    /// Most connections at a time; 0: no limit of its own.
    pub connections_max: u32,
    /// Most new connections per second; 0: no limit of its own.
    pub connections_per_second_max: u32,
    /// A mark that consoles honour.
    pub protection: Protection,
    /// A grouping over regions; none is written "0".
    pub enterprise_project: Option<Uuid>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed by a caller.
    pub updated_at: Timestamp,
}

impl Listener {
    /// The protocol alone.
    pub fn protocol(&self) -> ListenerProtocol {
        self.service.protocol()
    }
    /// The HTTP settings, for a listener that has them.
    pub fn http(&self) -> Option<&HttpService> {
        match &self.service {
            Service::Http(http) => Some(http),
            Service::Tcp => None,
        }
    }
}

/// What is spoken on a listener's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Bytes, relayed as they are.
    Tcp,
    /// HTTP/1.0 and HTTP/1.1 in clear.
    Http(HttpService),
}

impl Service {
    /// The protocol alone.
    pub fn protocol(&self) -> ListenerProtocol {
        match self {
            Self::Tcp => ListenerProtocol::Tcp,
            Self::Http(_) => ListenerProtocol::Http,
        }
    }
}

/// Protocols that a listener can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerProtocol {
    /// TCP, layer 4.
    Tcp,
    /// HTTP in clear, layer 7.
    Http,
}

/// Settings of an HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpService {
    /// Longest wait for the whole request head, and between two pieces of a request body; then 408.
    pub request_timeout: ExchangeTimeout,
    /// Longest wait for the response and between two pieces of it; then another member, finally 504.
    pub response_timeout: ExchangeTimeout,
    /// Whether a failed attempt goes to another member where that is safe.
    pub member_retry: bool,
    /// Which headers are added for members.
    pub insert_headers: InsertHeaders,
    /// Whether answers are compressed.
    pub gzip: bool,
    /// Whether HTTP/2 is offered; only TLS listeners can.
    pub http2: bool,
    /// Whether the wide set of forwarding conditions and actions is on. Never goes back to false.
    pub enhanced_policies: bool,
}

impl HttpService {
    /// 60 s (behaviour/features.md section 3).
    pub const EXCHANGE_TIMEOUT_DEFAULT: ExchangeTimeout = ExchangeTimeout::of(60);
}

/// Headers that a listener writes for its members; a client's own copy of a header that is switched on never gets through
/// (behaviour/features.md section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsertHeaders {
    /// `X-Forwarded-For`.
    pub forwarded_for: ForwardedFor,
    /// `X-Real-IP`: the client's address.
    pub real_ip: bool,
    /// `X-Forwarded-Host`: the request's host.
    pub forwarded_host: bool,
    /// `X-Forwarded-Proto`: `http` or `https`.
    pub forwarded_proto: bool,
    /// `X-Forwarded-Port`: the listener's port.
    pub forwarded_port: bool,
    /// `X-Forwarded-For-Port`: the client's port.
    pub forwarded_for_port: bool,
    /// `X-Forwarded-ELB-IP`: the address on which the client reached the load balancer.
    pub elb_ip: bool,
    /// `X-Forwarded-ELB-ID`: the load balancer's id.
    pub elb_id: bool,
}

impl Default for InsertHeaders {
    /// The defaults of open-questions.md row 9.
    fn default() -> Self {
        Self {
            forwarded_for: ForwardedFor::Append,
            real_ip: true,
            forwarded_host: true,
            forwarded_proto: true,
            forwarded_port: false,
            forwarded_for_port: false,
            elb_ip: false,
            elb_id: false,
        }
    }
}

/// What happens to `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardedFor {
    /// The client's address is appended.
    #[default]
    Append,
    /// The header is removed.
    Remove,
    /// The header passes as it came.
    Preserve,
}

/// A change of [`InsertHeaders`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsertHeadersPatch {
    /// See [`InsertHeaders::forwarded_for`].
    pub forwarded_for: Option<ForwardedFor>,
    /// See [`InsertHeaders::real_ip`].
    pub real_ip: Option<bool>,
    /// See [`InsertHeaders::forwarded_host`].
    pub forwarded_host: Option<bool>,
    /// See [`InsertHeaders::forwarded_proto`].
    pub forwarded_proto: Option<bool>,
    /// See [`InsertHeaders::forwarded_port`].
    pub forwarded_port: Option<bool>,
    /// See [`InsertHeaders::forwarded_for_port`].
    pub forwarded_for_port: Option<bool>,
    /// See [`InsertHeaders::elb_ip`].
    pub elb_ip: Option<bool>,
    /// See [`InsertHeaders::elb_id`].
    pub elb_id: Option<bool>,
}

impl InsertHeadersPatch {
    /// The headers after the change.
    pub fn apply(self, to: InsertHeaders) -> InsertHeaders {
        InsertHeaders {
            forwarded_for: self.forwarded_for.unwrap_or(to.forwarded_for),
            real_ip: self.real_ip.unwrap_or(to.real_ip),
            forwarded_host: self.forwarded_host.unwrap_or(to.forwarded_host),
            forwarded_proto: self.forwarded_proto.unwrap_or(to.forwarded_proto),
            forwarded_port: self.forwarded_port.unwrap_or(to.forwarded_port),
            forwarded_for_port: self.forwarded_for_port.unwrap_or(to.forwarded_for_port),
            elb_ip: self.elb_ip.unwrap_or(to.elb_ip),
            elb_id: self.elb_id.unwrap_or(to.elb_id),
        }
    }
}

/// What a caller says to create a listener; defaults are already filled in by the dialect.
#[derive(Clone, Debug)]
pub struct NewListener {
    /// See [`Listener::load_balancer`].
    pub load_balancer: LoadBalancerId,
    /// See [`Listener::name`].
    pub name: Name,
    /// See [`Listener::description`].
    pub description: Description,
    /// See [`Listener::admin_up`].
    pub admin_up: bool,
    /// See [`Listener::port`].
    pub port: Port,
    /// See [`Listener::service`].
    pub service: Service,
    /// See [`Listener::default_pool`].
    pub default_pool: Option<PoolId>,
    /// See [`Listener::target`].
    pub target: TargetOverride,
    /// See [`Listener::idle_timeout`].
    pub idle_timeout: IdleTimeout,
    /// See [`Listener::connect_timeout`].
    pub connect_timeout: ConnectTimeout,
    /// See [`Listener::transparent_client_ip`].
    pub transparent_client_ip: bool,
    /// See [`Listener::connections_max`].
    pub connections_max: u32,
    /// See [`Listener::connections_per_second_max`].
    pub connections_per_second_max: u32,
    /// See [`Listener::protection`].
    pub protection: Protection,
    /// See [`Listener::tags`].
    pub tags: Vec<Tag>,
}

impl NewListener {
    /// 5 s (behaviour/features.md section 3).
    pub const CONNECT_TIMEOUT_DEFAULT: ConnectTimeout = ConnectTimeout::of(5);
}

/// What a caller says to change a listener. A field that the listener's protocol does not have is refused by `control`.
#[derive(Clone, Debug, Default)]
pub struct ListenerPatch {
    /// See [`Listener::name`].
    pub name: Option<Name>,
    /// See [`Listener::description`].
    pub description: Option<Description>,
    /// See [`Listener::admin_up`].
    pub admin_up: Option<bool>,
    /// See [`Listener::default_pool`].
    pub default_pool: Patch<PoolId>,
    /// See [`Listener::idle_timeout`].
    pub idle_timeout: Option<IdleTimeout>,
    /// See [`Listener::connect_timeout`].
    pub connect_timeout: Option<ConnectTimeout>,
    /// See [`HttpService::request_timeout`].
    pub request_timeout: Option<ExchangeTimeout>,
    /// See [`HttpService::response_timeout`].
    pub response_timeout: Option<ExchangeTimeout>,
    /// See [`HttpService::member_retry`].
    pub member_retry: Option<bool>,
    /// See [`HttpService::insert_headers`].
    pub insert_headers: Option<InsertHeadersPatch>,
    /// See [`HttpService::gzip`].
    pub gzip: Option<bool>,
    /// See [`HttpService::http2`].
    pub http2: Option<bool>,
    /// See [`HttpService::enhanced_policies`].
    pub enhanced_policies: Option<bool>,
    /// See [`Listener::transparent_client_ip`].
    pub transparent_client_ip: Option<bool>,
    /// See [`Listener::connections_max`].
    pub connections_max: Option<u32>,
    /// See [`Listener::connections_per_second_max`].
    pub connections_per_second_max: Option<u32>,
    /// See [`Listener::protection`].
    pub protection: ProtectionPatch,
}
