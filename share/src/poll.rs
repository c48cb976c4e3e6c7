//! Waiting for what the kernel does not announce, such as a lock that becomes free.

use std::thread;
use std::time::{Duration, Instant};

/// Calls `attempt` until it returns something, waiting no longer than `wait` (zero: one attempt),
/// with this pause between two attempts. Returns what it returned; `None` if time ran out.
pub fn poll<T>(
    wait: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + wait;
    loop {
        if let Some(done) = attempt() {
            return Some(done);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::sleep(pause.min(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(1);

    #[test]
    fn it_ends_with_the_first_success() {
        let mut count = 0;
        let attempt = || {
            count += 1;
            (count == 3).then_some("done")
        };
        assert_eq!(poll(Duration::from_secs(60), PAUSE, attempt), Some("done"));
        assert_eq!(count, 3);
    }

    #[test]
    fn no_time_is_one_attempt() {
        let mut count = 0;
        let mut attempt = || {
            count += 1;
            None::<()>
        };
        assert_eq!(poll(Duration::ZERO, PAUSE, &mut attempt), None);
        assert_eq!(count, 1);
    }

    #[test]
    fn it_ends_when_time_runs_out() {
        let wait = Duration::from_millis(20);
        let began = Instant::now();
        assert_eq!(poll(wait, Duration::from_secs(60), || None::<()>), None);
        assert!(began.elapsed() >= wait);
    }
}
