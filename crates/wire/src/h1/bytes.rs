//! Which bytes may stand where, and finding the first one that may not.
//!
//! The scans are most of what parsing a head costs, so they look at sixteen bytes at once (SSE2, NEON); a table answers for the rest.
//! Sources: RFC 9110 §5.6.2 (token), §5.5 (field-value), RFC 3986 §3 (target).

use wide::u8x16;

/// A byte of a token: header names, methods, codings (RFC 9110 §5.6.2).
const TOKEN: u8 = 1;
/// A byte that may stand in a request target: visible ASCII without `#`, since a fragment is never sent.
const TARGET: u8 = 2;
/// A byte of a field value: HTAB, space, visible ASCII, obs-text.
const FIELD: u8 = 4;
/// A byte of a registered name or IPv4 address in Host; see `Authority` for what RFC 3986 allows and we do not.
const REG_NAME: u8 = 8;
/// A byte of a path that is never part of `.`, `..`, a backslash or a percent-encoding.
const PLAIN: u8 = 16;
/// Any byte but the question mark, which begins a query.
const NO_QUERY: u8 = 32;

/// First index at or after `from` whose byte is no token byte; `buf.len()` when there is none.
#[inline]
pub(super) fn token_end(buf: &[u8], from: usize) -> usize {
    scan::<TOKEN>(buf, from).0
}

/// As `token_end`, and whether the token may hold more than letters, digits and `-`.
#[inline(always)]
pub(super) fn name_end(buf: &[u8], from: usize) -> (usize, bool) {
    scan::<TOKEN>(buf, from)
}

/// First index at or after `from` whose byte may not stand in a request target; `buf.len()` when there is none.
#[inline]
pub(super) fn target_end(buf: &[u8], from: usize) -> usize {
    scan::<TARGET>(buf, from).0
}

/// First index at or after `from` whose byte may not stand in a field value; `buf.len()` when there is none.
#[inline(always)]
pub(super) fn field_end(buf: &[u8], from: usize) -> usize {
    scan::<FIELD>(buf, from).0
}

/// First index at or after `from` of `%`, `.` or a backslash; `buf.len()` when there is none.
#[inline]
pub(super) fn plain_end(buf: &[u8], from: usize) -> usize {
    scan::<PLAIN>(buf, from).0
}

/// First index at or after `from` of a question mark; `buf.len()` when there is none.
#[inline]
pub(super) fn query_start(buf: &[u8], from: usize) -> usize {
    scan::<NO_QUERY>(buf, from).0
}

/// Is this a token (RFC 9110 §5.6.2), at least one byte long?
#[inline]
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_end(bytes, 0) == bytes.len()
}

/// First index whose byte may not stand in a registered name or IPv4 address; `buf.len()` when there is none.
#[inline]
pub(super) fn reg_name_end(buf: &[u8]) -> usize {
    scan::<REG_NAME>(buf, 0).0
}

/// `bytes` without spaces and tabs at either end (OWS, RFC 9110 §5.6.3).
#[inline]
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The decimal number that `bytes` spell with digits only, up to 2^63-1. `None` for anything else.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut n: u64 = 0;
    for &b in bytes {
        if !b.is_ascii_digit() {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(u64::from(b - b'0'))?;
    }
    (n <= LENGTH_MAX).then_some(n)
}

