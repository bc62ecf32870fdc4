//! Cookies: which one is found, what a change leaves alone, marks that come off again.

use proptest::prelude::*;
use wire::cookie::{Change, Rewritten, SetCookie, affinity, find, rewrite};

const MARK: u64 = 0x0123_4567_89ab_cdef;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
fn bytes<'l>(lines: &[&'l str]) -> Vec<&'l [u8]> {
    lines.iter().map(|line| line.as_bytes()).collect()
}

#[test]
fn the_first_cookie_of_the_name_is_found() {
    for (why, lines, expect) in [
        ("alone", &["name=v"][..], Some("v")),
        ("among others", &["a=1; name=v; b=2"], Some("v")),
        ("in the second line", &["a=1", "b=2; name=v"], Some("v")),
        ("twice", &["name=first; name=second"], Some("first")),
        ("without spaces", &["a=1;name=v;b=2"], Some("v")),
        ("with many", &["a=1 ;\t name = v \t; b"], Some("v")),
        ("an empty value", &["name="], Some("")),
        ("equals signs in the value", &["name=a=b=="], Some("a=b==")),
        ("quotes belong to the value", &["name=\"v\""], Some("\"v\"")),
        ("a comma is no end", &["name=a,b"], Some("a,b")),
        ("another case is another name", &["Name=v"], None),
        ("the end of another name", &["my_name=v"], None),
        ("the name as a value", &["a=name"], None),
        (
            "the name inside quotes with a semicolon is a pair: nobody reads quotes",
            &["a=\"; name=v\""],
            Some("v\""),
        ),
        ("no equals sign", &["name; a=1"], None),
        ("nothing", &["", ";;", " "], None),
        ("no line", &[], None),
    ] {
        let found = find(bytes(lines), b"name").map(text);
        assert_eq!(found.as_deref(), expect, "{why}");
    }
}

#[test]
fn one_cookie_is_changed_and_the_others_stay() {
    use Rewritten::{Changed, Empty, Unchanged};
    for (why, lines, change, expect) in [
        ("removed", &["a=1; name=v; b=2"][..], Change::Remove, (Changed, "a=1; b=2")),
        ("removed first", &["name=v; b=2"], Change::Remove, (Changed, "b=2")),
        ("removed last", &["a=1; name=v"], Change::Remove, (Changed, "a=1")),
        ("removed everywhere", &["name=v; a=1", "name=w"], Change::Remove, (Changed, "a=1")),
        ("nothing is left", &["name=v", "name=w; ;"], Change::Remove, (Empty, "")),
        ("a new value", &["a=1; name=v; b=2"], Change::Value(b"w"), (Changed, "a=1; name=w; b=2")),
        ("a part is cut out", &["name=value"], Change::Without { from: 1, to: 3 }, (Changed, "name=vue")),
        ("more than there is", &["name=value"], Change::Without { from: 3, to: 9 }, (Changed, "name=val")),
        ("beyond the end", &["name=value"], Change::Without { from: 8, to: 9 }, (Changed, "name=value")),
        ("backwards", &["name=value"], Change::Without { from: 3, to: 1 }, (Changed, "name=value")),
        ("an empty value", &["name=v"], Change::Value(b""), (Changed, "name=")),
        ("spaces inside a pair stay", &["name =  v ; b"], Change::Value(b"w"), (Changed, "name =  w; b")),
        ("lines are joined", &["a=1", "name=v", "b"], Change::Value(b"w"), (Changed, "a=1; name=w; b")),
        ("what is no pair stays", &["x; =y; a==; name=v"], Change::Remove, (Changed, "x; =y; a==")),
        ("kept", &["name=v"], Change::Keep, (Unchanged, "")),
        ("not there", &["a=1; b=2"], Change::Remove, (Unchanged, "")),
        ("no line", &[], Change::Remove, (Unchanged, "")),
    ] {
        let mut out = b"before:".to_vec();
        let outcome = rewrite(bytes(lines), b"name", |_| change, &mut out);
        assert_eq!((outcome, &text(&out)[7..]), expect, "{why}");
    }
}

#[test]
fn what_a_set_cookie_line_sets_is_read() {
    for (line, expect) in [
        ("name=v", Some(("name", "v"))),
        ("name=v; Path=/; HttpOnly", Some(("name", "v"))),
        (" name = v ;Path=/", Some(("name", "v"))),
        ("name=; Max-Age=0", Some(("name", ""))),
        ("name=\"a b\"; Secure", Some(("name", "\"a b\""))),
        ("name=a=b", Some(("name", "a=b"))),
        ("name; Path=/", None),
        ("=v; Path=/", None),
        ("; Path=/", None),
        ("", None),
    ] {
        let read = SetCookie::parse(line.as_bytes()).map(|cookie| (text(cookie.name), text(cookie.value)));
        assert_eq!(read, expect.map(|(name, value)| (name.to_owned(), value.to_owned())), "{line}");
    }
}

