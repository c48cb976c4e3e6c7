//! Repeatable randomness.
//!
//! `make test` uses the same seed every time, so that nobody runs into a rare fault there
//! that has nothing to do with their change. `make torture` uses a new one.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// The environment variable that overrides the seed.
const VARIABLE: &str = "BERTH_SEED";

/// The seed of `make test`.
const FIXED: u64 = 20;

/// Returns the seed of `make test`, or that of `BERTH_SEED`, and prints it on standard
/// error.
///
/// # Panics
/// If the variable is not a number.
#[track_caller]
pub fn seed() -> u64 {
    given_or(FIXED)
}

/// Returns a new seed, or that of `BERTH_SEED`, and prints it on standard error.
///
/// # Panics
/// If the variable is not a number.
#[track_caller]
pub fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    given_or(now.map_or(0, |since| since.as_secs()))
}

#[track_caller]
fn given_or(usual: u64) -> u64 {
    let seed = env::var(VARIABLE).map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|err| panic!("{VARIABLE} is `{text}`: {err}"))
    });
    eprintln!("seed {seed}: {VARIABLE}={seed} repeats this");
    seed
}
