//! Packets of a process that had the sockets before: they go to it over a link, and its answers leave by the same sockets, of which it
//! has descriptors of its own.
//!
//! A message is the client's address, the ECN bits, the length of each packet but the last, and what came at once from that client: one
//! packet or several, as the kernel joined them. Nothing comes back.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use quinn::udp::{EcnCodepoint, RecvMeta};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, recvmsg, sendmsg, sockopt};

use super::ids::{IdKey, place_of};
use crate::handover::{
    QuicFormer,
    link::{self, ADDRESS_BYTES, FLAGS},
};

/// A process that had the sockets of an address before, and has connections there.
#[derive(Debug)]
pub(crate) struct Former {
    key: IdKey,
    /// By place.
    links: Vec<Link>,
    /// Of the links, those whose other end is open.
    open: AtomicUsize,
}

#[derive(Debug)]
struct Link {
    socket: OwnedFd,
    over: AtomicBool,
}

impl From<QuicFormer> for Former {
    fn from(QuicFormer { id_secret, links }: QuicFormer) -> Self {
        let links: Vec<Link> =
            links.into_iter().map(|socket| Link { socket, over: AtomicBool::new(false) }).collect();
        Self { key: IdKey::new(id_secret), open: AtomicUsize::new(links.len()), links }
    }
}

impl Former {
    /// Whether it has ended, or has no connection any more.
    pub(super) fn is_over(&self) -> bool {
        self.open.load(Relaxed) == 0
    }

    /// Whether a connection of its has this id.
    pub(super) fn has(&self, id: &[u8]) -> bool {
        self.key.marked(id)
    }

    /// Passes what came for an id on. False: there is nobody any more to take it.
    pub(super) fn pass(&self, id: &[u8], packets: &[u8], meta: &RecvMeta) -> bool {
        let place = place_of(id, self.links.len() as u16);
        let Some(link) = self.links.get(usize::from(place)).filter(|link| !link.over.load(Relaxed)) else {
            return false;
        };
        match send(&link.socket, packets, meta) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(_) => {
                self.note_over(place.into());
                false
            }
        }
    }

    /// Other descriptors of the links that a socket has to look after, when so many do that: when one of them ends, that is to be
    /// noted.
    pub(super) fn watched_by(
        &self,
        socket: usize,
        sockets: usize,
    ) -> impl Iterator<Item = (usize, io::Result<OwnedFd>)> {
        let links = self.links.iter().enumerate().skip(socket).step_by(sockets.max(1));
        links.map(|(place, link)| (place, link.socket.try_clone()))
    }

    /// A link has ended.
    pub(super) fn note_over(&self, place: usize) {
        if self.links.get(place).is_some_and(|link| !link.over.swap(true, Relaxed)) {
            self.open.fetch_sub(1, Relaxed);
        }
    }

    /// For the process that takes over.
    pub(super) fn lend(&self) -> io::Result<QuicFormer> {
        let links = self.links.iter().map(|link| link.socket.try_clone()).collect::<io::Result<_>>()?;
        Ok(QuicFormer { id_secret: self.key.secret(), links })
    }
}

/// Whether the other end of a link to a former process is gone; `WouldBlock`: it is not. Nothing ever comes from there but that.
pub(super) fn ended(link: impl AsFd) -> io::Result<()> {
    match rustix::net::recv(link, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((1.., _)) => Err(io::ErrorKind::WouldBlock.into()),
        Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        Ok((0, _)) | Err(_) => Ok(()),
    }
}

/// A link, and its other end.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = link::pair()?;
    for end in [&one, &other] {
        // The kernel makes of it what it allows; with less, more is lost when much comes at once.
        let _as_much_as_it_may = sockopt::set_socket_send_buffer_size(end, QUEUE_BYTES);
    }
    Ok((one, other))
}

/// What may wait in a link.
const QUEUE_BYTES: usize = 4 << 20;

const ECN_AT: usize = ADDRESS_BYTES;
const STRIDE_AT: usize = ECN_AT + 1;
const HEADER_BYTES: usize = STRIDE_AT + 2;

