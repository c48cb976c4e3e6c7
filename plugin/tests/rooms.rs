//! The house rules that the compiler does not check: arrows between rooms go one way,
//! `rules` is pure, `sight` changes nothing, and everything public says what it is for.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every room with those it may use. What a room may use is to its left in
/// ARCHITECTURE's picture, so that there are no circles.
const ROOMS: [(&str, &[&str]); 11] = [
    ("netlink", &[]),
    ("protocol", &[]),
    ("rules", &["protocol"]),
    ("store", &["protocol", "rules"]),
    ("sight", &["netlink", "protocol", "rules"]),
    ("podman", &["protocol", "rules", "sight"]),
    (
        "sharing",
        &["netlink", "protocol", "rules", "sight", "podman"],
    ),
    ("delegate", &["netlink", "protocol", "rules", "sight"]),
    (
        "lifecycle",
        &[
            "protocol", "rules", "store", "sight", "podman", "sharing", "delegate",
        ],
    ),
    (
        "upkeep",
        &[
            "protocol",
            "rules",
            "store",
            "sight",
            "podman",
            "sharing",
            "delegate",
            "lifecycle",
        ],
    ),
    (
        "frontend",
        &[
            "protocol",
            "rules",
            "store",
            "sight",
            "podman",
            "sharing",
            "delegate",
            "lifecycle",
            "upkeep",
        ],
    ),
];

/// What only rooms with I/O may name.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "std::net::Tcp",
    "SystemTime",
    "Instant",
    "nix::",
    "procfs",
];

/// What changes something.
const CHANGES: [&str; 8] = [
    "fs::write",
    "fs::remove",
    "fs::rename",
    "fs::create",
    "File::create",
    "OpenOptions",
    "DelLink",
    "umount",
];

/// Returns the files of a room, each with its text, without the unit tests at its end.
fn files(room: &str) -> Vec<(PathBuf, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![source.join(room)];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "tests" {
                waiting.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]\n#[allow").next().unwrap();
                let code = code.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
                found.push((path, code.to_owned()));
            }
        }
    }
    assert!(!found.is_empty(), "room {room} is empty");
    found
}

/// Returns the lines of code that contain a text, for a person to read.
fn lines_with<'t>(text: &'t str, what: &str) -> Vec<&'t str> {
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    let lines = text.lines().filter(|line| !is_comment(line));
    lines.filter(|line| line.contains(what)).collect()
}

#[test]
fn arrows_between_rooms_go_one_way() {
    let mut wrong = Vec::new();
    for (room, may_use) in ROOMS {
        for (path, text) in files(room) {
            for (other, _) in ROOMS {
                if other != room && !may_use.contains(&other) {
                    for line in lines_with(&text, &format!("crate::{other}")) {
                        wrong.push(format!("{}: {line}", path.display()));
                    }
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Everything printed goes through `text`: see there.
#[test]
fn nobody_writes_to_a_terminal_past_the_front_ends_own_functions() {
    let mut wrong = Vec::new();
    for (room, _) in ROOMS {
        for (path, text) in files(room) {
            if path.ends_with("frontend/mod.rs") || path.ends_with("frontend/wire.rs") {
                continue;
            }
            for stream in ["stdout()", "stderr()", "print!", "println!"] {
                let lines = lines_with(&text, stream).into_iter();
                let lines = lines.filter(|line| {
                    !["say(", "is_terminal"]
                        .iter()
                        .any(|fine| line.contains(fine))
                });
                wrong.extend(lines.map(|line| format!("{}: {line}", path.display())));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_room_is_known() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let known = ROOMS.iter().any(|(room, _)| *room == name);
        assert!(!path.is_dir() || known, "room {name} is not listed here");
    }
}

#[test]
fn rules_know_no_file_no_clock_and_no_kernel() {
    let mut wrong = Vec::new();
    for (path, text) in files("rules").into_iter().chain(files("protocol")) {
        for what in IMPURE {
            for line in lines_with(&text, what) {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn sight_changes_nothing() {
    let mut wrong = Vec::new();
    for (path, text) in files("sight") {
        for what in CHANGES {
            for line in lines_with(&text, what) {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// rustc's `missing_docs` would demand docs for fields as well, whose names say enough.
/// The release executable has the C library in it (`build.rs`), which would load the host's
/// own modules for these, of whatever version.
#[test]
fn nobody_asks_the_c_library_for_users_and_hosts() {
    const CALLS: [&str; 6] = [
        "User::from_",
        "Group::from_",
        "home_dir(",
        "ToSocketAddrs",
        "to_socket_addrs",
        "lookup_host",
    ];
    for room in [".", "../../share/src"] {
        for (path, text) in files(room) {
            for call in CALLS {
                assert!(!text.contains(call), "{} calls {call}", path.display());
            }
        }
    }
}

#[test]
fn public_functions_and_types_say_what_they_are_for() {
    const ITEMS: [&str; 5] = ["fn ", "struct ", "enum ", "trait ", "const fn "];
    let mut wrong = Vec::new();
    for (room, _) in ROOMS {
        for (path, text) in files(room) {
            let lines: Vec<&str> = text.lines().collect();
            for (at, line) in lines.iter().enumerate() {
                let item = line.trim_start().strip_prefix("pub ");
                let is_item = |item: &str| ITEMS.iter().any(|kind| item.starts_with(kind));
                // A name that a macro puts in is documented where the macro is used.
                if !item.is_some_and(|item| is_item(item) && !item.contains('$')) {
                    continue;
                }
                // An attribute may stand between the item and its documentation.
                let above = lines[..at].iter().rev().map(|line| line.trim_start());
                let mut above = above.take_while(|line| !line.is_empty() && *line != "}");
                let documented = above.any(|line| line.starts_with("///"));
                if !documented {
                    wrong.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}
