//! Bodies: chunks, lengths, what is left over, and how a body is passed on.

use wire::h1::{
    Body, BodyError, CHUNK_EXTENSION_BYTES_MAX, ChunkedDecoder, Framing, LAST_CHUNK, ResponseFraming,
    SizeLine, TRAILER_BYTES_MAX, push_chunk,
};

/// Feeds pieces one after the other. Gives the bare data, what `relay` sends, and what was left over of the last
/// piece that was fed. `Ok` also for a body that has not ended: then `left` is `None`.
struct Fed {
    data: Vec<u8>,
    sent: Vec<u8>,
    left: Option<Vec<u8>>,
}

fn feed<'p>(pieces: impl IntoIterator<Item = &'p [u8]> + Clone) -> Result<Fed, BodyError> {
    let (mut data, mut sent, mut left) = (Vec::new(), Vec::new(), None);
    let mut decoder = ChunkedDecoder::new();
    'decode: for piece in pieces.clone() {
        let mut rest = piece;
        while !rest.is_empty() {
            let got = decoder.decode(rest)?;
            assert!(got.consumed > 0 || got.done, "progress");
            data.extend_from_slice(got.data);
            rest = &rest[got.consumed..];
            if got.done {
                left = Some(rest.to_vec());
                break 'decode;
            }
        }
    }
    let mut decoder = ChunkedDecoder::new();
    let mut relay_left = None;
    'relay: for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            let got = decoder.relay(rest)?;
            assert!(got.consumed > 0 || got.done, "progress");
            sent.extend_from_slice(got.prefix.as_bytes());
            sent.extend_from_slice(got.span);
            rest = &rest[got.consumed..];
            if got.done {
                sent.extend_from_slice(decoder.tail());
                relay_left = Some(rest.to_vec());
                break 'relay;
            }
        }
    }
    assert_eq!(left, relay_left, "both ways end at the same byte");
    Ok(Fed { data, sent, left })
}

/// Whole, byte by byte, and cut in two at every place must agree.
fn feed_every_way(bytes: &[u8]) -> Result<Fed, BodyError> {
    let whole = feed([bytes]);
    let mut ways = vec![feed(bytes.chunks(1))];
    ways.extend((1..bytes.len()).map(|cut| feed([&bytes[..cut], &bytes[cut..]])));
    for way in ways {
        match (&whole, way) {
            (Ok(whole), Ok(way)) => {
                assert_eq!((&whole.data, &whole.sent), (&way.data, &way.sent), "{}", bytes.escape_ascii());
                assert_eq!(whole.left.is_some(), way.left.is_some(), "{}", bytes.escape_ascii());
            }
            (Err(whole), Err(way)) => assert_eq!(*whole, way, "{}", bytes.escape_ascii()),
            (_, way) => panic!("{}: cut {:?}", bytes.escape_ascii(), way.map(|fed| fed.data)),
        }
    }
    whole
}

