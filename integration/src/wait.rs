//! Waits for a condition, never for a fixed time.

use std::thread;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

/// Polls `condition` until it returns something, and returns that.
///
/// # Panics
/// If that takes longer than `bound`; the message says `what` was waited for.
#[track_caller]
pub fn wait_until<T>(what: &str, bound: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            start.elapsed() < bound,
            "waited {bound:?} in vain for {what}"
        );
        thread::sleep(STEP);
    }
}
