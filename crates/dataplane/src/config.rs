//! Settings of the data plane, and its limits. Every limit has a name here; at a limit new work waits, work in hand goes on.

use std::time::Duration;

use balance::StickyKey;
use telemetry::AccessLogs;

/// Settings of the data plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; each serves every listener. At least 1; usually one per core.
    pub workers: usize,
    /// Connections that may be open in all workers together. When they are, new ones wait in the kernel's queues.
    /// `None`: as many as the limit of open files allows, two descriptors each.
    pub connections_max: Option<usize>,
    /// Idle connections kept to one member by one worker.
    pub upstream_idle_max: usize,
    /// How long an idle connection to a member is kept.
    pub upstream_idle_timeout: Duration,
    /// What the values of sticky cookies follow from; the same on every node, and secret.
    pub sticky_key: StickyKey,
    /// Whether OCSP answers are stapled, and whom may be asked for them; none: they are not.
    pub ocsp_stapling: Option<OcspStapling>,
    /// Whether members see the clients' addresses as the source, where the plan says so; the process then needs CAP_NET_ADMIN or
    /// CAP_NET_RAW, and the members' answers must come back to this node.
    pub transparent_client_address: bool,
    /// Where requests are written down; by default nowhere.
    pub access_logs: AccessLogs,
}

/// Whom may be asked for OCSP answers. Certificates name their responders, and tenants give certificates.
#[derive(Clone, Copy, Debug, Default)]
pub struct OcspStapling {
    /// Whether a responder may be at an address of this machine (loopback) or of its link (169.254.0.0/16, fe80::/10).
    pub local_responders: bool,
}

impl Default for Config {
    /// One worker per core; a key that everybody knows; 1,024 idle connections per member, kept for 60 s; OCSP answers are stapled;
    /// members see the node's address.
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connections_max: None,
            upstream_idle_max: 1024,
            upstream_idle_timeout: Duration::from_secs(60),
            sticky_key: StickyKey::new([0; 32]),
            ocsp_stapling: Some(OcspStapling::default()),
            transparent_client_address: false,
            access_logs: AccessLogs::nowhere(),
        }
    }
}

/// What a worker reads into and writes from at most at a time; one such buffer per worker (design section 12).
pub(crate) const SCRATCH_BYTES: usize = 256 * 1024;

/// Connections waiting to be accepted, per socket; the kernel lowers it to net.core.somaxconn.
pub(crate) const BACKLOG: i32 = 4096;

/// What a socket of UDP keeps of datagrams that no worker has taken yet, with the kernel's own use for each (small ones count about
/// 800 bytes). The kernel's default holds not even 300 datagrams.
pub(crate) const DATAGRAM_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Descriptors kept free for what is not a client's or a member's connection: listeners come on top.
pub(crate) const DESCRIPTORS_RESERVED: usize = 256;
