//! What the system knows of a connection's round trips.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    os::fd::{AsFd, AsRawFd},
};

/// What a connection's round-trip time was when it was asked for last. To ask costs as much as a twentieth of a small request,
/// and the answer is an average over many packets anyway.
#[derive(Default)]
pub(crate) struct RoundTrip(Cell<Option<Asked>>);

#[derive(Clone, Copy)]
struct Asked {
    tick: u32,
    micros: Option<u32>,
}

impl RoundTrip {
    /// The round-trip time in microseconds, which is asked for once in a tick of the worker's table.
    pub(crate) fn micros(&self, tick: u32, ask: impl FnOnce() -> Option<u32>) -> Option<u32> {
        let known = self.0.get().filter(|asked| asked.tick == tick);
        let asked = known.unwrap_or_else(|| Asked { tick, micros: ask() });
        self.0.set(Some(asked));
        asked.micros
    }
}

/// The smoothed round-trip time in microseconds (tcp(7), TCP_INFO); none: the system does not say.
pub(crate) fn rtt_micros(socket: &impl AsFd) -> Option<u32> {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the buffer is as long as `length` says, and all bytes of it are
    // zero before the call, which is a valid `tcp_info`, however many of them the system writes.
    let info = unsafe {
        let asked = libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        (asked == 0).then(|| info.assume_init())
    };
    info.map(|info| info.tcpi_rtt)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_round_trip_is_asked_for_once_in_a_tick() {
        let round_trip = RoundTrip::default();
        let asked = Cell::new(0);
        let ask = |answer| {
            asked.set(asked.get() + 1);
            answer
        };
        for (why, tick, answer, micros, times) in [
            ("nobody has asked", 7, Some(30), Some(30), 1),
            ("it is known", 7, Some(40), Some(30), 1),
            ("it is old", 8, None, None, 2),
            ("that nothing is known is an answer, too", 8, Some(50), None, 2),
            ("ticks begin again after the last one", 0, Some(60), Some(60), 3),
        ] {
            assert_eq!(round_trip.micros(tick, || ask(answer)), micros, "{why}");
            assert_eq!(asked.get(), times, "{why}");
        }
    }

    #[test]
    fn the_system_knows_the_round_trip_of_a_connection_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(rtt_micros(&client).is_some_and(|micros| micros < 1_000_000));
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(rtt_micros(&datagrams), None);
    }
}
