//! The first byte says what the rest is: the bytes of a connection, or what follows the head of a binary header (its family is the
//! byte), which then gets its lengths so that the fuzzer need not guess them.
#![no_main]

use fulcrum_fuzz::cut::{pieces, seed};
use libfuzzer_sys::fuzz_target;
use wire::proxy_protocol::{
    Endpoints, Extensions, Origin, PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyParse, Transport, V1_BYTES_MAX,
    write_v1, write_v2,
};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, rest)) = input.split_first() else { return };
    if kind == 0 {
        outcome_of(rest);
        return;
    }
    let head = [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[kind]].concat();
    outcome_of(&[&head, &(rest.len() as u16).to_be_bytes()[..], rest].concat());
});

/// A prefix is incomplete or has the outcome of the whole; and what was read and is written is read again.
fn outcome_of(bytes: &[u8]) {
    let whole = ProxyHeader::parse(bytes);
    let (mut end, mut needed) = (0, 0);
    for piece in pieces(bytes, seed(bytes)) {
        end += piece.len();
        match ProxyHeader::parse(&bytes[..end]) {
            Ok(ProxyParse::Partial { needed: now }) => {
                assert!(now > end && now >= needed && now <= PROXY_HEADER_BYTES_MAX);
                needed = now;
            }
            early => {
                assert!(early.is_err() || end >= needed, "was there before it was said to be");
                assert_eq!(early, whole, "after {end} bytes");
            }
        }
    }
    if let Ok(ProxyParse::Complete(header)) = whole {
        assert!(header.length <= bytes.len());
        let said: usize = header.tlvs().map(|tlv| 3 + tlv.value.len()).sum();
        assert!(said < header.length);
        written_and_read(header.origin);
    }
}

fn written_and_read(origin: Origin) {
    let mut line = Vec::new();
    write_v1(&origin, &mut line);
    assert!(line.len() <= V1_BYTES_MAX);
    let mut binary = Vec::new();
    write_v2(&origin, &Extensions::default(), &mut binary);
    for (text, bytes) in [(true, line), (false, binary)] {
        let Ok(ProxyParse::Complete(header)) = ProxyHeader::parse(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(header.length, bytes.len());
        match (origin, header.origin) {
            (Origin::Client(Endpoints { transport: Transport::Datagram, .. }), again) if text => {
                assert_eq!(again, Origin::Unknown);
            }
            (Origin::Client(one), Origin::Client(again)) => {
                assert_eq!(one.transport, again.transport);
                for (one, again) in [(one.source, again.source), (one.destination, again.destination)] {
                    assert_eq!(
                        (one.ip().to_canonical(), one.port()),
                        (again.ip().to_canonical(), again.port())
                    );
                }
            }
            (Origin::Local, again) if text => assert_eq!(again, Origin::Unknown),
            (one, again) => assert_eq!(one, again),
        }
    }
}
