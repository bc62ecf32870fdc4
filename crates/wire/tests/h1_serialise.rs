//! What goes out: canonical heads without what belongs to a hop, edits, own answers.

use wire::h1::{
    Answer, AnswerBody, Authority, Delivery, Edits, Exchange, HeaderId, HeaderLines, HeaderSet, Headers,
    Limits, MethodKind, OriginForm, Parsed, RequestOut, ResponseOut, Transfer, UpstreamConnection, Version,
    parse_request, parse_response, write_answer, write_request, write_response,
};

fn plain() -> RequestOut<'static> {
    RequestOut {
        host_default: Authority::parse(b"vip.test:8080").expect("a host"),
        host: None,
        target: None,
        connection: UpstreamConnection::KeepAlive,
        edits: Edits::none(),
    }
}

fn request(bytes: &str, how: &RequestOut<'_>) -> String {
    let mut headers = Headers::new();
    let mut out = b"kept".to_vec();
    match parse_request(bytes.as_bytes(), &mut headers, &Limits::default()) {
        Ok(Parsed::Complete(head)) => drop(write_request(&mut out, &head, how)),
        other => panic!("{bytes}: {other:?}"),
    }
    String::from_utf8(out.split_off(4)).expect("text")
}

fn response(bytes: &str, method: MethodKind, how: &ResponseOut<'_>) -> (String, Delivery) {
    let mut headers = Headers::new();
    let mut out = Vec::new();
    let delivery =
        match parse_response(bytes.as_bytes(), &mut headers, &Limits::default(), &Exchange::new(method)) {
            Ok(Parsed::Complete(head)) => write_response(&mut out, &head, how),
            other => panic!("{bytes}: {other:?}"),
        };
    (String::from_utf8(out).expect("text"), delivery)
}

#[test]
fn a_canonical_request_goes_on_unchanged() {
    for bytes in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "BREW /pot?x HTTP/1.1\r\nhost: a:1\r\nX: \r\ny-Z: a  b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nX: y\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX_Under_Score: kept\r\n\r\n",
    ] {
        assert_eq!(request(bytes, &plain()), bytes);
    }
}

#[test]
fn requests_are_written_in_our_own_words() {
    for (why, bytes, want) in [
        (
            "HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: a\r\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        ),
        (
            "no Host",
            "GET / HTTP/1.0\r\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: vip.test:8080\r\nX: y\r\n\r\n",
        ),
        (
            "Host first",
            "GET / HTTP/1.1\r\nX: y\r\nHost: a\r\nZ: z\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: z\r\n\r\n",
        ),
        ("empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "absolute form",
            "GET http://t:1/p?q HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n",
            "GET /p?q HTTP/1.1\r\nHost: t:1\r\nX: y\r\n\r\n",
        ),
        (
            "absolute, no path",
            "GET http://t HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\n\r\n",
        ),
        (
            "absolute, query only",
            "GET http://t?q HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?q HTTP/1.1\r\nHost: t\r\n\r\n",
        ),
        (
            "absolute OPTIONS",
            "OPTIONS http://t HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
        ),
        (
            "white space",
            "GET / HTTP/1.1\r\nHost:a\r\nX:y\r\nY:  z \t\r\nZ:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nY: z\r\nZ: \r\n\r\n",
        ),
        (
            "leading zeros",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\nX: y\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "zero zeros",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "coding in capitals",
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "hop by hop",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-hop, TE, cookie\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nProxy-Authorization: p\r\nTrailer: a\r\nUpgrade: b\r\nHTTP2-Settings: c\r\nX-Hop: d\r\nx-hop: e\r\nCookie: f\r\nX-End: g\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX-End: g\r\n\r\n",
        ),
        (
            "Connection cannot take the framing or Host away",
            "PUT / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, expect\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "Expect without a body",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "Trailer without chunks",
            "PUT / HTTP/1.1\r\nHost: a\r\nTrailer: x\r\nContent-Length: 1\r\n\r\n",
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
        ),
    ] {
        assert_eq!(request(bytes, &plain()), want, "{why}");
    }
}

#[test]
fn edits_drop_replace_and_append_but_never_touch_framing_or_host() {
    let mut append = HeaderLines::new();
    append.push(b"X-Real-IP", b"9.9.9.9").expect("legal");
    let names: [&[u8]; 3] = [b"x-mine", b"content-length", b"host"];
    let edits = Edits {
        drop: HeaderSet::of(&[
            HeaderId::X_REAL_IP,
            HeaderId::HOST,
            HeaderId::CONTENT_LENGTH,
            HeaderId::USER_AGENT,
        ]),
        drop_names: &names,
        append: &append,
    };
    let how = RequestOut { edits, ..plain() };
    let bytes = "POST / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 1\r\nx_real_ip: 2\r\nX-Mine: 3\r\nX_mine: 4\r\nUser-Agent: u\r\nX-Other: 5\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(
        request(bytes, &how),
        "POST / HTTP/1.1\r\nHost: a\r\nX-Other: 5\r\nContent-Length: 2\r\nX-Real-IP: 9.9.9.9\r\n\r\n"
    );
}

