//! What keeps the store and the host in order beside the containers' own starts and stops:
//! collection, the doctor, adoption of a whole host's networks, and rebuilding a damaged
//! store. Also what a person asks or does by hand: who has or had which address, releasing
//! one, reserving one, and work in a share.

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

use thiserror::Error;

use crate::rules::lease::Moment;

/// A network that a person names, and berth does not know.
#[derive(Debug, Error)]
#[error("berth leases no addresses for a network {0:?}; `podman network ls` lists the networks")]
pub struct NoNetwork(pub String);

/// Returns whether a word means a container by the beginning of its id. It takes at least
/// four characters, because `db` and `app` are names and many ids begin with them.
fn is_beginning(word: &str, container_id: &str) -> bool {
    word.len() >= 4 && container_id.starts_with(word)
}

/// Returns a moment by the wall clock, in UTC, in the form of RFC 3339.
fn wall_time(moment: Moment) -> String {
    timestamp(moment.wall_ms)
}

/// Returns a time, given in milliseconds since the Unix epoch, in UTC, in the form of RFC
/// 3339, to the second.
pub fn timestamp(wall_ms: u64) -> String {
    // Later than any real clock: humantime cannot write years of five digits.
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
