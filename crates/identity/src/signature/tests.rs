use proptest::prelude::*;

use super::*;

const PROJECT: &str = "0123456789abcdef0123456789abcdef";
const EXAMPLE: &str = "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, Signature=3babdffffa80306828ccacb4344b5c113dd5487eaa27e2b2f988e61841879876";
/// 2024-01-02T03:04:05Z.
const AT: Timestamp = Timestamp::from_millis(1_704_164_645_000);

/// The worked example of huawei/auth.md section 2, which was checked with the vendor's signer.
const HEADERS: &[(&str, &[u8])] = &[
    ("Content-Type", b"application/json;charset=UTF-8"),
    ("User-Agent", b"test"),
    ("X-Project-Id", PROJECT.as_bytes()),
    ("X-Sdk-Date", b"20240102T030405Z"),
    ("Host", b"127.0.0.1:8080"),
    ("Authorization", EXAMPLE.as_bytes()),
];
const REQUEST: Request<'static> = Request {
    method: "GET",
    path: "/v3/0123456789abcdef0123456789abcdef/elb/listeners",
    query: "limit=2&name=a%20b&name=%C3%BC",
    headers: HEADERS,
    body: b"",
};

fn secret() -> Secret {
    Secret::new("SKTEST")
}
fn access_key() -> AccessKeyId {
    "AKTEST".parse().unwrap()
}
fn headers_with(name: &str, value: &'static str) -> Vec<(&'static str, &'static [u8])> {
    let mut headers: Vec<_> =
        HEADERS.iter().copied().filter(|(sent, _)| !sent.eq_ignore_ascii_case(name)).collect();
    let name = HEADERS.iter().map(|&(sent, _)| sent).find(|sent| sent.eq_ignore_ascii_case(name));
    headers.push((name.unwrap_or("X-Sdk-Content-Sha256"), value.as_bytes()));
    headers
}

#[test]
fn the_worked_example_is_made_and_accepted() {
    assert_eq!(sign(&access_key(), &secret(), &REQUEST).unwrap(), EXAMPLE);
    let authorization = Authorization::parse(EXAMPLE).unwrap();
    assert_eq!(authorization.access_key, access_key());
    assert_eq!(authorization.to_string(), EXAMPLE);
    assert_eq!(verify(&authorization, &secret(), &REQUEST, AT), Ok(()));
}

#[test]
fn the_canonical_request_is_the_documented_text() {
    let names = Authorization::parse(EXAMPLE).unwrap().signed_headers;
    let canonical = canonical::request(&REQUEST, &names, &payload_hash(&REQUEST).unwrap()).unwrap();
    assert_eq!(
        hex::encode(Sha256::digest(&canonical)),
        "f816bc0df84de7338acd2dd99d5720dd9fdffb3ab3efcb22db1a14ca9644cdbb",
        "{}",
        String::from_utf8_lossy(&canonical)
    );
}

#[test]
fn any_change_to_the_request_or_the_secret_is_noticed() {
    let authorization = Authorization::parse(EXAMPLE).unwrap();
    let (agent, project, host) =
        (headers_with("user-agent", "evil"), headers_with("x-project-id", "0"), headers_with("host", "evil"));
    let date = headers_with("x-sdk-date", "20240102T030406Z");
    for (why, request) in [
        ("method", Request { method: "DELETE", ..REQUEST }),
        ("path", Request { path: "/v3/0123456789abcdef0123456789abcdef/elb/pools", ..REQUEST }),
        ("query", Request { query: "limit=3&name=a%20b&name=%C3%BC", ..REQUEST }),
        ("query gone", Request { query: "", ..REQUEST }),
        ("body", Request { body: b"{}", ..REQUEST }),
        ("a signed header", Request { headers: &agent, ..REQUEST }),
        ("the project header", Request { headers: &project, ..REQUEST }),
        ("host", Request { headers: &host, ..REQUEST }),
        ("date", Request { headers: &date, ..REQUEST }),
    ] {
        assert_eq!(verify(&authorization, &secret(), &request, AT), Err(BadSignature::Mismatch), "{why}");
    }
    let other = Secret::new("SKTESU");
    assert_eq!(verify(&authorization, &other, &REQUEST, AT), Err(BadSignature::Mismatch), "secret");
}

