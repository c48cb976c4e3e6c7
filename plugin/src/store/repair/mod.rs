//! Making a store agree with itself again.
//!
//! Tenants, leases and holds are what is known; `settle` decides between those
//! of them that contradict each other. Everything else is derived, and made anew.
//! All of it is one transaction. What cannot be decided stays as it is: a lease
//! too many is taken back later, one too few would be an address given twice.

mod settle;

use std::net::IpAddr;

use super::check::{self, Contents};
use super::codec::{Table, address_key, tenancy_key};
use super::overlay::OrderedMut;
use super::transaction::Transaction;
use super::{Store, StoreError, Violation};
use crate::rules::lease::{ContainerId, Moment, NetworkId, Tenant};

/// What the kernel shows of those the records speak of. Any doubt is a yes.
pub trait Lookout {
    /// Returns whether a tenant may be alive.
    fn may_be_alive(&self, tenant: &Tenant) -> bool;

    /// Returns whether somebody on this host may hold an address.
    fn may_be_held(&self, address: IpAddr) -> bool;

    /// Returns whether a process may be at work for a container.
    fn may_be_at_work_for(&self, container: &ContainerId) -> bool;
}

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// What is no longer there.
    pub repaired: Vec<Violation>,
    /// What could not be decided, or somebody may depend on.
    pub left: Vec<Violation>,
}

impl Store<'_> {
    /// Repairs what the store contradicts itself in, durably, in one transaction.
    /// Repairing again changes nothing.
    ///
    /// An address that is leased or listed, and whose holder may be alive, is
    /// leased afterwards. A lease without a tenant's record is dropped only if
    /// nobody may hold its address.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a part cannot be read: nothing is changed then.
    pub fn repair(&self, now: Moment, lookout: &dyn Lookout) -> Result<Repair, StoreError> {
        let found = self.check()?;
        if found.is_empty() {
            return Ok(Repair::default());
        }
        let mut transaction = self.begin();
        mend(&mut transaction, lookout)?;
        transaction.commit(now)?;
        let left = self.check()?;
        let repaired = found.into_iter().filter(|known| !left.contains(known));
        Ok(Repair {
            repaired: repaired.collect(),
            left,
        })
    }
}

/// Stages the repair.
fn mend(transaction: &mut Transaction<'_>, lookout: &dyn Lookout) -> Result<(), StoreError> {
    refile(transaction)?;
    let before = check::read(transaction, &mut Vec::new())?;
    let mut after = before.clone();
    let highest = transaction.meta.generation;
    let generation = settle::settle(&mut after, highest, lookout);
    write(transaction, &before, &after)?;
    derive(transaction, &after)?;
    transaction.overlay.keep_only_changes()?;
    if generation != highest {
        transaction.set_generation(generation);
    }
    Ok(())
}

/// Files the records of tenants under their own names. Where there is one of that
/// name, what it does not list itself is added to it.
fn refile(transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    let mut misfiled = Vec::new();
    for (key, tenant) in check::tenant_records(transaction)? {
        // A record whose names cannot be a key stays where it is.
        if let Ok(own) = tenancy_key(&tenant.tenancy)
            && own != key
        {
            // All of them go first: one may lie in another's place.
            transaction.overlay.delete(key);
            misfiled.push((own, tenant));
        }
    }
    for (own, tenant) in misfiled {
        let filed = match transaction.record::<Tenant>(&own)? {
            None => tenant,
            Some(mut filed) => {
                for holding in tenant.leased {
                    if !filed.has_leased(holding.address) {
                        filed.leased.push(holding);
                    }
                }
                filed
            }
        };
        transaction.write_tenant(own, &filed);
    }
    Ok(())
}

/// Writes what has been settled.
fn write(
    transaction: &mut Transaction<'_>,
    before: &Contents,
    after: &Contents,
) -> Result<(), StoreError> {
    let gone = |at: &&(NetworkId, IpAddr)| !after.leases.contains_key(*at);
    for (network, address) in before.leases.keys().filter(gone) {
        transaction.delete_lease(network, *address)?;
    }
    for (at, lease) in &after.leases {
        if before.leases.get(at) != Some(lease) {
            transaction.put_lease(at.1, lease)?;
        }
    }
    for tenancy in before.tenants.keys() {
        if !after.tenants.contains_key(tenancy) {
            transaction.overlay.delete(tenancy_key(tenancy)?);
        }
    }
    for (tenancy, tenant) in &after.tenants {
        if before.tenants.get(tenancy) != Some(tenant) {
            transaction.write_tenant(tenancy_key(tenancy)?, tenant);
        }
    }
    let gone = |at: &&(NetworkId, IpAddr)| !after.holds.contains_key(*at);
    for (network, address) in before.holds.keys().filter(gone) {
        let key = address_key(Table::Reservation, network, *address)?;
        transaction.overlay.delete(key);
    }
    Ok(())
}

/// Makes everything anew that is derived from leases, holds and pools.
fn derive(transaction: &mut Transaction<'_>, contents: &Contents) -> Result<(), StoreError> {
    for table in [
        Table::Free,
        Table::Expiry,
        Table::Yield,
        Table::HolderId,
        Table::HolderName,
    ] {
        transaction.delete_all(&table.prefix())?;
    }
    for ((network, address), hold) in &contents.holds {
        transaction.put_reservation(network, *address, hold)?;
    }
    for (network, pools) in &contents.pools {
        for pool in pools {
            transaction.build_pool(network, pool)?;
        }
    }
    Ok(())
}
