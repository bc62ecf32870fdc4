//! Watching the client while a member works for it.
//!
//! A client that breaks its connection wants no answer: its request is given up, and the member learns it. One that has only said
//! all still waits for its answer. The reactor tells when there is news, so watching calls the system only then; what came is
//! read, as a reset hides behind bytes and shows at the end of them.
//!
//! What it does not do: behind the end of what a client says (and behind more than [`AHEAD_BYTES_MAX`] of its next requests) a reset
//! shows at the next write.

use std::task::{Context, Poll, ready};

use super::{Exchange, UpState};
use crate::http::connection::Connection;

/// What is read of a client's next requests while one is served. More waits in the socket until its turn, which holds the client
/// back.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

impl Exchange {
    /// Ready when the client is gone.
    pub(super) fn poll_client_gone(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<()> {
        if connection.client.shares_connection() {
            return if connection.client.is_gone(cx) { Poll::Ready(()) } else { Poll::Pending };
        }
        // While its body comes, reading that tells. What the member did not take of a body must not be taken for a request.
        if self.up_state != UpState::Sent {
            return Poll::Pending;
        }
        while !self.client_ended && connection.input.len() < AHEAD_BYTES_MAX {
            let worker = &*self.door.worker;
            let mut scratch = worker.buffers.scratch.borrow_mut();
            let window = &mut scratch[..AHEAD_BYTES_MAX - connection.input.len()];
            match ready!(connection.client.poll_read(cx, window)) {
                Ok(0) => self.client_ended = true,
                Ok(bytes) => worker.buffers.add(&mut connection.input, &window[..bytes]),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