#[test]
fn other_spellings_of_the_same_request_are_accepted() {
    let authorization = Authorization::parse(EXAMPLE).unwrap();
    let mut headers = HEADERS.to_vec();
    headers.push(("X-Added-By-A-Proxy", b"yes"));
    let spaced = headers_with("user-agent", "  test ");
    for (why, request) in [
        ("query in another order", Request { query: "name=%C3%BC&limit=2&name=a+b", ..REQUEST }),
        (
            "a slash at the end",
            Request { path: "/v3/0123456789abcdef0123456789abcdef/elb/listeners/", ..REQUEST },
        ),
        (
            "an encoded letter",
            Request { path: "/v3/0123456789abcdef0123456789abcdef/elb/%6Cisteners", ..REQUEST },
        ),
        ("a header that is not signed", Request { headers: &headers, ..REQUEST }),
        ("blanks around a value", Request { headers: &spaced, ..REQUEST }),
    ] {
        assert_eq!(verify(&authorization, &secret(), &request, AT), Ok(()), "{why}");
    }
}

#[test]
fn the_clock_may_be_fifteen_minutes_away_and_no_more() {
    let authorization = Authorization::parse(EXAMPLE).unwrap();
    for (away_ms, fits) in [
        (0, true),
        (CLOCK_WINDOW_MS, true),
        (-CLOCK_WINDOW_MS, true),
        (CLOCK_WINDOW_MS + 1, false),
        (-CLOCK_WINDOW_MS - 1, false),
    ] {
        let now = Timestamp::from_millis(AT.millis() + away_ms);
        assert_eq!(verify(&authorization, &secret(), &REQUEST, now).is_ok(), fits, "{away_ms} ms");
    }
    let late = Timestamp::from_millis(AT.millis() + 3_600_000);
    assert_eq!(verify(&authorization, &secret(), &REQUEST, late), Err(BadSignature::Clock { away_s: 3600 }));
}

#[test]
fn malformed_headers_are_refused() {
    let date = "host;x-sdk-date";
    let hex = "0".repeat(64);
    let make = |algorithm: &str, access: &str, headers: &str, signature: &str| {
        format!("{algorithm} Access={access}, SignedHeaders={headers}, Signature={signature}")
    };
    use BadSignature::{Malformed, SignedHeaders, UnknownAlgorithm};
    for (why, value, expect) in [
        ("empty", String::new(), Malformed),
        ("a scheme alone", ALGORITHM.to_owned(), Malformed),
        ("another scheme", make("V11-HMAC-SHA256", "AK", date, &hex), UnknownAlgorithm),
        ("a scheme in lower case", make("sdk-hmac-sha256", "AK", date, &hex), UnknownAlgorithm),
        ("basic", "Basic dTpw".to_owned(), UnknownAlgorithm),
        ("no access key", make(ALGORITHM, "", date, &hex), Malformed),
        ("an access key of odd characters", make(ALGORITHM, "a/b", date, &hex), Malformed),
        ("no date among the signed headers", make(ALGORITHM, "AK", "host", &hex), SignedHeaders),
        ("no host among them", make(ALGORITHM, "AK", "x-sdk-date", &hex), SignedHeaders),
        ("unsorted", make(ALGORITHM, "AK", "x-sdk-date;host", &hex), SignedHeaders),
        ("upper case", make(ALGORITHM, "AK", "Host;x-sdk-date", &hex), SignedHeaders),
        ("a name twice", make(ALGORITHM, "AK", "host;host;x-sdk-date", &hex), SignedHeaders),
        ("an empty name", make(ALGORITHM, "AK", ";host;x-sdk-date", &hex), SignedHeaders),
        ("a short signature", make(ALGORITHM, "AK", date, &hex[1..]), Malformed),
        ("a long signature", make(ALGORITHM, "AK", date, &format!("{hex}0")), Malformed),
        ("no hex", make(ALGORITHM, "AK", date, &"x".repeat(64)), Malformed),
        ("a part twice", format!("{}, Access=AK", make(ALGORITHM, "AK", date, &hex)), Malformed),
        ("an unknown part", format!("{}, Extra=1", make(ALGORITHM, "AK", date, &hex)), Malformed),
        ("a part missing", format!("{ALGORITHM} Access=AK, SignedHeaders={date}"), Malformed),
    ] {
        assert_eq!(Authorization::parse(&value), Err(expect), "{why}: {value}");
    }
}

