//! The first byte says what was asked; the rest is what a member sends: interim responses, one final one, its body.
#![no_main]

use fulcrum_fuzz::cut::{pieces, seed};
use fulcrum_fuzz::h1::{body_holds, head_is_canonical, is_end_to_end};
use libfuzzer_sys::fuzz_target;
use wire::h1::{
    Authority, Body, Edits, Exchange, Framing, HeadError, Headers, Limits, MethodKind, Parsed, RequestOut,
    ResponseFacts, ResponseFraming, ResponseHead, ResponseOut, Transfer, UpstreamConnection, Version,
    parse_request, parse_response, write_request, write_response,
};

const LIMITS: Limits = Limits { head_bytes_max: 2048, headers_max: 24, uri_bytes_max: 512 };

fuzz_target!(|input: &[u8]| {
    let Some((&asked, mut rest)) = input.split_first() else { return };
    let exchange = match asked % 4 {
        0 => Exchange::new(MethodKind::Get),
        1 => Exchange::new(MethodKind::Head),
        2 => Exchange::new(MethodKind::Connect),
        _ => websocket(),
    };
    for _ in 0..4 {
        match one_response(rest, &exchange) {
            Some(end) => rest = &rest[end..],
            None => break,
        }
    }
});

/// Gives where an interim response ends, for another one follows it.
fn one_response(input: &[u8], exchange: &Exchange) -> Option<usize> {
    let whole = facts(input, exchange);
    let mut seen = 0;
    for piece in pieces(input, seed(input)) {
        seen += piece.len();
        match facts(&input[..seen], exchange) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "after {seen} bytes"),
        }
    }

    let mut headers = Headers::new();
    let Ok(Parsed::Complete(head)) = parse_response(input, &mut headers, &LIMITS, exchange) else {
        return None;
    };
    assert!(head.len() <= input.len());
    assert!(head.tunnel().is_none() || !head.keep_alive() && head.framing() == ResponseFraming::None);
    if head.tunnel().is_some() {
        let connected = exchange.method() == MethodKind::Connect && head.status() / 100 == 2;
        assert!(connected || exchange.asks_for_upgrade() && head.status() == 101);
    }
    for downstream in [Version::Http10, Version::Http11] {
        for (keep_alive, recode) in [(false, false), (true, false), (true, true)] {
            let how = ResponseOut { downstream, keep_alive, recode, edits: Edits::none() };
            what_the_client_gets_means_the_same(&head, exchange, &how);
        }
    }
    if head.is_interim() {
        return Some(head.len());
    }
    let body = Body::for_response(head.framing());
    if !body.is_done() && head.framing() != ResponseFraming::UntilClose {
        body_holds(&body, &input[head.len()..]);
    }
    None
}

fn facts(input: &[u8], exchange: &Exchange) -> Result<Option<ResponseFacts>, HeadError> {
    Ok(match parse_response(input, &mut Headers::new(), &LIMITS, exchange)? {
        Parsed::Complete(head) => Some(head.facts()),
        Parsed::Partial(_) => None,
    })
}

fn what_the_client_gets_means_the_same(head: &ResponseHead<'_>, exchange: &Exchange, how: &ResponseOut<'_>) {
    let ResponseOut { downstream, keep_alive, recode, .. } = *how;
    let mut out = Vec::new();
    let delivery = write_response(&mut out, head, how);
    head_is_canonical(&out);
    let limits = Limits { head_bytes_max: 1 << 16, headers_max: 64, uri_bytes_max: 1 << 10 };
    let mut headers = Headers::new();
    let Ok(Parsed::Complete(back)) = parse_response(&out, &mut headers, &limits, exchange) else {
        panic!("our own words are refused: {}", out.escape_ascii())
    };
    assert_eq!(back.len(), out.len());
    assert_eq!(back.status(), head.status());
    assert_eq!(back.tunnel(), head.tunnel());
    assert!(keep_alive || !delivery.keep_alive);
    assert!(!delivery.keep_alive || back.keep_alive() || back.is_interim() || downstream == Version::Http10);
    match delivery.transfer {
        Transfer::None => {
            assert!(head.framing() == ResponseFraming::None && back.framing() == ResponseFraming::None)
        }
        Transfer::Relay => assert_eq!(back.framing(), head.framing()),
        Transfer::Dechunk => {
            assert_eq!(
                (head.framing(), back.framing()),
                (ResponseFraming::Chunked, ResponseFraming::UntilClose)
            );
            assert!(!delivery.keep_alive);
        }
        Transfer::Enchunk => {
            assert_eq!(
                (head.framing(), back.framing()),
                (ResponseFraming::UntilClose, ResponseFraming::Chunked)
            );
        }
        Transfer::Recode => {
            assert!(recode && downstream == Version::Http11 && head.framing() != ResponseFraming::None);
            assert_eq!(back.framing(), ResponseFraming::Chunked, "the length is not known");
        }
    }
    assert!(back.framing() != ResponseFraming::UntilClose || !delivery.keep_alive, "closing ends the body");
    assert!(downstream == Version::Http11 || back.declared() != Framing::Chunked, "HTTP/1.0 knows no chunks");
    let sent: Vec<_> = head.headers().filter(|h| is_end_to_end(h) && !head.is_nominated(h.name)).collect();
    let got: Vec<_> = back.headers().filter(is_end_to_end).collect();
    assert_eq!(got, sent);
}

fn websocket() -> Exchange {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut headers = Headers::new();
    let Ok(Parsed::Complete(head)) = parse_request(bytes, &mut headers, &LIMITS) else {
        unreachable!("legal")
    };
    let how = RequestOut {
        host_default: Authority::parse(b"a").expect("a host"),
        host: None,
        target: None,
        connection: UpstreamConnection::Upgrade(head.upgrade().expect("asked for")),
        edits: Edits::none(),
    };
    write_request(&mut Vec::new(), &head, &how)
}