#[test]
fn a_mark_goes_behind_the_value_and_comes_off_again() {
    for (why, line, expect) in [
        ("plain", "sid=abc", Some("sid=abc.0123456789abcdef")),
        ("attributes stay", "sid=abc; Path=/; HttpOnly", Some("sid=abc.0123456789abcdef; Path=/; HttpOnly")),
        ("odd spaces stay", "sid = abc ;path=/", Some("sid = abc.0123456789abcdef ;path=/")),
        ("inside the quotes", "sid=\"a b\"; Secure", Some("sid=\"a b.0123456789abcdef\"; Secure")),
        ("one quote is a letter", "sid=\"abc", Some("sid=\"abc.0123456789abcdef")),
        (
            "it ends alike by itself",
            "sid=x.ffffffffffffffff",
            Some("sid=x.ffffffffffffffff.0123456789abcdef"),
        ),
        ("an empty value", "sid=; Max-Age=0", None),
        ("empty quotes", "sid=\"\"", None),
        ("another cookie", "other=abc", None),
        ("another case", "SID=abc", None),
        ("no cookie", "sid", None),
    ] {
        let mut out = Vec::new();
        let added = affinity::add(line.as_bytes(), b"sid", MARK, &mut out);
        assert_eq!(added.then(|| text(&out)).as_deref(), expect, "{why}");
        assert_eq!(added, !out.is_empty());
    }
    for (why, lines, expect) in [
        ("ours", &["a=1; sid=abc.0123456789abcdef; b=2"][..], Some("a=1; sid=abc; b=2")),
        ("in quotes", &["sid=\"a b.0123456789abcdef\""], Some("sid=\"a b\"")),
        (
            "only the last of two",
            &["sid=x.0123456789abcdef.0123456789abcdef"],
            Some("sid=x.0123456789abcdef"),
        ),
        ("not ours", &["sid=abc.ffffffffffffffff"], None),
        ("upper case is not ours", &["sid=abc.0123456789ABCDEF"], None),
        ("too short", &["sid=0123456789abcdef"], None),
        ("no dot", &["sid=abc-0123456789abcdef"], None),
        ("another cookie", &["other=abc.0123456789abcdef"], None),
    ] {
        let mut out = Vec::new();
        let outcome = affinity::remove(bytes(lines), b"sid", |mark| mark == MARK, &mut out);
        assert_eq!((outcome == Rewritten::Changed).then(|| text(&out)).as_deref(), expect, "{why}");
    }
}

fn pair() -> impl Strategy<Value = (String, String)> {
    ("[a-zA-Z0-9_-]{1,4}", "[a-zA-Z0-9=\"., /_-]{0,8}")
        .prop_map(|(name, value)| (name, value.trim().to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn other_cookies_keep_every_byte(pairs in proptest::collection::vec(pair(), 0..8), cut in 0usize..9, value in "[a-z]{0,5}") {
        let written: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (first, second) = written.split_at(cut.min(written.len()));
        let lines = [first.join("; "), second.join(";")];
        let name = pairs.first().map_or("x", |(name, _)| name);
        let others = |lines: &[&str]| -> Vec<String> {
            let joined = lines.join(";");
            let all = joined.split(';').map(str::trim).filter(|pair| !pair.is_empty());
            all.filter(|pair| pair.split_once('=').is_none_or(|(there, _)| there != name)).map(str::to_owned).collect()
        };
        let before = others(&[&lines[0], &lines[1]]);
        for change in [Change::Remove, Change::Value(value.as_bytes())] {
            let mut out = Vec::new();
            let lines = lines.iter().map(|line| line.as_bytes());
            let outcome = rewrite(lines.clone(), name.as_bytes(), |_| change, &mut out);
            prop_assert_eq!(outcome == Rewritten::Unchanged, find(lines, name.as_bytes()).is_none());
            if outcome == Rewritten::Changed {
                prop_assert_eq!(others(&[&text(&out)]), before.clone());
                let now = find([&out[..]], name.as_bytes()).map(text);
                prop_assert_eq!(now, (change != Change::Remove).then(|| value.clone()));
            }
        }
    }

    #[test]
    fn a_mark_survives_the_client(value in "[!#-+.-:<-\\[\\]-~-]{1,30}", mark in any::<u64>(), quoted in any::<bool>()) {
        let value = if quoted { format!("\"{value}\"") } else { value };
        let mut out = Vec::new();
        let line = format!("sid={value}; Path=/");
        prop_assert!(affinity::add(line.as_bytes(), b"sid", mark, &mut out));
        let set = SetCookie::parse(&out).unwrap();
        // The client sends back what it was given.
        let line = format!("x=1; sid={}", text(set.value));
        prop_assert_eq!(affinity::split(find([line.as_bytes()], b"sid").unwrap()), (value.trim_matches('"').as_bytes(), Some(mark)));
        let mut back = Vec::new();
        prop_assert_eq!(affinity::remove([line.as_bytes()], b"sid", |there| there == mark, &mut back), Rewritten::Changed);
        prop_assert_eq!(text(&back), format!("x=1; sid={value}"));
    }

    #[test]
    fn odd_bytes_do_no_harm(line in proptest::collection::vec(prop_oneof![Just(b';'), Just(b'='), Just(b'"'), Just(b' '), Just(b'.'), Just(b'a'), any::<u8>()], 0..60)) {
        let mut out = Vec::new();
        find([&line[..]], b"a");
        rewrite([&line[..]], b"a", |_| Change::Remove, &mut out);
        affinity::add(&line, b"a", MARK, &mut out);
        affinity::remove([&line[..]], b"a", |_| true, &mut out);
    }
}
