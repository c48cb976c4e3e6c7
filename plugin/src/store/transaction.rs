//! Typed reads and writes, staged until they are committed as one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use ipnetwork::IpNetwork;
use serde::de::DeserializeOwned;

use super::Store;
use super::codec::{
    Fields, Table, address_key, address_payload, network_key, parse_spans, push_address, seal,
    seal_record, spans_payload, split_network, subnet_key, tenancy_key, unseal, unseal_record,
};
use super::error::StoreError;
use super::extents;
use super::meta::{Collection, Meta};
use super::overlay::{Ordered, OrderedMut, Overlay};
use crate::lease::{Hold, Holding, Kind, Lease, Moment, NetworkId, Tenancy, Tenant};
use crate::pool::{Pool, Span};

/// What the store keeps of a pool: the spans its free extents were built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredPool {
    pub(super) subnet: IpNetwork,
    pub(super) spans: Vec<Span>,
}

impl StoredPool {
    /// Returns whether the address may be leased dynamically.
    pub(super) fn offers(&self, address: IpAddr) -> bool {
        let after = self.spans.partition_point(|span| span.first() <= address);
        after > 0 && self.spans[after - 1].contains(address)
    }
}

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
    pools: RefCell<HashMap<NetworkId, Rc<[StoredPool]>>>,
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

    /// Returns every network the store keeps pools of, sorted.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn networks(&self) -> Result<Vec<NetworkId>, StoreError> {
        let mut networks = Vec::new();
        for (key, value) in self.overlay.scan(&Table::Pool.prefix())? {
            let (network, _) =
                parse_pool(&key, &value).ok_or_else(|| self.overlay.damaged(&key))?;
            if networks.last() != Some(&network) {
                networks.push(network);
            }
        }
        Ok(networks)
    }

    /// Returns the hold on an address, expired or not.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn hold(&self, network: &NetworkId, address: IpAddr) -> Result<Option<Hold>, StoreError> {
        self.record(&address_key(Table::Hold, network, address)?)
    }

    /// Returns the holds of a network by address, expired or not.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn holds(&self, network: &NetworkId) -> Result<Vec<(IpAddr, Hold)>, StoreError> {
        let prefix = network_key(Table::Hold, network)?;
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

    /// Makes the network's pools those of its configuration, and lets its expired
    /// holds (`until` at or before `now`) go.
    ///
    /// Free addresses are worked out anew for pools that are new or changed;
    /// pools of subnets no longer configured are forgotten, while leases and
    /// holds in them stay. Costs O(expired · log n) if no pool has changed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read.
    pub fn prepare(
        &mut self,
        network: &NetworkId,
        pools: &[Pool],
        now: Moment,
    ) -> Result<(), StoreError> {
        let stored = self.pools(network)?;
        for old in stored.iter() {
            if !pools.iter().any(|pool| pool.subnet() == old.subnet) {
                self.forget_pool(network, old.subnet)?;
                let cursor = subnet_key(Table::Cursor, network, old.subnet)?;
                self.delete_if_there(cursor)?;
            }
        }
        for pool in pools {
            let same = |old: &StoredPool| old.subnet == pool.subnet() && old.spans == pool.spans();
            if !stored.iter().any(same) {
                self.forget_pool(network, pool.subnet())?;
                let stored = StoredPool {
                    subnet: pool.subnet(),
                    spans: pool.spans().to_vec(),
                };
                self.build_pool(network, &stored)?;
            }
        }
        self.expire(network, now)
    }

    /// Makes the tenancy's holdings exactly `wanted`, in this order, each with a
    /// new generation, and returns the tenant as stored.
    ///
    /// `tenant.holdings` is ignored. An address the tenancy holds and no longer
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
        let before = held.map_or_else(Vec::new, |tenant| tenant.holdings);
        for holding in &before {
            let dropped = !wanted.iter().any(|(wish, _)| *wish == holding.address);
            if dropped && !self.is_anothers(&tenant.tenancy, holding.address)? {
                self.delete_lease(&network, holding.address)?;
                self.give(&network, holding.address)?;
            }
        }
        tenant.holdings.clear();
        for (address, kind) in wanted.iter().copied() {
            if !before.iter().any(|holding| holding.address == address) {
                match self.hold(&network, address)? {
                    Some(hold) => self.remove_hold(&network, address, &hold)?,
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
            tenant.holdings.push(Holding {
                address,
                generation,
                kind,
            });
        }
        self.put_tenant(tenant_key, &tenant);
        Ok(tenant)
    }

    /// Replaces the tenant's record, except for its holdings.
    ///
    /// # Errors
    /// [`StoreError::Changed`] unless the stored holdings equal
    /// `tenant.holdings`, order included.
    pub fn update(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let key = tenancy_key(&tenant.tenancy)?;
        let stored: Option<Tenant> = self.record(&key)?;
        if stored.is_none_or(|stored| stored.holdings != tenant.holdings) {
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
        hold: Option<Hold>,
    ) -> Result<bool, StoreError> {
        let tenant_key = tenancy_key(tenancy)?;
        let Some(mut tenant) = self.record::<Tenant>(&tenant_key)? else {
            return Ok(false);
        };
        let holds_it =
            |holding: &Holding| holding.address == address && holding.generation == generation;
        let Some(at) = tenant.holdings.iter().position(holds_it) else {
            return Ok(false);
        };
        let network = &tenancy.network_id;
        let hold = hold.filter(|hold| hold.until.boot_ms > hold.released.boot_ms);
        if let Some(hold) = &hold {
            // Names that cannot be keys must be found out before anything is staged.
            super::holds::check_names(network, hold)?;
        }
        tenant.holdings.remove(at);
        self.put_tenant(tenant_key, &tenant);
        if self.is_anothers(tenancy, address)? {
            // The records disagree (`Violation::HoldingWithoutLease`): whoever
            // else has the lease keeps it.
            return Ok(true);
        }
        self.delete_lease(network, address)?;
        match hold {
            Some(hold) => self.put_hold(network, address, &hold)?,
            None => self.give(network, address)?,
        }
        Ok(true)
    }

    /// Returns whether the lease of an address is another tenancy's.
    fn is_anothers(&self, tenancy: &Tenancy, address: IpAddr) -> Result<bool, StoreError> {
        let lease = self.lease(&tenancy.network_id, address)?;
        Ok(lease.is_some_and(|lease| lease.tenancy != *tenancy))
    }

    /// Remembers the last address leased dynamically from a subnet.
    ///
    /// # Errors
    /// [`StoreError::Name`] if the network's id cannot be a key.
    pub fn set_cursor(
        &mut self,
        network: &NetworkId,
        subnet: IpNetwork,
        address: IpAddr,
    ) -> Result<(), StoreError> {
        let key = subnet_key(Table::Cursor, network, crate::pool::normalise(subnet))?;
        let value = seal(&key, &address_payload(address));
        self.overlay.put(key, value);
        Ok(())
    }

    /// Returns whether a network has no leases, and no holds that still last.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn is_idle(&self, network: &NetworkId, now: Moment) -> Result<bool, StoreError> {
        let lasts = |(_, hold): &(IpAddr, Hold)| hold.until.boot_ms > now.boot_ms;
        Ok(self.first_leased(network)?.is_none() && !self.holds(network)?.iter().any(lasts))
    }

    /// Forgets a network that is gone: its pools, cursors and holds.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if it still has leases.
    pub fn forget_network(&mut self, network: &NetworkId) -> Result<(), StoreError> {
        if let Some(address) = self.first_leased(network)? {
            return Err(StoreError::InUse {
                network: network.clone(),
                address,
            });
        }
        for (address, hold) in self.holds(network)? {
            self.remove_hold(network, address, &hold)?;
        }
        for pool in self.pools(network)?.iter() {
            self.forget_pool(network, pool.subnet)?;
        }
        self.delete_all(&network_key(Table::Cursor, network)?)
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

    /// Stages the change to another boot.
    pub(super) fn set_boot(&mut self, boot_id: &str, now: Moment) {
        boot_id.clone_into(&mut self.meta.boot_id);
        self.meta.since = now;
        self.meta.surveyed = false;
        self.meta.collection = None;
        self.stage_meta();
    }

    /// Notes that what the host's namespaces hold has been adopted.
    pub fn set_surveyed(&mut self) {
        self.meta.surveyed = true;
        self.stage_meta();
    }

    /// Notes what a collection did.
    pub fn set_collection(&mut self, collection: Collection) {
        self.meta.collection = Some(collection);
        self.stage_meta();
    }

    /// The record itself is written by every commit that has something staged.
    fn stage_meta(&mut self) {
        self.overlay.put(Table::Meta.prefix(), Vec::new());
    }

    /// Stages another highest generation, kept by the next commit.
    pub(super) fn set_generation(&mut self, generation: u64) {
        self.meta.generation = generation;
        self.stage_meta();
    }

    /// Returns what the store keeps of the network's pools, by subnet.
    pub(super) fn pools(&self, network: &NetworkId) -> Result<Rc<[StoredPool]>, StoreError> {
        if let Some(pools) = self.pools.borrow().get(network) {
            return Ok(Rc::clone(pools));
        }
        let prefix = network_key(Table::Pool, network)?;
        let pools = self
            .overlay
            .scan(&prefix)?
            .iter()
            .map(|(key, value)| {
                parse_pool(key, value)
                    .map(|(_, pool)| pool)
                    .ok_or_else(|| self.overlay.damaged(key))
            })
            .collect::<Result<Rc<[_]>, _>>()?;
        self.pools
            .borrow_mut()
            .insert(network.clone(), Rc::clone(&pools));
        Ok(pools)
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

    /// Makes an address free wherever it is offered.
    pub(super) fn give(&mut self, network: &NetworkId, address: IpAddr) -> Result<(), StoreError> {
        for pool in self.pools(network)?.iter() {
            if pool.offers(address) {
                let free = subnet_key(Table::Free, network, pool.subnet)?;
                extents::give(&mut self.overlay, &free, address)?;
            }
        }
        Ok(())
    }

    /// Takes an address out of the free ones.
    fn take(&mut self, network: &NetworkId, address: IpAddr) -> Result<(), StoreError> {
        for pool in self.pools(network)?.iter() {
            if pool.offers(address) {
                let free = subnet_key(Table::Free, network, pool.subnet)?;
                extents::take(&mut self.overlay, &free, address)?;
            }
        }
        Ok(())
    }

    /// Builds what is derived from a pool's spans, the leases and the holds.
    pub(super) fn build_pool(
        &mut self,
        network: &NetworkId,
        pool: &StoredPool,
    ) -> Result<(), StoreError> {
        let subnet = pool.subnet;
        let key = subnet_key(Table::Pool, network, subnet)?;
        let value = seal(&key, &spans_payload(&pool.spans));
        self.overlay.put(key, value);
        let held = self.held_in(network, subnet)?;
        let mut taken = self.leased_in(network, subnet)?;
        taken.extend(&held);
        taken.sort_unstable();
        let free = subnet_key(Table::Free, network, subnet)?;
        for extent in extents::remaining(&pool.spans, taken) {
            extents::put(&mut self.overlay, &free, extent);
        }
        for address in held.into_iter().filter(|address| pool.offers(*address)) {
            let key = address_key(Table::Hold, network, address)?;
            let hold = self
                .record::<Hold>(&key)?
                .ok_or_else(|| self.overlay.damaged(&key))?;
            self.put_yield(network, subnet, address, &hold)?;
        }
        self.pools.borrow_mut().remove(network);
        Ok(())
    }

    /// Deletes a pool and what is derived from it.
    fn forget_pool(&mut self, network: &NetworkId, subnet: IpNetwork) -> Result<(), StoreError> {
        self.delete_all(&subnet_key(Table::Free, network, subnet)?)?;
        self.delete_all(&subnet_key(Table::Yield, network, subnet)?)?;
        self.delete_if_there(subnet_key(Table::Pool, network, subnet)?)?;
        self.pools.borrow_mut().remove(network);
        Ok(())
    }

    pub(super) fn delete_all(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        for (key, _) in self.overlay.scan(prefix)? {
            self.overlay.delete(key);
        }
        Ok(())
    }

    fn delete_if_there(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if self.overlay.get(&key)?.is_some() {
            self.overlay.delete(key);
        }
        Ok(())
    }

    /// Stores a tenant, or deletes its record if it holds nothing.
    fn put_tenant(&mut self, key: Vec<u8>, tenant: &Tenant) {
        if tenant.holdings.is_empty() {
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

/// Reads an entry of [`Table::Pool`].
pub(super) fn parse_pool(key: &[u8], value: &[u8]) -> Option<(NetworkId, StoredPool)> {
    let (network, mut fields) = split_network(key)?;
    let subnet = fields.subnet()?;
    let spans = parse_spans(unseal(key, value)?)?;
    fields.end((network, StoredPool { subnet, spans }))
}

/// Reads an entry of [`Table::Cursor`].
pub(super) fn parse_cursor(key: &[u8], value: &[u8]) -> Option<IpAddr> {
    let mut fields = Fields(unseal(key, value)?);
    let address = fields.address()?;
    fields.end(address)
}

/// Appends an address to a copy of a prefix.
pub(super) fn with_address(prefix: &[u8], address: IpAddr) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_address(&mut key, address);
    key
}
