//! Response heads: what is refused, where the body ends, when a tunnel begins.

use wire::h1::{
    Authority, Edits, Exchange, Framing, HeadError, Headers, Limits, MethodKind, Parsed, RequestOut,
    ResponseFraming, UpstreamConnection, parse_request, parse_response, write_request,
};

const GET: MethodKind = MethodKind::Get;

fn refused(bytes: &[u8], exchange: &Exchange) -> &'static str {
    let mut headers = Headers::new();
    match parse_response(bytes, &mut headers, &Limits::default(), exchange) {
        Err(error) => error.code(),
        Ok(got) => panic!("accepted {}: {got:?}", bytes.escape_ascii()),
    }
}

/// The exchange of a request that asks to switch to this protocol.
fn upgrade_to(protocol: &str) -> Exchange {
    let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    let mut headers = Headers::new();
    let Ok(Parsed::Complete(head)) = parse_request(bytes.as_bytes(), &mut headers, &Limits::default()) else {
        panic!("legal")
    };
    let how = RequestOut {
        host_default: Authority::parse(b"x").expect("a host"),
        host: None,
        target: None,
        connection: UpstreamConnection::Upgrade(head.upgrade().expect("asked for")),
        edits: Edits::none(),
    };
    write_request(&mut Vec::new(), &head, &how)
}

