//! `docs/TROUBLESHOOTING.md` quotes messages as the programs print them.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Adds the source files of a directory, their texts as one line each.
fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let lines = text.split("\\\n").map(str::trim_start);
            found.push(lines.collect());
        }
    }
}

/// What netavark and Podman say, rather than berth.
const OTHERS: [&str; 3] = [
    "IPAM error: ",
    "aardvark-dns failed to start: ",
    "berth config` shows every mistake",
];

#[test]
fn every_message_that_is_quoted_is_one_that_is_printed() {
    let mut texts = Vec::new();
    for program in ["plugin/src", "share/src", "state-migrate/src"] {
        sources(&root().join(program), &mut texts);
    }
    let document =
        fs::read_to_string(root().join("docs/TROUBLESHOOTING.md")).expect("the document");
    let quoted = document.lines().filter_map(|line| {
        let message = line.strip_prefix("### `")?;
        message.rsplit_once('`').map(|(message, _)| message)
    });
    let mut count = 0;
    for message in quoted {
        count += 1;
        if OTHERS.iter().any(|other| message.starts_with(other)) {
            continue;
        }
        for part in message.split('…').map(str::trim) {
            // Too short to tell anything.
            if part.len() > 4 {
                let is_printed = texts.iter().any(|text| text.contains(part));
                assert!(is_printed, "nothing prints `{part}` of `{message}`");
            }
        }
    }
    assert!(count > 20, "only {count} messages were found");
}
