//! The Huffman code of HPACK and QPACK (RFC 7541 section 5.2, appendix B), decoded.
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols, and shorter ones are lower. So the
//! lengths say it all, and a code's length is found by comparing it with where each length ends.

/// Hands on the bytes that are coded; none: an EOS, or padding that is none.
pub(crate) fn decode(coded: &[u8], mut each: impl FnMut(u8)) -> Option<()> {
    // The bits that were not used, in the high end; behind them ones, as padding is.
    let (mut bits, mut have) = (u64::MAX, 0_u32);
    let mut rest = coded.iter();
    loop {
        while have <= 56
            && let Some(byte) = rest.next()
        {
            let hole = 56 - have;
            bits &= !(0xff << hole) | u64::from(*byte) << hole;
            have += 8;
        }
        let window = (bits >> 32) as u32;
        let length = LENGTH_MIN + ENDS.iter().take_while(|end| u64::from(window) >= **end).count() as u32;
        if length > have {
            // Less than a symbol: padding, at most 7 bits of EOS (all ones).
            return (have < 8 && bits == u64::MAX).then_some(());
        }
        let at = (window >> (32 - length)) - FIRST[length as usize];
        let symbol = SYMBOLS[(u32::from(OFFSET[length as usize]) + at) as usize];
        each(u8::try_from(symbol).ok()?);
        bits = bits << length | ((1 << length) - 1);
        have -= length;
    }
}

const SYMBOLS_COUNT: usize = 257;
const LENGTH_MIN: u32 = 5;
const LENGTH_MAX: u32 = 30;

/// How many bits the code of each byte has, and of EOS (RFC 7541 appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS_COUNT] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbols in the order of their codes.
const SYMBOLS: [u16; SYMBOLS_COUNT] = TABLES.0;

/// The first code of each length.
const FIRST: [u32; LENGTH_MAX as usize + 1] = TABLES.1;

/// Where the symbols of each length begin.
const OFFSET: [u16; LENGTH_MAX as usize + 1] = TABLES.2;

/// Where the codes of each length end, as 32 bits from the left; the longest has no end.
const ENDS: [u64; (LENGTH_MAX - LENGTH_MIN) as usize] = TABLES.3;

type Tables = (
    [u16; SYMBOLS_COUNT],
    [u32; LENGTH_MAX as usize + 1],
    [u16; LENGTH_MAX as usize + 1],
    [u64; (LENGTH_MAX - LENGTH_MIN) as usize],
);

const TABLES: Tables = {
    let mut symbols = [0; SYMBOLS_COUNT];
    let mut first = [0; LENGTH_MAX as usize + 1];
    let mut offset = [0; LENGTH_MAX as usize + 1];
    let mut ends = [0; (LENGTH_MAX - LENGTH_MIN) as usize];
    let (mut code, mut count, mut length) = (0_u32, 0, LENGTH_MIN);
    while length <= LENGTH_MAX {
        first[length as usize] = code;
        offset[length as usize] = count as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS_COUNT {
            if LENGTHS[symbol] as u32 == length {
                symbols[count] = symbol as u16;
                count += 1;
                code += 1;
            }
            symbol += 1;
        }
        if length < LENGTH_MAX {
            ends[(length - LENGTH_MIN) as usize] = (code as u64) << (32 - length);
        }
        code <<= 1;
        length += 1;
    }
    (symbols, first, offset, ends)
};

#[cfg(test)]
pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut have) = (Vec::new(), 0_u64, 0);
    for byte in text {
        let length = u32::from(LENGTHS[usize::from(*byte)]);
        let place = SYMBOLS.iter().position(|symbol| *symbol == u16::from(*byte)).unwrap() as u32;
        bits =
            bits << length | u64::from(FIRST[length as usize] + place - u32::from(OFFSET[length as usize]));
        have += length;
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        out.push((bits << (8 - have)) as u8 | (0xff >> have));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(coded, |byte| text.push(byte)).map(|()| text)
    }

    #[test]
    fn examples_of_the_rfc() {
        for (coded, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("", ""),
        ] {
            let coded = hex::decode(coded).unwrap();
            assert_eq!(decoded(&coded).unwrap(), text.as_bytes());
            assert_eq!(encode(text.as_bytes()), coded);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (why, coded) in [
            ("EOS", &[0xff, 0xff, 0xff, 0xff][..]),
            ("EOS between letters", &[0x07, 0xff, 0xff, 0xff, 0xe0]),
            ("padding of 8 bits", &[0, 0, 0, 0, 0, 0xff]),
            ("padding of 11 bits", &[0x07, 0xff]),
            ("padding of zeros", &[0]),
            ("padding that is not all ones", &[0x06]),
            ("half a long code", &[0xff, 0xff, 0xfe]),
        ] {
            assert_eq!(decoded(coded), None, "{why}");
        }
    }

    proptest! {
        #[test]
        fn what_is_coded_comes_back(text: Vec<u8>) {
            prop_assert_eq!(decoded(&encode(&text)), Some(text));
        }
    }
}
