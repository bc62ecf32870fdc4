//! Many datagrams with one call to the system (recvmmsg(2), sendmmsg(2)), from and to as many addresses.
//!
//! rustix has no `recvmmsg`, and quinn-udp sends to one address at a time; a load balancer answers many clients at once.
//!
//! How to drive it: [`Batch::receive_from`], [`Batch::receive`] or [`Batch::receive_one`] fills places from the one that is named on; a place then holds a
//! datagram ([`Batch::datagram`]) until it is filled again. [`Batch::send`] and [`Batch::send_to`] send what a range of places holds.

#![allow(unsafe_code)]

use std::{
    io, mem,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    ops::Range,
    os::fd::{AsFd, AsRawFd},
    ptr,
};

use rustix::net::RecvFlags;

/// How many datagrams a batch holds.
pub(crate) const PLACES: usize = 64;

/// Longest datagram that there is (RFC 768: 16 bits of length, its header included).
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// From one place's bytes to the next one's: not a multiple of a page, so that the beginnings of datagrams do not all compete for
/// the same lines of the processor's caches.
const STRIDE: usize = DATAGRAM_BYTES_MAX + 1 + 64;

/// Room for some datagrams, and all that the system wants to be told about them. Pages that no datagram ever reached take no memory.
pub(crate) struct Batch {
    /// Owned, and only ever used through this pointer, because the messages point into it.
    storage: ptr::NonNull<Storage>,
    /// Of the datagrams in their places.
    lengths: [u16; PLACES],
}

struct Storage {
    bytes: Box<[u8]>,
    names: [Name; PLACES],
    pieces: [libc::iovec; PLACES],
    /// Messages with an address, and the same without.
    addressed: [libc::mmsghdr; PLACES],
    bare: [libc::mmsghdr; PLACES],
}

