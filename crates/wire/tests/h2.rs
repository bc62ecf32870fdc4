//! What the referee of HTTP/2 hands on, and what it calls a fault.

use proptest::prelude::*;
use wire::h2::{Fault, Frame, Referee, Scan, kind};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
const BAD: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a', 0x40, 1, b'X', 1, b'y'];
/// What stands for it: a field as long, and one that ends the stream.
const BAD_INSTEAD: &[u8] = b"\x82\x87\x84\x01\x01a\x40\x01x\x01x\x00\x0aconnection\x05close";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags | END_HEADERS, stream, block)
}

/// The preface, and what comes with it.
fn hello() -> Vec<u8> {
    [PREFACE, &frame(kind::SETTINGS, 0, 0, b"")].concat()
}

/// What is handed on of these bytes, cut like that, and how they end.
fn judge(bytes: &[u8], cut: usize) -> (Vec<u8>, Vec<u8>, Result<(), Fault>) {
    let (mut referee, mut seen, mut out) = (Referee::new(), Vec::new(), Vec::new());
    for bytes in bytes.chunks(cut) {
        let judged =
            referee.received(bytes, |frame| seen.push(frame.kind), |bytes| out.extend_from_slice(bytes));
        if judged.is_err() {
            return (out, seen, judged);
        }
    }
    (out, seen, Ok(()))
}

fn after_hello(bytes: &[u8]) -> (Vec<u8>, Result<(), Fault>) {
    let (out, _, judged) = judge(&[&hello(), bytes].concat(), usize::MAX);
    (out[hello().len()..].to_vec(), judged)
}

#[test]
fn what_is_allowed_is_handed_on_as_it_came() {
    for (why, bytes) in [
        ("a request", headers(1, END_STREAM, GET)),
        (
            "with padding and a priority",
            headers(1, PADDED | PRIORITY, &[&[2, 0, 0, 0, 0, 15][..], GET, &[0, 0]].concat()),
        ),
        ("data", frame(kind::DATA, 0, 1, &[7; 16_384])),
        ("padded data", frame(kind::DATA, PADDED, 1, b"\x02abxx")),
        ("nothing but padding", frame(kind::DATA, PADDED, 1, &[0])),
        ("settings", frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 99, 0, 0, 0, 0])),
        ("their acknowledgement", frame(kind::SETTINGS, 1, 0, b"")),
        ("ping", frame(kind::PING, 0, 0, &[0; 8])),
        ("priority", frame(kind::PRIORITY, 0, 9, &[0; 5])),
        ("goaway with words", frame(kind::GOAWAY, 0, 0, b"01234567 bye")),
        ("trailers", [headers(1, 0, GET), headers(1, END_STREAM, &[0, 1, b'x', 1, b'y'])].concat()),
    ] {
        assert_eq!(after_hello(&bytes), (bytes.clone(), Ok(())), "{why}");
    }
}

