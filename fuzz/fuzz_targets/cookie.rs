//! The first line is a cookie's name, the second a new value, the others are Cookie lines; each is read as Set-Cookie, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::cookie::{Change, Rewritten, SetCookie, affinity, find, rewrite};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let (Some(name), Some(value)) = (lines.next(), lines.next()) else { return };
    let lines: Vec<&[u8]> = lines.collect();
    if name.is_empty() || value.contains(&b';') {
        return;
    }
    let before = pairs(&lines);
    assert_eq!(find(lines.iter().copied(), name), values(&before, name).first().copied());
    for change in [Change::Keep, Change::Remove, Change::Value(value), Change::Without { from: 1, to: 3 }] {
        one_changes_and_the_others_stay(&lines, name, &before, change);
    }
    for line in &lines {
        a_mark_comes_off_again(line, name);
    }
});

/// The pairs of the lines by a way of reading of their own: name (none: no pair), value, all.
fn pairs<'l>(lines: &[&'l [u8]]) -> Vec<(Option<&'l [u8]>, &'l [u8], &'l [u8])> {
    let all = lines.iter().flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    all.filter(|pair| !pair.is_empty())
        .map(|pair| match pair.iter().position(|&byte| byte == b'=') {
            Some(equals) => (Some(pair[..equals].trim_ascii()), pair[equals + 1..].trim_ascii(), pair),
            None => (None, &[][..], pair),
        })
        .collect()
}

fn values<'l>(pairs: &[(Option<&'l [u8]>, &'l [u8], &'l [u8])], name: &[u8]) -> Vec<&'l [u8]> {
    pairs.iter().filter(|pair| pair.0 == Some(name)).map(|pair| pair.1).collect()
}

fn one_changes_and_the_others_stay(
    lines: &[&[u8]],
    name: &[u8],
    before: &[(Option<&[u8]>, &[u8], &[u8])],
    change: Change<'_>,
) {
    let mut out = b"x".to_vec();
    let outcome = rewrite(lines.iter().copied(), name, |_| change, &mut out);
    let out = &out[1..];
    let there = values(before, name);
    let unchanged = there.is_empty() || change == Change::Keep;
    assert_eq!(outcome == Rewritten::Unchanged, unchanged);
    assert_eq!(outcome != Rewritten::Changed, out.is_empty());
    if unchanged {
        return;
    }
    let lines = [out];
    let after = pairs(&lines);
    let others = |pairs: &[(Option<&[u8]>, &[u8], &[u8])]| -> Vec<Vec<u8>> {
        pairs.iter().filter(|pair| pair.0 != Some(name)).map(|pair| pair.2.to_vec()).collect()
    };
    assert_eq!(others(before), others(&after));
    let now = values(&after, name);
    match change {
        Change::Value(value) => {
            assert!(now.len() == there.len() && now.iter().all(|now| *now == value.trim_ascii()))
        }
        Change::Without { .. } => assert_eq!(now.len(), there.len()),
        Change::Remove | Change::Keep => assert!(now.is_empty()),
    }
}

fn a_mark_comes_off_again(line: &[u8], name: &[u8]) {
    const MARK: u64 = 0xfedc_ba98_7654_3210;
    let mut marked = Vec::new();
    if !affinity::add(line, name, MARK, &mut marked) {
        assert!(marked.is_empty());
        return;
    }
    assert_eq!(marked.len(), line.len() + affinity::MARK_BYTES);
    let (Some(set), Some(original)) = (SetCookie::parse(&marked), SetCookie::parse(line)) else {
        panic!("a marked line sets a cookie")
    };
    assert_eq!((set.name, original.name), (name, name));
    let sent_back = [set.name, b"=", set.value].concat();
    let mut out = Vec::new();
    assert_eq!(affinity::remove([&sent_back[..]], name, |mark| mark == MARK, &mut out), Rewritten::Changed);
    assert_eq!(out, [original.name, b"=", original.value].concat());
}
