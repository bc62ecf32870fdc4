//! What the system knows of a connection's round trips.

#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

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
