//! Chance that can be repeated.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// Names the seed to be used, in place of the time.
pub const SEED_VARIABLE: &str = "BERTH_SEED";

/// Returns the seed of `BERTH_SEED`, else one of the time, and says which on
/// standard error.
///
/// # Panics
/// If the variable is no number.
#[track_caller]
pub fn seed() -> u64 {
    seed_or(now())
}

/// Returns the seed of `BERTH_SEED`, else this one, and says which on standard error.
///
/// # Panics
/// If the variable is no number.
#[track_caller]
pub fn seed_or(usual: u64) -> u64 {
    let seed = env::var(SEED_VARIABLE).map_or_else(
        |_| usual,
        |text| {
            text.parse()
                .unwrap_or_else(|err| panic!("{SEED_VARIABLE} is `{text}`: {err}"))
        },
    );
    eprintln!("seed {seed}: the same again with {SEED_VARIABLE}={seed}");
    seed
}

/// Returns a seed of the time.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
