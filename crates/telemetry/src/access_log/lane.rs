//! A worker's end of the access logs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc::SyncSender,
};

use model::LoadBalancerId;

use super::{Record, record::Clock, writer::Message};

/// Where a worker writes its records. It belongs to one worker, which must [`Lane::flush`] it now and then.
pub struct Lane {
    to: Option<SyncSender<Message>>,
    dropped: Arc<AtomicU64>,
    clock: Clock,
    /// A buffer per load balancer that was written to since the last flush. They are few, and the one in use stands first.
    open: Vec<Lines>,
}

/// Lines of one load balancer.
pub(super) struct Lines {
    pub(super) load_balancer: LoadBalancerId,
    pub(super) text: Vec<u8>,
    pub(super) count: u64,
}

/// A buffer of so many bytes is sent at once.
const SEND_BYTES: usize = 48 * 1024;
/// The room that a new buffer gets.
const BUFFER_BYTES: usize = 64 * 1024;

impl Lane {
    pub(super) fn new(to: Option<SyncSender<Message>>, dropped: Arc<AtomicU64>) -> Self {
        Self { to, dropped, clock: Clock::default(), open: Vec::new() }
    }

    /// Writes a record down.
    pub fn write(&mut self, record: &Record<'_>) {
        let id = record.load_balancer;
        let at = self.open.iter().position(|lines| lines.load_balancer == id).unwrap_or_else(|| {
            self.open.push(Lines { load_balancer: id, text: Vec::with_capacity(BUFFER_BYTES), count: 0 });
            self.open.len() - 1
        });
        self.open.swap(0, at);
        let lines = &mut self.open[0];
        record.write(&mut self.clock, &mut lines.text);
        lines.count += 1;
        if lines.text.len() >= SEND_BYTES {
            let full = self.open.swap_remove(0);
            self.send(full);
        }
    }

    /// Whether something waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        while let Some(lines) = self.open.pop() {
            self.send(lines);
        }
    }

    fn send(&self, lines: Lines) {
        let count = lines.count;
        let sent = self.to.as_ref().is_some_and(|to| to.try_send(Message::Lines(lines)).is_ok());
        if !sent {
            self.dropped.fetch_add(count, Relaxed);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.flush();
    }
}
