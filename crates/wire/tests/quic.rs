//! QUIC headers: what is read of made packets, which part of an id places a packet.

use proptest::prelude::*;
use wire::quic::{CID_BYTES_MAX, Header, VERSION_1, VERSION_2, cid_key, sender_key};

const GOOGLE_50: u32 = u32::from_be_bytes(*b"Q050");
const GOOGLE_46: u32 = u32::from_be_bytes(*b"Q046");

fn long(first: u8, version: u32, destination: &[u8], source: &[u8]) -> Vec<u8> {
    let (d, s) = (destination.len() as u8, source.len() as u8);
    [&[first][..], &version.to_be_bytes(), &[d], destination, &[s], source, b"payload"].concat()
}

#[test]
fn long_headers_are_read() {
    let cid = [7; 20];
    for (why, bytes, version, destination, source, initial) in [
        (
            "a client's first packet",
            long(0xc3, VERSION_1, &cid[..8], &[]),
            VERSION_1,
            &cid[..8],
            &[][..],
            true,
        ),
        ("0-RTT", long(0xd0, VERSION_1, &cid[..8], b"me"), VERSION_1, &cid[..8], b"me", false),
        ("a handshake packet", long(0xe0, VERSION_1, &cid, b"me"), VERSION_1, &cid, b"me", false),
        ("a retry", long(0xf0, VERSION_1, &[], &cid), VERSION_1, &[], &cid, false),
        ("without the fixed bit", long(0x80, VERSION_1, &cid, &[]), VERSION_1, &cid, &[], false),
        ("version 2", long(0xd3, VERSION_2, &cid[..8], b"me"), VERSION_2, &cid[..8], b"me", true),
        ("version 2, a retry", long(0xc0, VERSION_2, &cid[..8], b"me"), VERSION_2, &cid[..8], b"me", false),
        ("a list of versions", long(0x80, 0, &cid, b"me"), 0, &cid, b"me", false),
        (
            "a version that nobody knows",
            long(0xc0, 0x0a0a_0a0a, &[9; 255], &[8; 255]),
            0x0a0a_0a0a,
            &[9; 255],
            &[8; 255],
            false,
        ),
        ("Google's Q050", long(0xc3, GOOGLE_50, &cid[..8], &[]), GOOGLE_50, &cid[..8], &[], false),
        (
            "Google's Q046",
            [&[0xc3][..], b"Q046", &[0x50], &cid[..8], b"payload"].concat(),
            GOOGLE_46,
            &cid[..8],
            &[],
            false,
        ),
        (
            "Google's Q046 from a server",
            [&[0xc3][..], b"Q046", &[0x05], &cid[..8], b"payload"].concat(),
            GOOGLE_46,
            &[],
            &cid[..8],
            false,
        ),
    ] {
        let Some(Header::Long(header)) = Header::parse(&bytes) else { panic!("{why}") };
        let seen = (header.version, header.destination_cid, header.source_cid, header.is_initial());
        assert_eq!(seen, (version, destination, source, initial), "{why}");
    }
}

#[test]
fn what_is_no_header_is_none() {
    for (why, bytes) in [
        ("nothing", vec![]),
        ("no version", vec![0xc0, 0, 0, 0]),
        ("no length", vec![0xc0, 0, 0, 0, 1]),
        ("an id beyond the end", vec![0xc0, 0, 0, 0, 1, 2, 7]),
        ("no length of the second id", vec![0xc0, 0, 0, 0, 1, 1, 7]),
        ("the second id beyond the end", vec![0xc0, 0, 0, 0, 1, 1, 7, 1]),
        ("an id too long for version 1", long(0xc0, VERSION_1, &[7; 21], &[])),
        ("the second id too long for version 2", long(0xd0, VERSION_2, &[7; 8], &[7; 21])),
        ("Q046 beyond the end", [&[0xc3][..], b"Q046", &[0x50], &[7; 7]].concat()),
    ] {
        assert_eq!(Header::parse(&bytes), None, "{why}");
        assert_eq!(cid_key(&bytes, 3, 1), None, "{why}");
        assert_eq!(sender_key(&bytes, 3, 1), None, "{why}");
    }
}