#[test]
fn malformed_responses_are_refused() {
    for (why, bytes, code) in [
        ("HTTP/2", &b"HTTP/2 200 OK\r\n\r\n"[..], "h1_bad_version"),
        ("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n", "h1_unsupported_version"),
        ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n", "h1_unsupported_version"),
        ("no HTTP", b"ICY 200 OK\r\n\r\n", "h1_bad_version"),
        ("binary", b"\x15\x03\x01\x00\x02\x02\x16", "h1_bad_version"),
        ("empty line first", b"\r\nHTTP/1.1 200 OK\r\n\r\n", "h1_bad_version"),
        ("space first", b" HTTP/1.1 200 OK\r\n\r\n", "h1_bad_version"),
        ("two spaces", b"HTTP/1.1  200 OK\r\n\r\n", "h1_bad_status"),
        ("two digits", b"HTTP/1.1 20 OK\r\n\r\n", "h1_bad_status"),
        ("four digits", b"HTTP/1.1 2000 OK\r\n\r\n", "h1_bad_status"),
        ("status below 100", b"HTTP/1.1 099 OK\r\n\r\n", "h1_bad_status"),
        ("signed status", b"HTTP/1.1 +20 OK\r\n\r\n", "h1_bad_status"),
        ("no status", b"HTTP/1.1 OK\r\n\r\n", "h1_bad_status"),
        ("bare LF", b"HTTP/1.1 200\n\n", "h1_bare_lf"),
        ("bare LF behind the reason", b"HTTP/1.1 200 OK\nX: y\r\n\r\n", "h1_bare_lf"),
        ("bare CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n", "h1_bare_cr"),
        ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\n\r\n", "h1_control_byte"),
        ("folded header", b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "h1_obs_fold"),
        ("space before colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "h1_space_before_colon"),
        (
            "CL and TE",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "h1_length_and_transfer_encoding",
        ),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "h1_length_repeated",
        ),
        ("length list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "h1_bad_length"),
        ("negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "h1_bad_length"),
        ("gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "h1_unknown_transfer_coding"),
        ("identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "h1_bad_transfer_encoding"),
        (
            "TE on HTTP/1.0",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "h1_transfer_encoding_on_http10",
        ),
        ("1xx with length", b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", "h1_interim_with_body"),
        (
            "1xx with chunks",
            b"HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
            "h1_interim_with_body",
        ),
        (
            "101 unasked",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "h1_unexpected_upgrade",
        ),
        ("look-alike", b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n", "h1_framing_look_alike"),
    ] {
        assert_eq!(refused(bytes, &Exchange::new(GET)), code, "{why}");
    }
}

#[test]
fn the_body_ends_where_method_status_and_headers_say() {
    use ResponseFraming as F;
    for (why, method, text, framing, keep_alive) in [
        ("length", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", F::Length(5), true),
        ("chunked", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", F::Chunked, true),
        ("nothing declared", GET, "HTTP/1.1 200 OK\r\n\r\n", F::UntilClose, false),
        ("no reason", GET, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", F::Length(0), true),
        ("no space either", GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", F::Length(0), true),
        (
            "status out of the classes",
            GET,
            "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
            F::Length(0),
            true,
        ),
        ("HEAD with length", MethodKind::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", F::None, true),
        (
            "HEAD chunked",
            MethodKind::Head,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            F::None,
            true,
        ),
        ("HEAD, nothing declared", MethodKind::Head, "HTTP/1.1 200 OK\r\n\r\n", F::None, true),
        ("204", GET, "HTTP/1.1 204 No Content\r\n\r\n", F::None, true),
        ("204 with length 0", GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", F::None, true),
        (
            "204 that declares a body",
            GET,
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
            F::None,
            false,
        ),
        ("204 chunked", GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", F::None, false),
        ("304 with length", GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", F::None, true),
        ("100", MethodKind::Post, "HTTP/1.1 100 Continue\r\n\r\n", F::None, true),
        ("CONNECT 200", MethodKind::Connect, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", F::None, false),
        (
            "CONNECT 403",
            MethodKind::Connect,
            "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
            F::Length(5),
            true,
        ),
        (
            "close",
            GET,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n",
            F::Length(5),
            false,
        ),
        ("HTTP/1.0", GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", F::Length(5), false),
        (
            "HTTP/1.0 kept",
            GET,
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
            F::Length(5),
            true,
        ),
        (
            "HTTP/1.0 kept but endless",
            GET,
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
            F::UntilClose,
            false,
        ),
    ] {
        let mut headers = Headers::new();
        match parse_response(text.as_bytes(), &mut headers, &Limits::default(), &Exchange::new(method)) {
            Ok(Parsed::Complete(head)) => {
                assert_eq!((head.framing(), head.keep_alive()), (framing, keep_alive), "{why}");
                assert_eq!(head.len(), text.len(), "{why}");
                assert_eq!(head.tunnel().is_some(), why == "CONNECT 200", "{why}");
                assert_eq!(head.is_interim(), head.status() < 200, "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn a_head_answer_keeps_what_it_declares() {
    let mut headers = Headers::new();
    let text = b"HTTP/1.1 200 Fine with me\r\nContent-Length: 5\r\n\r\n";
    let Ok(Parsed::Complete(head)) =
        parse_response(text, &mut headers, &Limits::default(), &Exchange::new(MethodKind::Head))
    else {
        panic!("legal")
    };
    assert_eq!(head.declared(), Framing::Length(5));
    assert_eq!((head.status(), head.reason()), (200, &b"Fine with me"[..]));
}

#[test]
fn a_tunnel_begins_only_with_the_101_that_was_asked_for() {
    let exchange = upgrade_to("websocket");
    let mut headers = Headers::new();
    let good =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00";
    match parse_response(good, &mut headers, &Limits::default(), &exchange) {
        Ok(Parsed::Complete(head)) => {
            assert!(head.tunnel().is_some() && !head.keep_alive() && !head.is_interim());
            assert_eq!(&good[head.len()..], b"\x81\x00");
        }
        other => panic!("{other:?}"),
    }
    for (why, text, code) in [
        (
            "other protocol",
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
            "h1_upgrade_mismatch",
        ),
        ("h2c", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "h1_upgrade_mismatch"),
        ("no Upgrade", "HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n", "h1_upgrade_mismatch"),
        ("no Connection", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", "h1_upgrade_mismatch"),
        (
            "HTTP/1.0",
            "HTTP/1.0 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "h1_upgrade_mismatch",
        ),
        (
            "with a body",
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n",
            "h1_interim_with_body",
        ),
    ] {
        assert_eq!(refused(text.as_bytes(), &exchange), code, "{why}");
    }
    for text in ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        match parse_response(text.as_bytes(), &mut headers, &Limits::default(), &exchange) {
            Ok(Parsed::Complete(head)) => assert!(head.tunnel().is_none(), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_large_head_is_refused_and_a_cut_one_is_partial() {
    let mut headers = Headers::new();
    let limits = Limits { head_bytes_max: 100, ..Limits::default() };
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    for cut in 0..whole.len() {
        let got = parse_response(&whole[..cut], &mut headers, &limits, &Exchange::new(GET));
        assert!(matches!(got, Ok(Parsed::Partial(_))), "{cut}");
    }
    let large = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100));
    let got = parse_response(large.as_bytes(), &mut headers, &limits, &Exchange::new(GET));
    assert!(matches!(got, Err(HeadError::HeadTooLarge)));
}
