//! The data plane: workers that accept, relay, forward and probe. The only hot crate.
//!
//! The three journeys through it:
//! - *A connection*: `acceptor` → `layer4` or `http` → `target` (which member) → `member` (a kept connection or a new
//!   one) → back. All of it happens in one worker, which shares nothing with others but plans, health bits and counts.
//! - *A datagram*: `udp` → the flow's member, or for a new flow `target` → back.
//! - *A change*: [`Dataplane::apply`] compares plans by pointer, binds sockets, tells the prober and then every worker, and waits
//!   until all run on it. A connection looks for its listener's present plan once per request.
//!
//! Two threads beside the workers look after what they use: the prober (`probe`) and the stapler (`ocsp`).
//!
//! What it does not do: it decides nothing that `plan` or `balance` could; it parses nothing that `wire` does not; it writes no
//! file. Design sections 7 and 12 say why it is built so.

mod acceptor;
mod bind;
mod blame;
mod buffer;
mod clock;
mod config;
mod dataplane;
mod drain;
mod handover;
mod http;
mod http2;
mod http3;
mod introduced;
mod io;
mod layer4;
mod limits;
mod member;
mod ocsp;
mod pipe;
mod probe;
mod relay;
mod rounds;
mod service;
mod source;
mod stream;
mod sys;
mod table;
mod target;
mod ticker;
mod tls;
mod udp;
mod worker;

pub use balance::StickyKey;
pub use config::{Config, OcspStapling};
pub use dataplane::{Applied, Dataplane, start, take_over};
pub use handover::{Inheritance, ListeningSocket, QuicFormer, QuicSockets, Verdicts};
pub use probe::HealthChange;
pub use tls::LentResumption;
