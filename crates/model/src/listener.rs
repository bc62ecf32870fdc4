//! A listener: a port of a load balancer (or ranges of them), the protocol spoken there, and where its traffic goes.

mod insert_headers;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    CertificateId, ConnectTimeout, Description, ExchangeTimeout, FlavorLayer, IdleTimeout, IpGroupId,
    ListenerId, LoadBalancerId, Name, Patch, PoolId, Ports, ProjectId, ProxyAccept, ProxyVersion,
    SecurityPolicyId, SystemSecurityPolicy, Tag, TargetOverride, Timestamp, Transport,
    load_balancer::{Protection, ProtectionPatch},
};

pub use insert_headers::{
    ForwardedFor, InsertHeaders, InsertHeadersPatch, TlsHeader, TlsHeaderPatch, TlsHeaderSwitch,
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
    /// Its ports; on a load balancer each is one listener's, per transport.
    #[serde(rename = "port")]
    pub ports: Ports,
    /// What is spoken there, with the settings that only this protocol has.
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
    /// Most bits per second, of each direction; 0: no limit of its own.
    #[serde(default)]
    pub bits_per_second_max: u64,
    /// Whether those who connect say with PROXY headers whom they speak for; none: they do not.
    #[serde(default)]
    pub proxy_accept: Option<ProxyAccept>,
    /// Who may connect; none: everybody.
    #[serde(default)]
    pub access: Option<AccessControl>,
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
            Service::Https(https) => Some(&https.http),
            Service::Quic(quic) => Some(&quic.http),
            Service::Tcp | Service::Udp | Service::Tls(_) => None,
        }
    }
    /// The TLS settings, for a listener that has them.
    pub fn tls(&self) -> Option<&TlsService> {
        match &self.service {
            Service::Https(https) => Some(&https.tls),
            Service::Tls(tls) => Some(tls),
            Service::Quic(quic) => Some(&quic.tls),
            Service::Tcp | Service::Udp | Service::Http(_) => None,
        }
    }
    /// The upgrade to QUIC, for an HTTPS listener that has one.
    pub fn quic_upgrade(&self) -> Option<QuicUpgrade> {
        match &self.service {
            Service::Https(https) => https.quic,
            Service::Tcp | Service::Udp | Service::Tls(_) | Service::Http(_) | Service::Quic(_) => None,
        }
    }
}

/// What is spoken on a listener's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Bytes, relayed as they are.
    Tcp,
    /// Datagrams, relayed as they are.
    Udp,
    /// Bytes; the clients' TLS ends here.
    Tls(Box<TlsService>),
    /// HTTP/1.0 and HTTP/1.1 in clear.
    Http(HttpService),
    /// HTTP over TLS.
    Https(Box<HttpsService>),
    /// HTTP/3: HTTP over QUIC.
    Quic(Box<QuicService>),
}

impl Service {
    /// The protocol alone.
    pub fn protocol(&self) -> ListenerProtocol {
        match self {
            Self::Tcp => ListenerProtocol::Tcp,
            Self::Udp => ListenerProtocol::Udp,
            Self::Tls(_) => ListenerProtocol::Tls,
            Self::Http(_) => ListenerProtocol::Http,
            Self::Https(_) => ListenerProtocol::Https,
            Self::Quic(_) => ListenerProtocol::Quic,
        }
    }
}

/// Protocols that a listener can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerProtocol {
    /// TCP, layer 4.
    Tcp,
    /// UDP, layer 4.
    Udp,
    /// TCP with the TLS taken off, layer 4.
    Tls,
    /// HTTP in clear, layer 7.
    Http,
    /// HTTP over TLS, layer 7.
    Https,
    /// HTTP over QUIC, layer 7.
    Quic,
}

impl ListenerProtocol {
    /// What carries it.
    pub const fn transport(self) -> Transport {
        match self {
            Self::Tcp | Self::Tls | Self::Http | Self::Https => Transport::Tcp,
            Self::Udp | Self::Quic => Transport::Udp,
        }
    }
    /// Which flavor of a load balancer it needs (huawei/behaviours.md section 3).
    pub const fn layer(self) -> FlavorLayer {
        match self {
            Self::Tcp | Self::Udp | Self::Tls => FlavorLayer::L4,
            Self::Http | Self::Https | Self::Quic => FlavorLayer::L7,
        }
    }
}

/// Settings of an HTTPS listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpsService {
    /// Those of HTTP.
    pub http: HttpService,
    /// Those of TLS.
    pub tls: TlsService,
    /// Whether clients are told that they may come by QUIC.
    #[serde(default)]
    pub quic: Option<QuicUpgrade>,
}

/// Settings of a QUIC listener. Versions are TLS 1.3 alone, so security policies say nothing here; clients show no certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuicService {
    /// Those of HTTP; [`HttpService::http2`] is true, as there is nothing older.
    pub http: HttpService,
    /// Those of TLS.
    pub tls: TlsService,
}

