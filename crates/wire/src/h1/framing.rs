//! Where a message ends: decided once, from its head alone (RFC 9112 §6.3), and never again.

use super::bytes::{decimal, is_token, trim};
use super::table::Slot;
use super::{HeadError, HeaderId, HeaderSet, Headers, Version};

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body: the message ends with its head.
    None,
    /// Exactly so many bytes (Content-Length), below 2^63.
    Length(u64),
    /// Chunks up to the last one (Transfer-Encoding: chunked).
    Chunked,
}

/// How a response's body is delimited, given the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseFraming {
    /// No body, whatever the headers say: HEAD, 1xx, 204, 304, 2xx to CONNECT.
    None,
    /// Exactly so many bytes (Content-Length), below 2^63.
    Length(u64),
    /// Chunks up to the last one (Transfer-Encoding: chunked).
    Chunked,
    /// All bytes until the member closes the connection.
    UntilClose,
}

/// What Content-Length and Transfer-Encoding say, or why they contradict themselves. Does not know the method.
pub(super) fn declared(buf: &[u8], headers: &Headers, version: Version) -> Result<Framing, HeadError> {
    let seen = headers.seen();
    if headers.underscores {
        let underscored = |slot: &&Slot| slot.has(Slot::UNDERSCORE);
        if headers.slots().iter().filter(underscored).any(|slot| FRAMING.contains(slot.look_alike(buf))) {
            return Err(HeadError::FramingLookAlike);
        }
    }
    if seen.intersection(FRAMING).is_empty() {
        return Ok(Framing::None);
    }
    match (headers.first(HeaderId::TRANSFER_ENCODING), headers.first(HeaderId::CONTENT_LENGTH)) {
        (Some(_), Some(_)) => Err(HeadError::LengthAndTransferEncoding),
        (None, Some(_)) if headers.repeated().contains(HeaderId::CONTENT_LENGTH) => {
            Err(HeadError::LengthRepeated)
        }
        (None, Some(slot)) => decimal(slot.value(buf)).map(Framing::Length).ok_or(HeadError::BadLength),
        (Some(_), None) if version == Version::Http10 => Err(HeadError::TransferEncodingOnHttp10),
        (Some(_), None) if headers.repeated().contains(HeaderId::TRANSFER_ENCODING) => {
            Err(HeadError::TransferEncodingRepeated)
        }
        (Some(slot), None) => transfer_coding(slot.value(buf)).map(|()| Framing::Chunked),
        (None, None) => Ok(Framing::None),
    }
}

/// `Ok` for exactly `chunked`, in any case.
///
/// `identity` is refused with 400 though the contract exempts it from 501: RFC 9112 withdrew it, and a member that
/// still reads it as "no coding" would frame the message otherwise than one that does not.
fn transfer_coding(value: &[u8]) -> Result<(), HeadError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut unknown = false;
    let mut chunked = 0;
    for coding in value.split(|&b| b == b',').map(trim) {
        if !is_token(coding) || coding.eq_ignore_ascii_case(b"identity") {
            return Err(HeadError::BadTransferEncoding);
        }
        if coding.eq_ignore_ascii_case(b"chunked") {
            chunked += 1;
        } else {
            unknown = true;
        }
    }
    match (chunked, unknown) {
        (2.., _) => Err(HeadError::TransferEncodingRepeated),
        _ => Err(HeadError::UnknownTransferCoding),
    }
}

/// The names that decide where a message ends.
pub(super) const FRAMING: HeaderSet = HeaderSet::of(&[HeaderId::CONTENT_LENGTH, HeaderId::TRANSFER_ENCODING]);
