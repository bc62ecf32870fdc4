//! Bytes that wait between two calls, and the buffers of a worker that all its sessions use in turn.

use std::cell::{RefCell, RefMut};

use super::record::{DATA_BYTES_MAX, OVERHEAD_BYTES_MAX};

/// Bytes that wait; usually none, and then nothing is owned.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    at: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What waits.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Adds bytes.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds room for so many bytes, to be written by the caller.
    pub(super) fn room_for(&mut self, bytes: usize) -> &mut [u8] {
        let begin = self.bytes.len();
        self.bytes.resize(begin + bytes, 0);
        &mut self.bytes[begin..]
    }

    /// Takes back what [`Held::room_for`] gave too much.
    pub(super) fn take_back(&mut self, bytes: usize) {
        self.bytes.truncate((self.bytes.len() - bytes).max(self.at));
        self.advance(0);
    }

    /// So many bytes of the rest are done with.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        if self.is_empty() {
            // Freed: an idle session keeps nothing.
            *self = Self::default();
        }
    }

    /// Moves what fits into `buffer`; how much that was.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let bytes = self.rest().len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.rest()[..bytes]);
        self.advance(bytes);
        bytes
    }
}

/// The buffers for records of one worker. Neither is held while a task waits.
#[derive(Default)]
pub(crate) struct TlsScratch {
    incoming: RefCell<Vec<u8>>,
    outgoing: RefCell<Vec<u8>>,
}

/// What is read from a socket at a time, behind the beginning of a record that came before.
const INCOMING_BYTES: usize = 6 * (DATA_BYTES_MAX + OVERHEAD_BYTES_MAX);

/// Records that are written with one call.
const OUTGOING_RECORDS: usize = 8;

impl TlsScratch {
    /// What records are read into; longer than any record.
    pub(super) fn incoming(&self) -> RefMut<'_, Vec<u8>> {
        sized(&self.incoming, INCOMING_BYTES)
    }

    /// What records are sealed into.
    pub(super) fn outgoing(&self) -> RefMut<'_, Vec<u8>> {
        sized(&self.outgoing, OUTGOING_RECORDS * (DATA_BYTES_MAX + OVERHEAD_BYTES_MAX))
    }
}

/// A worker without TLS pays for no buffer.
fn sized(buffer: &RefCell<Vec<u8>>, bytes: usize) -> RefMut<'_, Vec<u8>> {
    let mut buffer = buffer.borrow_mut();
    if buffer.is_empty() {
        buffer.resize(bytes, 0);
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_out_in_order_and_then_owns_nothing() {
        let mut held = Held::default();
        held.extend(b"abc");
        held.room_for(3).copy_from_slice(b"dex");
        held.take_back(1);
        let mut out = [0; 4];
        assert_eq!((held.take(&mut out), &out), (4, b"abcd"));
        assert_eq!(held.rest(), b"e");
        assert_eq!(held.take(&mut out), 1);
        assert_eq!((held.is_empty(), held.bytes.capacity()), (true, 0));
    }
}
