//! The bytes of an HTTP/1.1 response turned back into the parts of an HTTP/2 one.

use ::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use bytes::Bytes;
use wire::h1::{Body, HeaderId, HeaderSet, ResponseHead};

/// Names that HTTP/2 has no use for (RFC 9113 section 8.2.2).
const OF_A_HOP: HeaderSet = HeaderSet::of(&[
    HeaderId::CONNECTION,
    HeaderId::KEEP_ALIVE,
    HeaderId::PROXY_CONNECTION,
    HeaderId::TRANSFER_ENCODING,
    HeaderId::UPGRADE,
    HeaderId::SEC_WEBSOCKET_ACCEPT,
]);

/// A response head for the h2 crate; none: it has a status or a header that HTTP/2 cannot say.
///
/// The head is copied once; the values of its headers are parts of that copy.
pub(super) fn head(head: &ResponseHead<'_>, bytes: &[u8], status: u16) -> Option<Response<()>> {
    let copy = Bytes::copy_from_slice(bytes);
    let mut response = Response::new(());
    *response.version_mut() = Version::HTTP_2;
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    let to = response.headers_mut();
    to.reserve(head.table().len());
    for line in head.headers() {
        if OF_A_HOP.contains(line.id) {
            continue;
        }
        let name = HeaderName::from_bytes(line.name).ok()?;
        let value = match copy.get(part_of(bytes, line.value)) {
            Some(_) => HeaderValue::from_maybe_shared(copy.slice(part_of(bytes, line.value))),
            None => HeaderValue::from_bytes(line.value),
        };
        to.append(name, value.ok()?);
    }
    Some(response)
}

/// Where a slice of `whole` lies in it.
fn part_of(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

/// The trailers of a body that has ended; none: it has none.
pub(super) fn trailers(body: &Body) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for line in body.trailers() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(line.name), HeaderValue::from_bytes(line.value))
        {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then_some(map)
}
