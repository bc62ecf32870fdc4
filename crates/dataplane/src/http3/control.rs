//! The client's streams beside those of requests: its control stream, those of QPACK, and what means nothing to us.
//!
//! Source: RFC 9114 sections 6.2 and 7.2, RFC 9204 section 4.2.

use std::{cell::Cell, rc::Rc};

use bytes::{Buf, Bytes};
use quinn::{ReadError, RecvStream};
use wire::h3::{Code, Frames, Piece, Settings, kind, read_varint, stream_type};

use super::{connection::Session, said};

/// Which of the streams were opened that a client has once.
#[derive(Default)]
pub(super) struct Opened {
    control: Cell<bool>,
    encoder: Cell<bool>,
    decoder: Cell<bool>,
}

/// Why the connection has to end.
type Fault = (Code, &'static str);

/// Settings and the like are short.
const PAYLOAD_BYTES_MAX: u64 = 4096;

/// Reads such a stream as long as it lasts.
pub(super) async fn read(session: Rc<Session>, stream: RecvStream) {
    if let Err((code, why)) = (Reader { stream, chunk: Bytes::new() }).read(&session).await {
        session.fail(code, why);
    }
}

struct Reader {
    stream: RecvStream,
    chunk: Bytes,
}

impl Reader {
    async fn read(mut self, session: &Session) -> Result<(), Fault> {
        let mut begin = Vec::new();
        let kind = loop {
            // A stream may end before anything is known of it.
            if !self.more().await? {
                return Ok(());
            }
            begin.push(self.chunk.get_u8());
            if let Some((kind, _)) = read_varint(&begin) {
                break kind;
            }
        };
        let once = |opened: &Cell<bool>| match opened.replace(true) {
            false => Ok(()),
            true => Err((Code::STREAM_CREATION_ERROR, "a second stream of a kind that there is once")),
        };
        match kind {
            stream_type::CONTROL => {
                once(&session.opened.control)?;
                self.read_control(session).await
            }
            stream_type::PUSH => Err((Code::STREAM_CREATION_ERROR, "a client pushes")),
            stream_type::QPACK_ENCODER => {
                once(&session.opened.encoder)?;
                self.read_encoder().await
            }
            stream_type::QPACK_DECODER => {
                once(&session.opened.decoder)?;
                self.read_decoder().await
            }
            _ => {
                // Means nothing to us (RFC 9114 section 6.2).
                let _ended = self.stream.stop(said(Code::STREAM_CREATION_ERROR));
                Ok(())
            }
        }
    }

    async fn read_control(&mut self, session: &Session) -> Result<(), Fault> {
        let (mut frames, mut payload, mut settings) = (Frames::default(), Vec::new(), false);
        let mut last_id = None;
        while self.more().await? {
            let (used, piece) =
                frames.read(&self.chunk).map_err(|code| (code, "a frame that HTTP/3 forbids"))?;
            self.chunk.advance(used);
            let whole = match piece {
                Piece::More => false,
                Piece::Begins(frame) => {
                    if !settings && frame.kind != kind::SETTINGS {
                        return Err((Code::MISSING_SETTINGS, "a control stream without settings"));
                    }
                    let twice = settings && frame.kind == kind::SETTINGS;
                    if twice || matches!(frame.kind, kind::DATA | kind::HEADERS | kind::PUSH_PROMISE) {
                        return Err((
                            Code::FRAME_UNEXPECTED,
                            "a frame that has no place on a control stream",
                        ));
                    }
                    if frame.is_known() && frame.length > PAYLOAD_BYTES_MAX {
                        return Err((Code::EXCESSIVE_LOAD, "a long frame on a control stream"));
                    }
                    settings = true;
                    payload.clear();
                    frame.length == 0
                }
                Piece::Payload(bytes, last) => {
                    let part = self.chunk.split_to(bytes);
                    if frames.frame().is_some_and(|frame| frame.is_known()) {
                        payload.extend_from_slice(&part);
                    }
                    last
                }
            };
            if let Some(frame) = frames.frame().filter(|_| whole) {
                match frame.kind {
                    kind::SETTINGS => {
                        let settings = Settings::parse(&payload).map_err(|code| (code, "wrong settings"))?;
                        session.set_fields_max(settings.max_field_section_size);
                    }
                    // What a client says of pushes means nothing, as there are none; but it has to be said well.
                    kind::GOAWAY | kind::MAX_PUSH_ID => {
                        let id = read_varint(&payload).filter(|(_, used)| *used == payload.len());
                        let (id, _) = id.ok_or((Code::FRAME_ERROR, "no id where there should be one"))?;
                        if frame.kind == kind::GOAWAY {
                            if last_id.is_some_and(|last| id > last) {
                                return Err((Code::ID_ERROR, "GOAWAY with a greater id than before"));
                            }
                            last_id = Some(id);
                        }
                    }
                    kind::CANCEL_PUSH => return Err((Code::ID_ERROR, "a push that was not promised")),
                    _ => {}
                }
            }
        }
        Err((Code::CLOSED_CRITICAL_STREAM, "the control stream ended"))
    }

    /// Without a dynamic table only its size, which is none, may be told.
    async fn read_encoder(&mut self) -> Result<(), Fault> {
        while self.more().await? {
            if self.chunk.iter().any(|byte| *byte != 0x20) {
                return Err((Code::QPACK_ENCODER_STREAM_ERROR, "entries for a table that we do not have"));
            }
            self.chunk.clear();
        }
        Err((Code::CLOSED_CRITICAL_STREAM, "the encoder's stream ended"))
    }

    /// Nothing was inserted, so nothing can be acknowledged; streams may be given up.
    async fn read_decoder(&mut self) -> Result<(), Fault> {
        let mut within = false;
        while self.more().await? {
            for byte in std::mem::take(&mut self.chunk) {
                // A cancellation is 01 and an integer with a prefix of 6 bits (RFC 9204 section 4.4.2).
                within = match (within, byte) {
                    (false, 0x40..=0x7e) => false,
                    (false, 0x7f) => true,
                    (false, _) => {
                        return Err((Code::QPACK_DECODER_STREAM_ERROR, "news of entries that do not exist"));
                    }
                    (true, byte) => byte & 0x80 != 0,
                };
            }
        }
        Err((Code::CLOSED_CRITICAL_STREAM, "the decoder's stream ended"))
    }

    /// Sees to it that there is something in `chunk`; false: the stream has ended.
    async fn more(&mut self) -> Result<bool, Fault> {
        while self.chunk.is_empty() {
            match self.stream.read_chunk(PAYLOAD_BYTES_MAX as usize, true).await {
                Ok(Some(chunk)) => self.chunk = chunk.bytes,
                Ok(None) | Err(ReadError::Reset(_)) => return Ok(false),
                // Ending it again changes nothing.
                Err(_) => return Err((Code::NO_ERROR, "the connection has ended")),
            }
        }
        Ok(true)
    }
}