#[test]
fn host_and_target_can_be_rewritten() {
    let how = RequestOut {
        host: Some(Authority::parse(b"new:9").expect("a host")),
        target: Some(OriginForm::new(b"/n?m").expect("a target")),
        ..plain()
    };
    for bytes in
        ["GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", "GET http://t/a HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n"]
    {
        assert_eq!(request(bytes, &how), "GET /n?m HTTP/1.1\r\nHost: new:9\r\nX: y\r\n\r\n");
    }
    for bad in ["", "a", "/a b", "/a#b", "/a\r\n", "/\u{e9}"] {
        assert_eq!(OriginForm::new(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn connection_is_what_the_caller_says() {
    let bytes = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    let mut headers = Headers::new();
    let Ok(Parsed::Complete(head)) = parse_request(bytes.as_bytes(), &mut headers, &Limits::default()) else {
        panic!("legal")
    };
    let token = head.upgrade().expect("asked for");
    for (connection, want, asks) in [
        (UpstreamConnection::KeepAlive, "", false),
        (UpstreamConnection::Close, "Connection: close\r\n", false),
        (UpstreamConnection::Upgrade(token), "Connection: Upgrade\r\nUpgrade: websocket\r\n", true),
    ] {
        let mut out = Vec::new();
        let exchange = write_request(&mut out, &head, &RequestOut { connection, ..plain() });
        let all = format!("GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n{want}\r\n");
        assert_eq!(String::from_utf8_lossy(&out), all);
        assert_eq!(exchange.asks_for_upgrade(), asks);
    }
}

#[test]
fn responses_are_framed_for_the_client_s_version() {
    let to =
        |downstream, keep_alive| ResponseOut { downstream, keep_alive, recode: false, edits: Edits::none() };
    let (v10, v11) = (to(Version::Http10, true), to(Version::Http11, true));
    let (get, head) = (MethodKind::Get, MethodKind::Head);
    for (why, method, how, bytes, want, transfer, keep_alive) in [
        (
            "length",
            get,
            v11,
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\nC: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\nC: d\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "length, close",
            get,
            to(Version::Http11, false),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
            Transfer::Relay,
            false,
        ),
        (
            "length to HTTP/1.0",
            get,
            v10,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "chunked",
            get,
            v11,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "chunked to HTTP/1.0",
            get,
            v10,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            Transfer::Dechunk,
            false,
        ),
        (
            "until close",
            get,
            v11,
            "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
            Transfer::Enchunk,
            true,
        ),
        (
            "until close to HTTP/1.0",
            get,
            v10,
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            Transfer::Relay,
            false,
        ),
        (
            "the member's close is not the client's",
            get,
            v11,
            "HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: y\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "from HTTP/1.0",
            get,
            v11,
            "HTTP/1.0 200 OK\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "no reason",
            get,
            v11,
            "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "empty reason",
            get,
            v11,
            "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
            Transfer::Relay,
            true,
        ),
        (
            "HEAD",
            head,
            v11,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Transfer::None,
            true,
        ),
        (
            "HEAD chunked",
            head,
            v11,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Transfer::None,
            true,
        ),
        (
            "HEAD chunked to HTTP/1.0",
            head,
            v10,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
            Transfer::None,
            true,
        ),
        (
            "304",
            get,
            v11,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            Transfer::None,
            true,
        ),
        (
            "204 with length",
            get,
            v11,
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            Transfer::None,
            true,
        ),
        (
            "interim",
            get,
            to(Version::Http11, false),
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
            Transfer::None,
            false,
        ),
    ] {
        let (text, delivery) = response(bytes, method, &how);
        assert_eq!(text, want, "{why}");
        assert_eq!(delivery, Delivery { transfer, keep_alive }, "{why}");
    }
}

#[test]
fn the_member_s_server_name_can_be_replaced() {
    let mut append = HeaderLines::new();
    append.push(b"Server", b"elb").expect("legal");
    let edits = Edits { drop: HeaderSet::of(&[HeaderId::SERVER]), drop_names: &[], append: &append };
    let how = ResponseOut { downstream: Version::Http11, keep_alive: true, recode: false, edits };
    let bytes = "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        response(bytes, MethodKind::Get, &how).0,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: elb\r\n\r\n"
    );
}

#[test]
fn own_answers_are_complete_and_parse_again() {
    let mut lines = HeaderLines::new();
    lines.push(b"x-router-code", b"50000").expect("legal");
    let page = Answer {
        omit: HeaderSet::EMPTY,
        status: 503,
        lines: &lines,
        body: AnswerBody::Page,
        head_only: false,
        downstream: Version::Http11,
        keep_alive: true,
    };
    let text = AnswerBody::Bytes { content_type: b"text/plain", bytes: b"hello" };
    for (why, answer, head, body_len) in [
        (
            "page",
            page,
            "HTTP/1.1 503 Service Unavailable\r\nServer: elb\r\nx-router-code: 50000\r\nContent-Type: text/html\r\nContent-Length: 164\r\n\r\n",
            164,
        ),
        (
            "HEAD",
            Answer { head_only: true, ..page },
            "HTTP/1.1 503 Service Unavailable\r\nServer: elb\r\nx-router-code: 50000\r\nContent-Type: text/html\r\nContent-Length: 164\r\n\r\n",
            0,
        ),
        (
            "closing",
            Answer { keep_alive: false, body: text, status: 400, ..page },
            "HTTP/1.1 400 Bad Request\r\nServer: elb\r\nx-router-code: 50000\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
            5,
        ),
        (
            "HTTP/1.0",
            Answer { downstream: Version::Http10, body: text, status: 200, ..page },
            "HTTP/1.1 200 OK\r\nServer: elb\r\nx-router-code: 50000\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
            5,
        ),
        (
            "no content",
            Answer { status: 204, ..page },
            "HTTP/1.1 204 No Content\r\nServer: elb\r\nx-router-code: 50000\r\n\r\n",
            0,
        ),
        (
            "unknown status",
            Answer { status: 599, head_only: true, body: text, ..page },
            "HTTP/1.1 599 \r\nServer: elb\r\nx-router-code: 50000\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n",
            0,
        ),
    ] {
        let mut out = Vec::new();
        write_answer(&mut out, &answer);
        let written = String::from_utf8_lossy(&out);
        assert!(written.starts_with(head), "{why}: {written}");
        assert_eq!(out.len(), head.len() + body_len, "{why}: {written}");
        let mut headers = Headers::new();
        let parsed = parse_response(&out, &mut headers, &Limits::default(), &Exchange::new(MethodKind::Get));
        assert!(matches!(parsed, Ok(Parsed::Complete(parsed)) if parsed.status() == answer.status), "{why}");
    }
}
