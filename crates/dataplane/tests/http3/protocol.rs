//! What clients may not say.

use quinn::{ConnectionError, ReadError};
use wire::h3::{Code, kind, stream_type};

use crate::{
    GET,
    quic::{fields, frame, raw, stream_of},
    rig::{Member, run},
    serving,
};

/// What becomes of a stream on which these bytes are all: the code that it is reset with, or the status of its answer.
async fn outcome(connection: &quinn::Connection, bytes: &[u8]) -> Result<u16, u64> {
    let (mut up, mut down) = connection.open_bi().await.unwrap();
    // The answer may come before all was said.
    let _ = up.write_all(bytes).await;
    let _ = up.finish();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match down.read(&mut piece).await {
            Ok(Some(bytes)) => answer.extend_from_slice(&piece[..bytes]),
            Ok(None) => break,
            Err(ReadError::Reset(code)) => return Err(code.into_inner()),
            Err(ReadError::ConnectionLost(ConnectionError::ApplicationClosed(close))) => {
                return Err(close.error_code.into_inner());
            }
            Err(error) => panic!("{error}"),
        }
    }
    let mut frames = wire::h3::Frames::default();
    let (used, _) = frames.read(&answer).unwrap();
    let length = usize::try_from(frames.frame().unwrap().length).unwrap();
    let mut status = 0;
    wire::h3::qpack::decode(&answer[used..used + length], 1 << 16, &mut Vec::new(), |name, value| {
        if name == b":status" {
            status = std::str::from_utf8(value).unwrap().parse().unwrap();
        }
    })
    .unwrap();
    Ok(status)
}

#[test]
fn what_cannot_be_said_in_http_1_is_refused_and_the_connection_goes_on() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    let with = |more: &[(&'static str, &'static str)]| fields(&[&GET[..], more].concat());
    let body = |length: &'static str, data: &[u8]| {
        [with(&[("content-length", length)]), frame(kind::DATA, data)].concat()
    };
    run(async {
        let (_endpoint, connection) = raw(address).await;
        for (why, said, expect) in [
            ("two hosts", with(&[("host", "u")]), Err(Code::MESSAGE_ERROR)),
            ("a capital letter", with(&[("X", "1")]), Err(Code::MESSAGE_ERROR)),
            ("of one connection", with(&[("connection", "close")]), Err(Code::MESSAGE_ERROR)),
            ("a coding of the transfer", with(&[("transfer-encoding", "chunked")]), Err(Code::MESSAGE_ERROR)),
            ("twice", with(&[(":path", "/")]), Err(Code::MESSAGE_ERROR)),
            ("behind others", fields(&[&[("x", "y")], &GET[..]].concat()), Err(Code::MESSAGE_ERROR)),
            ("no method", fields(&GET[1..]), Err(Code::MESSAGE_ERROR)),
            ("a line's end", with(&[("x", "a\r\nb: c")]), Err(Code::MESSAGE_ERROR)),
            ("a fragment", fields(&[GET[0], GET[1], GET[2], (":path", "/#x")]), Err(Code::MESSAGE_ERROR)),
            ("more than was said", body("3", b"four"), Err(Code::MESSAGE_ERROR)),
            ("no number", body("x", b"four"), Ok(400)),
            ("no head", vec![], Err(Code::REQUEST_INCOMPLETE)),
            (
                "an unknown protocol",
                fields(&[(":method", "CONNECT"), GET[1], GET[2], GET[3], (":protocol", "x")]),
                Ok(501),
            ),
            ("too many fields", with(&[("x", "y"); 2000]), Ok(431)),
            ("a block too long", frame(kind::HEADERS, &[0; 70_000]), Ok(431)),
            ("nothing wrong", fields(&GET), Ok(200)),
            (
                "unknown frames between",
                [frame(0x21, b"x"), fields(&GET), frame(0x40, &[0; 5000])].concat(),
                Ok(200),
            ),
        ] {
            let got = outcome(&connection, &said).await;
            assert_eq!(got, expect.map_err(|code| code.0), "{why}");
        }
        let fewer = outcome(&connection, &body("5", b"four")).await;
        assert_eq!(fewer, Err(Code::MESSAGE_ERROR.0), "fewer than was said");
    });
    let heads = member.heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.starts_with("GET / HTTP/1.1\r\n")), "{heads:?}");
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_with_its_code() {
    let member = Member::named("one");
    let (_rig, address) = serving(&[member.address]);
    let settings = frame(kind::SETTINGS, b"");
    run(async {
        for (why, said, expect) in [
            ("data without a head", frame(kind::DATA, b"x"), Code::FRAME_UNEXPECTED),
            ("settings on a request", settings.clone(), Code::FRAME_UNEXPECTED),
            ("a frame of HTTP/2", frame(0x8, b"1234"), Code::FRAME_UNEXPECTED),
            ("an end within a frame", fields(&GET)[..5].to_vec(), Code::FRAME_ERROR),
            ("a dynamic entry", frame(kind::HEADERS, &[0, 0, 0x80]), Code::QPACK_DECOMPRESSION_FAILED),
            (
                "data behind trailers",
                [fields(&GET), fields(&[("a", "b")]), frame(kind::DATA, b"x")].concat(),
                Code::FRAME_UNEXPECTED,
            ),
        ] {
            let (_endpoint, connection) = raw(address).await;
            let got = outcome(&connection, &said).await;
            assert_eq!(got, Err(expect.0), "{why}");
        }
        for (why, streams, expect) in [
            ("no settings", vec![stream_of(0, &frame(kind::GOAWAY, &[0]))], Code::MISSING_SETTINGS),
            (
                "settings twice",
                vec![stream_of(0, &[settings.clone(), settings.clone()].concat())],
                Code::FRAME_UNEXPECTED,
            ),
            ("wrong settings", vec![stream_of(0, &frame(kind::SETTINGS, &[2, 0]))], Code::SETTINGS_ERROR),
            ("two control streams", vec![stream_of(0, &settings); 2], Code::STREAM_CREATION_ERROR),
            ("a push", vec![stream_of(stream_type::PUSH, &[0])], Code::STREAM_CREATION_ERROR),
            (
                "a request on it",
                vec![stream_of(0, &[settings.clone(), fields(&GET)].concat())],
                Code::FRAME_UNEXPECTED,
            ),
            ("entries", vec![stream_of(2, &[0x4a])], Code::QPACK_ENCODER_STREAM_ERROR),
            ("acknowledged entries", vec![stream_of(3, &[0x84])], Code::QPACK_DECODER_STREAM_ERROR),
        ] {
            let (_endpoint, connection) = raw(address).await;
            for bytes in streams {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                // It stays open: its end would be an error of its own.
                std::mem::forget(stream);
            }
            match connection.closed().await {
                ConnectionError::ApplicationClosed(close) => {
                    assert_eq!(close.error_code.into_inner(), expect.0, "{why}");
                }
                other => panic!("{why}: {other}"),
            }
        }
        let (_endpoint, connection) = raw(address).await;
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&stream_of(0, &settings)).await.unwrap();
        stream.finish().unwrap();
        let closed = connection.closed().await;
        assert!(
            matches!(&closed, ConnectionError::ApplicationClosed(close)
                if close.error_code.into_inner() == Code::CLOSED_CRITICAL_STREAM.0),
            "{closed}"
        );
    });
    assert_eq!(member.heads.lock().unwrap().len(), 0);
}
