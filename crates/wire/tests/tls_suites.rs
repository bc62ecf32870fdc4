//! The table of suites: nothing that the contract names is missing, nothing is there twice.

use std::collections::BTreeSet;

use wire::tls_suites::{SUITES, by_id, by_name};

/// Every suite that behaviour/tls.md names: the groups, the string of `tls-1-0-inherit`, what custom policies may name.
const NAMED: &str = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:\
    ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:AES128-SHA256:\
    AES256-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:DHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:AES128-SHA:\
    AES256-SHA:DHE-DSS-AES128-SHA:CAMELLIA128-SHA:EDH-RSA-DES-CBC3-SHA:DES-CBC3-SHA:ECDHE-RSA-RC4-SHA:RC4-SHA:\
    DHE-RSA-AES256-SHA:DHE-DSS-AES256-SHA:DHE-RSA-CAMELLIA256-SHA:DHE-DSS-CAMELLIA256-SHA:CAMELLIA256-SHA:\
    EDH-DSS-DES-CBC3-SHA:DHE-RSA-CAMELLIA128-SHA:DHE-DSS-CAMELLIA128-SHA:TLS_AES_128_GCM_SHA256:\
    TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256:\
    ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305";

#[test]
fn every_suite_of_the_contract_has_an_id_and_one_only() {
    let named: BTreeSet<&str> = NAMED.split(':').collect();
    let known: BTreeSet<&str> = SUITES.iter().map(|suite| suite.name).collect();
    assert_eq!(named, known);
    let ids: BTreeSet<u16> = SUITES.iter().map(|suite| suite.id).collect();
    assert_eq!(ids.len(), SUITES.len());
    for suite in SUITES {
        assert_eq!(by_name(suite.name), Some(suite));
        assert_eq!(by_id(suite.id), Some(suite));
    }
    assert_eq!((by_name("aes128-sha"), by_id(0)), (None, None));
}

#[test]
fn suites_belong_to_versions_and_stacks() {
    for (name, id, versions, rustls) in [
        ("TLS_AES_128_GCM_SHA256", 0x1301, &[0x0304][..], true),
        ("TLS_AES_128_CCM_SHA256", 0x1304, &[0x0304], false),
        ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, &[0x0303], true),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9, &[0x0303], true),
        ("AES128-GCM-SHA256", 0x009c, &[0x0303], false),
        ("ECDHE-RSA-AES128-SHA256", 0xc027, &[0x0303], false),
        ("ECDHE-RSA-AES128-SHA", 0xc013, &[0x0301, 0x0302, 0x0303], false),
        ("DES-CBC3-SHA", 0x000a, &[0x0301, 0x0302, 0x0303], false),
    ] {
        let suite = by_name(name).unwrap();
        assert_eq!(suite.id, id, "{name}");
        let fitting: Vec<u16> = (0x0300..=0x0305).filter(|&version| suite.fits(version)).collect();
        assert_eq!(fitting, versions, "{name}");
        assert_eq!(suite.in_rustls(), rustls, "{name}");
    }
    assert_eq!(SUITES.iter().filter(|suite| suite.in_rustls()).count(), 9);
}
