//! Typed reads and writes, staged until they are committed as one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::Store;
use super::codec::{
    Table, address_key, network_key, push_address, seal_record, tenancy_key, unseal_record,
};
use super::error::StoreError;
use super::meta::Meta;
use super::overlay::{Ordered, OrderedMut, Overlay};
use super::pools::StoredPool;
use crate::rules::lease::{
    Kind, Lease, LeasedAddress, Moment, NetworkId, Reservation, Tenancy, Tenant,
};

/// Reads, and writes that nobody sees before [`commit`](Self::commit).
///
/// Reads see the writes staged so far. Dropping it without a commit leaves the
/// store as it was. A write that fails has staged nothing, unless reading the
/// store failed: then drop the transaction.
pub struct Transaction<'s> {
    store: &'s Store<'s>,
    began: u64,
    pub(super) meta: Meta,
    pub(super) overlay: Overlay<'s>,
    pub(super) pools: RefCell<HashMap<NetworkId, Rc<[StoredPool]>>>,
}

impl<'s> Transaction<'s> {
    pub(super) fn new(store: &'s Store<'_>) -> Self {
        Self {
            began: store.commits(),
            meta: store.meta(),
            overlay: Overlay::new(store.engine()),
            store,
            pools: RefCell::default(),
        }
    }

    /// Returns the record of a tenancy.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it cannot be read; [`StoreError::Name`] if the
    /// tenancy's names cannot be keys.
    pub fn tenant(&self, tenancy: &Tenancy) -> Result<Option<Tenant>, StoreError> {
        self.record(&tenancy_key(tenancy)?)
    }

    /// Returns the record of a tenancy that has a lease.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant); [`StoreError::Damaged`] if there is none.
    pub fn holder(&self, tenancy: &Tenancy) -> Result<Tenant, StoreError> {
        let key = tenancy_key(tenancy)?;
        self.record(&key)?.ok_or_else(|| self.overlay.damaged(&key))
    }

