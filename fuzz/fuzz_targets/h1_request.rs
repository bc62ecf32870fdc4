//! The input is what a client sends on one connection: requests with bodies, one after the other.
#![no_main]

use fulcrum_fuzz::cut::{pieces, seed};
use fulcrum_fuzz::h1::{body_holds, head_is_canonical, is_end_to_end, with_edits};
use libfuzzer_sys::fuzz_target;
use wire::h1::{
    Authority, Body, Edits, Framing, HeadError, HeadScan, Headers, Limits, MethodKind, Parsed, RequestFacts,
    RequestHead, RequestOut, UpstreamConnection, parse_request, write_request,
};

const LIMITS: Limits = Limits { head_bytes_max: 2048, headers_max: 24, uri_bytes_max: 512 };

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    // More requests than this in one input teach nothing new.
    for _ in 0..4 {
        match one_request(rest) {
            Some(end) if end > 0 => rest = &rest[end..],
            _ => break,
        }
    }
});

/// Gives where the request ends, body included, when it is whole and legal.
fn one_request(input: &[u8]) -> Option<usize> {
    let whole = facts(input);
    cuts_make_no_difference(input, whole);

    let mut headers = Headers::new();
    let Ok(Parsed::Complete(head)) = parse_request(input, &mut headers, &LIMITS) else { return None };
    assert!(head.len() <= input.len());
    what_goes_upstream_means_the_same(&head);

    let body = Body::for_request(head.framing());
    let behind = &input[head.len()..];
    if body.is_done() {
        return Some(head.len());
    }
    body_holds(&body, behind).map(|end| {
        assert!(end <= behind.len());
        head.len() + end
    })
}

fn facts(input: &[u8]) -> Result<Option<RequestFacts>, HeadError> {
    Ok(match parse_request(input, &mut Headers::new(), &LIMITS)? {
        Parsed::Complete(head) => Some(head.facts()),
        Parsed::Partial(_) => None,
    })
}

/// A prefix is incomplete or has the outcome of the whole; a connection that waits as `HeadScan` says misses no head.
fn cuts_make_no_difference(input: &[u8], whole: Result<Option<RequestFacts>, HeadError>) {
    let mut headers = Headers::new();
    let mut seen = 0;
    let mut scan: Option<HeadScan> = None;
    let mut streamed = Ok(None);
    for piece in pieces(input, seed(input)) {
        seen += piece.len();
        match facts(&input[..seen]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "after {seen} bytes"),
        }
        if streamed == Ok(None) && scan.as_mut().is_none_or(|scan| scan.is_ready(&input[..seen], &LIMITS)) {
            match parse_request(&input[..seen], &mut headers, &LIMITS) {
                Ok(Parsed::Complete(head)) => streamed = Ok(Some(head.facts())),
                Ok(Parsed::Partial(next)) => scan = Some(next),
                Err(error) => streamed = Err(error),
            }
        }
    }
    match streamed {
        Ok(None) => assert!(!matches!(whole, Ok(Some(_))), "a head was missed"),
        other => assert_eq!(other, whole),
    }
}

fn what_goes_upstream_means_the_same(head: &RequestHead<'_>) {
    let plain = RequestOut {
        host_default: Authority::parse(b"vip:80").expect("a host"),
        host: None,
        target: None,
        connection: UpstreamConnection::KeepAlive,
        edits: Edits::none(),
    };
    let (mut out, mut again) = (Vec::new(), Vec::new());
    let _ = write_request(&mut out, head, &plain);
    let mut headers = Headers::new();
    let back = parse_back(head, &out, &mut headers);
    let sent: Vec<_> = head.headers().filter(|h| is_end_to_end(h) && !head.is_nominated(h.name)).collect();
    let got: Vec<_> = back.headers().filter(is_end_to_end).collect();
    assert_eq!(got, sent);
    assert!(back.keep_alive() && back.upgrade().is_none());
    let _ = write_request(&mut again, &back, &plain);
    assert_eq!(out, again, "writing is idempotent");

    with_edits("1.2.3.4", |edits| {
        let mut out = Vec::new();
        let connection = match head.upgrade() {
            Some(token) => UpstreamConnection::Upgrade(token),
            None => UpstreamConnection::Close,
        };
        let exchange = write_request(&mut out, head, &RequestOut { edits, connection, ..plain });
        assert_eq!(exchange.asks_for_upgrade(), head.upgrade().is_some());
        let mut headers = Headers::new();
        let back = parse_back(head, &out, &mut headers);
        assert_eq!(back.upgrade(), head.upgrade());
        assert_eq!(back.keep_alive(), head.upgrade().is_some());
        let ours: Vec<_> = back.values_named(b"x-real-ip").chain(back.values_named(b"x_real_ip")).collect();
        assert_eq!(ours, [b"1.2.3.4"], "nobody else's");
    });
}

fn parse_back<'b>(head: &RequestHead<'_>, out: &'b [u8], headers: &'b mut Headers) -> RequestHead<'b> {
    head_is_canonical(out);
    // What we add may be longer than what a client may send.
    let limits = Limits { head_bytes_max: 1 << 16, headers_max: 64, uri_bytes_max: 1 << 10 };
    let Ok(Parsed::Complete(back)) = parse_request(out, headers, &limits) else {
        panic!("our own words are refused: {}", out.escape_ascii())
    };
    assert_eq!(back.len(), out.len());
    assert_eq!(back.method(), head.method());
    assert_eq!((back.path(), back.query()), (head.path(), head.query()));
    assert_eq!(back.framing(), head.framing());
    assert_eq!(back.expect_continue(), head.expect_continue());
    assert_eq!(
        back.host().map(|host| host.as_bytes()),
        Some(head.host().map_or(&b"vip:80"[..], |host| host.as_bytes()))
    );
    assert!(head.method_kind() != MethodKind::Connect || head.framing() == Framing::None);
    back
}
