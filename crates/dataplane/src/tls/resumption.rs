//! What sessions of a listener's clients are resumed by: kept as long as it is safe, so that neither a change nor an upgrade costs every
//! client a whole handshake.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use model::ListenerId;
use plan::TlsPlan;
use rustls::{ServerConfig, server::NoServerSessionStorage};
use serde::{Deserialize, Serialize};

use super::{
    sessions::Sessions,
    tickets::{TicketKey, Tickets},
};

/// What sessions are resumed by.
#[derive(Clone)]
pub(crate) struct Resumption {
    /// Who is let in. A session proves that its client was verified: it counts only where the same clients are let in.
    clients: Clients,
    by: By,
}

#[derive(Clone)]
enum By {
    /// Keys of the tickets that clients keep.
    Tickets(Arc<Tickets>),
    /// Sessions that are kept here and taken once, so that clients may speak early.
    Early(Arc<Sessions>),
}

/// A digest of the authorities of a listener's clients.
type Clients = [u8; 32];

/// What one listener's clients resume their sessions by, for a process that takes over.
#[derive(Debug, Serialize, Deserialize)]
pub struct LentResumption {
    /// The listener.
    pub listener: ListenerId,
    clients: Clients,
    by: LentBy,
}

#[derive(Serialize, Deserialize)]
enum LentBy {
    /// The one that seals first.
    Tickets(Vec<TicketKey>),
    /// Id and session, in base64, the oldest first.
    Early(Vec<(String, String)>),
}

impl std::fmt::Debug for LentBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tickets(keys) => write!(f, "{} keys", keys.len()),
            Self::Early(sessions) => write!(f, "{} sessions", sessions.len()),
        }
    }
}

impl Resumption {
    /// Goes on from what was before, where that is safe. `early`: clients may speak before the handshake is over.
    pub(super) fn next(early: bool, plan: &TlsPlan, former: Option<&Self>) -> Result<Self, rustls::Error> {
        let clients = clients(plan);
        let former = former.filter(|former| former.clients == clients);
        let by = match (early, former.map(|former| &former.by)) {
            (true, Some(By::Early(sessions))) => By::Early(sessions.clone()),
            (true, _) => By::Early(Arc::default()),
            (false, Some(By::Tickets(tickets))) => By::Tickets(tickets.clone()),
            (false, _) => {
                By::Tickets(Arc::new(Tickets::draw().map_err(|_| rustls::Error::FailedToGetRandomBytes)?))
            }
        };
        Ok(Self { clients, by })
    }

    /// What another process lent; none: it is nothing of ours.
    pub(crate) fn inherit(lent: &LentResumption) -> Option<Self> {
        let by = match &lent.by {
            LentBy::Tickets(keys) => By::Tickets(Arc::new(Tickets::inherit(keys).ok()?)),
            LentBy::Early(sessions) => {
                let bytes = |text: &String| BASE64.decode(text).ok();
                let sessions = sessions.iter().map(|(id, session)| Some((bytes(id)?, bytes(session)?)));
                By::Early(Arc::new(Sessions::inherit(sessions.collect::<Option<_>>()?)))
            }
        };
        Some(Self { clients: lent.clients, by })
    }

    /// For a process that takes over. Sessions that count once are given away for good, whether it takes over in the end or not: once it
    /// might have, it may have taken some. `room`: how many bytes of them may be given.
    pub(crate) fn lend(&self, listener: ListenerId, room: &mut usize) -> LentResumption {
        let by = match &self.by {
            By::Tickets(tickets) => LentBy::Tickets(tickets.lend()),
            By::Early(sessions) => {
                let text = |bytes: Vec<u8>| BASE64.encode(bytes);
                let given = sessions.give(room);
                LentBy::Early(given.into_iter().map(|(id, session)| (text(id), text(session))).collect())
            }
        };
        LentResumption { listener, clients: self.clients, by }
    }

    /// Has handshakes resumed by it.
    pub(super) fn set_up(&self, config: &mut ServerConfig) {
        match &self.by {
            By::Tickets(tickets) => {
                config.ticketer = tickets.clone();
                config.session_storage = Arc::new(NoServerSessionStorage {});
            }
            By::Early(sessions) => {
                config.session_storage = sessions.clone();
                config.max_early_data_size = EARLY_DATA_BYTES_MAX;
                // What was asked early is answered before the client's Finished.
                config.send_half_rtt_data = true;
            }
        }
    }
}

/// How much a client may say early. It is promised by each ticket, and counted in sealed bytes where the ticket then does not count.
const EARLY_DATA_BYTES_MAX: u32 = 16 * 1024;

fn clients(plan: &TlsPlan) -> Clients {
    let mut said = digest::Context::new(&digest::SHA256);
    if let Some(ca) = &plan.client_ca {
        said.update(ca.id.to_string().as_bytes());
        for authority in &ca.authorities_der {
            said.update(&(authority.len() as u64).to_be_bytes());
            said.update(authority);
        }
    }
    // SHA-256 is as long.
    said.finish().as_ref().first_chunk().copied().unwrap_or_default()
}