fn send(link: impl AsFd, packets: &[u8], meta: &RecvMeta) -> io::Result<()> {
    let mut header = [0; HEADER_BYTES];
    header[..ADDRESS_BYTES].copy_from_slice(&link::address_bytes(meta.addr));
    header[ECN_AT] = meta.ecn.map_or(0, |ecn| ecn as u8);
    let stride = u16::try_from(meta.stride).unwrap_or(u16::MAX);
    header[STRIDE_AT..].copy_from_slice(&stride.to_be_bytes());
    sendmsg(
        link,
        &[IoSlice::new(&header), IoSlice::new(packets)],
        &mut SendAncillaryBuffer::default(),
        FLAGS,
    )?;
    Ok(())
}

/// Takes a message into a buffer, and says what it is; none: the other end is gone.
pub(super) fn receive(link: impl AsFd, into: &mut [u8], here: IpAddr) -> io::Result<Option<RecvMeta>> {
    let mut header = [0; HEADER_BYTES];
    let pieces = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(into)];
    let message = recvmsg(link, pieces, &mut RecvAncillaryBuffer::default(), RecvFlags::DONTWAIT)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut meta = RecvMeta { dst_ip: Some(here), ..RecvMeta::default() };
    let client = header.first_chunk().and_then(link::address_of);
    let (Some(client), Some(len)) = (client, message.bytes.checked_sub(HEADER_BYTES)) else {
        // Nothing of ours; nothing is taken.
        return Ok(Some(meta));
    };
    let stride = u16::from_be_bytes([header[STRIDE_AT], header[STRIDE_AT + 1]]);
    (meta.addr, meta.len, meta.stride) = (client, len, usize::from(stride).max(1));
    meta.ecn = EcnCodepoint::from_bits(header[ECN_AT]);
    Ok(Some(meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_cross_with_what_is_known_of_them_and_an_end_shows() {
        let (here, there) = pair().unwrap();
        let local = IpAddr::from([127, 0, 0, 1]);
        let mut buffer = vec![0; 1 << 16];
        for (client, ecn, stride, packets) in [
            ("127.0.0.1:53", None, 1200, vec![7; 1200]),
            ("[2001:db8::1]:443", Some(EcnCodepoint::Ce), 1200, vec![8; 60_000]),
            ("127.0.0.1:53", Some(EcnCodepoint::Ect0), 1200, vec![9; 1300]),
        ] {
            let addr = client.parse().unwrap();
            let said = RecvMeta { addr, len: packets.len(), stride, ecn, dst_ip: None };
            send(&here, &packets, &said).unwrap();
            let heard = receive(&there, &mut buffer, local).unwrap().unwrap();
            assert_eq!((heard.addr, heard.len, heard.stride), (addr, packets.len(), stride));
            assert_eq!((heard.ecn, heard.dst_ip), (ecn, Some(local)));
            assert_eq!(buffer[..heard.len], packets);
        }
        rustix::net::send(&here, b"too short", FLAGS).unwrap();
        assert_eq!(receive(&there, &mut buffer, local).unwrap().unwrap().len, 0);
        let empty = receive(&there, &mut buffer, local).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        drop(here);
        assert!(receive(&there, &mut buffer, local).unwrap().is_none());
    }

    #[test]
    fn a_former_process_is_over_with_the_last_of_its_links() {
        let (ours, theirs): (Vec<_>, Vec<_>) = (0..2).map(|_| pair().unwrap()).unzip();
        let former = Former::from(QuicFormer { id_secret: [1; 32], links: ours });
        let meta = RecvMeta { stride: 4, ..RecvMeta::default() };
        let (even, odd) = ([0; 10], [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(former.pass(&even, b"said", &meta) && former.pass(&odd, b"said", &meta));
        let mut theirs = theirs.into_iter();
        drop(theirs.next());
        assert!(!former.pass(&even, b"said", &meta) && !former.is_over());
        assert!(former.pass(&odd, b"said", &meta));
        drop(theirs);
        assert!(!former.pass(&odd, b"said", &meta) && former.is_over());
        former.note_over(1);
        assert!(former.is_over(), "noted twice, counted once");
    }
}
