//! The house rules that the compiler does not check: what decides knows no file, no clock and no
//! network, and everything public says what it is for.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// What decides, or names what is decided about.
const PURE: [&str; 12] = [
    "beat",
    "claim",
    "evict",
    "holding",
    "host",
    "identity",
    "key",
    "meta",
    "reconcile",
    "registry",
    "search",
    "window",
];

/// What only `etcd` and `files` may name.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::thread",
    "std::env",
    "Instant",
    "SystemTime",
    "TcpStream",
    "tokio",
    "File::",
];

/// Returns a source file without its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("\n#[cfg(test)]\n").next().unwrap().to_owned()
}

fn source() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn decisions_know_no_file_no_clock_and_no_network() {
    let mut wrong = Vec::new();
    for module in PURE
        .iter()
        .chain(&["member", "leases", "operator", "error"])
    {
        let text = code(&source().join(format!("{module}.rs")));
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            if IMPURE.iter().any(|what| line.contains(what)) {
                wrong.push(format!("{module}: {line}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_decides_asks_no_registry() {
    let mut wrong = Vec::new();
    for module in PURE
        .iter()
        .filter(|module| !["registry", "search"].contains(module))
    {
        let text = code(&source().join(format!("{module}.rs")));
        for what in [
            "dyn Registry",
            "crate::member",
            "crate::etcd",
            "crate::files",
            "Member",
        ] {
            if text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(what))
            {
                wrong.push(format!("{module} names {what}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn public_functions_and_types_say_what_they_are_for() {
    let mut wrong = Vec::new();
    let files = [source(), source().join("etcd")];
    let files = files
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap());
    for path in files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
    {
        let text = code(&path);
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let item = line.strip_prefix("pub ").unwrap_or_default();
            let kinds = ["fn ", "struct ", "enum ", "trait ", "const ", "type "];
            if !kinds.iter().any(|kind| item.starts_with(kind)) {
                continue;
            }
            let mut above = lines[..at].iter().rev().take_while(|line| !line.is_empty());
            if !above.any(|line| line.starts_with("///")) {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
