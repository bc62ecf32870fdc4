//! Heads and trailers packed and unpacked: what HTTP/3 has instead of the first line, and what makes a message malformed.
//!
//! Checked here is what the h2 crate checks for HTTP/2; what it leaves is checked for both by `http2::request`.
//! Source: RFC 9114 sections 4.1–4.3, RFC 9220.

use bytes::Bytes;
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use wire::h3::{
    kind, push_frame_header,
    qpack::{self, Fault, Packer},
};

/// The longest list of fields, as HTTP/3 counts it (behaviour/errors.md: heads of 64 KiB).
pub(super) const FIELDS_BYTES_MAX: usize = 64 << 10;

/// Why a block is no request and no trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFields {
    #[error("the fields cannot be unpacked")]
    Undecodable,
    #[error("there are more fields than we take")]
    TooLong,
    #[error("{0}")]
    Malformed(&'static str),
}

/// A request, of its block.
pub(super) fn request(block: &[u8], text: &mut Vec<u8>) -> Result<Parts, BadFields> {
    let mut request = Unpacked::default();
    unpack(block, text, |name, value| request.take(name, value))?;
    request.whole().map_err(BadFields::Malformed)
}

/// Trailers, of their block.
pub(super) fn trailers(block: &[u8], text: &mut Vec<u8>) -> Result<HeaderMap, BadFields> {
    let mut fields = HeaderMap::new();
    unpack(block, text, |name, value| match name.first() {
        Some(b':') => Err("trailers have no pseudo-header fields"),
        _ => take_field(&mut fields, name, value),
    })?;
    Ok(fields)
}

fn unpack(
    block: &[u8],
    text: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), &'static str>,
) -> Result<(), BadFields> {
    let mut fault = None;
    // The rest is unpacked all the same: what cannot be is the graver error.
    let unpacked = qpack::decode(block, FIELDS_BYTES_MAX, text, |name, value| {
        if fault.is_none() {
            fault = each(name, value).err();
        }
    });
    unpacked.map_err(|fault| match fault {
        Fault::Undecodable => BadFields::Undecodable,
        Fault::TooLong => BadFields::TooLong,
    })?;
    fault.map_or(Ok(()), |why| Err(BadFields::Malformed(why)))
}

#[derive(Default)]
struct Unpacked {
    method: Option<Method>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    protocol: Option<String>,
    fields: HeaderMap,
}

impl Unpacked {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name.first() != Some(&b':') {
            return take_field(&mut self.fields, name, value);
        }
        if !self.fields.is_empty() {
            return Err("a pseudo-header field is behind others");
        }
        let place = match name {
            b":method" => {
                let method = Method::from_bytes(value).map_err(|_| "the :method is none")?;
                return once(self.method.replace(method).is_none());
            }
            b":protocol" => {
                let protocol = std::str::from_utf8(value).map_err(|_| "the :protocol is none")?;
                return once(self.protocol.replace(protocol.to_owned()).is_none());
            }
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return Err("a pseudo-header field that requests do not have"),
        };
        once(place.replace(Bytes::copy_from_slice(value)).is_none())
    }

    fn whole(self) -> Result<Parts, &'static str> {
        let method = self.method.ok_or("there is no :method")?;
        let tunnel = method == Method::CONNECT;
        if self.protocol.is_some() && !tunnel {
            return Err(":protocol goes with CONNECT alone");
        }
        let whole = self.scheme.is_some() && self.path.is_some();
        if self.protocol.is_none() && tunnel {
            if self.scheme.is_some() || self.path.is_some() || self.authority.is_none() {
                return Err("CONNECT has an :authority and neither :scheme nor :path");
            }
        } else if !whole {
            return Err("there is no :scheme or :path");
        }
        if self.fields.get(header::TE).is_some_and(|te| te.as_bytes() != b"trailers") {
            return Err("TE may say nothing but trailers");
        }
        let scheme = self.scheme.map(|scheme| match scheme.to_ascii_lowercase().as_slice() {
            b"https" => Ok(Scheme::HTTPS),
            b"http" => Ok(Scheme::HTTP),
            _ => Err("the :scheme is neither http nor https"),
        });
        let scheme = scheme.transpose()?;
        let mut uri = http::uri::Parts::default();
        uri.authority = match self.authority {
            Some(authority) => {
                Some(Authority::from_maybe_shared(authority).map_err(|_| "the :authority is no host")?)
            }
            None => None,
        };
        uri.path_and_query = match self.path {
            // What `Uri` would leave out unseen.
            Some(path) if path.is_empty() || path.contains(&b'#') => return Err("the :path is none"),
            Some(path) => Some(PathAndQuery::from_maybe_shared(path).map_err(|_| "the :path is none")?),
            None => None,
        };
        // `Uri` has a scheme with an authority alone; without one, Host names it.
        uri.scheme = scheme.filter(|_| uri.authority.is_some());
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| "there is no such request")?;
        *request.headers_mut() = self.fields;
        if let Some(protocol) = self.protocol {
            request.extensions_mut().insert(Protocol::from(protocol.as_str()));
        }
        Ok(request.into_parts().0)
    }
}

fn once(first: bool) -> Result<(), &'static str> {
    if first { Ok(()) } else { Err("a pseudo-header field is there twice") }
}

