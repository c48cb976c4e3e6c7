//! What a collection should do, decided from one or two looks. No I/O.

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
    /// What no lease mentions.
    pub leftovers: Vec<Leftover>,
    pub makers: BTreeSet<Process>,
    /// Namespace files without a process behind them, and when each was first seen.
    pub empty: Vec<EmptyNamespace>,
    pub configured: BTreeSet<String>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'f> {
    /// The tenants from which to take everything back. Those whose interface is gone come
    /// first, so that a network's last interface goes after all firewall rules.
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
    /// Returns what should be done by this look alone.
    pub fn plan(&self) -> Plan<'_> {
        self.plan_beside(&self.makers)
    }

    fn plan_beside(&self, makers: &BTreeSet<Process>) -> Plan<'_> {
        let clear = self.leftovers.iter().filter(|leftover| match leftover {
            Leftover::NamespaceFile { path, .. } => self.is_abandoned(path, makers),
            Leftover::Veth { .. } | Leftover::Record { .. } | Leftover::Bridge { .. } => true,
        });
        let dead = self.dead.iter().map(|(tenant, cause)| (tenant, *cause));
        let dead = dead.filter(|(tenant, cause)| {
            let is_known = self.configured.contains(tenant.tenancy.network_id.as_str());
            let age = self.at.since(&tenant.created);
            *cause != Cause::Abandoned || is_known || self.is_over(age, makers)
        });
        let mut reclaim: Vec<_> = dead.collect();
        reclaim.sort_by_key(|(_, cause)| *cause == Cause::Abandoned);
        Plan {
            reclaim,
            clear: clear.collect(),
        }
    }

    /// Returns what should be done because an earlier look, a grace period ago, found the
    /// same: the same leases, by generation, and the same leftovers.
    pub fn plan_again(&self, earlier: &Self) -> Plan<'_> {
        // A process that may still set a namespace up must have been running at both looks.
        let makers = self.makers.intersection(&earlier.makers).copied().collect();
        let mut plan = self.plan_beside(&makers);
        let dead = earlier.dead.iter();
        let dead: HashMap<_, _> = dead.map(|(own, _)| (&own.tenancy, &own.leased)).collect();
        plan.reclaim
            .retain(|(tenant, _)| dead.get(&tenant.tenancy) == Some(&&tenant.leased));
        // Leftovers have no order and no hash, but they have a name.
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

    /// Returns whether no process can still be about to use an empty namespace.
    fn is_abandoned(&self, path: &Path, makers: &BTreeSet<Process>) -> bool {
        let seen = self.empty.iter().find(|empty| empty.path == *path);
        let age = seen.map_or(Duration::ZERO, |empty| self.at.since(&empty.seen));
        self.is_over(age, makers)
    }

    /// Returns whether a start that was under way this long ago is over: either no process that
    /// makes namespaces was running then, or it has had time enough. berth does not know who
    /// started a container on a network without a file here: it may be another podman, with
    /// networks of its own.
    fn is_over(&self, age: Duration, makers: &BTreeSet<Process>) -> bool {
        let mut makers = makers.iter();
        age >= START_GRACE || makers.all(|maker| maker.is_younger_than(age, &self.at))
    }
}

/// Returns the namespace files of a look, each with when it was first seen.
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
