//! The rooms of the house: which crate may use which, and which know no socket, file, clock, thread or random source
//! (ARCHITECTURE.md). Reads the manifests and sources as text, so it holds whatever the features are.
//!
//! The checkers themselves are tested on samples that break each rule.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each crate may use of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &[]),
    ("identity", &["model"]),
    ("balance", &["model"]),
    ("store", &["model"]),
    ("telemetry", &["model"]),
    ("plan", &["model", "balance"]),
    ("control", &["model", "identity", "store"]),
    ("dialect-huawei", &["model", "identity", "control", "telemetry"]),
    ("dialect-openstack", &["model", "identity", "control", "telemetry"]),
    ("dialect-alibaba", &["model", "identity", "control", "telemetry"]),
    (
        "gateway",
        &[
            "model",
            "wire",
            "identity",
            "balance",
            "store",
            "telemetry",
            "control",
            "dialect-huawei",
            "dialect-openstack",
            "dialect-alibaba",
        ],
    ),
    ("dataplane", &["model", "plan", "balance", "wire", "telemetry"]),
    ("node", &["model", "store", "plan", "dataplane", "telemetry"]),
    (
        "fulcrum",
        &[
            "model",
            "wire",
            "identity",
            "balance",
            "store",
            "telemetry",
            "plan",
            "control",
            "dialect-huawei",
            "dialect-openstack",
            "dialect-alibaba",
            "gateway",
            "dataplane",
            "node",
        ],
    ),
];

/// Crates in which time, randomness and the outside world are arguments.
const PURE: &[&str] = &["model", "identity", "balance", "wire", "plan"];

/// Crates of others that a pure crate may not depend on.
const IMPURE_CRATES: &[&str] = &[
    "tokio",
    "mio",
    "rand",
    "getrandom",
    "socket2",
    "rustix",
    "libc",
    "nix",
    "hyper",
    "axum",
    "ureq",
    "sqlx",
];

/// Paths that a pure crate may not name, nor anything below them.
const IMPURE_PATHS: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "std::collections::hash_map::RandomState",
    "std::hash::RandomState",
];

/// Words that a pure crate may not call, however they came into scope.
const IMPURE_WORDS: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "OffsetDateTime::now_utc",
    "thread_rng",
    "rand::",
    "getrandom::",
    "tokio::",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "OsRng",
    "TcpListener::",
    "TcpStream::",
    "UdpSocket::",
    "File::open",
    "File::create",
];

#[test]
fn every_crate_uses_only_what_its_arrows_allow() {
    let manifests: BTreeMap<String, String> = crates()
        .into_iter()
        .map(|path| (name_of(&path), fs::read_to_string(path.join("Cargo.toml")).unwrap()))
        .collect();
    assert!(manifests.len() >= 13, "the crates were not found: {:?}", manifests.keys());
    let ours: BTreeSet<&str> = manifests.keys().map(String::as_str).collect();
    let wrong: Vec<_> = manifests.iter().flat_map(|(name, text)| wrong_arrows(name, text, &ours)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_crates_know_no_socket_file_clock_thread_or_random_source() {
    let mut wrong = Vec::new();
    let mut read = 0;
    for name in PURE {
        let home = root().join("crates").join(name);
        let manifest = fs::read_to_string(home.join("Cargo.toml")).unwrap();
        let impure = dependencies(&manifest, &["dependencies"])
            .into_iter()
            .filter(|used| IMPURE_CRATES.contains(&used.as_str()));
        wrong.extend(impure.map(|used| format!("{name} is pure and must not depend on {used}")));
        for file in sources(&home.join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            wrong.extend(
                impurities(&text)
                    .into_iter()
                    .map(|what| format!("{}: {what} in a pure crate", file.display())),
            );
            read += 1;
        }
    }
    assert!(read > 20, "the sources were not found: {read} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_checker_of_arrows_finds_each_kind_of_wrong_arrow() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (why, name, manifest, expect) in [
        ("allowed", "plan", "[dependencies]\nmodel.workspace = true\nserde = \"1\"", None),
        ("a plain dependency", "plan", "[dependencies]\nstore.workspace = true", Some("store")),
        ("for tests only", "wire", "[dev-dependencies]\nmodel = { path = \"../model\" }", Some("model")),
        (
            "for a platform only",
            "model",
            "[target.'cfg(unix)'.dependencies]\nwire.workspace = true",
            Some("wire"),
        ),
        ("for the build only", "model", "[build-dependencies]\nplan.workspace = true", Some("plan")),
        (
            "under another name",
            "dialect-huawei",
            "[dependencies]\ndb = { package = \"store\", path = \"x\" }",
            Some("store"),
        ),
        (
            "a dialect with the store",
            "dialect-huawei",
            "[dependencies]\nstore.workspace = true",
            Some("store"),
        ),
        (
            "the data plane with the control plane",
            "dataplane",
            "[dependencies]\ncontrol.workspace = true",
            Some("control"),
        ),
        ("a crate that no rule names", "surprise", "[dependencies]", Some("surprise")),
    ] {
        let found = wrong_arrows(name, manifest, &ours);
        match expect {
            None => assert!(found.is_empty(), "{why}: {found:?}"),
            Some(word) => assert!(found.len() == 1 && found[0].contains(word), "{why}: {found:?}"),
        }
    }
}

#[test]
fn the_checker_of_purity_finds_each_way_to_break_it() {
    for (why, text, expect) in [
        ("addresses are no sockets", "use std::net::{IpAddr, SocketAddr};", false),
        ("durations are no clock", "use std::time::{Duration, Instant};", false),
        (
            "words in comments",
            "// std::fs::read is not used\n/// nor std::thread\n/* tokio:: */ fn a() {}",
            false,
        ),
        (
            "words in texts",
            "const WHY: &str = \"std::fs is \\\" forbidden\"; const C: char = '\"'; fn a() { \"x\" }",
            false,
        ),
        ("in tests it is allowed", "fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }", false),
        ("a plain import", "use std::fs;", true),
        ("an import in a group", "use std::{fmt, fs, io};", true),
        ("an import deep in groups", "use std::{fmt, net::{IpAddr, TcpStream}};", true),
        (
            "an import over lines",
            "use std::{\n    collections::HashMap,\n    time::{\n        SystemTime,\n    },\n};",
            true,
        ),
        ("an import under another name", "use std::fs as disk;", true),
        ("a path", "fn a() { std::thread::spawn(b); }", true),
        ("a path with blanks", "fn a() { std :: thread :: spawn(b); }", true),
        ("the clock", "use std::time::Instant; fn a() { Instant::now(); }", true),
        ("another crate's clock", "fn a() { time::OffsetDateTime::now_utc(); }", true),
        ("randomness", "fn a() { uuid::Uuid::new_v4(); }", true),
        ("after a text with a comment sign", "const A: &str = \"//\"; use std::fs;", true),
        ("after a lifetime", "fn a<'a>(b: &'a str) { std::fs::read(b); }", true),
    ] {
        assert_eq!(!impurities(text).is_empty(), expect, "{why}: {:?}", impurities(text));
    }
}

/// The dependencies of a crate that its arrows do not allow.
fn wrong_arrows(name: &str, manifest: &str, ours: &BTreeSet<&str>) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!("{name} is in no row of the allowed arrows; add it to the design first")];
    };
    dependencies(manifest, &["dependencies", "dev-dependencies", "build-dependencies"])
        .into_iter()
        .filter(|used| ours.contains(used.as_str()) && !allowed.contains(&used.as_str()))
        .map(|used| format!("{name} must not use {used}; it may use {allowed:?}"))
        .collect()
}

