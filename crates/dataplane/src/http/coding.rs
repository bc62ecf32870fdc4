//! Whether an answer is compressed, and what its head says then.

use std::rc::Rc;

use wire::{
    content_coding::{ContentCoding, forbids_transform, is_compressible, varies, weakening},
    h1::{HeaderId, HeaderLines, HeaderSet, ResponseFraming, ResponseHead},
};

use super::encoder::{Encoder, EncoderRoom};

/// An answer that depends on what codings the client takes.
pub(super) struct Coding {
    /// What the answer is coded in; none: the client takes none of ours.
    chosen: Option<ContentCoding>,
}

/// Shorter bodies gain nothing.
const BODY_BYTES_MIN: u64 = 256;

impl Coding {
    /// For an answer that is worth compressing; none: it passes as it is, for every client.
    ///
    /// Not worth it or not allowed: no body, a part of a body, a body that is coded already, one whose type is no text, a small one, one
    /// that its sender says must not be changed (RFC 9110 section 7.7).
    pub(super) fn of(head: &ResponseHead<'_>, chosen: Option<ContentCoding>) -> Option<Self> {
        let has_body = match head.framing() {
            ResponseFraming::None => false,
            ResponseFraming::Length(bytes) => bytes >= BODY_BYTES_MIN,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => true,
        };
        let fits = has_body
            && !matches!(head.status(), 0..200 | 204 | 206 | 304)
            && head.header(HeaderId::CONTENT_ENCODING).is_none()
            && head.header(HeaderId::CONTENT_RANGE).is_none()
            && head.header(HeaderId::CONTENT_TYPE).is_some_and(is_compressible)
            && !head.values(HeaderId::CACHE_CONTROL).any(forbids_transform);
        fits.then_some(Self { chosen })
    }

    /// The encoder for its body, within the room that the client's connection has, where that is bounded. One that finds no room, or
    /// cannot be made (no memory), leaves the answer as it is.
    pub(super) fn encoder(&self, room: Option<&Rc<EncoderRoom>>) -> Option<Encoder> {
        let coding = self.chosen?;
        let place = match room {
            Some(room) => Some(room.take(coding)?),
            None => None,
        };
        let made = Encoder::new(coding, place);
        made.inspect_err(|error| tracing::warn!(%error, "an answer is not compressed")).ok()
    }

    /// Appends what its head says: that it depends on Accept-Encoding, its coding, and an entity tag that is not the uncoded answer's.
    /// Gives what is taken out of the member's head.
    pub(super) fn describe(
        &self,
        head: &ResponseHead<'_>,
        encoded: bool,
        lines: &mut HeaderLines,
    ) -> HeaderSet {
        let mut drop = HeaderSet::EMPTY;
        // The names and values are well-formed: ours, or the member's as the parser let them through.
        if !varies(head.values(HeaderId::VARY)) {
            let _ = lines.push(b"Vary", b"Accept-Encoding");
        }
        if let Some(coding) = self.chosen.filter(|_| encoded) {
            let _ = lines.push(b"Content-Encoding", coding.name().as_bytes());
            if let Some(etag) = head.header(HeaderId::ETAG) {
                let weak = [weakening(etag), etag].concat();
                let _ = lines.push(b"ETag", &weak);
                drop.insert(HeaderId::ETAG);
            }
        }
        drop
    }
}

/// Names that go when a body is coded anew and that no part of the proxy looks for otherwise.
pub(super) const DROPPED_WHEN_CODED: &[&[u8]] = &[b"accept-ranges", b"content-md5"];
