//! A mark at the end of an application's cookie that names the member which set it: `JSESSIONID=abc` goes to the client as
//! `JSESSIONID=abc.0123456789abcdef`, and comes to the member as it was.
//!
//! The mark is a dot and 16 hex digits in lower case, inside the quotes where the value has some. What number stands for which
//! member, and whether it is ours at all, the caller knows (`balance::stickiness`): an application may end its values alike.

use super::{Change, Rewritten, SetCookie};

/// Length of a mark in bytes, with its dot.
pub const MARK_BYTES: usize = 17;

/// The value without its mark, and the mark's number; none when it has no mark.
pub fn split(value: &[u8]) -> (&[u8], Option<u64>) {
    let inside = inside(value);
    match inside.last_chunk::<MARK_BYTES>().and_then(number) {
        Some(mark) => (&inside[..inside.len() - MARK_BYTES], Some(mark)),
        None => (value, None),
    }
}

/// Takes the marks off every cookie of this name for which `is_ours` holds, and appends the new Cookie line (see
/// [`super::rewrite`]).
pub fn remove<'l>(
    lines: impl IntoIterator<Item = &'l [u8]>,
    name: &[u8],
    mut is_ours: impl FnMut(u64) -> bool,
    out: &mut Vec<u8>,
) -> Rewritten {
    let change = |value: &'l [u8]| match split(value) {
        (bare, Some(mark)) if is_ours(mark) => {
            let from = bare.len() + usize::from(value.len() > bare.len() + MARK_BYTES);
            Change::Without { from, to: from + MARK_BYTES }
        }
        _ => Change::Keep,
    };
    super::rewrite(lines, name, change, out)
}

/// Appends a member's Set-Cookie line with a mark, when it sets a cookie of this name to something; else appends nothing and says
/// false. (An empty value takes a cookie away.)
pub fn add(line: &[u8], name: &[u8], mark: u64, out: &mut Vec<u8>) -> bool {
    let Some(cookie) = SetCookie::parse(line).filter(|cookie| cookie.name == name) else { return false };
    let bare = inside(cookie.value);
    if bare.is_empty() {
        return false;
    }
    let mark = text(mark);
    if bare.len() == cookie.value.len() {
        cookie.write_with(bare, &mark, out);
    } else {
        let mut quoted = [b'"'; MARK_BYTES + 1];
        quoted[..MARK_BYTES].copy_from_slice(&mark);
        cookie.write_with(&cookie.value[..cookie.value.len() - 1], &quoted, out);
    }
    true
}

/// The value without the quotes around it, if both are there.
fn inside(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// A mark as it is written.
fn text(mark: u64) -> [u8; MARK_BYTES] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'.'; MARK_BYTES];
    for (digit, place) in text[1..].iter_mut().zip((0..16).rev()) {
        *digit = HEX[(mark >> (4 * place) & 15) as usize];
    }
    text
}

fn number(text: &[u8; MARK_BYTES]) -> Option<u64> {
    let (b'.', digits) = text.split_first().map(|(dot, digits)| (*dot, digits))? else { return None };
    digits.iter().try_fold(0, |number: u64, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}
