//! The buffers of one worker.
//!
//! There is one large scratch buffer for reading and one for heads that are being written; both are empty whenever a task
//! waits. What could not be written at once is kept in a [`Pending`], whose bytes come from a pool and go back to it; so an idle
//! connection owns no buffer.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
};

use bytes::{Bytes, BytesMut};

use crate::{config::SCRATCH_BYTES, stream::Stream};

/// A pooled buffer that grew beyond this is freed instead of kept.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Pooled buffers that a worker keeps.
const KEPT_MAX: usize = 256;

/// The buffers of one worker.
pub(crate) struct Buffers {
    /// What a read goes into. Never held while waiting.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// What a head is written into. Never held while waiting.
    pub(crate) head: RefCell<Vec<u8>>,
    kept: RefCell<Vec<Vec<u8>>>,
    /// What small shared bytes are cut from.
    shared: RefCell<BytesMut>,
}

/// Shared bytes up to this length are cut from one block.
const SHARED_BYTES_MAX: usize = 2 * 1024;

/// The block that they are cut from.
const BLOCK_BYTES: usize = 16 * 1024;

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            head: RefCell::new(Vec::with_capacity(16 * 1024)),
            kept: RefCell::default(),
            shared: RefCell::default(),
        }
    }

    /// An empty buffer for so many bytes that will be shared. Small ones cost no allocation of their own.
    pub(crate) fn room(&self, bytes: usize) -> BytesMut {
        if bytes > SHARED_BYTES_MAX {
            return BytesMut::with_capacity(bytes);
        }
        let mut block = self.shared.borrow_mut();
        if block.capacity() < bytes {
            block.reserve(BLOCK_BYTES);
        }
        let rest = block.split_off(bytes);
        std::mem::replace(&mut *block, rest)
    }

    /// A shared copy of these bytes.
    pub(crate) fn share(&self, bytes: &[u8]) -> Bytes {
        let mut copy = self.room(bytes.len());
        copy.extend_from_slice(bytes);
        copy.freeze()
    }

    /// A buffer with a copy of these bytes.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.kept.borrow_mut().pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// Adds bytes to a buffer that usually has none.
    pub(crate) fn add(&self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        if buffer.capacity() == 0 {
            *buffer = self.keep(bytes);
        } else {
            buffer.extend_from_slice(bytes);
        }
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut kept = self.kept.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= KEPT_BYTES_MAX && kept.len() < KEPT_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// Bytes on their way to a stream that did not take them yet.
#[derive(Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl Pending {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what is left of these pieces after their first `written` bytes.
    pub(crate) fn keep(&mut self, buffers: &Buffers, pieces: &[IoSlice<'_>], mut written: usize) {
        for piece in pieces {
            let skipped = written.min(piece.len());
            written -= skipped;
            let rest = &piece[skipped..];
            if rest.is_empty() {
                continue;
            }
            buffers.add(&mut self.bytes, rest);
        }
    }

    /// Writes what the stream takes; how much that was.
    pub(crate) fn flush(&mut self, buffers: &Buffers, to: &mut Stream) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            let written = to.write(&[IoSlice::new(&self.bytes[self.written..])])?;
            if written == 0 {
                return Ok(total);
            }
            self.written += written;
            total += written;
        }
        self.clear(buffers);
        Ok(total)
    }

    /// Takes out what waits.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.written));
        bytes
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self, buffers: &Buffers) {
        self.written = 0;
        if self.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl From<Vec<u8>> for Pending {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_of_several_pieces_is_kept_in_order() {
        let buffers = Buffers::new();
        for written in 0..=6 {
            let mut pending = Pending::default();
            let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
            pending.keep(&buffers, &pieces, written);
            assert_eq!(&pending.bytes[..], &b"abcdef"[written..], "{written} written");
            assert_eq!(pending.len(), 6 - written);
            pending.clear(&buffers);
        }
    }

    #[test]
    fn the_pool_keeps_small_buffers_and_frees_large_ones() {
        let buffers = Buffers::new();
        buffers.give_back(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(buffers.kept.borrow().len(), 0);
        let kept = buffers.keep(b"x");
        buffers.give_back(kept);
        assert_eq!(buffers.kept.borrow().len(), 1);
        assert_eq!(buffers.keep(b"y"), b"y", "nothing of a former use is left");
    }
}
