//! Request heads: what is refused and with which code; beside it, what is found in those that are not.

mod decided;

use wire::h1::{HeadError, Headers, Limits, Parsed, parse_request};

/// `Ok(None)` for a head that is not complete.
fn outcome(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, HeadError> {
    let mut headers = Headers::new();
    match parse_request(bytes, &mut headers, limits)? {
        Parsed::Complete(head) => Ok(Some(head.len())),
        Parsed::Partial(_) => Ok(None),
    }
}

fn refused(bytes: &[u8]) -> (u16, &'static str) {
    match outcome(bytes, &Limits::default()) {
        Err(error) => (error.status(), error.code()),
        Ok(length) => panic!("accepted ({length:?}): {}", bytes.escape_ascii()),
    }
}

/// A request with these header lines, after a good Host.
fn with(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[test]
fn framing_that_two_parsers_could_read_differently_is_refused() {
    for (why, lines, status, code) in [
        (
            "CL.TE",
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            400,
            "h1_length_and_transfer_encoding",
        ),
        (
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
            400,
            "h1_length_and_transfer_encoding",
        ),
        (
            "CL.0 with TE",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            400,
            "h1_length_and_transfer_encoding",
        ),
        (
            "TE unknown, CL",
            "Content-Length: 6\r\nTransfer-Encoding: x\r\n",
            400,
            "h1_length_and_transfer_encoding",
        ),
        (
            "TE.TE two lines",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            400,
            "h1_transfer_encoding_repeated",
        ),
        (
            "TE.TE other case",
            "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n",
            400,
            "h1_transfer_encoding_repeated",
        ),
        (
            "TE.TE identity first",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            400,
            "h1_transfer_encoding_repeated",
        ),
        (
            "chunked twice in one line",
            "Transfer-Encoding: chunked, chunked\r\n",
            400,
            "h1_transfer_encoding_repeated",
        ),
        ("xchunked", "Transfer-Encoding: xchunked\r\n", 501, "h1_unknown_transfer_coding"),
        ("gzip", "Transfer-Encoding: gzip\r\n", 501, "h1_unknown_transfer_coding"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", 501, "h1_unknown_transfer_coding"),
        ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n", 501, "h1_unknown_transfer_coding"),
        ("chunked1", "Transfer-Encoding: chunked1\r\n", 501, "h1_unknown_transfer_coding"),
        ("identity", "Transfer-Encoding: identity\r\n", 400, "h1_bad_transfer_encoding"),
        ("chunked, identity", "Transfer-Encoding: chunked, identity\r\n", 400, "h1_bad_transfer_encoding"),
        ("empty", "Transfer-Encoding:\r\n", 400, "h1_bad_transfer_encoding"),
        ("blank", "Transfer-Encoding:  \t \r\n", 400, "h1_bad_transfer_encoding"),
        ("leading comma", "Transfer-Encoding: ,chunked\r\n", 400, "h1_bad_transfer_encoding"),
        ("trailing comma", "Transfer-Encoding: chunked,\r\n", 400, "h1_bad_transfer_encoding"),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n", 400, "h1_bad_transfer_encoding"),
        ("single quotes are a token", "Transfer-Encoding: 'chunked'\r\n", 501, "h1_unknown_transfer_coding"),
        ("parameter", "Transfer-Encoding: chunked;q=1\r\n", 400, "h1_bad_transfer_encoding"),
        ("two words", "Transfer-Encoding: chunked chunked\r\n", 400, "h1_bad_transfer_encoding"),
        ("tab inside", "Transfer-Encoding: chun\tked\r\n", 400, "h1_bad_transfer_encoding"),
        ("obs-text", "Transfer-Encoding: chunked\u{e9}\r\n", 400, "h1_bad_transfer_encoding"),
        ("vertical tab before", "Transfer-Encoding: \x0bchunked\r\n", 400, "h1_control_byte"),
        ("vertical tab after", "Transfer-Encoding: chunked\x0b\r\n", 400, "h1_control_byte"),
        ("form feed", "Transfer-Encoding: \x0cchunked\r\n", 400, "h1_control_byte"),
        ("NUL", "Transfer-Encoding: chunked\0\r\n", 400, "h1_control_byte"),
        ("DEL", "Transfer-Encoding: \x7fchunked\r\n", 400, "h1_control_byte"),
        ("space before colon", "Transfer-Encoding : chunked\r\n", 400, "h1_space_before_colon"),
        ("tab before colon", "Transfer-Encoding\t: chunked\r\n", 400, "h1_space_before_colon"),
        ("vertical tab before colon", "Transfer-Encoding\x0b: chunked\r\n", 400, "h1_bad_header_name"),
        ("NUL in the name", "Transfer\0-Encoding: chunked\r\n", 400, "h1_bad_header_name"),
        ("space before the name", " Transfer-Encoding: chunked\r\n", 400, "h1_obs_fold"),
        ("folded value", "Transfer-Encoding:\r\n chunked\r\n", 400, "h1_obs_fold"),
        ("folded into another header", "X: y\r\n\tTransfer-Encoding: chunked\r\n", 400, "h1_obs_fold"),
        ("bare LF hides a header", "X: y\nTransfer-Encoding: chunked\r\n", 400, "h1_bare_lf"),
        ("bare CR hides a header", "X: y\rTransfer-Encoding: chunked\r\n", 400, "h1_bare_cr"),
        ("CR CR LF", "Transfer-Encoding: chunked\r\r\n", 400, "h1_bare_cr"),
        ("colon twice", "Transfer-Encoding:: chunked\r\n", 400, "h1_bad_transfer_encoding"),
        ("underscore", "Transfer_Encoding: chunked\r\n", 400, "h1_framing_look_alike"),
        ("underscore length", "Content_Length: 5\r\n", 400, "h1_framing_look_alike"),
        ("length twice, equal", "Content-Length: 5\r\nContent-Length: 5\r\n", 400, "h1_length_repeated"),
        ("length twice, different", "Content-Length: 5\r\ncontent-length: 6\r\n", 400, "h1_length_repeated"),
        ("length list", "Content-Length: 5, 5\r\n", 400, "h1_bad_length"),
        ("length with sign", "Content-Length: +5\r\n", 400, "h1_bad_length"),
        ("negative length", "Content-Length: -1\r\n", 400, "h1_bad_length"),
        ("hexadecimal length", "Content-Length: 0x5\r\n", 400, "h1_bad_length"),
        ("length with point", "Content-Length: 5.0\r\n", 400, "h1_bad_length"),
        ("length with exponent", "Content-Length: 5e1\r\n", 400, "h1_bad_length"),
        ("length with underscore", "Content-Length: 1_0\r\n", 400, "h1_bad_length"),
        ("length with space inside", "Content-Length: 1 0\r\n", 400, "h1_bad_length"),
        ("length with tab inside", "Content-Length: 1\t0\r\n", 400, "h1_bad_length"),
        ("empty length", "Content-Length:\r\n", 400, "h1_bad_length"),
        ("quoted length", "Content-Length: \"5\"\r\n", 400, "h1_bad_length"),
        ("2^63", "Content-Length: 9223372036854775808\r\n", 400, "h1_bad_length"),
        ("2^64", "Content-Length: 18446744073709551616\r\n", 400, "h1_bad_length"),
        ("arabic digits", "Content-Length: \u{0665}\r\n", 400, "h1_bad_length"),
        ("space before colon of length", "Content-Length : 5\r\n", 400, "h1_space_before_colon"),
        ("length with NUL", "Content-Length: 5\0\r\n", 400, "h1_control_byte"),
    ] {
        assert_eq!(refused(&with(lines)), (status, code), "{why}");
    }
    let old = |line: &str| format!("POST / HTTP/1.0\r\n{line}\r\n\r\n").into_bytes();
    assert_eq!(refused(&old("Transfer-Encoding: chunked")), (400, "h1_transfer_encoding_on_http10"));
    let connect = |line: &str| format!("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n").into_bytes();
    assert_eq!(refused(&connect("Content-Length: 1")), (400, "h1_connect_with_body"));
    assert_eq!(refused(&connect("Transfer-Encoding: chunked")), (400, "h1_connect_with_body"));
}

#[test]
fn malformed_heads_are_refused() {
    let five_empty_lines = [&b"\r\n".repeat(5)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    for (why, bytes, status, code) in [
        ("TLS on the plain port", &b"\x16\x03\x01\x02\x00\x01\x00"[..], 400, "h1_bad_method"),
        ("space first", b" GET / HTTP/1.1\r\n", 400, "h1_bad_method"),
        ("method with colon", b"GE:T / HTTP/1.1\r\n", 400, "h1_bad_method"),
        ("method without end", b"GETTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT", 400, "h1_bad_method"),
        ("method alone", b"GET\r\n\r\n", 400, "h1_bad_method"),
        ("method then tab", b"GET\t/ HTTP/1.1\r\n", 400, "h1_bad_method"),
        ("too many empty lines", &five_empty_lines, 400, "h1_empty_lines"),
        ("line feed first", b"\nGET / HTTP/1.1\r\n", 400, "h1_bare_lf"),
        ("carriage return first", b"\rGET / HTTP/1.1\r\n", 400, "h1_bare_cr"),
        ("method then line feed", b"GET\n", 400, "h1_bare_lf"),
        ("two spaces", b"GET  / HTTP/1.1\r\n", 400, "h1_bad_target"),
        ("space in target", b"GET /a b HTTP/1.1\r\n", 400, "h1_bad_version"),
        ("tab behind target", b"GET /\tHTTP/1.1\r\n", 400, "h1_bad_target"),
        ("NUL in target", b"GET /\0 HTTP/1.1\r\n", 400, "h1_control_byte"),
        ("DEL in target", b"GET /\x7f HTTP/1.1\r\n", 400, "h1_control_byte"),
        ("UTF-8 in target", "GET /é HTTP/1.1\r\n".as_bytes(), 400, "h1_bad_target"),
        ("fragment", b"GET /a#b HTTP/1.1\r\n", 400, "h1_target_fragment"),
        ("HTTP/0.9", b"GET /\r\n", 400, "h1_bad_version"),
        ("HTTP/0.9 with bare LF", b"GET /\n", 400, "h1_bare_lf"),
        ("no target", b"GET \r\n", 400, "h1_bad_target"),
        ("relative target", b"GET a HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("asterisk with GET", b"GET * HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("authority with GET", b"GET a:80 HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("origin form with CONNECT", b"CONNECT / HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("CONNECT without port", b"CONNECT a HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("CONNECT to a URI", b"CONNECT http://a:80/ HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("ftp", b"GET ftp://a/ HTTP/1.1\r\n", 400, "h1_bad_scheme"),
        ("file", b"GET file:///etc/passwd HTTP/1.1\r\n", 400, "h1_bad_scheme"),
        ("no scheme", b"GET ://a/ HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("scheme without slashes", b"GET http:a HTTP/1.1\r\n", 400, "h1_bad_target_form"),
        ("user", b"GET http://u@a/ HTTP/1.1\r\n", 400, "h1_user_info"),
        ("user and password", b"GET http://u:p@a/ HTTP/1.1\r\n", 400, "h1_user_info"),
        ("empty authority", b"GET http:/// HTTP/1.1\r\n", 400, "h1_bad_host"),
        ("bad authority", b"GET http://a_b,c/ HTTP/1.1\r\n", 400, "h1_bad_host"),
        ("backslash in authority", b"GET http://a\\b/ HTTP/1.1\r\n", 400, "h1_bad_host"),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "h1_unsupported_version"),
        ("HTTP/2.0", b"GET / HTTP/2.0\r\n", 505, "h1_unsupported_version"),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\n", 505, "h1_unsupported_version"),
        ("HTTP/0.9 spelled out", b"GET / HTTP/0.9\r\n", 505, "h1_unsupported_version"),
        ("lower case", b"GET / http/1.1\r\n", 400, "h1_bad_version"),
        ("HTTP/1.10", b"GET / HTTP/1.10\r\n", 400, "h1_bad_version"),
        ("HTTP/01.1", b"GET / HTTP/01.1\r\n", 400, "h1_bad_version"),
        ("HTTP/1", b"GET / HTTP/1\r\n", 400, "h1_bad_version"),
        ("space behind version", b"GET / HTTP/1.1 \r\n", 400, "h1_bad_version"),
        ("bare LF behind version", b"GET / HTTP/1.1\n", 400, "h1_bare_lf"),
        ("bare CR behind version", b"GET / HTTP/1.1\rX", 400, "h1_bare_cr"),
        ("header with bare LF", b"GET / HTTP/1.1\r\nHost: a\n", 400, "h1_bare_lf"),
        ("no colon", b"GET / HTTP/1.1\r\nHost\r\n", 400, "h1_no_colon"),
        ("no colon, bare LF", b"GET / HTTP/1.1\r\nHost\n", 400, "h1_bare_lf"),
        ("no colon, bare CR", b"GET / HTTP/1.1\r\nHost\rx", 400, "h1_bare_cr"),
        ("empty name", b"GET / HTTP/1.1\r\n: a\r\n", 400, "h1_bad_header_name"),
        ("space in name", b"GET / HTTP/1.1\r\nX Y: a\r\n", 400, "h1_bad_header_name"),
        ("bracket in name", b"GET / HTTP/1.1\r\nX[Y]: a\r\n", 400, "h1_bad_header_name"),
        ("slash in name", b"GET / HTTP/1.1\r\nX/Y: a\r\n", 400, "h1_bad_header_name"),
        ("obs-text in name", b"GET / HTTP/1.1\r\nX\xe9: a\r\n", 400, "h1_bad_header_name"),
        ("control byte in value", b"GET / HTTP/1.1\r\nX: a\x01b\r\n", 400, "h1_control_byte"),
        ("escape in value", b"GET / HTTP/1.1\r\nX: a\x1bb\r\n", 400, "h1_control_byte"),
        ("CR in the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\rX", 400, "h1_bare_cr"),
        ("LF as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "h1_bare_lf"),
    ] {
        assert_eq!(refused(bytes), (status, code), "{why}");
    }
}

#[test]
fn no_byte_passes_for_a_line_end() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX:y \r\nZ: \r\n\r\n";
    for place in (0..head.len()).filter(|&place| matches!(head[place], b'\r' | b'\n')) {
        for byte in (0..=255u8).filter(|&byte| byte != head[place]) {
            let mut odd = head.to_vec();
            odd[place] = byte;
            assert!(outcome(&odd, &Limits::default()).is_err(), "{byte:#x} at {place}");
        }
    }
}

#[test]
fn every_byte_is_judged_by_where_it_stands() {
    let head = |target: u8, name: u8, value: u8, host: u8| {
        let parts: [&[u8]; 9] = [
            b"GET /",
            &[target],
            b" HTTP/1.1\r\nHost: a",
            &[host],
            b"b\r\nX",
            &[name],
            b"Y: a",
            &[value],
            b"b\r\n\r\n",
        ];
        matches!(outcome(&parts.concat(), &Limits::default()), Ok(Some(_)))
    };
    for byte in 0..=255u8 {
        let visible = byte.is_ascii_graphic();
        assert_eq!(head(byte, b'x', b'x', b'x'), visible && byte != b'#', "target {byte:#x}");
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
        assert_eq!(head(b'x', byte, b'x', b'x'), token, "name {byte:#x}");
        let value = visible || byte >= 0x80 || matches!(byte, b' ' | b'\t');
        assert_eq!(head(b'x', b'x', byte, b'x'), value, "value {byte:#x}");
        let host = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte);
        assert_eq!(head(b'x', b'x', b'x', byte), host, "host {byte:#x}");
    }
}

#[test]
fn a_request_has_exactly_one_host_that_is_a_host() {
    for host in [
        "a",
        "a.b",
        "A-1.example",
        "a_b",
        "a.b.",
        "127.0.0.1",
        "a:80",
        "a:0",
        "a:65535",
        "[::1]",
        "[::1]:443",
        "[fe80::1]:1",
        "[::ffff:1.2.3.4]",
        "a!$&'()*+;=~",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(outcome(bytes.as_bytes(), &Limits::default()), Ok(Some(bytes.len())), "{host}");
    }
    let long = "a".repeat(256);
    for host in [
        "",
        " ",
        ":",
        ":80",
        "a:",
        "a:b",
        "a:-1",
        "a:+1",
        "a:65536",
        "a:000080",
        "a:80:80",
        "a b",
        "a\tb",
        "a/b",
        "a/",
        "http://a",
        "a?b",
        "a@b",
        "a#b",
        "a,b",
        "a%41",
        "a\\b",
        "<a>",
        "\"a\"",
        "a|b",
        "a^b",
        "{a}",
        "a`",
        "é",
        "[::1",
        "::1",
        "[]",
        "[::1]80",
        "[::1]:",
        "[::1%eth0]",
        "[v1.a]",
        "[a]",
        "[::1]a",
        "[::g]",
        "[1.2.3.4]",
        &long,
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(refused(bytes.as_bytes()), (400, "h1_bad_host"), "{host}");
    }
    for (why, bytes, code) in [
        ("none", "GET / HTTP/1.1\r\n\r\n", "h1_host_missing"),
        ("none, absolute form", "GET http://a/ HTTP/1.1\r\n\r\n", "h1_host_missing"),
        ("two, equal", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "h1_host_repeated"),
        ("two, different", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n", "h1_host_repeated"),
        ("two on HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "h1_host_repeated"),
        ("bad one under an absolute target", "GET http://a/ HTTP/1.1\r\nHost: b/c\r\n\r\n", "h1_bad_host"),
    ] {
        assert_eq!(refused(bytes.as_bytes()), (400, code), "{why}");
    }
}

#[test]
fn connection_upgrade_and_expect_must_be_well_formed() {
    let many: String = (0..17).map(|n| format!("x{n},")).collect();
    for (why, lines, status, code) in [
        ("Connection is no token", "Connection: a b\r\n".to_owned(), 400, "h1_bad_connection"),
        ("Connection with parameter", "Connection: close;x\r\n".to_owned(), 400, "h1_bad_connection"),
        (
            "Connection names too many",
            format!("Connection: {many}\r\n"),
            400,
            "h1_too_many_connection_options",
        ),
        (
            "Upgrade is no protocol",
            "Connection: upgrade\r\nUpgrade: a b\r\n".to_owned(),
            400,
            "h1_bad_upgrade",
        ),
        ("Upgrade with empty version", "Upgrade: websocket/\r\n".to_owned(), 400, "h1_bad_upgrade"),
        ("empty Upgrade", "Upgrade:\r\n".to_owned(), 400, "h1_bad_upgrade"),
        ("unknown expectation", "Expect: 200-ok\r\n".to_owned(), 417, "h1_unknown_expectation"),
        ("two expectations", "Expect: 100-continue, x\r\n".to_owned(), 417, "h1_unknown_expectation"),
        ("empty expectation", "Expect:\r\n".to_owned(), 417, "h1_unknown_expectation"),
    ] {
        assert_eq!(refused(&with(&lines)), (status, code), "{why}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes_max: 200, headers_max: 3, uri_bytes_max: 50 };
    let of_length = |n: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(n - start.len() - 4)).into_bytes()
    };
    assert_eq!(outcome(&of_length(200), &limits), Ok(Some(200)));
    assert_eq!(outcome(&of_length(201), &limits), Err(HeadError::HeadTooLarge));
    assert_eq!(outcome(&of_length(5000), &limits), Err(HeadError::HeadTooLarge));
    assert_eq!(outcome(&of_length(201)[..199], &limits), Ok(None));
    assert_eq!(
        outcome(&of_length(201)[..200], &limits),
        Err(HeadError::HeadTooLarge),
        "it cannot end in time"
    );

    let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 1)).into_bytes();
    assert!(matches!(outcome(&target(50), &limits), Ok(Some(_))));
    assert_eq!(outcome(&target(51), &limits), Err(HeadError::TargetTooLong));
    assert_eq!(outcome(&target(51)[..55], &limits), Err(HeadError::TargetTooLong), "before its end is known");
    assert_eq!(HeadError::TargetTooLong.status(), 414);

    let lines =
        |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n - 1)).into_bytes();
    assert!(matches!(outcome(&lines(3), &limits), Ok(Some(_))));
    assert_eq!(outcome(&lines(4), &limits), Err(HeadError::TooManyHeaders));
}
