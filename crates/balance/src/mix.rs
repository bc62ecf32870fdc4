//! Mixing bits: a fixed, keyless hash that is the same on every node and in every release.
//!
//! Not for hostile input: who can choose all bits of the input can aim at one member. For placement by client address that
//! is no loss, as such a client could as well send all its traffic from one address.

use std::net::{IpAddr, SocketAddr};

/// A 64-bit permutation in which each input bit flips each output bit with a chance near one half (the finaliser of
/// MurmurHash3 by Austin Appleby, public domain, after an odd constant is added so that 0 does not stay 0).
pub const fn mix(value: u64) -> u64 {
    let mut v = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    v ^= v >> 33;
    v = v.wrapping_mul(0xff51_afd7_ed55_8ccd);
    v ^= v >> 33;
    v = v.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    v ^ (v >> 33)
}

/// The hash of an address. An IPv4 address and its IPv4-mapped IPv6 form are the same client, so they hash alike.
pub const fn mix_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => mix(v4.to_bits() as u64),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            mix(mix((bits >> 64) as u64 ^ V6) ^ bits as u64)
        }
    }
}

/// The hash of an address and a port.
pub const fn mix_socket_address(address: SocketAddr) -> u64 {
    mix(mix_address(address.ip()) ^ address.port() as u64)
}

/// The hash of a few bytes, such as a part of a QUIC connection id ([`crate::Maglev::pick_hash`]).
pub const fn mix_bytes(bytes: &[u8]) -> u64 {
    let mut hash = mix(bytes.len() as u64);
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        (hash, rest) = (mix(hash ^ byte as u64), behind);
    }
    hash
}

/// Keeps IPv6 addresses apart from IPv4 addresses of the same low bits; an arbitrary number.
const V6: u64 = 0x6c62_272e_07bb_0142;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_in_every_release() {
        // Other nodes and older releases place flows by these numbers: they may never change.
        for (address, expect) in EXPECTED {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(mix_address(address), expect, "{address}");
        }
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(mix_address(mapped), mix_address("192.0.2.1".parse().unwrap()));
        let bytes = [&b""[..], b"\0", b"abc", b"abd"].map(mix_bytes);
        assert_eq!(bytes, EXPECTED_BYTES, "{bytes:#x?}");
    }

    const EXPECTED_BYTES: [u64; 4] =
        [0x9ca0_66f1_a4ab_2eea, 0x5b9a_6eba_30ae_dee8, 0x04d5_e2d7_5574_b35f, 0x7722_5cf2_4f9f_1f22];

    const EXPECTED: [(&str, u64); 3] = [
        ("192.0.2.1", 0x9823_b702_7abc_e7b4),
        ("192.0.2.2", 0xb4a9_ae95_d893_74a0),
        ("2001:db8::1", 0x1cba_13d4_6cd3_6756),
    ];

    #[test]
    fn neighbouring_addresses_spread_over_all_values_of_the_upper_bits() {
        for (why, make) in [
            ("a /16 of IPv4", (|n| IpAddr::from((0x0a00_0000u32 + n).to_be_bytes())) as fn(u32) -> IpAddr),
            ("IPv6 hosts", |n| IpAddr::from(((0x2001_0db8u128 << 96) + u128::from(n)).to_be_bytes())),
            ("IPv6 networks", |n| {
                IpAddr::from(((0x2001_0db8u128 << 96) + (u128::from(n) << 64)).to_be_bytes())
            }),
        ] {
            let mut buckets = [0u32; 64];
            (0..65_536).for_each(|n| buckets[(mix_address(make(n)) >> 58) as usize] += 1);
            // 1024 expected in each, standard deviation 32: five of them are a wide margin for a fixed input.
            assert!(buckets.iter().all(|&n| n.abs_diff(1024) < 160), "{why}: {buckets:?}");
        }
    }
}