/// The packages in some kinds of dependency tables, for all platforms.
fn dependencies(manifest: &str, kinds: &[&str]) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let platforms =
        manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let tables = platforms.filter_map(toml::Value::as_table).chain([&manifest]);
    let mut found = Vec::new();
    for table in tables {
        for entries in kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()) {
            for (name, value) in entries {
                let package = value.get("package").and_then(toml::Value::as_str);
                found.push(package.unwrap_or(name).to_owned());
            }
        }
    }
    found
}

/// The forbidden things that a source names outside comments, texts and test modules.
fn impurities(text: &str) -> Vec<String> {
    let mut code = code_of(text);
    if let Some(at) = code.find("#[cfg(test)]mod ") {
        code.truncate(at);
    }
    let mut found = Vec::new();
    for statement in code.split(';') {
        // The last `use ` begins the import; what stands before it is the end of an item or a visibility.
        let Some((_, tree)) = statement.rsplit_once("use ") else { continue };
        let mut paths = Vec::new();
        expand("", tree, &mut paths);
        for path in paths {
            let path = path.split(" as ").next().unwrap_or_default().to_owned();
            let below = |banned: &&&str| path == **banned || path.starts_with(&format!("{banned}::"));
            found.extend(IMPURE_PATHS.iter().find(below).map(|banned| (*banned).to_owned()));
        }
    }
    found.extend(
        IMPURE_PATHS
            .iter()
            .chain(IMPURE_WORDS)
            .filter(|word| code.contains(**word))
            .map(|word| (*word).to_owned()),
    );
    found
}

/// The single paths of an import tree.
fn expand(before: &str, tree: &str, paths: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        paths.push(format!("{before}{tree}"));
        return;
    };
    let before = format!("{before}{}", &tree[..open]);
    let inside = tree[open + 1..].strip_suffix('}').unwrap_or(&tree[open + 1..]);
    let (mut depth, mut start) = (0, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&before, &inside[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&before, &inside[start..], paths);
}

/// A source without comments and the contents of texts; blanks only where two words would run together.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let bytes: Vec<char> = text.chars().collect();
    let at = |i: usize| bytes.get(i).copied().unwrap_or('\0');
    let mut i = 0;
    while i < bytes.len() {
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < bytes.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                while i < bytes.len() && (at(i), at(i + 1)) != ('*', '/') {
                    i += 1;
                }
                i += 2;
            }
            ('"', _) => {
                i += 1;
                while i < bytes.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                code.push_str("\"\"");
            }
            // A character literal; otherwise the quote begins a lifetime.
            ('\'', '\\') => {
                i += 3;
                while i < bytes.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (character, next) if character.is_whitespace() => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let needed = code.chars().last().is_some_and(word) && (word(next) || next.is_whitespace());
                if needed {
                    code.push(' ');
                }
                i += 1;
            }
            (character, _) => {
                // A blank was kept for a word that did not come.
                if !character.is_alphanumeric() && character != '_' && code.ends_with(' ') {
                    code.pop();
                }
                code.push(character);
                i += 1;
            }
        }
    }
    code
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}

fn crates() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("crates")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("Cargo.toml").exists()).collect()
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
