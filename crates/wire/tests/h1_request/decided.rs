//! What is found in a head that is let pass.

use wire::h1::{Framing, HeaderId, Headers, Limits, Method, Parsed, TargetForm, Version, parse_request};

use crate::with;

#[test]
fn what_the_rfc_lets_pass_is_understood() {
    let mut headers = Headers::new();
    let bytes =
        b"\r\n\r\nGET /a?b=c?d HTTP/1.1\r\nhOST:a:81\r\nX-Odd|~: \t v w\t \r\nX-Empty:\r\nX-Odd|~: 2\r\n\
        Cookie: \xff\xfe\r\n\r\nGET /next";
    let Ok(Parsed::Complete(head)) = parse_request(bytes, &mut headers, &Limits::default()) else {
        panic!("legal")
    };
    assert_eq!(&bytes[head.len()..], b"GET /next");
    assert_eq!(head.method(), Method::Get);
    assert_eq!(
        (head.target(), head.path(), head.query()),
        (&b"/a?b=c?d"[..], &b"/a"[..], Some(&b"b=c?d"[..]))
    );
    let host = head.host().expect("it has one");
    assert_eq!((host.as_bytes(), host.host(), host.port()), (&b"a:81"[..], &b"a"[..], Some(81)));
    assert_eq!(head.values_named(b"x-odd|~").collect::<Vec<_>>(), [&b"v w"[..], b"2"]);
    assert_eq!(head.values_named(b"x-empty").collect::<Vec<_>>(), [b""]);
    assert_eq!(head.header(HeaderId::COOKIE), Some(&b"\xff\xfe"[..]));
    assert_eq!(head.headers().count(), 5);
    assert_eq!(head.version(), Version::Http11);
}

#[test]
fn framing_and_persistence_are_decided_from_the_head() {
    for (why, bytes, framing, keep_alive) in [
        ("nothing declared", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None, true),
        ("POST without length", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::None, true),
        ("length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
        ("length zero", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Framing::Length(0), true),
        (
            "leading zeros",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\n",
            Framing::Length(5),
            true,
        ),
        (
            "largest length",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
            Framing::Length(i64::MAX as u64),
            true,
        ),
        (
            "chunked",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            Framing::Chunked,
            true,
        ),
        (
            "chunked, case, tabs",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tcHunked \r\n\r\n",
            Framing::Chunked,
            true,
        ),
        ("close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", Framing::None, false),
        (
            "close wins",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, , close\r\n\r\n",
            Framing::None,
            false,
        ),
        (
            "close in a second line",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n",
            Framing::None,
            false,
        ),
        (
            "closed is not close",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
            Framing::None,
            true,
        ),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", Framing::None, false),
        ("HTTP/1.0 kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Framing::None, true),
        ("HTTP/1.0 both", "GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", Framing::None, false),
        ("HTTP/1.0 with length", "GET / HTTP/1.0\r\nContent-Length: 7\r\n\r\n", Framing::Length(7), false),
        (
            "Proxy-Connection means nothing",
            "GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n",
            Framing::None,
            true,
        ),
    ] {
        let mut headers = Headers::new();
        match parse_request(bytes.as_bytes(), &mut headers, &Limits::default()) {
            Ok(Parsed::Complete(head)) => {
                assert_eq!((head.framing(), head.keep_alive()), (framing, keep_alive), "{why}");
                assert_eq!(head.len(), bytes.len(), "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn the_target_s_authority_wins_over_host() {
    for (target, form, host, path_and_query) in [
        ("GET /x?y", TargetForm::Origin, "h", "/x?y"),
        ("GET //x", TargetForm::Origin, "h", "//x"),
        ("GET http://t/x?y", TargetForm::Absolute, "t", "/x?y"),
        ("GET HTTPS://t:8443", TargetForm::Absolute, "t:8443", "/"),
        ("GET http://[::1]:1?q", TargetForm::Absolute, "[::1]:1", "?q"),
        ("OPTIONS http://t", TargetForm::Absolute, "t", "*"),
        ("OPTIONS *", TargetForm::Asterisk, "h", "*"),
        ("CONNECT t:443", TargetForm::Authority, "t:443", "t:443"),
    ] {
        let bytes = format!("{target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut headers = Headers::new();
        match parse_request(bytes.as_bytes(), &mut headers, &Limits::default()) {
            Ok(Parsed::Complete(head)) => {
                assert_eq!(head.form(), form, "{target}");
                assert_eq!(head.host().expect("it has one").as_bytes(), host.as_bytes(), "{target}");
                assert_eq!(head.path_and_query(), path_and_query.as_bytes(), "{target}");
            }
            other => panic!("{target}: {other:?}"),
        }
    }
}

#[test]
fn an_upgrade_is_offered_only_where_a_tunnel_can_follow() {
    for (why, lines, want) in [
        ("websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("among other options", "Connection: keep-alive, upgrade\r\nUpgrade: SPDY/3.1\r\n", Some("SPDY/3.1")),
        (
            "with an empty body",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
            Some("websocket"),
        ),
        ("not named by Connection", "Upgrade: websocket\r\n", None),
        ("nothing to upgrade to", "Connection: upgrade\r\n", None),
        ("with a body", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", None),
        ("with chunks", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", None),
        ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n", None),
        ("H2C", "Connection: Upgrade\r\nUpgrade: H2C\r\n", None),
        ("HTTP itself", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", None),
        ("h2c hidden in a list", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", None),
        (
            "h2c hidden in a second line",
            "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
            None,
        ),
        ("too long to keep", "Connection: Upgrade\r\nUpgrade: a-protocol-with-a-long-name\r\n", None),
    ] {
        let bytes = with(lines);
        let mut headers = Headers::new();
        match parse_request(&bytes, &mut headers, &Limits::default()) {
            Ok(Parsed::Complete(head)) => {
                let got = head.upgrade();
                assert_eq!(got.as_ref().map(|token| token.as_bytes()), want.map(str::as_bytes), "{why}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    let old = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut headers = Headers::new();
    assert!(
        matches!(parse_request(old, &mut headers, &Limits::default()), Ok(Parsed::Complete(head)) if head.upgrade().is_none())
    );
}

#[test]
fn continue_is_expected_only_for_a_body_on_http_1_1() {
    for (why, head, want) in [
        (
            "with a body",
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
            true,
        ),
        (
            "with chunks",
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
        ),
        ("without a body", "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false),
        (
            "with an empty body",
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        (
            "on HTTP/1.0",
            "PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            false,
        ),
    ] {
        let mut headers = Headers::new();
        match parse_request(head.as_bytes(), &mut headers, &Limits::default()) {
            Ok(Parsed::Complete(head)) => assert_eq!(head.expect_continue(), want, "{why}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn a_head_survives_its_bytes_being_moved() {
    let bytes = b"BREW /pot HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n".to_vec();
    let mut headers = Headers::new();
    let facts = match parse_request(&bytes, &mut headers, &Limits::default()) {
        Ok(Parsed::Complete(head)) => head.facts(),
        other => panic!("{other:?}"),
    };
    let moved = bytes.clone();
    drop(bytes);
    let head = facts.head(&moved, &headers);
    assert_eq!(head.method(), Method::Other(b"BREW"));
    assert_eq!(head.values_named(b"x-a").collect::<Vec<_>>(), [b"b"]);
}