#[test]
fn chunked_bodies_are_read_and_passed_on_canonically() {
    for (why, bytes, data, sent) in [
        ("empty", "0\r\n\r\n", "", "0\r\n\r\n"),
        ("one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "two chunks",
            "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "hello0123456789",
            "5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n",
        ),
        ("leading zeros", "0005\r\nhello\r\n000\r\n\r\n", "hello", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "data that looks like framing",
            "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            "0\r\n\r\n",
            "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        ),
        ("extension", "5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", "5\r\nhello\r\n0\r\n\r\n"),
        ("quoted extension", "1;a=\"b; c\\\"\t\u{e9}\";d\r\nx\r\n0\r\n\r\n", "x", "1\r\nx\r\n0\r\n\r\n"),
        (
            "extension in the second chunk",
            "1\r\nx\r\n2;a\r\nyz\r\n0\r\n\r\n",
            "xyz",
            "1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n",
        ),
        (
            "trailers",
            "1\r\nx\r\n0\r\nX-Sum:  1 \r\nY: \r\n\r\n",
            "x",
            "1\r\nx\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n",
        ),
        (
            "trailers that must not pass",
            "0\r\nContent-Length: 5\r\nHost: a\r\nAuthorization: x\r\nX_Real_IP: 1\r\nSet-Cookie: a\r\nIf-Match: *\r\nOk: 1\r\n\r\n",
            "",
            "0\r\nOk: 1\r\n\r\n",
        ),
        ("only trailers that must not pass", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "", "0\r\n\r\n"),
    ] {
        let bytes = bytes.as_bytes();
        match feed_every_way(bytes) {
            Ok(fed) => {
                assert_eq!(fed.data, data.as_bytes(), "{why}");
                assert_eq!(fed.sent, sent.as_bytes(), "{why}");
                assert_eq!(fed.left.as_deref(), Some(&b""[..]), "{why}");
            }
            Err(error) => panic!("{why}: {error}"),
        }
    }
}

#[test]
fn a_body_takes_nothing_behind_its_end() {
    for next in ["GET / HTTP/1.1\r\n", "\r\n", "0\r\n\r\n", "x"] {
        for body in ["0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;e\r\nabc\r\n0;e\r\nT: 1\r\n\r\n"] {
            let bytes = [body, next].concat();
            let fed = feed([bytes.as_bytes()]).expect("legal");
            assert_eq!(fed.left.as_deref(), Some(next.as_bytes()), "{body}");
        }
    }
    let mut body = Body::for_request(Framing::Length(3));
    let got = body.relay(b"abcGET").expect("any bytes do");
    assert_eq!((got.consumed, got.span, got.done), (3, &b"abc"[..], true));
    assert!(Body::for_request(Framing::None).is_done());
    assert!(Body::for_response(ResponseFraming::None).is_done());
}

#[test]
fn malformed_chunks_are_refused_however_they_are_cut() {
    let extension = |n: usize| format!("1;{}\r\n", "a".repeat(n));
    for (why, bytes, code) in [
        ("no size", "\r\n".to_owned(), "h1_bad_chunk_size"),
        ("no hexadecimal", "g\r\n".to_owned(), "h1_bad_chunk_size"),
        ("0x", "0x5\r\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("sign", "+5\r\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("negative", "-1\r\n".to_owned(), "h1_bad_chunk_size"),
        ("space before", " 5\r\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("space behind", "5 \r\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("tab behind", "5\t\r\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("underscore", "1_0\r\n".to_owned(), "h1_bad_chunk_size"),
        ("17 digits", "00000000000000001\r\n".to_owned(), "h1_bad_chunk_size"),
        ("2^63", "8000000000000000\r\n".to_owned(), "h1_bad_chunk_size"),
        ("wraps to 5", "10000000000000005\r\n".to_owned(), "h1_bad_chunk_size"),
        ("bare LF behind size", "5\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("bare CR behind size", "5\rhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("CR CR LF", "5\r\r\nhello\r\n".to_owned(), "h1_bad_chunk_size"),
        ("vertical tab", "5\x0b\r\n".to_owned(), "h1_bad_chunk_size"),
        ("extension without size", ";a\r\n".to_owned(), "h1_bad_chunk_size"),
        ("empty extension", "5;\r\nhello\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("space before extension", "5; a\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("space before semicolon", "5 ;a\r\n".to_owned(), "h1_bad_chunk_size"),
        ("extension without value", "5;a=\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("bare LF in extension", "5;a\nhello\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("bare CR in extension", "5;a\rb\r\n".to_owned(), "h1_bad_chunk_size"),
        ("LF in quotes", "5;a=\"\n\"\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("CRLF in quotes", "5;a=\"\r\n\"\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("LF quoted", "5;a=\"\\\n\"\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("text behind quotes", "5;a=\"b\"c\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("NUL in extension", "5;a\0\r\n".to_owned(), "h1_bad_chunk_extension"),
        ("long extension", extension(CHUNK_EXTENSION_BYTES_MAX), "h1_chunk_extension_too_long"),
        ("data too long", "5\r\nhello!\r\n".to_owned(), "h1_bad_chunk_end"),
        ("data too short", "5\r\nhell\r\n0\r\n\r\n".to_owned(), "h1_bad_chunk_end"),
        ("bare LF behind data", "5\r\nhello\n0\r\n\r\n".to_owned(), "h1_bad_chunk_end"),
        ("bare CR behind data", "5\r\nhello\r0\r\n\r\n".to_owned(), "h1_bad_chunk_end"),
        ("no CRLF behind data", "5\r\nhello0\r\n\r\n".to_owned(), "h1_bad_chunk_end"),
        ("bare LF as the end", "0\r\n\n".to_owned(), "h1_bad_trailer"),
        ("bare LF in trailers", "0\r\nA: b\n\r\n".to_owned(), "h1_bad_trailer"),
        ("folded trailer", "0\r\nA: b\r\n c\r\n\r\n".to_owned(), "h1_bad_trailer"),
        ("space before colon", "0\r\nA : b\r\n\r\n".to_owned(), "h1_bad_trailer"),
        ("no colon", "0\r\nAb\r\n\r\n".to_owned(), "h1_bad_trailer"),
        ("NUL in trailer", "0\r\nA: b\0\r\n\r\n".to_owned(), "h1_bad_trailer"),
        (
            "the next request as a trailer",
            "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "h1_bad_trailer",
        ),
    ] {
        match feed_every_way(bytes.as_bytes()) {
            Err(error) => assert_eq!(error.code(), code, "{why}"),
            Ok(_) => panic!("{why}: accepted"),
        }
    }
    assert!(feed([extension(CHUNK_EXTENSION_BYTES_MAX - 1).as_bytes()]).is_ok());
    let trailers = format!("0\r\nA: {}\r\n\r\n", "x".repeat(TRAILER_BYTES_MAX));
    assert_eq!(feed([trailers.as_bytes()]).err(), Some(BodyError::TrailersTooLarge));
}

#[test]
fn no_byte_passes_for_a_line_end() {
    let body = b"3\r\nabc\r\n1;a\r\nx\r\n0\r\nA: b\r\n\r\n";
    for place in (0..body.len()).filter(|&place| matches!(body[place], b'\r' | b'\n')) {
        for byte in 0..=255u8 {
            let mut odd = body.to_vec();
            odd[place] = byte;
            // A letter for CR makes an extension or a trailer longer, and leaves its LF bare; a digit makes a chunk longer.
            let accepted = feed([&odd[..]]).is_ok_and(|fed| fed.left.is_some());
            assert_eq!(accepted, byte == body[place], "{byte:#x} at {place}");
        }
    }
}

#[test]
fn data_makes_up_for_extensions_so_long_streams_with_signatures_pass() {
    let signed = format!("400;chunk-signature={}\r\n{}\r\n", "0".repeat(64), "x".repeat(1024));
    assert!(feed([signed.repeat(200).as_bytes()]).is_ok());
    let only_extensions = format!("1;{}\r\nx\r\n", "a".repeat(64));
    assert_eq!(feed([only_extensions.repeat(200).as_bytes()]).err(), Some(BodyError::ChunkExtensionTooLong));
}

#[test]
fn chunks_that_are_spelled_as_ours_go_on_as_one_span() {
    let bytes = b"5\r\nhello\r\n1f\r\n0123456789012345678901234567890\r\n0\r\n\r\nnext";
    let mut decoder = ChunkedDecoder::new();
    let got = decoder.relay(bytes).expect("legal");
    assert_eq!((got.prefix, got.span, got.done), (SizeLine::EMPTY, &bytes[..bytes.len() - 4], true));
    assert_eq!(decoder.tail(), b"");
}

#[test]
fn trailers_are_given_out() {
    let mut body = Body::for_response(ResponseFraming::Chunked);
    let got = body.decode(b"0\r\nX-A: 1\r\nHost: evil\r\nX-B:2\r\n\r\n").expect("legal");
    assert!(got.done);
    let trailers: Vec<_> = body.trailers().map(|header| (header.name, header.value)).collect();
    assert_eq!(trailers, [(&b"X-A"[..], &b"1"[..]), (b"X-B", b"2")]);
    assert_eq!(body.tail(), b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n");
}

#[test]
fn a_body_that_ends_with_its_connection_is_whole_only_without_a_length() {
    for (why, framing, input, want) in [
        ("until close", ResponseFraming::UntilClose, &b"abc"[..], Ok(())),
        ("length, whole", ResponseFraming::Length(3), b"abc", Ok(())),
        ("length, cut", ResponseFraming::Length(4), b"abc", Err(BodyError::Truncated)),
        ("chunked, cut in a chunk", ResponseFraming::Chunked, b"4\r\nabc", Err(BodyError::Truncated)),
        ("chunked, no last chunk", ResponseFraming::Chunked, b"3\r\nabc\r\n", Err(BodyError::Truncated)),
        ("chunked, no final line", ResponseFraming::Chunked, b"3\r\nabc\r\n0\r\n", Err(BodyError::Truncated)),
        ("chunked, cut in a trailer", ResponseFraming::Chunked, b"0\r\nA: b\r\n", Err(BodyError::Truncated)),
    ] {
        let mut body = Body::for_response(framing);
        let mut rest = input;
        while !rest.is_empty() {
            rest = &rest[body.relay(rest).expect("legal").consumed..];
        }
        assert_eq!(body.handle_eof(), want, "{why}");
        assert_eq!(body.is_done(), want.is_ok(), "{why}");
    }
}

#[test]
fn spliced_bytes_are_counted() {
    let mut body = Body::for_response(ResponseFraming::Length(10));
    assert_eq!(body.opaque_remaining(), Some(10));
    body.skip(7);
    assert_eq!(body.relay(b"abcd").map(|got| (got.consumed, got.done)), Ok((3, true)));

    let mut body = Body::for_response(ResponseFraming::Chunked);
    assert_eq!(body.relay(b"64\r\nab").map(|got| got.span.len()), Ok(6));
    assert_eq!(body.opaque_remaining(), Some(98));
    body.skip(98);
    assert_eq!(body.opaque_remaining(), Some(0));
    assert_eq!(body.relay(b"\r\n0\r\n\r\n").map(|got| got.done), Ok(true));
    assert_eq!(Body::for_response(ResponseFraming::UntilClose).opaque_remaining(), None);
}

#[test]
fn our_own_chunks_are_hexadecimal_and_never_empty() {
    for (length, want) in
        [(0, ""), (1, "1\r\n"), (255, "ff\r\n"), (262_144, "40000\r\n"), (u64::MAX, "ffffffffffffffff\r\n")]
    {
        assert_eq!(SizeLine::open(length).as_bytes(), want.as_bytes());
    }
    let mut out = Vec::new();
    push_chunk(&mut out, b"");
    push_chunk(&mut out, b"hello");
    out.extend_from_slice(LAST_CHUNK);
    assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
}