/// Appends `n` in decimal.
pub(super) fn push_decimal(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The longest body that we accept a declaration of: 2^63-1 bytes, so that sums never wrap.
pub(super) const LENGTH_MAX: u64 = i64::MAX as u64;

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

/// As `scan_by_table`, sixteen bytes at a time. Also says whether a byte was acquitted: see `may_acquit`.
#[inline(always)]
fn scan<const CLASS: u8>(buf: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    while let Some(block) = buf.get(at..).and_then(|rest| rest.first_chunk()) {
        let clean = clean::<CLASS>(block);
        at += clean;
        if clean < BLOCK {
            return if may_acquit::<CLASS>(buf[at]) {
                (scan_by_table::<CLASS>(buf, at), true)
            } else {
                (at, false)
            };
        }
    }
    scan_tail::<CLASS>(buf, at)
}

/// Fewer than sixteen bytes are left: look at the last sixteen of the buffer again and forget those before `at`.
fn scan_tail<const CLASS: u8>(buf: &[u8], at: usize) -> (usize, bool) {
    if at >= buf.len() {
        return (buf.len(), false);
    }
    let left = buf.len() - at;
    let block = match buf.last_chunk() {
        Some(last) => (u128::from_le_bytes(*last) >> (8 * (BLOCK - left))).to_le_bytes(),
        None => {
            let mut block = [0; BLOCK];
            block[..left].copy_from_slice(&buf[at..]);
            block
        }
    };
    let at = buf.len().min(at + clean::<CLASS>(&block));
    if at < buf.len() && may_acquit::<CLASS>(buf[at]) {
        return (scan_by_table::<CLASS>(buf, at), true);
    }
    (at, false)
}

/// How many bytes are looked at together.
const BLOCK: usize = 16;

/// Is a suspect byte in the class after all? `clean` is coarser than the table for bytes that are rare.
#[inline]
fn may_acquit<const CLASS: u8>(byte: u8) -> bool {
    match CLASS {
        TOKEN | REG_NAME => byte != b':' && is(byte, CLASS),
        FIELD => byte == b'\t',
        _ => false,
    }
}

/// How many bytes at the beginning of a block are surely in the class.
///
/// `TOKEN` is only sure of letters, digits and `-`, `REG_NAME` of these and `.`; `FIELD` is not of HTAB.
#[inline(always)]
fn clean<const CLASS: u8>(block: &[u8; BLOCK]) -> usize {
    let x = u8x16::new(*block);
    let is = |byte: u8| x.simd_eq(u8x16::splat(byte));
    let within = |x: u8x16, from: u8, to: u8| {
        let above = x - u8x16::splat(from);
        above.min(u8x16::splat(to - from)).simd_eq(above)
    };
    let good = match CLASS {
        TOKEN | REG_NAME => {
            let letter = within(x | u8x16::splat(0x20), b'a', b'z');
            letter | within(x, b'0', b'9') | within(x, b'-', if CLASS == TOKEN { b'-' } else { b'.' })
        }
        TARGET => within(x, 0x21, 0x7e) & !is(b'#'),
        FIELD => within(x, 0x20, 0xff) & !is(0x7f),
        PLAIN => !(is(b'%') | is(b'\\') | is(b'.')),
        NO_QUERY => !is(b'?'),
        _ => u8x16::splat(0),
    };
    good.to_bitmask().trailing_ones() as usize
}

#[cold]
fn scan_by_table<const CLASS: u8>(buf: &[u8], from: usize) -> usize {
    match buf.get(from..) {
        Some(rest) => rest.iter().position(|&b| !is(b, CLASS)).map_or(buf.len(), |n| from + n),
        None => buf.len(),
    }
}

static CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut b = 0usize;
    while b < 256 {
        let c = b as u8;
        let mut class = 0;
        if c.is_ascii_alphanumeric() || among(c, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        if c > 0x20 && c < 0x7f && c != b'#' {
            class |= TARGET;
        }
        if c == b'\t' || (c >= 0x20 && c != 0x7f) {
            class |= FIELD;
        }
        if c.is_ascii_alphanumeric() || among(c, b"-._~!$&'()*+;=") {
            class |= REG_NAME;
        }
        if !among(c, b"%\\.") {
            class |= PLAIN;
        }
        if c != b'?' {
            class |= NO_QUERY;
        }
        table[b] = class;
        b += 1;
    }
    table
};

const fn among(byte: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees_with_the_table<const CLASS: u8>() {
        for len in [1, 7, 15, 16, 17, 31, 33] {
            for place in 0..len {
                for byte in 0..=255u8 {
                    let mut buf = vec![b'a'; len];
                    buf[place] = byte;
                    for from in 0..=len {
                        let expect = scan_by_table::<CLASS>(&buf, from);
                        assert_eq!(
                            scan::<CLASS>(&buf, from).0,
                            expect,
                            "{byte} at {place} of {len}, from {from}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_wide_scans_agree_with_the_table_for_every_byte_at_every_place() {
        agrees_with_the_table::<TOKEN>();
        agrees_with_the_table::<TARGET>();
        agrees_with_the_table::<FIELD>();
        agrees_with_the_table::<REG_NAME>();
        agrees_with_the_table::<PLAIN>();
        agrees_with_the_table::<NO_QUERY>();
    }

    #[test]
    fn decimals_are_digits_only_and_bounded() {
        for (text, want) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(LENGTH_MAX)),
            ("9223372036854775808", None),
            ("99999999999999999999999", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("0x10", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), want, "{text}");
        }
        let mut out = Vec::new();
        push_decimal(&mut out, u64::MAX);
        push_decimal(&mut out, 0);
        assert_eq!(out, b"184467440737095516150");
    }
}
