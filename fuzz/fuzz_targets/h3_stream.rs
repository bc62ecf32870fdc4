//! A stream of HTTP/3: its frames, and the fields that are packed in its HEADERS; the same bytes as settings.
#![no_main]

use fulcrum_fuzz::cut::{pieces, seed};
use libfuzzer_sys::fuzz_target;
use wire::h3::{
    Code, Frames, Piece, Settings, kind,
    qpack::{self, FIELD_BYTES, Packer},
};

fuzz_target!(|input: &[u8]| {
    let whole = frames(&[input]);
    assert_eq!(whole, frames(&pieces(input, seed(input))), "how the bytes are cut makes a difference");
    let (seen, _) = whole;
    for (_, payload) in seen.iter().filter(|(kind, _)| *kind == kind::HEADERS) {
        unpack(payload);
    }
    unpack(input);
    let _settings = Settings::parse(input);
});

/// Kinds and payloads, and how the stream ends.
fn frames(pieces: &[&[u8]]) -> (Vec<(u64, Vec<u8>)>, Result<bool, Code>) {
    let (mut frames, mut seen) = (Frames::default(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        loop {
            let (used, next) = match frames.read(input) {
                Ok(read) => read,
                Err(code) => return (seen, Err(code)),
            };
            input = &input[used..];
            match next {
                Piece::Begins(frame) => seen.push((frame.kind, Vec::new())),
                Piece::Payload(bytes, _) => {
                    seen.last_mut().expect("a frame began").1.extend_from_slice(&input[..bytes]);
                    input = &input[bytes..];
                }
                Piece::More => break,
            }
        }
    }
    (seen, Ok(frames.is_between()))
}

/// What was unpacked keeps its bound, and is packed and unpacked again.
fn unpack(block: &[u8]) {
    const BYTES_MAX: usize = 4096;
    let mut fields = Vec::new();
    let mut take = |name: &[u8], value: &[u8]| fields.push((name.to_vec(), value.to_vec()));
    if qpack::decode(block, BYTES_MAX, &mut Vec::new(), &mut take).is_err() {
        return;
    }
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len() + FIELD_BYTES).sum();
    assert!(bytes <= BYTES_MAX);
    let mut packed = Vec::new();
    let mut packer = Packer::new(&mut packed);
    for (name, value) in &fields {
        packer.push(name, value);
    }
    assert_eq!(packer.bytes(), bytes);
    let mut again = Vec::new();
    let unpacked = qpack::decode(&packed, bytes, &mut Vec::new(), |name, value| {
        again.push((name.to_vec(), value.to_vec()));
    });
    assert_eq!((unpacked, again), (Ok(()), fields));
}