#[test]
fn a_part_of_the_destination_id_places_a_packet() {
    let cid: Vec<u8> = (1..=20).collect();
    let short = [&[0x41][..], &cid, b"payload"].concat();
    let google_43 = [&[0x09][..], &cid[..8], b"Q043", b"payload"].concat();
    for (why, packet, length, offset, expect) in [
        ("as the contract has it by default", &short[..], 3, 1, Some(&cid[1..4])),
        ("the whole id", &short, 20, 0, Some(&cid[..])),
        ("its last byte", &short, 1, 19, Some(&cid[19..])),
        ("beyond the longest id", &short, 2, 19, None),
        ("nothing", &short, 0, 1, None),
        ("a packet that is too short", &short[..4], 3, 1, None),
        ("one byte more than the id", &short[..6], 3, 1, Some(&cid[1..4])),
        ("an id is not the whole packet", &short[..5], 3, 1, None),
        ("numbers that run over", &short, usize::MAX, 1, None),
        ("Q043", &google_43, 3, 1, Some(&cid[1..4])),
        ("a long header", &long(0xc0, VERSION_1, &cid[..8], b"other"), 3, 1, Some(&cid[1..4])),
        ("all of its id", &long(0xc0, VERSION_1, &cid[..8], b"other"), 7, 1, Some(&cid[1..8])),
        ("more than its id", &long(0xc0, VERSION_1, &cid[..8], b"other"), 8, 1, None),
        ("an empty id", &long(0xc0, VERSION_1, &[], b"other"), 1, 0, None),
    ] {
        assert_eq!(cid_key(packet, length, offset), expect, "{why}");
    }
}

#[test]
fn a_sender_says_its_id_in_long_headers() {
    let cid: Vec<u8> = (1..=20).collect();
    let said = long(0xc0, VERSION_1, b"client", &cid[..8]);
    for (why, packet, length, offset, expect) in [
        ("as the contract has it by default", &said[..], 3, 1, Some(&cid[1..4])),
        ("all of it", &said, 8, 0, Some(&cid[..8])),
        ("more than there is", &said, 8, 1, None),
        ("nothing", &said, 0, 1, None),
        ("numbers that run over", &said, usize::MAX, 1, None),
        ("no id", &long(0xc0, VERSION_1, b"client", &[]), 1, 0, None),
        ("a list of versions", &long(0x80, 0, b"client", &cid), 3, 1, None),
        ("a short header", &[&[0x41][..], &cid].concat(), 3, 1, None),
        ("Q046", &[&[0xc3][..], b"Q046", &[0x05], &cid[..8], b"payload"].concat(), 3, 1, Some(&cid[1..4])),
    ] {
        assert_eq!(sender_key(packet, length, offset), expect, "{why}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_key_is_the_same_from_the_first_packet_to_the_last(
        cid in proptest::collection::vec(any::<u8>(), 1..=CID_BYTES_MAX), length in 1usize..=20, offset in 0usize..=19,
        first in any::<u8>(), version in any::<u32>().prop_filter("Q046 is made otherwise", |v| *v != GOOGLE_46),
    ) {
        let fits = offset + length <= cid.len();
        let set_up = long(first | 0x80, version, &cid, b"other");
        prop_assert_eq!(cid_key(&set_up, length, offset), fits.then(|| &cid[offset..offset + length]));
        if fits {
            let later = [&[first & 0x7f][..], &cid, b"payload"].concat();
            prop_assert_eq!(cid_key(&later, length, offset), cid_key(&set_up, length, offset));
            // What a server calls itself is what it is called by then.
            let answer = long(first | 0x80, version.max(1), b"other", &cid);
            prop_assert_eq!(sender_key(&answer, length, offset), cid_key(&later, length, offset));
        }
    }

    #[test]
    fn no_packet_panics(packet in proptest::collection::vec(any::<u8>(), 0..64), length in 0usize..30, offset in 0usize..30) {
        let key = cid_key(&packet, length, offset).or(sender_key(&packet, length, offset));
        prop_assert!(key.is_none_or(|key| key.len() == length && packet.windows(length).any(|part| part == key)));
    }
}
