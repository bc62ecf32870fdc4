//! HTTP/1 properties that hold for every input: `assert!` is the fuzzer's way to find out.

use crate::cut::{pieces, seed};
use wire::h1::{Body, BodyError, Edits, Header, HeaderId, HeaderLines, HeaderSet};

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The bare data.
    pub data: Vec<u8>,
    /// What goes on to a receiver that gets it framed.
    pub sent: Vec<u8>,
    /// Bytes taken, when the body ended within the input.
    pub end: Option<usize>,
}

/// Feeds a body piece by piece, to both ways of reading it. Trailers are part of what is sent.
pub fn feed(body: &Body, pieces: &[&[u8]]) -> Result<Outcome, BodyError> {
    let (mut relaying, mut decoding) = (body.clone(), body.clone());
    let (mut data, mut sent) = (Vec::new(), Vec::new());
    let mut relayed = 0;
    'relay: for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !relaying.is_done() {
            let got = relaying.relay(rest)?;
            assert!(got.consumed <= rest.len(), "takes no more than there is");
            assert!(got.consumed > 0 || got.done, "takes something");
            assert_eq!(got.done, relaying.is_done());
            sent.extend_from_slice(got.prefix.as_bytes());
            sent.extend_from_slice(got.span);
            relayed += got.consumed;
            rest = &rest[got.consumed..];
            if got.done {
                sent.extend_from_slice(relaying.tail());
                break 'relay;
            }
        }
    }
    let mut decoded = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoding.is_done() {
            let got = decoding.decode(rest).expect("both ways accept the same");
            assert!(got.consumed <= rest.len() && (got.consumed > 0 || got.done));
            data.extend_from_slice(got.data);
            decoded += got.consumed;
            rest = &rest[got.consumed..];
        }
    }
    assert_eq!(
        (relayed, relaying.is_done()),
        (decoded, decoding.is_done()),
        "both ways end at the same byte"
    );
    Ok(Outcome { data, sent, end: relaying.is_done().then_some(relayed) })
}

/// Feeds a body whole and in pieces, and holds that this makes no difference; that what is sent reads back as the same
/// data and is sent on unchanged; gives where it ended.
pub fn body_holds(body: &Body, input: &[u8]) -> Option<usize> {
    let whole = feed(body, &[input]);
    for cut in [pieces(input, seed(input)), input.chunks(1).collect()] {
        match (&whole, feed(body, &cut)) {
            (Ok(whole), Ok(in_pieces)) if whole.end.is_some() => assert_eq!(*whole, in_pieces),
            (Ok(whole), Ok(in_pieces)) => assert_eq!((&whole.data, None), (&in_pieces.data, in_pieces.end)),
            (Err(whole), Err(in_pieces)) => assert_eq!(*whole, in_pieces),
            (whole, in_pieces) => panic!("whole: {whole:?}, in pieces: {in_pieces:?}"),
        }
    }
    let whole = whole.ok()?;
    let end = whole.end?;
    match body {
        Body::Chunked(_) => assert_eq!(chunks(&whole.sent), Some(whole.data.clone())),
        Body::Length(_) | Body::UntilClose(_) => assert_eq!(whole.sent, whole.data),
    }
    let again = feed(body, &[&whole.sent]).expect("what we send is well-formed");
    assert_eq!(again.end, Some(whole.sent.len()), "it ends where we ended it");
    assert_eq!(again.data, whole.data);
    assert_eq!(again.sent, whole.sent, "and is sent on as it is");
    Some(end)
}

/// The data of a chunked body that is spelled as we spell it, to its last byte; by no parser but this.
fn chunks(mut sent: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let line_end = sent.windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&sent[..line_end]).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        if format!("{size:x}") != digits {
            return None;
        }
        sent = &sent[line_end + 2..];
        if size == 0 {
            break;
        }
        data.extend_from_slice(sent.get(..size)?);
        sent = sent[size..].strip_prefix(b"\r\n")?;
    }
    let trailers = std::iter::once(&b"0\r\n"[..]).chain([sent]).collect::<Vec<_>>().concat();
    head_is_canonical(&trailers);
    Some(data)
}

/// Looks at a head that we wrote with no parser but this: lines ended by CRLF, no other control byte, no white space
/// around names, one Host at most, framing said once at most, nothing of another hop.
pub fn head_is_canonical(head: &[u8]) {
    let text = head.strip_suffix(b"\r\n\r\n").expect("ends with an empty line");
    let (mut hosts, mut framings) = (0, 0);
    for (number, line) in text.split(|&b| b == b'\n').enumerate() {
        let line = if number == text.iter().filter(|&&b| b == b'\n').count() {
            line
        } else {
            line.strip_suffix(b"\r").expect("CR before LF")
        };
        assert!(line.iter().all(|&b| b == b'\t' || b >= 0x20 && b != 0x7f), "no control byte");
        assert!(!line.is_empty(), "no empty line inside");
        if number == 0 {
            continue;
        }
        let colon = line.iter().position(|&b| b == b':').expect("a colon");
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        assert!(!name.is_empty() && name.iter().all(|b| b.is_ascii_graphic()), "a name");
        assert_eq!(value.first(), Some(&b' '), "one space");
        assert!(!value[1..].starts_with(b" ") && !value[1..].starts_with(b"\t"), "only one space");
        let is = |what: &str| name.eq_ignore_ascii_case(what.as_bytes());
        hosts += usize::from(is("host"));
        framings += usize::from(is("content-length") || is("transfer-encoding"));
        for hop in ["keep-alive", "proxy-connection", "te", "http2-settings"] {
            assert!(!is(hop), "{hop} is for one hop");
        }
    }
    assert!(hosts <= 1 && framings <= 1);
}

/// The edits that a proxy makes: drops what a client could spoof, and adds its own.
pub fn with_edits<T>(client: &str, edit: impl FnOnce(Edits<'_>) -> T) -> T {
    let mut append = HeaderLines::new();
    append.push(b"X-Real-IP", client.as_bytes()).expect("a legal line");
    let names: [&[u8]; 2] = [b"x-mine", b"content-length"];
    let drop = HeaderSet::of(&[HeaderId::X_REAL_IP, HeaderId::HOST, HeaderId::TRANSFER_ENCODING]);
    edit(Edits { drop, drop_names: &names, append: &append })
}

/// Is the header one that a writer passes on untouched?
pub fn is_end_to_end(header: &Header<'_>) -> bool {
    const OTHERS: HeaderSet = HeaderSet::of(&[
        HeaderId::HOST,
        HeaderId::CONNECTION,
        HeaderId::KEEP_ALIVE,
        HeaderId::PROXY_CONNECTION,
        HeaderId::PROXY_AUTHENTICATE,
        HeaderId::PROXY_AUTHORIZATION,
        HeaderId::TE,
        HeaderId::TRAILER,
        HeaderId::TRANSFER_ENCODING,
        HeaderId::UPGRADE,
        HeaderId::HTTP2_SETTINGS,
        HeaderId::CONTENT_LENGTH,
        HeaderId::EXPECT,
    ]);
    !OTHERS.contains(header.id)
}
