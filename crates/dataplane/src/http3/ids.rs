//! Connection ids of ours: they bring their packets to one worker, and tell whether it is this process that made them.
//!
//! An id is where to (2 bytes, random but for that), 4 random bytes, and a mark of both with a key of the process. So a process that
//! took over another's sockets knows whose a packet is, and an onlooker learns nothing but the place (RFC 9000 section 5.1). A mark
//! that fits by chance costs one new client in four thousand million another try.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

use aws_lc_rs::{hmac, rand};
use quinn::{ConnectionId, ConnectionIdGenerator};

const PLACE_BYTES: usize = 2;
const RANDOM_BYTES: usize = 4;
const MARK_BYTES: usize = 4;

/// As many as make guessing one hopeless (RFC 9000 section 21.5 leaves the number open).
const ID_BYTES: usize = PLACE_BYTES + RANDOM_BYTES + MARK_BYTES;

/// Marks the ids that one process makes for an address.
pub(crate) struct IdKey {
    secret: Secret,
    mac: hmac::Key,
}

/// What a key is made of.
pub(crate) type Secret = [u8; 32];

/// A secret that nobody knows.
pub(crate) fn draw_secret() -> io::Result<Secret> {
    let mut secret = Secret::default();
    rand::fill(&mut secret).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(secret)
}

impl IdKey {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, mac: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// For the process that takes over.
    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    /// Whether an id was made with this key.
    pub(super) fn marked(&self, id: &[u8]) -> bool {
        let Some((begin, mark)) = id.split_last_chunk::<MARK_BYTES>() else { return false };
        id.len() == ID_BYTES && *mark == self.mark(begin)
    }

    fn mark(&self, begin: &[u8]) -> [u8; MARK_BYTES] {
        // An HMAC-SHA256 is longer than that.
        hmac::sign(&self.mac, begin).as_ref().first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdKey").finish_non_exhaustive()
    }
}

/// The id that a packet is for, if it has the length of ours (RFC 8999 section 5).
pub(super) fn destination(packet: &[u8]) -> Option<&[u8]> {
    const FORM_LONG: u8 = 0x80;
    let first = *packet.first()?;
    if first & FORM_LONG == 0 {
        return packet.get(1..1 + ID_BYTES);
    }
    // Flags (1), version (4), the length of the id (1).
    if usize::from(*packet.get(5)?) != ID_BYTES {
        return None;
    }
    packet.get(6..6 + ID_BYTES)
}

/// The place of the socket to which an id brings its packets: as [`place_by_connection_id`] has it.
///
/// [`place_by_connection_id`]: crate::sys::reuseport::place_by_connection_id
pub(super) fn place_of(id: &[u8], sockets: u16) -> u16 {
    id.first_chunk().map_or(0, |begin| u16::from_be_bytes(*begin)) % sockets.max(1)
}

/// Makes ids that bring their packets to one socket.
pub(super) struct Ids {
    pub(super) key: Arc<IdKey>,
    /// The place of the socket among all.
    pub(super) place: Arc<AtomicU16>,
    /// How many sockets there are.
    pub(super) sockets: u16,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // The system gave random numbers when the key was drawn. Should it give none now, ids repeat, and quinn asks again.
        let _filled = rand::fill(&mut id[..PLACE_BYTES + RANDOM_BYTES]);
        let sockets = self.sockets.max(1);
        let drawn = u16::from_be_bytes([id[0], id[1]]);
        // The highest multiple that leaves no room for every place is not used.
        let turn = (drawn / sockets).min(u16::MAX / sockets - 1);
        id[..PLACE_BYTES]
            .copy_from_slice(&(turn * sockets + self.place.load(Relaxed) % sockets).to_be_bytes());
        let mark = self.key.mark(&id[..PLACE_BYTES + RANDOM_BYTES]);
        id[PLACE_BYTES + RANDOM_BYTES..].copy_from_slice(&mark);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Arc<IdKey> {
        Arc::new(IdKey::new(draw_secret().unwrap()))
    }

    #[test]
    fn ids_name_their_socket_and_their_process_and_are_all_different() {
        let (key, other) = (key(), key());
        for sockets in [1_u16, 2, 3, 7, 64, 300] {
            for place in [0, sockets / 2, sockets - 1] {
                let place_now = Arc::new(AtomicU16::new(place));
                let mut ids = Ids { key: key.clone(), place: place_now, sockets };
                let made: Vec<ConnectionId> = (0..100).map(|_| ids.generate_cid()).collect();
                for id in &made {
                    assert_eq!(id.len(), ids.cid_len());
                    assert_eq!(place_of(id, sockets), place);
                    assert!(key.marked(id) && !other.marked(id));
                }
                let different: std::collections::HashSet<&[u8]> = made.iter().map(|id| &**id).collect();
                assert_eq!(different.len(), made.len());
            }
        }
    }

    #[test]
    fn the_id_is_found_in_both_forms_of_header_if_it_is_as_long_as_ours() {
        let id = [7; ID_BYTES];
        let long = |id: &[u8]| [&[0xc0, 0, 0, 0, 1, id.len() as u8], id, &[9; 20]].concat();
        for (what, packet, expect) in [
            ("short", [&[0x40], &id[..], &[9; 20]].concat(), Some(&id[..])),
            ("long", long(&id), Some(&id[..])),
            ("long, of a client that just begins", long(&[7; 8]), None),
            ("cut short", [&[0x40], &id[1..]].concat(), None),
            ("long, cut short", long(&id)[..12].to_vec(), None),
            ("nothing", vec![], None),
        ] {
            assert_eq!(destination(&packet), expect, "{what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_packet_panics_and_what_is_not_marked_is_nobodys(packet in proptest::collection::vec(0_u8.., 0..40)) {
            if let Some(id) = destination(&packet) {
                assert_eq!(id.len(), ID_BYTES);
                assert!(!key().marked(id));
            }
        }
    }
}