    /// Returns the tenants of a network, by container id and interface.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn tenants(&self, network: &NetworkId) -> Result<Vec<Tenant>, StoreError> {
        self.records(&network_key(Table::Tenant, network)?)
    }

    /// Returns the tenants of all networks, by network id, container id and
    /// interface.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn all_tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.records(&Table::Tenant.prefix())
    }

    /// Returns the hold on an address, expired or not.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn reservation(
        &self,
        network: &NetworkId,
        address: IpAddr,
    ) -> Result<Option<Reservation>, StoreError> {
        self.record(&address_key(Table::Reservation, network, address)?)
    }

    /// Returns the holds of a network by address, expired or not.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn reservations(
        &self,
        network: &NetworkId,
    ) -> Result<Vec<(IpAddr, Reservation)>, StoreError> {
        let prefix = network_key(Table::Reservation, network)?;
        let entries = self.overlay.scan(&prefix)?;
        entries
            .iter()
            .map(|(key, value)| {
                super::codec::last_address(key, prefix.len())
                    .zip(unseal_record(key, value))
                    .ok_or_else(|| self.overlay.damaged(key))
            })
            .collect()
    }

    /// Makes the tenancy's leased exactly `wanted`, in this order, each with a
    /// new generation, and returns the tenant as stored.
    ///
    /// `tenant.leased` is ignored. An address the tenancy holds and no longer
    /// wants is free at once, without a hold; a hold on a wanted address ends. If
    /// nothing is wanted, the tenant's record goes too. No check is made that a
    /// pool offers the addresses: static ones may lie anywhere.
    ///
    /// # Errors
    /// [`StoreError::Leased`] if another tenancy holds a wanted address,
    /// [`StoreError::Repeated`] if one is wanted twice: nothing is staged then.
    pub fn lease_to(
        &mut self,
        mut tenant: Tenant,
        wanted: &[(IpAddr, Kind)],
    ) -> Result<Tenant, StoreError> {
        let network = tenant.tenancy.network_id.clone();
        let tenant_key = tenancy_key(&tenant.tenancy)?;
        for (at, (address, _)) in wanted.iter().enumerate() {
            if wanted[..at].iter().any(|(earlier, _)| earlier == address) {
                return Err(StoreError::Repeated { address: *address });
            }
            match self.lease(&network, *address)? {
                Some(lease) if lease.tenancy != tenant.tenancy => {
                    return Err(StoreError::Leased {
                        address: *address,
                        tenancy: lease.tenancy,
                    });
                }
                Some(_) | None => {}
            }
        }
        let held: Option<Tenant> = self.record(&tenant_key)?;
        let before = held.map_or_else(Vec::new, |tenant| tenant.leased);
        for holding in &before {
            let dropped = !wanted.iter().any(|(wish, _)| *wish == holding.address);
            if dropped && !self.is_anothers(&tenant.tenancy, holding.address)? {
                self.delete_lease(&network, holding.address)?;
                self.give(&network, holding.address)?;
            }
        }
        tenant.leased.clear();
        for (address, kind) in wanted.iter().copied() {
            if !before.iter().any(|holding| holding.address == address) {
                match self.reservation(&network, address)? {
                    Some(hold) => self.remove_reservation(&network, address, &hold)?,
                    None => self.take(&network, address)?,
                }
            }
            self.meta.generation += 1;
            let generation = self.meta.generation;
            let lease = Lease {
                tenancy: tenant.tenancy.clone(),
                generation,
                kind,
            };
            self.put_lease(address, &lease)?;
            tenant.leased.push(LeasedAddress {
                address,
                generation,
                kind,
            });
        }
        self.put_tenant(tenant_key, &tenant);
        Ok(tenant)
    }

    /// Replaces the tenant's record, except for its leased.
    ///
    /// # Errors
    /// [`StoreError::Changed`] unless the stored leased equal
    /// `tenant.leased`, order included.
    pub fn update(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let key = tenancy_key(&tenant.tenancy)?;
        let stored: Option<Tenant> = self.record(&key)?;
        if stored.is_none_or(|stored| stored.leased != tenant.leased) {
            return Err(StoreError::Changed {
                tenancy: tenant.tenancy.clone(),
            });
        }
        self.put_tenant(key, tenant);
        Ok(())
    }

    /// Ends a lease, if this tenancy still has it with this generation. Returns
    /// whether it did; if not, nothing is changed.
    ///
    /// With a hold that ends after its release the address is held, else it is
    /// free at once. The tenant's record goes with its last address.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read.
    pub fn release(
        &mut self,
        tenancy: &Tenancy,
        address: IpAddr,
        generation: u64,
        hold: Option<Reservation>,
    ) -> Result<bool, StoreError> {
        let tenant_key = tenancy_key(tenancy)?;
        let Some(mut tenant) = self.record::<Tenant>(&tenant_key)? else {
            return Ok(false);
        };
        let holds_it = |holding: &LeasedAddress| {
            holding.address == address && holding.generation == generation
        };
        let Some(at) = tenant.leased.iter().position(holds_it) else {
            return Ok(false);
        };
        let network = &tenancy.network_id;
        let hold = hold.filter(|hold| hold.until.boot_ms > hold.released.boot_ms);
        if let Some(hold) = &hold {
            // Names that cannot be keys must be found out before anything is staged.
            super::reservations::check_names(network, hold)?;
        }
        tenant.leased.remove(at);
        self.put_tenant(tenant_key, &tenant);
        if self.is_anothers(tenancy, address)? {
            // The records disagree (`Violation::HoldingWithoutLease`): whoever
            // else has the lease keeps it.
            return Ok(true);
        }
        self.delete_lease(network, address)?;
        match hold {
            Some(hold) => self.put_reservation(network, address, &hold)?,
            None => self.give(network, address)?,
        }
        Ok(true)
    }

    /// Returns whether the lease of an address is another tenancy's.
    fn is_anothers(&self, tenancy: &Tenancy, address: IpAddr) -> Result<bool, StoreError> {
        let lease = self.lease(&tenancy.network_id, address)?;
        Ok(lease.is_some_and(|lease| lease.tenancy != *tenancy))
    }

    /// Writes everything staged, or nothing. On return it survives the death of
    /// this process (SIGKILL too), and a crash of the machine once the store is
    /// closed. Writes nothing if nothing is staged.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if another transaction was committed since this
    /// one began. After any other error the store takes no more writes: open it
    /// again to see whether they were made.
    pub fn commit(mut self, now: Moment) -> Result<(), StoreError> {
        if self.overlay.staged().is_empty() {
            return Ok(());
        }
        if self.began != self.store.commits() {
            return Err(StoreError::Overtaken);
        }
        self.meta.clock_ms = now.boot_ms;
        self.meta.commits += 1;
        let key = Table::Meta.prefix();
        let value = seal_record(&key, &self.meta);
        self.overlay.put(key, value);
        self.store.write(self.overlay.staged(), self.meta)
    }

    /// Returns a record, or `None` if there is none.
    pub(super) fn record<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let Some(value) = self.overlay.get(key)? else {
            return Ok(None);
        };
        unseal_record(key, &value)
            .map(Some)
            .ok_or_else(|| self.overlay.damaged(key))
    }

    pub(super) fn delete_all(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        for (key, _) in self.overlay.scan(prefix)? {
            self.overlay.delete(key);
        }
        Ok(())
    }

    pub(super) fn delete_if_there(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if self.overlay.get(&key)?.is_some() {
            self.overlay.delete(key);
        }
        Ok(())
    }

    /// Stores a tenant, or deletes its record if it holds nothing.
    fn put_tenant(&mut self, key: Vec<u8>, tenant: &Tenant) {
        if tenant.leased.is_empty() {
            self.overlay.delete(key);
        } else {
            self.write_tenant(key, tenant);
        }
    }

    /// Stores a tenant as it is.
    pub(super) fn write_tenant(&mut self, key: Vec<u8>, tenant: &Tenant) {
        let value = seal_record(&key, tenant);
        self.overlay.put(key, value);
    }

    fn records<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
        let entries = self.overlay.scan(prefix)?;
        entries
            .iter()
            .map(|(key, value)| unseal_record(key, value).ok_or_else(|| self.overlay.damaged(key)))
            .collect()
    }
}

/// Appends an address to a copy of a prefix.
pub(super) fn with_address(prefix: &[u8], address: IpAddr) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_address(&mut key, address);
    key
}
