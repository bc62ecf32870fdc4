//! The first handshake message of a connection, put together from its records.
//!
//! A record is cut where the client likes; so may be the message. What is wrong is said as soon as it is seen.

use std::borrow::Cow;

use super::{CLIENT_HELLO_BYTES_MAX, ClientHelloError, RECORDS_MAX};

/// The kinds of records (RFC 8446 §5.1).
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

pub(super) enum Found<'b> {
    /// The message without its header.
    Whole(Cow<'b, [u8]>),
    Partial {
        needed: usize,
    },
}

/// The message whose first record begins with `buf`.
pub(super) fn first_message(buf: &[u8]) -> Result<Found<'_>, ClientHelloError> {
    let buf = &buf[..buf.len().min(CLIENT_HELLO_BYTES_MAX)];
    let mut gathered = Vec::new();
    let mut at = 0;
    for record in 0..RECORDS_MAX {
        let Some(length) = record_length(&buf[at..])? else {
            return partial(at + RECORD_HEADER_BYTES);
        };
        let from = at + RECORD_HEADER_BYTES;
        let content = &buf[from.min(buf.len())..buf.len().min(from + length)];
        if record == 0 {
            match whole(content)? {
                Some(message) => return Ok(Found::Whole(Cow::Borrowed(message))),
                None => gathered.extend_from_slice(content),
            }
        } else {
            gathered.extend_from_slice(content);
            if whole(&gathered)?.is_some() {
                let length = declared_length(&gathered)?.unwrap_or_default();
                gathered.drain(..MESSAGE_HEADER_BYTES);
                gathered.truncate(length);
                return Ok(Found::Whole(Cow::Owned(gathered)));
            }
        }
        if content.len() < length {
            // The message may end before its record does.
            let missing = match declared_length(&gathered)? {
                Some(declared) => MESSAGE_HEADER_BYTES + declared - gathered.len(),
                None => MESSAGE_HEADER_BYTES - gathered.len(),
            };
            return partial(buf.len() + missing.min(length - content.len()));
        }
        at = from + length;
    }
    Err(ClientHelloError::TooManyRecords)
}

/// The length of the content of the record at the start of `buf`; none when its header is not all there.
fn record_length(buf: &[u8]) -> Result<Option<usize>, ClientHelloError> {
    if buf.first().is_some_and(|&kind| kind != HANDSHAKE) {
        return Err(ClientHelloError::UnexpectedRecord);
    }
    if buf.get(1).is_some_and(|&major| major != 3) || buf.get(2).is_some_and(|&minor| minor > 4) {
        return Err(ClientHelloError::BadRecordVersion);
    }
    let &[_, _, _, high, low, ..] = buf else { return Ok(None) };
    match usize::from(u16::from_be_bytes([high, low])) {
        0 => Err(ClientHelloError::EmptyRecord),
        length if length > RECORD_BYTES_MAX => Err(ClientHelloError::RecordTooLong),
        length => Ok(Some(length)),
    }
}

/// The message at the start of `bytes`, without its header; none when it is not all there.
fn whole(bytes: &[u8]) -> Result<Option<&[u8]>, ClientHelloError> {
    let length = declared_length(bytes)?;
    Ok(length.and_then(|length| bytes.get(MESSAGE_HEADER_BYTES..MESSAGE_HEADER_BYTES + length)))
}

/// The length in the header of the message at the start of `bytes`; none when the header is not all there.
fn declared_length(bytes: &[u8]) -> Result<Option<usize>, ClientHelloError> {
    if bytes.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
        return Err(ClientHelloError::NotClientHello);
    }
    let &[_, high, middle, low, ..] = bytes else { return Ok(None) };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(ClientHelloError::TooLong);
    }
    Ok(Some(length))
}

fn partial<'b>(needed: usize) -> Result<Found<'b>, ClientHelloError> {
    if needed > CLIENT_HELLO_BYTES_MAX {
        return Err(ClientHelloError::TooLong);
    }
    Ok(Found::Partial { needed })
}

/// The kind of a ClientHello (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
/// Longest content of a record in clear (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// Longest hello that fits into the bytes that are looked at.
const MESSAGE_BYTES_MAX: usize = CLIENT_HELLO_BYTES_MAX - RECORD_HEADER_BYTES - MESSAGE_HEADER_BYTES;