fn take_field(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let name =
        HeaderName::from_lowercase(name).map_err(|_| "a field's name is none, or not in lower case")?;
    let value = HeaderValue::from_bytes(value).map_err(|_| "a value has a forbidden byte")?;
    fields.try_append(name, value).map_err(|_| "there are too many fields")?;
    Ok(())
}

/// The frame of a response's head, and how long its list of fields is.
pub(super) fn response_frame(response: &Response<()>) -> (Bytes, usize) {
    let mut block = Vec::with_capacity(256);
    let mut packer = Packer::new(&mut block);
    packer.push(b":status", response.status().as_str().as_bytes());
    for (name, value) in response.headers() {
        packer.push(name.as_str().as_bytes(), value.as_bytes());
    }
    let bytes = packer.bytes();
    (frame(&block), bytes)
}

/// The frame of trailers.
pub(super) fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let mut block = Vec::with_capacity(128);
    let mut packer = Packer::new(&mut block);
    for (name, value) in trailers {
        packer.push(name.as_str().as_bytes(), value.as_bytes());
    }
    frame(&block)
}

fn frame(block: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(block.len() + 8);
    push_frame_header(&mut frame, kind::HEADERS, block.len() as u64);
    frame.extend_from_slice(block);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        let mut packer = Packer::new(&mut block);
        for (name, value) in fields {
            packer.push(name.as_bytes(), value.as_bytes());
        }
        block
    }

    fn read(fields: &[(&str, &str)]) -> Result<Parts, BadFields> {
        request(&block(fields), &mut Vec::new())
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/x?y")];

    #[test]
    fn requests_are_put_together() {
        let parts = read(&[&GET[..], &[("x-a", "1"), ("te", "trailers")]].concat()).unwrap();
        assert_eq!((parts.method, parts.uri.to_string()), (Method::GET, "https://a/x?y".to_owned()));
        assert_eq!(parts.headers["x-a"], "1");

        let host = read(&[GET[0], GET[1], GET[3], ("host", "b")]).unwrap();
        assert_eq!((host.uri.to_string(), &host.headers["host"] == "b"), ("/x?y".to_owned(), true));

        let connect = read(&[(":method", "CONNECT"), (":authority", "a:80")]).unwrap();
        assert_eq!(connect.uri.to_string(), "a:80");

        let asterisk = read(&[(":method", "OPTIONS"), GET[1], GET[2], (":path", "*")]).unwrap();
        assert_eq!(asterisk.uri.path(), "*");

        let socket = [(":method", "CONNECT"), GET[1], GET[2], GET[3], (":protocol", "websocket")];
        let socket = read(&socket).unwrap();
        assert_eq!(socket.extensions.get::<Protocol>().unwrap().as_str(), "websocket");
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let but = |place: usize| {
            let mut fields = GET.to_vec();
            fields.remove(place);
            fields
        };
        let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
        for (why, fields) in [
            ("no method", but(0)),
            ("no scheme", but(1)),
            ("no path", but(3)),
            ("another scheme", vec![GET[0], (":scheme", "ftp"), GET[2], GET[3]]),
            ("an empty path", vec![GET[0], GET[1], GET[2], (":path", "")]),
            ("a fragment", vec![GET[0], GET[1], GET[2], (":path", "/x#y")]),
            ("two methods", with(&[(":method", "GET")])),
            ("two paths", with(&[(":path", "/x?y")])),
            ("a status", with(&[(":status", "200")])),
            ("an unknown one", with(&[(":x", "y")])),
            ("behind others", vec![GET[0], GET[1], GET[2], ("x", "y"), GET[3]]),
            ("a protocol without CONNECT", with(&[(":protocol", "websocket")])),
            ("CONNECT with a path", vec![(":method", "CONNECT"), GET[2], GET[3]]),
            ("CONNECT to nobody", vec![(":method", "CONNECT")]),
            ("a protocol without a path", vec![(":method", "CONNECT"), GET[1], GET[2], (":protocol", "x")]),
            ("a capital letter", with(&[("X-a", "1")])),
            ("a name with a blank", with(&[("x a", "1")])),
            ("no name", with(&[("", "1")])),
            ("a line's end in a value", with(&[("x", "a\r\nb: c")])),
            ("a zero in a value", with(&[("x", "\0")])),
            ("no method at all", vec![(":method", "A B"), GET[1], GET[2], GET[3]]),
            ("TE", with(&[("te", "gzip")])),
            ("an authority that is none", vec![GET[0], GET[1], (":authority", "a b"), GET[3]]),
        ] {
            let got = read(&fields);
            assert!(matches!(got, Err(BadFields::Malformed(_))), "{why}: {got:?}");
        }
        let trailers = trailers(&block(&[(":path", "/")]), &mut Vec::new());
        assert!(matches!(trailers, Err(BadFields::Malformed(_))));
    }

    #[test]
    fn blocks_too_long_or_undecodable_are_told_apart() {
        let long = "x".repeat(FIELDS_BYTES_MAX);
        assert_eq!(read(&[("x", long.as_str())]).unwrap_err(), BadFields::TooLong);
        assert_eq!(request(&[0, 0, 0x80], &mut Vec::new()).unwrap_err(), BadFields::Undecodable);
        let bad = [block(&[("X", "y")]), vec![0x80]].concat();
        assert_eq!(request(&bad, &mut Vec::new()).unwrap_err(), BadFields::Undecodable, "the graver wins");
    }
}