#[test]
fn faults_have_their_codes_and_nothing_of_them_is_handed_on() {
    let ended = headers(1, END_STREAM, GET);
    let begun = frame(kind::HEADERS, END_STREAM, 1, GET);
    let setting =
        |key: u8, value: u32| frame(kind::SETTINGS, 0, 0, &[&[0, key], &value.to_be_bytes()[..]].concat());
    for (why, before, bad, fault) in [
        ("too long", vec![], frame(kind::DATA, 0, 1, &[0; 16_385]), Fault::FrameSize),
        ("too long, of no known kind", vec![], frame(99, 0, 0, &[0; 16_385]), Fault::FrameSize),
        ("ping", vec![], frame(kind::PING, 0, 0, &[0; 7]), Fault::FrameSize),
        ("priority", vec![], frame(kind::PRIORITY, 0, 1, &[0; 6]), Fault::FrameSize),
        ("reset", vec![], frame(kind::RST_STREAM, 0, 1, &[0; 3]), Fault::FrameSize),
        ("window", vec![], frame(kind::WINDOW_UPDATE, 0, 1, &[0; 5]), Fault::FrameSize),
        ("goaway", vec![], frame(kind::GOAWAY, 0, 0, &[0; 7]), Fault::FrameSize),
        ("settings", vec![], frame(kind::SETTINGS, 0, 0, &[0; 7]), Fault::FrameSize),
        ("settings acknowledged with words", vec![], frame(kind::SETTINGS, 1, 0, &[0; 6]), Fault::FrameSize),
        ("settings of a stream", vec![], frame(kind::SETTINGS, 0, 1, b""), Fault::Protocol),
        ("push", vec![], setting(2, 2), Fault::Protocol),
        ("a window", vec![], setting(4, 1 << 31), Fault::FlowControl),
        ("frames too short", vec![], setting(5, 16_383), Fault::Protocol),
        ("frames too long", vec![], setting(5, 1 << 24), Fault::Protocol),
        ("a push", vec![], frame(kind::PUSH_PROMISE, END_HEADERS, 1, GET), Fault::Protocol),
        ("headers on 0", vec![], headers(0, 0, GET), Fault::Protocol),
        ("padding of data", vec![], frame(kind::DATA, PADDED, 1, b"\x04abc"), Fault::Protocol),
        ("data without room for its padding", vec![], frame(kind::DATA, PADDED, 1, b""), Fault::FrameSize),
        ("padding of headers", vec![], headers(1, PADDED, b"\x03ab"), Fault::Protocol),
        ("a priority without room", vec![], headers(1, PRIORITY, b"abcd"), Fault::FrameSize),
        ("continuation of nothing", vec![], frame(kind::CONTINUATION, END_HEADERS, 1, GET), Fault::Protocol),
        ("fields", vec![], headers(1, 0, &[0x80]), Fault::Compression),
        ("data behind the end", ended.clone(), frame(kind::DATA, 0, 1, b"x"), Fault::StreamClosed),
        ("trailers behind the end", ended.clone(), headers(1, END_STREAM, b""), Fault::StreamClosed),
    ] {
        assert_eq!(after_hello(&[before.clone(), bad].concat()), (before, Err(fault)), "{why}");
    }
    for (why, bad) in [
        ("data", frame(kind::DATA, 0, 1, b"x")),
        ("another block", headers(3, 0, GET)),
        ("another stream's", frame(kind::CONTINUATION, END_HEADERS, 3, b"")),
        ("no known kind", frame(99, 0, 1, b"")),
    ] {
        assert_eq!(
            after_hello(&[begun.clone(), bad].concat()),
            (vec![], Err(Fault::Protocol)),
            "{why} in a block"
        );
    }
    let many = frame(kind::CONTINUATION, 0, 1, &[0; 16_384]).repeat(6);
    assert_eq!(after_hello(&[begun, many].concat()), (vec![], Err(Fault::Excess)));
}

#[test]
fn settings_come_first() {
    for (why, first) in [
        ("ping", frame(kind::PING, 0, 0, &[0; 8])),
        ("an acknowledgement", frame(kind::SETTINGS, 1, 0, b"")),
        ("no known kind", frame(99, 0, 0, b"")),
    ] {
        let (out, seen, judged) = judge(&[PREFACE, &first].concat(), usize::MAX);
        assert_eq!((&out[..], &seen[..], judged), (PREFACE, &[][..], Err(Fault::Protocol)), "{why}");
    }
}

#[test]
fn unknown_kinds_are_seen_and_not_handed_on() {
    let bytes = [hello(), frame(200, 255, 7, b"what is this"), frame(kind::PING, 0, 0, &[0; 8])].concat();
    let (out, seen, judged) = judge(&bytes, usize::MAX);
    assert_eq!(out, [hello(), frame(kind::PING, 0, 0, &[0; 8])].concat());
    assert_eq!((&seen[..], judged), (&[kind::SETTINGS, 200, kind::PING][..], Ok(())));
}

#[test]
fn malformed_requests_are_made_ones_that_every_engine_finds_malformed() {
    assert_eq!(after_hello(&headers(1, END_STREAM, BAD)), (headers(1, END_STREAM, BAD_INSTEAD), Ok(())));
    let padded = headers(1, PADDED, &[&[1], BAD, &[0]].concat());
    assert_eq!(after_hello(&padded), (headers(1, 0, BAD_INSTEAD), Ok(())));
    let (begun, request) = (headers(5, 0, GET), headers(5, END_STREAM, GET));
    let instead = headers(5, END_STREAM, &[GET, b"\x00\x0aconnection\x05close"].concat());
    assert_eq!(
        after_hello(&[&begun[..], &request].concat()),
        ([begun, instead].concat(), Ok(())),
        "trailers"
    );
}

