//! How long Podman's `ipam.db` takes to be read and printed, beside bbolt's own dump of
//! the same file: one process each, in turn, on tmpfs.
//!
//!     make bench
//!
//! Fails if the largest file takes too long.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a benchmark is for"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use berth_integration::ipam_db::{PODMANS, fixture};
use berth_integration::{Benchmark, bbolt, median};

/// Dumps of each kind.
const ROUNDS: usize = 31;

/// How long the largest file may take.
const MOST: Duration = Duration::from_millis(100);
const LARGEST: &str = "podman-6.0-large";

fn main() -> ExitCode {
    let mut benchmark = Benchmark::begin();
    let rounds = benchmark.rounds(ROUNDS, 2);
    let directory = tempfile::tempdir_in("/dev/shm").expect("a tmpfs on /dev/shm");
    let file = directory.path().join("ipam.db");
    let migrate = program();
    println!("one dump, medians of {rounds} [ms]");
    println!(
        "{:<26} {:>8} {:>14} {:>8}",
        "file", "KiB", "berth-migrate", "bbolt"
    );
    let mut largest = Duration::ZERO;
    for name in PODMANS {
        let bytes = fixture(name);
        std::fs::write(&file, &bytes).expect("it can be written");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(timed(Command::new(&migrate).arg("dump").arg(&file)));
            theirs.push(timed(Command::new(bbolt::program()).arg("dump").arg(&file)));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{name:<26} {:>8} {:>14.1} {:>8.1}",
            bytes.len() / 1024,
            millis(ours),
            millis(theirs)
        );
        if name == LARGEST {
            largest = ours;
        }
    }
    println!("wanted: {LARGEST} in less than {} ms", MOST.as_millis());
    if largest >= MOST {
        benchmark.miss(LARGEST);
    }
    benchmark.end()
}

/// Returns the executable that was built with this benchmark.
fn program() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_berth-lab")).with_file_name("berth-migrate");
    assert!(
        beside.exists(),
        "{} is missing: run `make bench`, which builds it",
        beside.display()
    );
    beside
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
    start.elapsed()
}