#[test]
fn signed_headers_must_be_sent_exactly_once() {
    let authorization = Authorization::parse(EXAMPLE).unwrap();
    let missing: Vec<_> = HEADERS.iter().copied().filter(|(name, _)| *name != "User-Agent").collect();
    let mut twice = HEADERS.to_vec();
    twice.push(("user-agent", b"test"));
    for (why, headers) in [("missing", missing), ("twice", twice)] {
        let request = Request { headers: &headers, ..REQUEST };
        let expect = Err(BadSignature::Header("user-agent".to_owned()));
        assert_eq!(verify(&authorization, &secret(), &request, AT), expect, "{why}");
    }
    for bad in ["", "20240102", "2024-01-02T03:04:05Z", "20241302T030405Z", "20240102T030405Zx"] {
        let headers = headers_with("x-sdk-date", Box::leak(bad.to_owned().into_boxed_str()));
        let request = Request { headers: &headers, ..REQUEST };
        assert_eq!(verify(&authorization, &secret(), &request, AT), Err(BadSignature::Date), "'{bad}'");
    }
}

#[test]
fn a_given_body_hash_must_be_that_of_the_body() {
    let json = [
        ("Host", &b"h"[..]),
        ("X-Sdk-Date", b"20240102T030405Z"),
        ("Content-Type", b"application/json; charset=UTF-8"),
    ];
    let check = |hash: &'static str, kind: Option<&'static str>, body: &'static [u8]| {
        let mut headers = json.to_vec();
        headers.push(("X-Sdk-Content-Sha256", hash.as_bytes()));
        match kind {
            Some(kind) => headers[2].1 = kind.as_bytes(),
            None => drop(headers.remove(2)),
        }
        payload_hash(&Request { headers: &headers, body, ..REQUEST })
    };
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let json = Some("application/json; charset=UTF-8");
    for (why, got, expect) in [
        ("the right hash", check(empty, json, b""), Ok(empty)),
        ("the hash of another body", check(empty, json, b"x"), Err(BadSignature::ContentHash)),
        ("some other text", check("STREAMING", json, b""), Err(BadSignature::ContentHash)),
        ("unsigned JSON", check(UNSIGNED_PAYLOAD, json, b"x"), Err(BadSignature::UnsignedPayload)),
        (
            "unsigned BSON",
            check(UNSIGNED_PAYLOAD, Some("Application/BSON"), b""),
            Err(BadSignature::UnsignedPayload),
        ),
        ("unsigned without a type", check(UNSIGNED_PAYLOAD, None, b"x"), Err(BadSignature::UnsignedPayload)),
        (
            "unsigned with an empty type",
            check(UNSIGNED_PAYLOAD, Some(""), b"x"),
            Err(BadSignature::UnsignedPayload),
        ),
        (
            "unsigned bytes",
            check(UNSIGNED_PAYLOAD, Some("application/octet-stream"), b"x"),
            Ok(UNSIGNED_PAYLOAD),
        ),
    ] {
        assert_eq!(got, expect.map(str::to_owned), "{why}");
    }
}

#[test]
fn dates_are_written_as_they_are_read() {
    assert_eq!(date(AT), "20240102T030405Z");
    assert_eq!(parse_date(&date(AT)), Ok(AT));
}

#[test]
fn a_secret_is_itself_only() {
    for (given, same) in [("SKTEST", true), ("SKTES", false), ("SKTESTS", false), ("", false)] {
        assert_eq!(is_secret(&secret(), given), same, "{given}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_signed_verifies_and_nothing_panics(
        path in "/[ -~]{0,40}", query in "[ -~ü]{0,40}", body in prop::collection::vec(any::<u8>(), 0..64), value in "[ -~ü]{0,20}",
        flip in any::<prop::sample::Index>(),
    ) {
        let headers: [(&str, &[u8]); 3] =
            [("Host", b"h"), ("X-Sdk-Date", b"20240102T030405Z"), ("X-Any", value.as_bytes())];
        let request = Request { method: "POST", path: &path, query: &query, headers: &headers, body: &body };
        let header = sign(&access_key(), &secret(), &request).unwrap();
        let authorization = Authorization::parse(&header).unwrap();
        prop_assert_eq!(verify(&authorization, &secret(), &request, AT), Ok(()));
        if !body.is_empty() {
            let mut changed = body.clone();
            let at = flip.index(changed.len());
            changed[at] ^= 1;
            let request = Request { body: &changed, ..request };
            prop_assert_eq!(verify(&authorization, &secret(), &request, AT), Err(BadSignature::Mismatch));
        }
    }

    #[test]
    fn any_text_may_come_as_authorization(value in ".{0,120}") {
        let _ = Authorization::parse(&value);
        let _ = Authorization::parse(&format!("{ALGORITHM} {value}"));
    }
}
