//! Integers of one to eight bytes (RFC 9000 section 16).

/// The integer at the beginning, and how many bytes it takes; none: it is not whole.
#[must_use]
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

/// Appends an integer below 2^62, which all that we say is; greater ones lose their highest bits.
pub fn push_varint(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let (from, prefix) = match value {
        0..0x40 => (7, 0),
        0x40..0x4000 => (6, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (0, 0xc0),
    };
    out.push(bytes[from] & 0x3f | prefix);
    out.extend_from_slice(&bytes[from + 1..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            assert_eq!(read_varint(bytes), Some((value, bytes.len())));
            assert_eq!(read_varint(&bytes[..bytes.len() - 1]), None);
            let mut out = Vec::new();
            push_varint(&mut out, value);
            assert_eq!(out, bytes);
        }
        assert_eq!(read_varint(&[0x40, 0x25]), Some((37, 2)), "longer than it has to be");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in 0_u64..1 << 62) {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            prop_assert_eq!(read_varint(&out), Some((value, out.len())));
        }
    }
}