/// An address of the one or the other family; both begin with it.
#[derive(Clone, Copy)]
#[repr(C)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Batch {
    pub(crate) fn new() -> Self {
        // SAFETY: all of these are plain data of C, for which zeroes are a value (pointers are null).
        let (names, pieces, addressed, bare) =
            unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let bytes = vec![0; PLACES * STRIDE].into_boxed_slice();
        let storage = Box::into_raw(Box::new(Storage { bytes, names, pieces, addressed, bare }));
        // SAFETY: `storage` was just made and nobody else has it; all places are within its arrays.
        unsafe {
            let bytes = (*storage).bytes.as_mut_ptr();
            for place in 0..PLACES {
                let piece = &raw mut (*storage).pieces[place];
                *piece =
                    libc::iovec { iov_base: bytes.add(place * STRIDE).cast(), iov_len: DATAGRAM_BYTES_MAX };
                let name = &raw mut (*storage).names[place];
                for message in [&raw mut (*storage).addressed[place], &raw mut (*storage).bare[place]] {
                    (*message).msg_hdr.msg_iov = piece;
                    (*message).msg_hdr.msg_iovlen = 1;
                }
                (*storage).addressed[place].msg_hdr.msg_name = name.cast();
                (*storage).addressed[place].msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
            }
            Self { storage: ptr::NonNull::new_unchecked(storage), lengths: [0; PLACES] }
        }
    }

    /// Takes what has come to a socket, with the addresses that it came from, into the first places; how many.
    pub(crate) fn receive_from(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        // SAFETY: see `receive_messages`; these messages are those of the storage, from place 0 on.
        unsafe {
            let messages = &raw mut (*self.storage.as_ptr()).addressed;
            let count = self.receive_messages(socket, messages.cast(), 0)?;
            for place in 0..count {
                (*messages)[place].msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
            }
            Ok(count)
        }
    }

    /// Takes what has come to a connected socket into the places from this one on; how many.
    pub(crate) fn receive(&mut self, socket: &impl AsFd, first: usize) -> io::Result<usize> {
        // SAFETY: see `receive_messages`; these messages are those of the storage, from place 0 on.
        unsafe {
            let messages = &raw mut (*self.storage.as_ptr()).bare;
            self.receive_messages(socket, messages.cast(), first)
        }
    }

    /// Takes one datagram from a connected socket into this place.
    pub(crate) fn receive_one(&mut self, socket: &impl AsFd, place: usize) -> io::Result<()> {
        let from = place * STRIDE;
        // SAFETY: the storage lives as long as this value, which is borrowed exclusively.
        let room = unsafe { &mut (&mut (*self.storage.as_ptr()).bytes)[from..from + DATAGRAM_BYTES_MAX] };
        let (length, _) = rustix::net::recv(socket, room, RecvFlags::DONTWAIT)?;
        // Never longer than its room.
        self.lengths[place] = length as u16;
        Ok(())
    }

    /// # Safety
    /// `messages` must be one of both arrays of messages of the storage.
    unsafe fn receive_messages(
        &mut self,
        socket: &impl AsFd,
        messages: *mut libc::mmsghdr,
        first: usize,
    ) -> io::Result<usize> {
        let room = PLACES.saturating_sub(first);
        // SAFETY: `messages` has `PLACES` messages; each says where its bytes and its address are and how long they may be, which is in
        // the storage and lives as long as this value. Nobody else uses them now, as `self` is borrowed exclusively. The descriptor
        // is open as long as `socket` is borrowed.
        unsafe {
            let received = libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                messages.add(first),
                room as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            );
            let Ok(count) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
            for place in first..first + count.min(room) {
                // Never longer than its piece.
                self.lengths[place] = (*messages.add(place)).msg_len as u16;
            }
            Ok(count)
        }
    }

    /// The datagram in a place.
    pub(crate) fn datagram(&self, place: usize) -> &[u8] {
        let from = place * STRIDE;
        let length = usize::from(self.lengths[place]);
        // SAFETY: the storage lives as long as this value, and is written only while it is borrowed exclusively.
        unsafe { &(&(*self.storage.as_ptr()).bytes)[from..from + length] }
    }

    /// Leaves only the beginning of the datagram in a place.
    pub(crate) fn cut(&mut self, place: usize, length: usize) {
        let short = u16::try_from(length).unwrap_or(u16::MAX);
        self.lengths[place] = self.lengths[place].min(short);
    }

    /// Where the datagram in a place came from, or goes to; none: it has no address of IP.
    pub(crate) fn peer(&self, place: usize) -> Option<SocketAddr> {
        // SAFETY: the storage lives as long as this value. Of the union's fields the one is read that the family, with which both begin,
        // says; all of them are numbers, for which any bits are a value, and names are zeroed in the beginning.
        unsafe {
            let name = &(&(*self.storage.as_ptr()).names)[place];
            match libc::c_int::from(name.family) {
                libc::AF_INET => {
                    let libc::sockaddr_in { sin_addr, sin_port, .. } = name.v4;
                    let ip = sin_addr.s_addr.to_ne_bytes().into();
                    Some(SocketAddrV4::new(ip, u16::from_be(sin_port)).into())
                }
                libc::AF_INET6 => {
                    let libc::sockaddr_in6 { sin6_addr, sin6_port, sin6_flowinfo, sin6_scope_id, .. } =
                        name.v6;
                    let (ip, port) = (sin6_addr.s6_addr.into(), u16::from_be(sin6_port));
                    Some(SocketAddrV6::new(ip, port, sin6_flowinfo, sin6_scope_id).into())
                }
                _ => None,
            }
        }
    }

    /// Says where the datagram in a place goes to.
    pub(crate) fn set_peer(&mut self, place: usize, peer: SocketAddr) {
        // SAFETY: the storage lives as long as this value, which is borrowed exclusively; zeroes are a value for these types.
        unsafe {
            let storage = self.storage.as_ptr();
            let name = &raw mut (*storage).names[place];
            let length = match peer {
                SocketAddr::V4(peer) => {
                    (*name).v4 = libc::sockaddr_in {
                        sin_family: libc::AF_INET as libc::sa_family_t,
                        sin_port: peer.port().to_be(),
                        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(peer.ip().octets()) },
                        sin_zero: [0; 8],
                    };
                    size_of::<libc::sockaddr_in>()
                }
                SocketAddr::V6(peer) => {
                    (*name).v6 = libc::sockaddr_in6 {
                        sin6_family: libc::AF_INET6 as libc::sa_family_t,
                        sin6_port: peer.port().to_be(),
                        sin6_flowinfo: peer.flowinfo(),
                        sin6_addr: libc::in6_addr { s6_addr: peer.ip().octets() },
                        sin6_scope_id: peer.scope_id(),
                    };
                    size_of::<libc::sockaddr_in6>()
                }
            };
            (*storage).addressed[place].msg_hdr.msg_namelen = length as libc::socklen_t;
        }
    }

    /// Sends the datagrams in these places on a connected socket; how many went out. Fails only when the first of them cannot be sent.
    pub(crate) fn send(&mut self, socket: &impl AsFd, places: Range<usize>) -> io::Result<usize> {
        // SAFETY: see `send_messages`.
        unsafe {
            let messages = &raw mut (*self.storage.as_ptr()).bare;
            self.send_messages(socket, messages.cast(), places)
        }
    }

    /// As [`Batch::send`], each to its place's peer.
    pub(crate) fn send_to(&mut self, socket: &impl AsFd, places: Range<usize>) -> io::Result<usize> {
        // SAFETY: see `send_messages`; afterwards the messages are again as `receive_from` needs them.
        unsafe {
            let messages = &raw mut (*self.storage.as_ptr()).addressed;
            let sent = self.send_messages(socket, messages.cast(), places.clone());
            for place in places {
                (*messages)[place].msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
            }
            sent
        }
    }

    /// # Safety
    /// `messages` must be one of both arrays of messages of the storage.
    unsafe fn send_messages(
        &mut self,
        socket: &impl AsFd,
        messages: *mut libc::mmsghdr,
        places: Range<usize>,
    ) -> io::Result<usize> {
        let places = places.start.min(PLACES)..places.end.min(PLACES);
        // SAFETY: as for `receive_messages`. Each piece is made as long as the datagram in it, and afterwards as long as its room again.
        unsafe {
            let pieces = &raw mut (*self.storage.as_ptr()).pieces;
            for place in places.clone() {
                (*pieces)[place].iov_len = self.lengths[place].into();
            }
            let sent = libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                messages.add(places.start),
                places.len() as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            );
            let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error());
            for place in places {
                (*pieces)[place].iov_len = DATAGRAM_BYTES_MAX;
            }
            sent
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: it was made by `Box::into_raw` and is given back once.
        drop(unsafe { Box::from_raw(self.storage.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        socket
    }

    #[test]
    fn datagrams_come_with_their_lengths_and_senders_and_go_where_they_should() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let here = socket(address);
            let clients = [socket(address), socket(address), socket(address)];
            let longest = vec![7; 65_000];
            let said: [&[u8]; 3] = [b"one", b"", &longest];
            for (client, bytes) in clients.iter().zip(said) {
                client.send_to(bytes, here.local_addr().unwrap()).unwrap();
            }
            let mut batch = Batch::new();
            assert_eq!(batch.receive_from(&here).unwrap(), 3);
            for place in 0..3 {
                assert_eq!(batch.datagram(place), said[place]);
                assert_eq!(batch.peer(place), Some(clients[place].local_addr().unwrap()));
            }
            let empty = batch.receive_from(&here).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
            // Back, in turn to another one.
            for place in 0..3 {
                batch.set_peer(place, clients[(place + 1) % 3].local_addr().unwrap());
            }
            assert_eq!(batch.send_to(&here, 0..3).unwrap(), 3);
            for place in 0..3 {
                let mut got = vec![0; 70_000];
                let (length, from) = clients[(place + 1) % 3].recv_from(&mut got).unwrap();
                assert_eq!((&got[..length], from), (said[place], here.local_addr().unwrap()));
            }
        }
    }

    #[test]
    fn a_connected_socket_fills_the_places_behind_and_sends_a_part() {
        let (here, there) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        here.connect(there.local_addr().unwrap()).unwrap();
        there.connect(here.local_addr().unwrap()).unwrap();
        for word in ["a", "bb", "ccc"] {
            there.send(word.as_bytes()).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive(&here, PLACES - 2).unwrap(), 2, "as many as there is room for");
        assert_eq!((batch.datagram(PLACES - 2), batch.datagram(PLACES - 1)), (&b"a"[..], &b"bb"[..]));
        batch.receive_one(&here, 5).unwrap();
        assert_eq!(batch.datagram(5), b"ccc");
        let empty = batch.receive_one(&here, 6).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(batch.send(&here, 5..6).unwrap(), 1);
        assert_eq!(batch.send(&here, PLACES - 1..PLACES).unwrap(), 1);
        let mut got = [0; 9];
        for word in ["ccc", "bb"] {
            let length = there.recv(&mut got).unwrap();
            assert_eq!(&got[..length], word.as_bytes());
        }
    }

    #[test]
    fn a_full_batch_is_received_at_once() {
        let (here, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        for n in 0..PLACES as u8 + 3 {
            client.send_to(&[n], here.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new();
        assert_eq!(batch.receive_from(&here).unwrap(), PLACES);
        assert!((0..PLACES).all(|place| batch.datagram(place) == [place as u8]));
        assert_eq!(batch.receive_from(&here).unwrap(), 3);
        assert_eq!(batch.datagram(2), [PLACES as u8 + 2]);
    }
}
