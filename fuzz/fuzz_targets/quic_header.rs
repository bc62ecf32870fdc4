//! Two bytes for length and offset of the part that places a packet, then a packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::quic::{CID_BYTES_MAX, Header, cid_key, sender_key};

fuzz_target!(|input: &[u8]| {
    let &[length, offset, ref packet @ ..] = input else { return };
    let (length, offset) = (usize::from(length % 24), usize::from(offset % 24));
    let key = cid_key(packet, length, offset);
    if let Some(key) = key {
        assert!(key.len() == length && length > 0 && offset + length <= CID_BYTES_MAX);
    }
    let sender = sender_key(packet, length, offset);
    assert!(sender.is_none_or(|sender| sender.len() == length));
    match Header::parse(packet) {
        None => assert_eq!((key, sender), (None, None)),
        Some(Header::Short(header)) => {
            let id = header.destination_cid(offset + length);
            assert_eq!(sender, None);
            assert_eq!(key.is_some(), id.is_some() && length > 0 && offset + length <= CID_BYTES_MAX);
            assert!(key.is_none_or(|key| packet[1 + offset..].starts_with(key)));
        }
        Some(Header::Long(header)) => {
            assert_eq!(packet[1..5], header.version.to_be_bytes());
            assert!(key.is_none_or(|key| header.destination_cid[offset..].starts_with(key)));
            assert!(sender.is_none_or(|sender| header.source_cid[offset..].starts_with(sender)));
            // Both ids are in the packet, one behind the other, in the one form or in the other.
            let (destination, source) = (header.destination_cid, header.source_cid);
            let lengths = [&[destination.len() as u8], destination, &[source.len() as u8], source].concat();
            let packed = [destination, source].concat();
            assert!(packet[5..].starts_with(&lengths) || packet[6..].starts_with(&packed));
            // A packet made of what was read is read so again.
            if &header.version.to_be_bytes() != b"Q046" {
                let again = [&packet[..5], &lengths].concat();
                let Some(Header::Long(again)) = Header::parse(&again) else { panic!("{again:?}") };
                assert_eq!(again, header);
                assert_eq!(again.is_initial(), header.is_initial());
            }
        }
    }
});
