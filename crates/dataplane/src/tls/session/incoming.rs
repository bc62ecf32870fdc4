//! What comes in when a session stands: records are opened, alerts and messages of TLS itself are taken.

use std::{
    io,
    task::{Context, Poll, ready},
};

use super::{
    super::record::{self, HEADER_BYTES, Kind, RecordFault},
    CLOSE_NOTIFY, KEY_UPDATE, Phase, TlsStream,
};
use crate::io as socket;

/// Records without data in a row before a peer is taken for an attacker.
const EMPTY_MAX: u8 = 32;

/// Of messages of TLS that come when a session stands, the longest that is taken.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

const USER_CANCELED: u8 = 90;
const HELLO_REQUEST: u8 = 0;
const NEW_SESSION_TICKET: u8 = 4;

impl TlsStream {
    /// Reads once, unless a whole record is there, and opens all that is whole; how much of `buffer` was filled. What does not
    /// fit is held.
    pub(super) fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let whole = match record::body_bytes(&self.incoming) {
            Ok(Some(body)) => self.incoming.len() >= HEADER_BYTES + body,
            Ok(None) => false,
            Err(fault) => return Poll::Ready(Err(self.fail(fault))),
        };
        if whole {
            let mut incoming = std::mem::take(&mut self.incoming);
            let opened = self.open(&incoming, buffer);
            if let Ok((consumed, _)) = opened
                && consumed < incoming.len()
            {
                incoming.drain(..consumed);
                self.incoming = incoming;
            }
            return Poll::Ready(opened.map(|(_, filled)| filled));
        }
        let scratch = self.scratch.clone();
        let mut window = scratch.incoming();
        let before = self.incoming.len();
        window[..before].copy_from_slice(&self.incoming);
        let read = ready!(socket::poll_read(&mut self.tcp, cx, &mut window[before..]))?;
        if read == 0 && self.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if read == 0 {
            self.ended = true;
            return Poll::Ready(Ok(0));
        }
        Poll::Ready(self.open_and_keep(&window[..before + read], buffer))
    }

    /// Opens what is whole of `input`, which begins with all of `incoming`, and keeps the rest there.
    pub(super) fn open_and_keep(&mut self, input: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
        let (consumed, filled) = self.open(input, buffer)?;
        let rest = &input[consumed..];
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
        Ok(filled)
    }

    /// Opens every whole record of `input`; how much of it that was, and how much of `buffer` was filled.
    fn open(&mut self, input: &[u8], buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        match self.try_open(input, buffer) {
            Ok(done) => Ok(done),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    fn try_open(&mut self, input: &[u8], buffer: &mut [u8]) -> Result<(usize, usize), RecordFault> {
        let (mut consumed, mut filled) = (0, 0);
        while !self.ended {
            let rest = &input[consumed..];
            let Some(body_bytes) = record::body_bytes(rest)? else { break };
            let Some((header, body)) = rest
                .get(..HEADER_BYTES + body_bytes)
                .and_then(|record| record.split_first_chunk::<HEADER_BYTES>())
            else {
                break;
            };
            consumed += HEADER_BYTES + body_bytes;
            let Phase::Open(keys) = &mut self.phase else { return Err(RecordFault::Unexpected) };
            let room = keys.open.room_for(body_bytes)?;
            let fits = self.plain.is_empty() && buffer.len() - filled >= room;
            let out = if fits { &mut buffer[filled..filled + room] } else { self.plain.room_for(room) };
            let (kind, length) = keys.open.open(*header, body, out)?;
            if kind == Kind::Data {
                self.empty = if length == 0 { self.empty + 1 } else { 0 };
                if self.empty > EMPTY_MAX {
                    return Err(RecordFault::Unexpected);
                }
                if fits {
                    filled += length;
                } else {
                    self.plain.take_back(room - length);
                }
                continue;
            }
            let content = out[..length].to_vec();
            if !fits {
                self.plain.take_back(room);
            }
            match kind {
                Kind::Alert => self.handle_alert(&content)?,
                Kind::Handshake => self.handle_message(&content)?,
                Kind::ChangeCipherSpec | Kind::Data => return Err(RecordFault::Unexpected),
            }
        }
        Ok((consumed, filled))
    }

    fn handle_alert(&mut self, content: &[u8]) -> Result<(), RecordFault> {
        match *content {
            [_, CLOSE_NOTIFY] => {
                self.ended = true;
                Ok(())
            }
            [_, USER_CANCELED] => Ok(()),
            // TLS 1.2 has warnings that mean nothing to us (RFC 5246 section 7.2).
            [1, _] if !self.renews() => {
                self.empty += 1;
                if self.empty > EMPTY_MAX { Err(RecordFault::Unexpected) } else { Ok(()) }
            }
            [_, alert] => Err(RecordFault::Alert(alert)),
            _ => Err(RecordFault::Malformed),
        }
    }

    /// Whether the session is of TLS 1.3, in which keys are renewed.
    fn renews(&self) -> bool {
        matches!(&self.phase, Phase::Open(keys) if keys.renewal.is_some())
    }

    /// Takes messages of TLS that come when a session stands. There are few: new keys, tickets for us as a client; and we
    /// begin no handshake anew.
    fn handle_message(&mut self, content: &[u8]) -> Result<(), RecordFault> {
        if content.is_empty() {
            return Err(RecordFault::Unexpected);
        }
        self.message.extend_from_slice(content);
        let mut message = std::mem::take(&mut self.message);
        let mut at = 0;
        while let Some(&[kind, a, b, c]) = message[at..].first_chunk::<4>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MESSAGE_BYTES_MAX {
                return Err(RecordFault::TooLong);
            }
            let Some(body) = message.get(at + 4..at + 4 + length) else { break };
            let is_last = at + 4 + length == message.len();
            let Phase::Open(keys) = &mut self.phase else { return Err(RecordFault::Unexpected) };
            match (kind, &mut keys.renewal) {
                // New keys begin with a record.
                (KEY_UPDATE, Some(renewal)) if is_last => {
                    let answer = match body {
                        [0] => false,
                        [1] => true,
                        _ => return Err(RecordFault::Malformed),
                    };
                    keys.open = renewal.next_to_open().ok_or(RecordFault::Unexpected)?;
                    self.empty += 1;
                    if self.empty > EMPTY_MAX {
                        return Err(RecordFault::Unexpected);
                    }
                    if answer {
                        self.renew()?;
                    }
                }
                (NEW_SESSION_TICKET, Some(renewal)) => {
                    if !renewal.keep_ticket(body) {
                        return Err(RecordFault::Unexpected);
                    }
                }
                // A server of TLS 1.2 may ask for a new handshake; it may also be ignored (RFC 5246 section 7.4.1.1).
                (HELLO_REQUEST, None) if length == 0 => {}
                _ => return Err(RecordFault::Unexpected),
            }
            at += 4 + length;
        }
        message.drain(..at);
        if !message.is_empty() {
            self.message = message;
        }
        Ok(())
    }
}
