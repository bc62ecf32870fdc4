//! Messages with descriptors, over a socket between two processes.
//!
//! A message is its length in four bytes and JSON. Its descriptors come with its first byte.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// Most descriptors of a message; the kernel's own limit is 253.
pub(super) const DESCRIPTORS_MAX: usize = 200;

/// The longest message, bytes: what is known of a hundred thousand members.
const MESSAGE_MAX: usize = 256 << 20;

/// How long the other side may leave a message unread.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// One end.
#[derive(Debug)]
pub(super) struct Channel(UnixStream);

/// Why a message did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    /// The other side is gone.
    #[error("the other process has ended")]
    Ended,
    /// It takes too long.
    #[error("the other process does not answer")]
    TooLate,
    /// It is none of ours.
    #[error("the other process says something else than a hand-over")]
    Strange(#[source] serde_json::Error),
    /// It is none of ours.
    #[error("a message of {0} bytes is none of a hand-over")]
    TooLong(usize),
    /// The system refused.
    #[error("the channel between two processes failed")]
    System(#[source] io::Error),
}

impl Channel {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_write_timeout(Some(SEND_WITHIN))?;
        Ok(Self(socket))
    }

    /// Sends a message with at most [`DESCRIPTORS_MAX`] descriptors.
    pub(super) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let mut bytes = vec![0; 4];
        serde_json::to_writer(&mut bytes, message).map_err(ChannelError::Strange)?;
        let length = u32::try_from(bytes.len() - 4).map_err(|_| ChannelError::TooLong(bytes.len()))?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(ChannelError::System(io::Error::other("too many descriptors for one message")));
        }
        let sent = sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
        let sent = sent.map_err(|error| Self::failed(error.into()))?;
        (&self.0).write_all(&bytes[sent..]).map_err(Self::failed)
    }

    /// The next message, within this time.
    pub(super) fn receive<T: DeserializeOwned>(
        &self,
        within: Duration,
    ) -> Result<(T, Vec<OwnedFd>), ChannelError> {
        self.0.set_read_timeout(Some(within.max(Duration::from_millis(1)))).map_err(ChannelError::System)?;
        let mut descriptors = Vec::new();
        let mut length = [0; 4];
        let mut read = 0;
        while read < length.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [IoSliceMut::new(&mut length[read..])];
            let received = recvmsg(&self.0, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
            let bytes = match received {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(Self::failed(error.into())),
                Ok(received) => received.bytes,
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            if bytes == 0 {
                return Err(ChannelError::Ended);
            }
            read += bytes;
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_MAX {
            return Err(ChannelError::TooLong(length));
        }
        let mut text = Vec::new();
        let read = (&self.0).take(length as u64).read_to_end(&mut text);
        if read.map_err(Self::failed)? < length {
            return Err(ChannelError::Ended);
        }
        let message = serde_json::from_slice(&text).map_err(ChannelError::Strange)?;
        Ok((message, descriptors))
    }

    fn failed(error: io::Error) -> ChannelError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ChannelError::TooLate,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ChannelError::Ended,
            _ => ChannelError::System(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn channels() -> (Channel, Channel) {
        let (one, other) = UnixStream::pair().unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    #[test]
    fn messages_arrive_in_order_each_with_its_own_descriptors() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = channels();
        let long = "x".repeat(1 << 20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for count in [0, 1, DESCRIPTORS_MAX] {
                    let files: Vec<File> = (0..count)
                        .map(|n| {
                            let path = directory.path().join(format!("{count}-{n}"));
                            std::fs::write(&path, n.to_string()).unwrap();
                            File::open(path).unwrap()
                        })
                        .collect();
                    let lent: Vec<_> = files.iter().map(AsFd::as_fd).collect();
                    one.send(&(count, &long), &lent).unwrap();
                }
            });
            for expect in [0, 1, DESCRIPTORS_MAX] {
                let ((count, text), descriptors): ((usize, String), _) = other.receive(SOON).unwrap();
                assert_eq!((count, descriptors.len(), text.len()), (expect, expect, long.len()));
                for (at, descriptor) in descriptors.into_iter().enumerate() {
                    assert_eq!(std::io::read_to_string(File::from(descriptor)).unwrap(), at.to_string());
                }
            }
        });
    }

    #[test]
    fn an_end_a_silence_and_nonsense_are_told_apart() {
        let (one, other) = channels();
        let short = Duration::from_millis(10);
        assert!(matches!(other.receive::<u8>(short), Err(ChannelError::TooLate)));
        one.send(&"text", &[]).unwrap();
        assert!(matches!(other.receive::<u8>(SOON), Err(ChannelError::Strange(_))));
        (&one.0).write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(matches!(other.receive::<u8>(SOON), Err(ChannelError::TooLong(_))));
        (&one.0).write_all(&[0, 0, 0, 9, b'1']).unwrap();
        drop(one);
        assert!(matches!(other.receive::<u8>(SOON), Err(ChannelError::Ended)), "in the middle of a message");
        assert!(matches!(other.receive::<u8>(SOON), Err(ChannelError::Ended)));
        assert!(matches!(other.send(&1, &[]), Err(ChannelError::Ended)));
    }
}
