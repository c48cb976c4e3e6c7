//! What a collection is to do, decided from one or two looks. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use crate::rules::lease::{Moment, Process, Tenant};
use crate::rules::verdict::{Cause, START_GRACE};
use crate::sight::survey::Leftover;
use crate::store::EmptyNamespace;

/// What one look has found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub at: Moment,
    pub dead: Vec<(Tenant, Cause)>,
    /// What no lease speaks of.
    pub leftovers: Vec<Leftover>,
    pub makers: BTreeSet<Process>,
    /// Namespace files with nobody behind them, and when each was first seen.
    pub empty: Vec<EmptyNamespace>,
    pub configured: BTreeSet<String>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'f> {
    /// From whom to take everything back: those first whose interface is gone, so
    /// that a network's last interface goes after everybody's firewall rules.
    pub reclaim: Vec<(&'f Tenant, Cause)>,
    pub clear: Vec<&'f Leftover>,
}

impl Plan<'_> {
    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.reclaim.is_empty() && self.clear.is_empty()
    }
}

impl Findings {
    /// Returns what is to be done by this look alone.
    pub fn plan(&self) -> Plan<'_> {
        self.plan_beside(&self.makers)
    }

    fn plan_beside(&self, makers: &BTreeSet<Process>) -> Plan<'_> {
        let clear = self.leftovers.iter().filter(|leftover| match leftover {
            Leftover::NamespaceFile { path, .. } => self.is_abandoned(path, makers),
            Leftover::Veth { .. } | Leftover::Record { .. } | Leftover::Bridge { .. } => true,
        });
        let dead = self.dead.iter().map(|(tenant, cause)| (tenant, *cause));
        let mut reclaim: Vec<_> = dead.collect();
        reclaim.sort_by_key(|(_, cause)| *cause == Cause::Abandoned);
        Plan {
            reclaim,
            clear: clear.collect(),
        }
    }

    /// Returns what is to be done because an earlier look, a grace ago, found the
    /// same: of the same leases, by generation, and the same things.
    pub fn plan_again(&self, earlier: &Self) -> Plan<'_> {
        // Whoever might still set a namespace up ran at both looks.
        let makers = self.makers.intersection(&earlier.makers).copied().collect();
        let mut plan = self.plan_beside(&makers);
        let dead = earlier.dead.iter();
        let dead: HashMap<_, _> = dead.map(|(own, _)| (&own.tenancy, &own.leased)).collect();
        plan.reclaim
            .retain(|(tenant, _)| dead.get(&tenant.tenancy) == Some(&&tenant.leased));
        // They have no order and no hash, but a name.
        let mut leftovers = HashMap::<_, Vec<_>>::new();
        for leftover in &earlier.leftovers {
            let named = leftovers.entry(leftover.to_string()).or_default();
            named.push(leftover);
        }
        plan.clear.retain(|leftover| {
            let named = leftovers.get(&leftover.to_string());
            named.is_some_and(|named| named.contains(leftover))
        });
        plan
    }

    /// Returns whether there is anything that a second look might confirm.
    pub fn has_suspects(&self) -> bool {
        !self.dead.is_empty() || !self.leftovers.is_empty()
    }

    /// Returns whether nobody can be about to set up what an empty namespace is for: nobody
    /// who makes them ran when it was first seen, or its start has had its time.
    fn is_abandoned(&self, path: &Path, makers: &BTreeSet<Process>) -> bool {
        let seen = self.empty.iter().find(|empty| empty.path == *path);
        let age = seen.map_or(Duration::ZERO, |empty| self.at.since(&empty.seen));
        let mut makers = makers.iter();
        age >= START_GRACE || makers.all(|maker| maker.is_younger_than(age, &self.at))
    }
}

/// Returns the namespace files of a look, each with when it was seen first.
pub(super) fn empty(
    leftovers: &[Leftover],
    known: &[EmptyNamespace],
    at: Moment,
) -> Vec<EmptyNamespace> {
    let files = leftovers.iter().filter_map(|leftover| match leftover {
        Leftover::NamespaceFile { path, key } => Some((path, *key)),
        Leftover::Veth { .. } | Leftover::Record { .. } | Leftover::Bridge { .. } => None,
    });
    files
        .map(|(path, key)| {
            let known = known
                .iter()
                .find(|empty| empty.path == *path && empty.key == key);
            let new = || EmptyNamespace {
                path: path.clone(),
                key,
                seen: at,
            };
            known.cloned().unwrap_or_else(new)
        })
        .collect()
}

#[cfg(test)]
mod tests;
