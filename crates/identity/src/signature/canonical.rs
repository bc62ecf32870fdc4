//! The canonical request: one text for all ways in which the same request can be written.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::{BadSignature, Request};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The canonical request, with exactly the signed headers. Bytes, as header values need not be UTF-8.
pub(super) fn request(
    request: &Request<'_>,
    signed_headers: &[String],
    payload: &str,
) -> Result<Vec<u8>, BadSignature> {
    let mut out = Vec::with_capacity(512);
    for line in [request.method, &path(request.path), &query(request.query)] {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    for name in signed_headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(single(request, name)?);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload.as_bytes());
    Ok(out)
}

/// The value of a header that must be sent exactly once, trimmed: with two values, two readers may take different ones.
pub(super) fn single<'a>(request: &Request<'a>, name: &str) -> Result<&'a [u8], BadSignature> {
    let mut values = request.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value.trim_ascii()),
        _ => Err(BadSignature::Header(name.to_owned())),
    }
}

/// Whether a header was sent at all.
pub(super) fn is_sent(request: &Request<'_>, name: &str) -> bool {
    request.headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name))
}

/// Decoded as a whole, then each segment encoded again; ends with a slash.
fn path(path: &str) -> String {
    let decoded: Vec<u8> = percent_decode(path.as_bytes()).collect();
    let mut out = String::with_capacity(path.len() + 1);
    for (at, segment) in decoded.split(|&b| b == b'/').enumerate() {
        if at > 0 {
            out.push('/');
        }
        out.extend(percent_encode(segment, ENCODED));
    }
    if !out.ends_with('/') {
        out.push('/');
    }
    out
}

/// Decoded pairs in order of (key, value), encoded again; a key without value gets `=`. `+` is a blank, as in every form decoder
/// and in ours, so what is signed is what is understood.
fn query(query: &str) -> String {
    let decode =
        |text: &str| -> Vec<u8> { percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>() };
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    pairs.sort_unstable();
    let encode = |bytes: &[u8]| percent_encode(bytes, ENCODED).to_string();
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::{path, query};

    #[test]
    fn paths_are_written_one_way() {
        for (why, given, expect) in [
            ("a slash is appended", "/v3/p/elb", "/v3/p/elb/"),
            ("but not twice", "/v3/", "/v3/"),
            ("the root", "/", "/"),
            ("nothing", "", "/"),
            ("encoded and plain are the same", "/%61b", "/ab/"),
            ("reserved characters are encoded", "/a:b@c", "/a%3Ab%40c/"),
            ("lower-case hex becomes upper-case", "/%c3%bc", "/%C3%BC/"),
            ("a per cent sign that encodes nothing stands for itself", "/%zz", "/%25zz/"),
            ("unreserved characters stay", "/-_.~", "/-_.~/"),
        ] {
            assert_eq!(path(given), expect, "{why}");
        }
    }

    #[test]
    fn queries_are_written_one_way() {
        for (why, given, expect) in [
            ("nothing", "", ""),
            ("keys are sorted", "b=1&a=2", "a=2&b=1"),
            (
                "values of one key are sorted as they are, not as they are encoded",
                "n=%C3%BC&n=b",
                "n=b&n=%C3%BC",
            ),
            ("a key without value gets an equals sign", "a&b=", "a=&b="),
            ("an equals sign in the value", "a=b=c", "a=b%3Dc"),
            ("both spellings of a blank", "a=x+y&b=x%20y", "a=x%20y&b=x%20y"),
            ("empty pairs do not count", "&&a=1&", "a=1"),
        ] {
            assert_eq!(query(given), expect, "{why}");
        }
    }
}
