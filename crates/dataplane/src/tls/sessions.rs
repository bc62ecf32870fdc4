//! Sessions that a listener with early data remembers, for its clients to resume.
//!
//! A ticket with early data has to count once: whoever overhears the client's first flight could say it again (RFC 8446 section
//! 8.1). So such listeners keep sessions here instead of sealing them into tickets, and a session that is taken is gone: the same
//! flight said again finds nothing, its early data is dropped unread, and a whole handshake follows. That holds within one process, as
//! each has its own memory; in an upgrade what is remembered moves to the next one.
//!
//! All workers share it. It is touched by handshakes, a few times each, and never by a request.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustls::server::StoresServerSessions;

/// A bounded memory of sessions. The oldest are forgotten first.
pub(super) struct Sessions {
    kept: Mutex<Kept>,
    sessions_max: usize,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<Vec<u8>, Vec<u8>>,
    /// In the order in which they came; those that were taken stay here until their turn.
    order: VecDeque<Vec<u8>>,
}

/// Sessions that one listener remembers; a handshake of TLS 1.3 adds two. At some 400 bytes each, at most 7 MiB.
const SESSIONS_MAX: usize = 16 * 1024;

impl Default for Sessions {
    fn default() -> Self {
        Self::up_to(SESSIONS_MAX)
    }
}

impl Sessions {
    fn up_to(sessions_max: usize) -> Self {
        Self { kept: Mutex::default(), sessions_max }
    }

    /// With what another process remembered, the oldest first.
    pub(super) fn inherit(sessions: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let here = Self::default();
        for (id, session) in sessions {
            here.put(id, session);
        }
        here
    }

    /// Gives away what is remembered: the newest sessions, as many as there is room for, the oldest of them first.
    pub(super) fn give(&self, room: &mut usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Kept { mut by_id, order } = std::mem::take(&mut *self.kept());
        let mut given = Vec::new();
        for id in order.into_iter().rev() {
            let Some(session) = by_id.remove(&id) else { continue };
            let Some(left) = room.checked_sub(id.len() + session.len()) else { break };
            *room = left;
            given.push((id, session));
        }
        given.reverse();
        given
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked left a map and a queue that are each whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let mut kept = self.kept();
        while kept.order.len() >= self.sessions_max
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_id.remove(&oldest);
        }
        kept.by_id.insert(id.clone(), session);
        kept.order.push_back(id);
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.kept().by_id.get(id).cloned()
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.kept().by_id.remove(id)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_taken_once() {
        let sessions = Sessions::default();
        assert!(sessions.put(b"a".to_vec(), b"secret".to_vec()));
        assert_eq!(sessions.get(b"a").as_deref(), Some(&b"secret"[..]), "looking takes nothing");
        assert_eq!(sessions.take(b"a").as_deref(), Some(&b"secret"[..]));
        assert_eq!((sessions.take(b"a"), sessions.get(b"a")), (None, None));
    }

    #[test]
    fn the_oldest_are_forgotten_first_and_no_more_is_kept_than_the_bound() {
        let sessions = Sessions::up_to(3);
        for id in 0..10_u8 {
            sessions.put(vec![id], vec![id]);
            if id % 2 == 0 {
                sessions.take(&[id]);
            }
            let kept = sessions.kept();
            assert!(kept.by_id.len() <= 3 && kept.order.len() <= 3);
        }
        let left: Vec<u8> = (0..10).filter(|id| sessions.get(&[*id]).is_some()).collect();
        assert_eq!(left, [7, 9]);
    }
    #[test]
    fn what_is_given_away_counts_in_one_place_only() {
        let former = Sessions::default();
        for n in 0..10_u8 {
            former.put(vec![n], vec![n; 9]);
        }
        former.take(&[8]);
        let mut room = 45;
        let given = former.give(&mut room);
        assert_eq!(
            given.iter().map(|(id, _)| id[0]).collect::<Vec<_>>(),
            [5, 6, 7, 9],
            "the newest that fit"
        );
        assert!((0..10).all(|id| former.get(&[id]).is_none()));
        let heir = Sessions::inherit(given);
        assert_eq!((heir.take(&[5]), heir.take(&[5])), (Some(vec![5; 9]), None));
        assert_eq!(heir.take(&[8]), None, "it was taken before");
        former.put(vec![11], vec![11]);
        assert_eq!(former.take(&[11]), Some(vec![11]), "it goes on with what comes");
    }
}