/// That the answers of an HTTPS listener say where HTTP/3 is spoken (`Alt-Svc`, RFC 7838).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuicUpgrade {
    /// The QUIC listener, of the same load balancer.
    pub listener: ListenerId,
    /// Off: answers say nothing.
    pub enabled: bool,
}

/// TLS settings of a listener (behaviour/tls.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsService {
    /// The certificate shown to clients that name no other.
    pub certificate: CertificateId,
    /// Certificates picked by the name that a client asks for. No name twice, except once for RSA and once for ECC.
    pub sni_certificates: Vec<CertificateId>,
    /// How names with `*.` are matched.
    pub sni_match: SniMatch,
    /// The authority that clients' certificates must come from; none: clients show none.
    pub client_ca: Option<CertificateId>,
    /// The system's security policy; counts where `security_policy` is none.
    pub system_policy: SystemSecurityPolicy,
    /// A security policy of the project.
    pub security_policy: Option<SecurityPolicyId>,
    /// Whether TLS 1.3 clients may send a request along with their first flight.
    pub early_data: bool,
}

impl TlsService {
    /// Every certificate that it names.
    pub fn certificates(&self) -> impl Iterator<Item = CertificateId> {
        [Some(self.certificate), self.client_ca]
            .into_iter()
            .flatten()
            .chain(self.sni_certificates.iter().copied())
    }
}

/// How a certificate's `*.` name is matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SniMatch {
    /// `*` stands for one label.
    #[default]
    Wildcard,
    /// `*` stands for one or more labels; the longest name wins.
    LongestSuffix,
}

/// Who may connect to a listener: looked at once, when a connection comes in (behaviour/features.md section 11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessControl {
    /// The groups; their entries count together.
    pub groups: Vec<IpGroupId>,
    /// Off: everybody may connect.
    pub enabled: bool,
    /// What the groups say.
    pub mode: AccessMode,
}

/// What an access control's groups say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessMode {
    /// They alone may connect; with empty groups nobody may.
    #[default]
    White,
    /// They may not connect.
    Black,
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
    /// What happens to requests that are odd without being wrong.
    #[serde(default)]
    pub desync: DesyncMode,
}

/// How strict a listener is with requests that two servers might read differently. What is plainly wrong is always refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesyncMode {
    /// They are counted and go on.
    Monitor,
    /// They go on, and their connections end after the answer.
    #[default]
    Defensive,
    /// They are refused with 400.
    Strictest,
}

impl HttpService {
    /// 60 s (behaviour/features.md section 3).
    pub const EXCHANGE_TIMEOUT_DEFAULT: ExchangeTimeout = ExchangeTimeout::of(60);
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
    /// See [`Listener::ports`].
    pub ports: Ports,
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
    /// See [`Listener::bits_per_second_max`].
    pub bits_per_second_max: u64,
    /// See [`Listener::proxy_accept`].
    pub proxy_accept: Option<ProxyAccept>,
    /// See [`Listener::access`].
    pub access: Option<AccessControl>,
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
    /// See [`HttpService::desync`].
    pub desync: Option<DesyncMode>,
    /// See [`TlsService::certificate`].
    pub certificate: Option<CertificateId>,
    /// See [`TlsService::sni_certificates`].
    pub sni_certificates: Option<Vec<CertificateId>>,
    /// See [`TlsService::sni_match`].
    pub sni_match: Option<SniMatch>,
    /// See [`TlsService::client_ca`].
    pub client_ca: Patch<CertificateId>,
    /// See [`TlsService::system_policy`].
    pub system_policy: Option<SystemSecurityPolicy>,
    /// See [`TlsService::security_policy`].
    pub security_policy: Patch<SecurityPolicyId>,
    /// See [`TlsService::early_data`].
    pub early_data: Option<bool>,
    /// See [`HttpsService::quic`].
    pub quic: Patch<QuicUpgrade>,
    /// See [`Listener::access`].
    pub access: Patch<AccessControl>,
    /// See [`Listener::transparent_client_ip`].
    pub transparent_client_ip: Option<bool>,
    /// See [`Listener::connections_max`].
    pub connections_max: Option<u32>,
    /// See [`Listener::connections_per_second_max`].
    pub connections_per_second_max: Option<u32>,
    /// See [`Listener::bits_per_second_max`].
    pub bits_per_second_max: Option<u64>,
    /// See [`Listener::proxy_accept`].
    pub proxy_accept: Patch<ProxyAccept>,
    /// See [`TargetOverride::member_proxy_protocol`].
    pub member_proxy_protocol: Patch<ProxyVersion>,
    /// See [`Listener::protection`].
    pub protection: ProtectionPatch,
}
