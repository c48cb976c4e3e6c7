//! `berth-migrate dump` of what real Podmans and bbolt itself wrote.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use berth_migrate::bolt;
use berth_migrate::ipam::dump::dump;
use fixture::FIXTURES;
use serde_json::Value;

fn run(file: &Path, options: &[&str]) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_berth-migrate"));
    run.arg("dump").args(options).arg(file).output().unwrap()
}

#[test]
fn every_fixture_has_the_content_it_is_known_for() {
    for name in FIXTURES {
        let file = fixture::file(name);
        let root = bolt::read(&file).unwrap();
        let expected: Value = serde_json::from_slice(&fixture::expected(name)).unwrap();
        assert!(
            serde_json::to_value(dump(&root)).unwrap() == expected,
            "{name} differs"
        );
        let salvaged = bolt::salvage(&file).unwrap();
        assert_eq!(salvaged.skipped, [], "{name} is damaged");
        assert!(
            salvaged.root == root,
            "{name} is salvaged as something else"
        );
    }
}

#[test]
fn podmans_fixtures_are_printed_to_the_letter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    for name in FIXTURES.iter().filter(|name| name.starts_with("podman")) {
        fs::write(&path, fixture::file(name)).unwrap();
        for options in [&[][..], &["--salvage"]] {
            let output = run(&path, options);
            assert!(output.status.success(), "{name}: {output:?}");
            assert!(output.stdout == fixture::expected(name), "{name} differs");
            assert_eq!(output.stderr, b"", "{name}");
        }
    }
}

#[test]
fn exit_codes_and_messages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipam.db");
    let mut bytes = fixture::file("podman-6.0-large");
    bytes.truncate(1 << 20);
    fs::write(&path, bytes).unwrap();
    let refused = run(&path, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(refused.stdout, b"");
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        format!(
            "Error: {} is damaged: page 256: the file ends before it: it has 256 of 285 pages; \
             `berth-migrate dump --salvage` prints what can be read, and `berth-migrate sanitise \
             --salvage --output FILE` writes it into a new file\n",
            path.display()
        )
    );
    let salvaged = run(&path, &["--salvage"]);
    assert_eq!(salvaged.status.code(), Some(1));
    let said = String::from_utf8(salvaged.stderr).unwrap();
    assert!(
        said.lines().all(|line| line.starts_with("skipped: page ")),
        "{said}"
    );
    let content: Value = serde_json::from_slice(&salvaged.stdout).unwrap();
    assert!(content.is_object());
    assert_eq!(run(&path, &["--nonsense"]).status.code(), Some(2));
    let nothing = run(&directory.path().join("nothing"), &[]);
    assert_eq!(nothing.status.code(), Some(1));
    // As in bbolt: an empty file is a new one.
    fs::write(&path, b"").unwrap();
    assert_eq!(run(&path, &[]).stdout, b"{}\n");
}
