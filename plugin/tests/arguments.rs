//! A command line that is no text gets an answer like any other that berth does not understand.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

#[test]
fn an_argument_that_is_no_text_is_refused_in_one_line() {
    let word = OsStr::from_bytes(b"\xff");
    let mut berth = Command::new(env!("CARGO_BIN_EXE_berth"));
    let said = berth.arg(word).output().expect("berth runs");
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let answer = String::from_utf8_lossy(&said.stdout);
    assert!(
        answer.contains(r#"{"error":"unrecognized subcommand"#),
        "{answer}"
    );
    assert_eq!(said.stderr, b"", "{said:?}");
}
