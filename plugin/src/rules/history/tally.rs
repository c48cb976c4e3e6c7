//! Totals over the whole history, as numbers that only grow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{End, Line, Work};

/// The upper bounds of the classes in which the durations of setups are counted, in
/// milliseconds. Each bound is included in its class.
pub const BOUNDS_MS: [u64; 11] = [50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000, 30_000];

/// Counts of what has happened. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// When the tally was made, in milliseconds since the Unix epoch.
    pub at: u64,
    /// How many setups took no longer than each bound, but longer than the one below it. Those
    /// above the last bound are counted under `u64::MAX`.
    pub setups: BTreeMap<u64, u64>,
    /// How long all of these setups took together.
    pub setups_ms: u64,
    /// How many leases, each of one address, have ended in each way.
    pub ends: BTreeMap<End, u64>,
    /// How often something failed.
    pub failures: BTreeMap<Work, u64>,
}

impl Tally {
    /// Returns the totals of a whole history.
    pub fn of(lines: &[Line]) -> Self {
        let mut tally = Self::default();
        lines.iter().for_each(|line| tally.add(line));
        tally
    }

    /// Counts one more line.
    pub fn add(&mut self, line: &Line) {
        match line {
            Line::Began(began) => {
                if let Some(took) = began.took_ms {
                    let bound = BOUNDS_MS.into_iter().find(|bound| took <= *bound);
                    more(&mut self.setups, bound.unwrap_or(u64::MAX), 1);
                    self.setups_ms = self.setups_ms.saturating_add(took);
                }
            }
            Line::Ended(ended) => {
                let leases = u64::try_from(ended.holder.addresses.len()).unwrap_or(u64::MAX);
                more(&mut self.ends, ended.end, leases);
            }
            Line::Failed(failed) => more(&mut self.failures, failed.work, 1),
            Line::Tally(earlier) => {
                let Self {
                    at: _,
                    setups,
                    setups_ms,
                    ends,
                    failures,
                } = earlier;
                setups
                    .iter()
                    .for_each(|(bound, count)| more(&mut self.setups, *bound, *count));
                self.setups_ms = self.setups_ms.saturating_add(*setups_ms);
                ends.iter()
                    .for_each(|(end, count)| more(&mut self.ends, *end, *count));
                failures
                    .iter()
                    .for_each(|(work, count)| more(&mut self.failures, *work, *count));
            }
        }
    }
}

fn more<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, by: u64) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(by);
}
