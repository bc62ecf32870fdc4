//! Which of the sockets that share a UDP port gets a datagram.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// Sends datagrams of QUIC to the socket that its connection id names: the first two bytes of the destination id, modulo the number
/// of sockets, is the socket's place in the order in which they were bound. Of the clients' first packets the id is random.
///
/// One call, on any of the sockets, holds for all, also for those that are bound later.
pub(crate) fn place_by_connection_id(socket: &impl AsFd, sockets: u32) -> io::Result<()> {
    // The program sees the payload of the datagram from offset 0 (socket(7), SO_ATTACH_REUSEPORT_CBPF).
    let program = [
        // The first byte; its highest bit tells a long header.
        statement(LOAD_BYTE_ABSOLUTE, 0),
        jump_if_all_set(0x80, 0, 2),
        // Flags (1), version (4) and the length of the id (1) are before the id.
        statement(LOAD_HALF_ABSOLUTE, 6),
        jump(1),
        // Flags (1) are before the id.
        statement(LOAD_HALF_ABSOLUTE, 1),
        statement(MODULO, sockets.max(1)),
        statement(RETURN_ACCUMULATOR, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the descriptor is open as long as `socket` is borrowed; `filter` and the program it points at live until the call
    // returns, which copies them and does not write to them, and the length is that of a `sock_fprog`.
    // There is no safe way: neither rustix nor socket2 knows this option.
    let set = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips so many instructions if these bits are set, or not.
const fn jump_if_all_set(bits: u32, set: u8, unset: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16,
        jt: set,
        jf: unset,
        k: bits,
    }
}

/// Skips so many instructions.
const fn jump(over: u32) -> libc::sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JA, over)
}

const LOAD_BYTE_ABSOLUTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF_ABSOLUTE: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const RETURN_ACCUMULATOR: u32 = libc::BPF_RET | 0x10;

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, time::Duration};

    use super::*;
    use crate::bind::bind_datagrams;

    #[test]
    fn the_id_picks_the_socket_in_long_and_short_headers_from_whatever_address() {
        let first = bind_datagrams("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let sockets = [first, bind_datagrams(address).unwrap(), bind_datagrams(address).unwrap()];
        place_by_connection_id(&sockets[0], 3).unwrap();
        for (id, expect) in [(0_u16, 0), (1, 1), (2, 2), (3, 0), (0xfffe, 2), (0x0100, 1)] {
            let id = id.to_be_bytes();
            let short = [&[0x40][..], &id, &[9; 20]].concat();
            let long = [&[0xc0, 0, 0, 0, 1, 8][..], &id, &[9; 20]].concat();
            for packet in [short, long] {
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                client.send_to(&packet, address).unwrap();
                let socket = &sockets[expect];
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut got = [0; 64];
                let (bytes, from) = socket.recv_from(&mut got).unwrap();
                assert_eq!((&got[..bytes], from), (&packet[..], client.local_addr().unwrap()), "{id:?}");
            }
        }
    }
}
