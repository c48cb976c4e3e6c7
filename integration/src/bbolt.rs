//! Lets bbolt itself judge files, with the program that `lab/prepare` builds from `lab/bbolt`
//! and Debian's source of bbolt.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::lab::prepared;

/// Returns what bbolt's `Check` finds, one line for each problem; nothing if the file is sound.
pub fn check(file: &Path) -> String {
    let output = run("check", file, &[]);
    match output.status.success() && output.stdout == b"OK\n" {
        true => String::new(),
        false => said(&output),
    }
}

/// Returns the content as bbolt reads it, in the shape of `berth-migrate dump`.
///
/// # Errors
/// What bbolt says if it cannot read the file.
pub fn dump(file: &Path) -> Result<Value, String> {
    let output = run("dump", file, &[]);
    match serde_json::from_slice(&output.stdout) {
        Ok(value) if output.status.success() => Ok(value),
        _ => Err(said(&output)),
    }
}

/// Changes a file at random, many times, or creates it; then checks it. The options are
/// those of `lab/bbolt/main.go`.
///
/// # Panics
/// If bbolt cannot work with the file, or its check finds anything.
#[track_caller]
pub fn churn(file: &Path, options: &[String]) {
    let output = run("churn", file, options);
    let said = said(&output);
    assert!(
        output.status.success(),
        "bbolt cannot work with the file: {said}"
    );
}

/// Returns the program's path.
///
/// # Panics
/// If it is not built, saying what to do.
#[track_caller]
pub fn program() -> PathBuf {
    let program = prepared().join("bbolt");
    assert!(
        program.exists(),
        "{} is missing: run integration/lab/prepare as root, or `make test`",
        program.display()
    );
    program
}

#[track_caller]
fn run(command: &str, file: &Path, options: &[String]) -> Output {
    // On a damaged file, bbolt may run for ever.
    let mut timeout = Command::new("timeout");
    let run = timeout.arg("20").arg(program()).arg(command).arg(file);
    run.args(options)
        .output()
        .unwrap_or_else(|err| panic!("failed to run timeout: {err}"))
}

fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}: {}", output.status, streams.concat())
}