#[test]
fn pieces_of_a_block_become_as_few_as_can_be() {
    let pieces = |block: &[u8], size: usize| {
        let count = block.chunks(size).count();
        let mut out = Vec::new();
        for (place, piece) in block.chunks(size).enumerate() {
            let kind = if place == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let last = if place + 1 == count { END_HEADERS } else { 0 };
            out.extend(frame(kind, last | if place == 0 { END_STREAM } else { 0 }, 1, piece));
        }
        out
    };
    assert_eq!(after_hello(&pieces(GET, 1)), (headers(1, END_STREAM, GET), Ok(())));
    assert_eq!(after_hello(&pieces(BAD, 2)), (headers(1, END_STREAM, BAD_INSTEAD), Ok(())));
    let long = [GET, &[0, 1, b'x', 0x7f, 0xa1, 0x9b, 0x01], &[b'y'; 20_000]].concat();
    assert_eq!(after_hello(&pieces(&long, 500)), (pieces(&long, 16_384), Ok(())));
}

#[test]
fn streams_that_ended_on_both_sides_are_the_engines() {
    for (why, answer) in [
        ("an answer", frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, b"")),
        ("a body", frame(kind::DATA, END_STREAM, 1, b"abc")),
        ("a reset", frame(kind::RST_STREAM, 0, 1, &[0; 4])),
    ] {
        let mut referee = Referee::new();
        let mut judge = |bytes: &[u8]| referee.received(bytes, |_| {}, |_| {});
        judge(&[hello(), headers(1, END_STREAM, GET)].concat()).unwrap();
        referee.sent(&answer, |_| {});
        assert_eq!(referee.received(&frame(kind::DATA, 0, 1, b"x"), |_| {}, |_| {}), Ok(()), "{why}");
    }
    let reset =
        [headers(1, END_STREAM, GET), frame(kind::RST_STREAM, 0, 1, &[0; 4]), frame(kind::DATA, 0, 1, b"x")];
    assert_eq!(after_hello(&reset.concat()).1, Ok(()), "the client's own reset");
}

#[test]
fn frames_are_found_however_the_bytes_are_cut() {
    let reset = Frame { length: 4, kind: kind::RST_STREAM, flags: 0, stream: 1, code: 8 };
    let data = Frame { length: 70, kind: kind::DATA, flags: 0, stream: 1, code: 0 };
    let bytes = [frame(0, 0, 0x8000_0001, &[3; 70]), frame(3, 0, 1, &[0, 0, 0, 8])].concat().repeat(5);
    for cut in 1..40 {
        let (mut scan, mut found) = (Scan::default(), Vec::new());
        for mut bytes in bytes.chunks(cut) {
            while let Some(frame) = scan.next(&mut bytes) {
                found.push(frame);
            }
        }
        assert_eq!(found, [data, reset].repeat(5), "cut every {cut}");
    }
}

/// Frames of all kinds, more often right than wrong.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        4 => Just(GET.to_vec()),
        1 => Just(BAD.to_vec()),
        1 => Just(vec![0x82, 0xbe]),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let flags = prop_oneof![Just(0), Just(1), Just(4), Just(5), Just(8), Just(32), any::<u8>()];
    prop_oneof![
        6 => (block, flags, 0_u32..12).prop_map(|(block, flags, stream)| frame(kind::HEADERS, flags, stream, &block)),
        2 => (prop::collection::vec(any::<u8>(), 0..40), 0_u8..12, any::<u8>(), 0_u32..12)
            .prop_map(|(payload, kind, flags, stream)| frame(kind, flags, stream, &payload)),
        2 => (0_u8..2, 0_u32..12).prop_map(|(flags, stream)| frame(kind::DATA, flags, stream, b"body")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn how_the_bytes_are_cut_changes_nothing(frames in prop::collection::vec(any_frame(), 0..12), cut in 1_usize..30) {
        let bytes = [hello(), frames.concat()].concat();
        prop_assert_eq!(judge(&bytes, usize::MAX), judge(&bytes, cut));
    }

    #[test]
    fn what_is_handed_on_has_no_fault(frames in prop::collection::vec(any_frame(), 0..12)) {
        let (out, _, _) = judge(&[hello(), frames.concat()].concat(), usize::MAX);
        prop_assert_eq!(judge(&out, usize::MAX).2, Ok(()));
    }
}
