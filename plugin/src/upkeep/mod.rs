//! What keeps the store and the host in order beside the containers' own starts and
//! stops: collection, the doctor, adoption of a whole host's networks, rebuilding a damaged
//! store; and what a person asks of it or does by hand: who has which address and who had
//! it, taking one back, and reserving one; and what is done by hand in a share.

pub mod collect;
pub mod doctor;
pub mod history;
pub mod host_wide;
pub mod metrics;
pub mod overview;
pub mod rebuild;
pub mod release;
pub mod reserve;
pub mod share;

use std::time::{Duration, UNIX_EPOCH};

use crate::rules::lease::Moment;

/// Returns whether a person means a container by the beginning of its id. Four characters
/// at least: `db` and `app` are names, and begin many an id.
fn is_beginning(word: &str, container_id: &str) -> bool {
    word.len() >= 4 && container_id.starts_with(word)
}

/// Returns a moment by the clock on the wall, in UTC, as RFC 3339 has it.
fn wall_time(moment: Moment) -> String {
    timestamp(moment.wall_ms)
}

/// Returns a time, in milliseconds since the Unix epoch, in UTC, as RFC 3339 has it, to the
/// second.
pub fn timestamp(wall_ms: u64) -> String {
    // Later than anybody's clock: humantime cannot write years of five digits.
    const LAST: u64 = 253_402_300_799_000;
    let since = Duration::from_millis(wall_ms.min(LAST));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_no_beginning_of_an_id() {
        let id = "db1f7c93a0e2";
        assert!(is_beginning("db1f", id));
        assert!(!is_beginning("db", id));
        assert!(!is_beginning("", id));
        assert!(!is_beginning("db1e", id));
    }
}
