//! Tickets: sessions that clients keep, sealed with keys that only we have.
//!
//! A ticket is the key's name, a nonce, the session and a tag (AES-256-GCM; the layout is that of RFC 5077 section 4). A key seals
//! tickets for six hours and opens them for six more, then it is forgotten, so that what was overheard before stays secret. rustls
//! has such keys, too; these can be handed to a process that takes over, so that sessions outlive an upgrade.
//!
//! All workers share them. They are touched by handshakes, and never by a request.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand,
};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

/// For how long a key seals, and then opens.
const TURN_S: u64 = 6 * 60 * 60;

const NAME_BYTES: usize = 16;

/// What a key is made of, for a process that takes over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TicketKey {
    /// Which tickets are sealed with it.
    name: [u8; NAME_BYTES],
    secret: [u8; 32],
    /// From when on it seals, in seconds since 1970.
    from_s: u64,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("from_s", &self.from_s).finish_non_exhaustive()
    }
}

/// Seals and opens the tickets of a listener.
pub(super) struct Tickets {
    keys: Mutex<Keys>,
    now_s: fn() -> u64,
}

struct Keys {
    seals: Arc<Key>,
    /// The one before, which opens only.
    opens: Option<Arc<Key>>,
}

struct Key {
    made_of: TicketKey,
    aead: RandomizedNonceKey,
}

impl Tickets {
    /// With a key that nobody else has.
    pub(super) fn draw() -> Result<Self, Unspecified> {
        let keys = Keys { seals: Key::draw(now_s())?, opens: None };
        Ok(Self { keys: Mutex::new(keys), now_s })
    }

    /// With keys of a process before.
    pub(super) fn inherit(keys: &[TicketKey]) -> Result<Self, Unspecified> {
        let mut keys = keys.iter().map(|key| Key::new(key.clone()));
        let seals = keys.next().ok_or(Unspecified)??;
        let opens = keys.next().transpose()?;
        Ok(Self { keys: Mutex::new(Keys { seals, opens }), now_s })
    }

    /// For a process that takes over, the one that seals first.
    pub(super) fn lend(&self) -> Vec<TicketKey> {
        let keys = self.keys();
        [Some(&keys.seals), keys.opens.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| key.made_of.clone())
            .collect()
    }

    /// The keys of this moment.
    fn keys(&self) -> MutexGuard<'_, Keys> {
        // Whoever panicked left keys that are each whole.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.now_s)();
        let age = now.saturating_sub(keys.seals.made_of.from_s);
        if age >= TURN_S {
            // Without random numbers the old one has to do.
            if let Ok(next) = Key::draw(now) {
                let former = std::mem::replace(&mut keys.seals, next);
                keys.opens = (age < 2 * TURN_S).then_some(former);
            }
        }
        keys
    }
}

impl Key {
    fn new(made_of: TicketKey) -> Result<Arc<Self>, Unspecified> {
        let aead = RandomizedNonceKey::new(&AES_256_GCM, &made_of.secret)?;
        Ok(Arc::new(Self { made_of, aead }))
    }

    fn draw(from_s: u64) -> Result<Arc<Self>, Unspecified> {
        let mut made_of = TicketKey { name: Default::default(), secret: Default::default(), from_s };
        rand::fill(&mut made_of.name)?;
        rand::fill(&mut made_of.secret)?;
        Self::new(made_of)
    }

    fn seal(&self, session: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let name = &self.made_of.name;
        let mut sealed = session.to_vec();
        let nonce = self.aead.seal_in_place_append_tag(Aad::from(name), &mut sealed)?;
        Ok([&name[..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, nonce: &[u8; NONCE_LEN], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut session = sealed.to_vec();
        let nonce = Nonce::from(nonce);
        let length = self.aead.open_in_place(nonce, Aad::from(&self.made_of.name), &mut session)?.len();
        session.truncate(length);
        Ok(session)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// As long as a key seals and opens; a ticket of its last moment counts for half of that.
    fn lifetime(&self) -> u32 {
        2 * TURN_S as u32
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys().seals.clone();
        key.seal(session).ok()
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = {
            let keys = self.keys();
            let known = [Some(&keys.seals), keys.opens.as_ref()];
            known.into_iter().flatten().find(|key| key.made_of.name == *name)?.clone()
        };
        key.open(nonce, sealed).ok()
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NOW_S: Cell<u64> = const { Cell::new(1_000_000) };
    }

    fn tickets() -> Tickets {
        NOW_S.set(1_000_000);
        let drawn = Tickets::draw().unwrap();
        let mut keys = drawn.lend();
        keys[0].from_s = 1_000_000;
        Tickets { now_s: || NOW_S.get(), ..Tickets::inherit(&keys).unwrap() }
    }

    #[test]
    fn a_ticket_is_opened_until_its_key_is_forgotten() {
        for (passes_s, opens) in [(0, true), (TURN_S - 1, true), (TURN_S, true), (2 * TURN_S, false)] {
            let tickets = tickets();
            let ticket = tickets.encrypt(b"session").unwrap();
            NOW_S.set(1_000_000 + passes_s);
            assert_eq!(tickets.decrypt(&ticket).is_some(), opens, "after {passes_s} s");
            let keys = tickets.lend();
            assert_eq!(keys.len(), if passes_s == TURN_S { 2 } else { 1 }, "after {passes_s} s");
        }
        let tickets = tickets();
        let ticket = tickets.encrypt(b"session").unwrap();
        for turn in 1..4 {
            NOW_S.set(1_000_000 + turn * TURN_S);
            let newer = tickets.encrypt(b"newer").unwrap();
            assert_eq!(tickets.decrypt(&newer).as_deref(), Some(&b"newer"[..]));
            assert_eq!(tickets.decrypt(&ticket).is_some(), turn == 1, "in turn {turn}");
        }
    }

    #[test]
    fn the_next_process_opens_what_was_sealed_and_the_other_way_round() {
        let former = tickets();
        let ticket = former.encrypt(b"session").unwrap();
        let heir = Tickets::inherit(&former.lend()).unwrap();
        let heir = Tickets { now_s: || NOW_S.get(), ..heir };
        assert_eq!(heir.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(former.decrypt(&heir.encrypt(b"newer").unwrap()).as_deref(), Some(&b"newer"[..]));
        assert!(Tickets::inherit(&[]).is_err());
    }

    #[test]
    fn what_was_not_sealed_here_is_not_opened() {
        let tickets = tickets();
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_ne!(ticket, tickets.encrypt(b"session").unwrap(), "no two are alike");
        assert!(!ticket.windows(7).any(|bytes| bytes == b"session"));
        for place in 0..ticket.len() {
            let mut other = ticket.clone();
            other[place] ^= 1;
            assert_eq!(tickets.decrypt(&other), None, "changed at {place}");
            assert_eq!(tickets.decrypt(&ticket[..place]), None, "cut at {place}");
        }
        assert_eq!(super::super::tickets::Tickets::draw().unwrap().decrypt(&ticket), None);
    }
}
