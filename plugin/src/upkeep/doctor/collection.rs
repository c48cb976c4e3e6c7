//! The last collection: whether one runs at all, and how it ended.

use std::time::Duration;

use super::finding::Finding;
use crate::rules::lease::Moment;
use crate::store::Collection;

const CHECK: &str = "last-collection";

/// How old the last collection may be. One is due every minute, or when a container
/// starts.
const LATE: Duration = Duration::from_secs(10 * 60);

/// Judges the last collection of this boot. `since` is when the store came into use.
pub(super) fn judge(last: Option<&Collection>, since: Moment, now: Moment) -> Option<Finding> {
    let ago = |moment: Moment| {
        let age = Duration::from_secs(now.since(&moment).as_secs());
        humantime::format_duration(age).to_string()
    };
    let late = |moment: Moment| now.since(&moment) >= LATE;
    match last {
        Some(last) if !last.failures.is_empty() => Some(
            Finding::problem(
                CHECK,
                format!("the last collection, {} ago, did not finish", ago(last.at)),
            )
            .because(last.failures.join("; "))
            .repair("fix that; berth gc tries again"),
        ),
        Some(last) if late(last.at) => Some(
            Finding::note(
                CHECK,
                format!("the last collection ended {} ago", ago(last.at)),
            )
            .because("no timer has run one since, and no container was started")
            .repair("berth gc"),
        ),
        None if late(since) => Some(
            Finding::note(
                CHECK,
                format!(
                    "no collection has run in the {} of this lease store",
                    ago(since)
                ),
            )
            .because("no timer has run one")
            .repair("berth gc"),
        ),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_or_failed_is_told() {
        let at = |seconds: u64| Moment {
            wall_ms: seconds * 1000,
            boot_ms: seconds * 1000,
        };
        let last = |seconds, failures: &[&str]| Collection {
            at: at(seconds),
            took_ms: 1,
            reclaimed: 0,
            cleared: 0,
            failures: failures.iter().map(|text| (*text).to_owned()).collect(),
            empty: Vec::new(),
        };
        for (last, expected) in [
            (Some(last(401, &[])), ""),
            (
                Some(last(399, &[])),
                "note: the last collection ended 10m 1s ago (no timer has run one since, and no \
                 container was started); berth gc",
            ),
            (
                Some(last(990, &["one", "two"])),
                "problem: the last collection, 10s ago, did not finish (one; two); fix that; \
                 berth gc tries again",
            ),
            (
                None,
                "note: no collection has run in the 16m 30s of this lease store (no timer has run \
                 one); berth gc",
            ),
        ] {
            let found = judge(last.as_ref(), at(10), at(1000));
            assert_eq!(found.map_or_else(String::new, |f| f.to_string()), expected);
        }
        assert_eq!(judge(None, at(990), at(1000)), None);
    }
}
