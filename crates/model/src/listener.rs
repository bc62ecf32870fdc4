//! A listener: a port of a load balancer, the protocol spoken there, and where its traffic goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    CertificateId, ConnectTimeout, Description, ExchangeTimeout, IdleTimeout, IpGroupId, ListenerId,
    LoadBalancerId, Name, Patch, PoolId, Port, ProjectId, SecurityPolicyId, SystemSecurityPolicy, Tag,
    TargetOverride, Timestamp,
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
            Service::Tcp | Service::Udp | Service::Tls(_) => None,
        }
    }
    /// The TLS settings, for a listener that has them.
    pub fn tls(&self) -> Option<&TlsService> {
        match &self.service {
            Service::Https(https) => Some(&https.tls),
            Service::Tls(offload) => Some(&offload.tls),
            Service::Http(_) | Service::Tcp | Service::Udp => None,
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
    /// TLS that ends here; what is inside is relayed.
    Tls(Box<TlsOffload>),
    /// HTTP/1.0 and HTTP/1.1 in clear.
    Http(HttpService),
    /// HTTP over TLS.
    Https(Box<HttpsService>),
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
    /// TLS that ends at the listener, layer 4 behind it.
    Tls,
    /// HTTP in clear, layer 7.
    Http,
    /// HTTP over TLS, layer 7.
    Https,
}

impl ListenerProtocol {
    /// Whether bytes or datagrams are relayed without a look at what they say.
    pub const fn is_layer4(self) -> bool {
        match self {
            Self::Tcp | Self::Udp | Self::Tls => true,
            Self::Http | Self::Https => false,
        }
    }
    /// Whether its port is one of UDP; all others share the ports of TCP (behaviour/features.md section 2).
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::Udp)
    }
}

/// Settings of a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsOffload {
    /// Those of TLS.
    pub tls: TlsService,
    /// Whether members are told of the client by the PROXY protocol, version 2.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// Settings of an HTTPS listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpsService {
    /// Those of HTTP.
    pub http: HttpService,
    /// Those of TLS.
    pub tls: TlsService,
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

/// Headers that a listener writes for its members; a client's own copy of a header that is switched on never gets through
/// (behaviour/features.md section 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Headers about a client's TLS; what is not here is off.
    #[serde(default)]
    pub tls: BTreeMap<TlsHeader, TlsHeaderSwitch>,
}

/// Headers about a client's TLS, for HTTPS listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsHeader {
    /// `X-Forwarded-TLS-Certificate-ID`: the id of the certificate that was shown.
    CertificateId,
    /// `X-Forwarded-TLS-Protocol`: such as `TLSv1.2`.
    Protocol,
    /// `X-Forwarded-TLS-Cipher`: the suite.
    Cipher,
    /// `X-Forwarded-Clientcert-subjectdn`.
    ClientSubject,
    /// `X-Forwarded-Clientcert-issuerdn`.
    ClientIssuer,
    /// `X-Forwarded-Clientcert-fingerprint`.
    ClientFingerprint,
    /// `X-Forwarded-Clientcert-clientverify`.
    ClientVerify,
    /// `X-Forwarded-Clientcert-serialnumber`.
    ClientSerial,
    /// `X-Forwarded-Clientcert`: the certificate in PEM.
    ClientCertificate,
    /// `X-Forwarded-Clientcert-ciphers`: the suites that the client offered.
    ClientCiphers,
    /// `X-Forwarded-Clientcert-end`: until when it is valid.
    ClientEnd,
    /// `X-Forwarded-Tls-Alpn-Protocol`.
    Alpn,
    /// `X-Forwarded-Tls-Sni`.
    Sni,
    /// `X-Forwarded-Tls-Ja3`.
    Ja3,
    /// `X-Forwarded-Tls-Ja4`.
    Ja4,
}

/// Whether a header is written, and under which name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsHeaderSwitch {
    /// Whether it is written.
    pub enabled: bool,
    /// Its name, 1–40 of letters, digits, `-`, `_`; none: the usual one.
    pub alias: Option<String>,
}

/// A change of one [`TlsHeaderSwitch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsHeaderPatch {
    /// See [`TlsHeaderSwitch::enabled`].
    pub enabled: Option<bool>,
    /// See [`TlsHeaderSwitch::alias`].
    pub alias: Patch<String>,
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
            tls: BTreeMap::new(),
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// See [`InsertHeaders::tls`]; what is not said stays.
    pub tls: BTreeMap<TlsHeader, TlsHeaderPatch>,
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
            tls: {
                let mut tls = to.tls;
                for (header, patch) in self.tls {
                    let switch = tls.entry(header).or_default();
                    switch.enabled = patch.enabled.unwrap_or(switch.enabled);
                    patch.alias.apply(&mut switch.alias);
                }
                tls.retain(|_, switch| *switch != TlsHeaderSwitch::default());
                tls
            },
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
    /// See [`TlsOffload::proxy_protocol`].
    pub proxy_protocol: Option<bool>,
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
    /// See [`Listener::access`].
    pub access: Patch<AccessControl>,
    /// See [`Listener::transparent_client_ip`].
    pub transparent_client_ip: Option<bool>,
    /// See [`Listener::connections_max`].
    pub connections_max: Option<u32>,
    /// See [`Listener::connections_per_second_max`].
    pub connections_per_second_max: Option<u32>,
    /// See [`Listener::protection`].
    pub protection: ProtectionPatch,
}
