//! One process gives its place to the next: `fulcrum upgrade`, or SIGUSR2.
//!
//! ```text
//!  former process                                    its heir
//!  starts the binary ───────────── standard input is the channel ──▶ reads its configuration
//!                    ◀── Hello ──────────────────────────────────── or ends, and nothing has happened
//!  the API waits; calls in hand end; the plan is saved, the store closed
//!                    ─── Sockets … Rest ──────────────────────────▶ last good plan, store, account: as in any start,
//!                    ◀── Ready ─────────────────────────────────── but nothing is accepted
//!  accepts no more   ─── Go ──────────────────────────────────────▶ accepts
//!                    ◀── Serving ─────────────────────────────────
//!  gives waiting API requests to the heir, drains, ends
//! ```
//!
//! - Until `Serving` the former process can go back: it ends the heir, opens the store and goes on. The heir touched no client.
//! - The store has one user at a time, and the API one that answers: the former stops before the heir begins.
//! - Sockets are handed over themselves (SCM_RIGHTS), with all that waits in their queues, as are the lock of the data directory and
//!   the socket that `fulcrum upgrade` speaks to. A socket is named by a label, so that datagrams' sockets need only another one.
//! - The two may be of different versions. A change of the messages that the other side could not understand gets another
//!   [`PROTOCOL`]; then the hand-over is refused, and a restart is needed.

mod channel;
mod former;
mod heir;

use std::net::{IpAddr, SocketAddr};

use dataplane::LentResumption;
use model::{MemberHealth, MemberId, TargetId};
use serde::{Deserialize, Serialize};

pub(crate) use former::{Bequest, Candidate, CannotHandOver, Successor, binary_of_this_process};
pub(crate) use heir::{Heir, Inherited};

/// The version of the messages.
const PROTOCOL: u32 = 2;

/// Set for a process whose standard input is the channel.
const VARIABLE: &str = "FULCRUM_HANDOVER";

/// What the heir says.
#[derive(Debug, Serialize, Deserialize)]
enum FromHeir {
    /// It runs and has a configuration.
    Hello { protocol: u32, version: String },
    /// All is in force, and nothing is accepted.
    Ready,
    /// It accepts.
    Serving,
    /// It cannot take over.
    Failed { why: String },
}

/// What the former process says.
#[derive(Debug, Serialize, Deserialize)]
enum FromFormer {
    /// Sockets and other descriptors come with this message, in this order. There may be several such messages.
    Sockets { labels: Vec<Label> },
    /// All that is handed over but sockets; the last message of its kind.
    Rest {
        /// What is known of members.
        health: Vec<((TargetId, MemberId), MemberHealth)>,
        /// Whether the API was served, so that it must be served again.
        api_open: bool,
        /// What belongs to sockets of QUIC.
        quic: Vec<QuicRest>,
        /// What clients resume their sessions of TLS by.
        resumptions: Vec<LentResumption>,
    },
    /// The former process accepts no more.
    Go,
}

/// What belongs to the sockets of an address of QUIC.
#[derive(Debug, Serialize, Deserialize)]
struct QuicRest {
    address: SocketAddr,
    secrets: [[u8; 32]; 2],
    /// Of each process that had the sockets, what marks its connection ids; the last one first.
    former_secrets: Vec<[u8; 32]>,
}

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Label {
    /// The lock of the data directory.
    Lock,
    /// Where the API is served.
    Api,
    /// Where `fulcrum upgrade` asks.
    Control,
    /// A sample member of `--demo`.
    Sample(IpAddr),
    /// Where connections of clients arrive.
    Tcp(SocketAddr),
    /// Where datagrams of clients arrive.
    Udp(SocketAddr),
    /// The way to flows that a process has on the socket before this.
    Flows,
    /// Where packets of QUIC arrive, in the order of the sockets' places.
    Quic(SocketAddr),
    /// The way to the connections of QUIC of a process that had this address, in the same order.
    QuicFormer {
        /// The address.
        address: SocketAddr,
        /// Which of the processes, the last one first.
        former: usize,
    },
}
