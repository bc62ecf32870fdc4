//! What a client sends behind the preface and its first SETTINGS.
#![no_main]

use fulcrum_fuzz::cut::{pieces, seed};
use libfuzzer_sys::fuzz_target;
use wire::h2::{Fault, Frame, Referee};

const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fuzz_target!(|input: &[u8]| {
    let whole = judge(&[input]);
    assert_eq!(whole, judge(&pieces(input, seed(input))), "how the bytes are cut makes a difference");
    let (out, _, _) = whole;
    assert!(out.starts_with(HELLO));
    let (_, _, again) = judge(&[&out[HELLO.len()..]]);
    assert_eq!(again, Ok(()), "what was handed on is found at fault");
});

/// What is handed on, what was seen, and how it ends.
fn judge(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Frame>, Result<(), Fault>) {
    let (mut referee, mut out, mut seen) = (Referee::new(), Vec::new(), Vec::new());
    for piece in [HELLO].iter().chain(pieces) {
        let judged = referee.received(piece, |frame| seen.push(frame), |bytes| out.extend_from_slice(bytes));
        if judged.is_err() {
            return (out, seen, judged);
        }
    }
    (out, seen, Ok(()))
}
