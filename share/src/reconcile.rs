//! What must change so that a store's leases and the share's keys agree again.
//!
//! Only keys whose value names this host and store are judged; all others are left alone. The
//! caller has read the leases under the share's own lock, which it still holds, so no claim of
//! this store is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::claim::is_own;
use crate::holding::{Claim, Lease};
use crate::identity::Identity;

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Keys of ours that no lease mentions: left by a crash between claim and lease, or between
    /// release and deletion.
    pub delete: Vec<Claim>,
    /// Leases without a key.
    pub claim: Vec<Lease>,
    /// Leases whose address another holder has in the share, with the value of that key.
    pub conflicts: Vec<(Lease, Vec<u8>)>,
}

/// Compares a store's leases with all the share's address keys.
pub fn plan(
    identity: &Identity,
    store: &str,
    leases: &[Lease],
    keys: &BTreeMap<IpAddr, Vec<u8>>,
) -> Plan {
    let mut plan = Plan::default();
    for lease in leases {
        match keys.get(&lease.address) {
            None => plan.claim.push(lease.clone()),
            Some(value) if is_own(identity, store, value) => {}
            Some(value) => plan.conflicts.push((lease.clone(), value.clone())),
        }
    }
    let leased: BTreeSet<_> = leases.iter().map(|lease| lease.address).collect();
    let own = keys
        .iter()
        .filter(|(_, value)| is_own(identity, store, value));
    let orphans = own.filter(|(address, _)| !leased.contains(*address));
    plan.delete = orphans
        .map(|(address, value)| Claim {
            address: *address,
            value: String::from_utf8_lossy(value).into_owned(),
        })
        .collect();
    plan
}
