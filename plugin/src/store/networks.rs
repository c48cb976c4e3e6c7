//! Networks as a whole: their pools follow their configuration, and networks that are gone are
//! forgotten.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::codec::{StoredPool, address_key, network_key, seal, spans_payload, subnet_key};
use super::error::StoreError;
use super::extents;
use super::overlay::{Ordered, OrderedMut};
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::{Moment, NetworkId, Reservation};
use crate::rules::pool::Pool;

impl Transaction<'_> {
    /// Brings the network's pools in line with its configuration, and ends expired reservations
    /// (`until` at or before `now`).
    ///
    /// Recomputes the free addresses of pools that are new or changed. Forgets pools whose
    /// subnets are no longer configured, while leases and reservations in them stay. Costs
    /// O(expired · log n) if no pool has changed.
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

    /// Returns whether a network has no leases and no unexpired reservations.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn is_idle(&self, network: &NetworkId, now: Moment) -> Result<bool, StoreError> {
        let lasts =
            |(_, reservation): &(IpAddr, Reservation)| reservation.until.boot_ms > now.boot_ms;
        Ok(self.first_leased(network)?.is_none() && !self.reservations(network)?.iter().any(lasts))
    }

    /// Forgets a network that is gone: its pools, cursors and reservations.
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
        for (address, reservation) in self.reservations(network)? {
            self.remove_reservation(network, address, &reservation)?;
        }
        for pool in self.pools(network)?.iter() {
            self.forget_pool(network, pool.subnet)?;
        }
        self.delete_all(&network_key(Table::Cursor, network)?)
    }

    /// Forgets a network with all its leases, because something else leases its addresses from
    /// now on and knows of these. The store is then as if it had never heard of the network, so
    /// its containers would be adopted again.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read.
    pub fn hand_over_network(&mut self, network: &NetworkId) -> Result<(), StoreError> {
        self.delete_all(&network_key(Table::Tenant, network)?)?;
        self.delete_all(&network_key(Table::Lease, network)?)?;
        self.forget_network(network)
    }

    /// Stores a pool, and builds what is derived from its spans, the leases and the
    /// reservations.
    pub(super) fn build_pool(
        &mut self,
        network: &NetworkId,
        pool: &StoredPool,
    ) -> Result<(), StoreError> {
        let subnet = pool.subnet;
        let key = subnet_key(Table::Pool, network, subnet)?;
        let value = seal(&key, &spans_payload(&pool.spans));
        self.overlay.put(key, value);
        let reserved = self.reserved_in(network, subnet)?;
        let mut taken = self.leased_in(network, subnet)?;
        taken.extend(&reserved);
        taken.sort_unstable();
        let free = subnet_key(Table::Free, network, subnet)?;
        for extent in extents::remaining(&pool.spans, taken) {
            extents::put(&mut self.overlay, &free, extent);
        }
        for address in reserved.into_iter().filter(|at| pool.offers(*at)) {
            let key = address_key(Table::Reservation, network, address)?;
            let reservation = self
                .record::<Reservation>(&key)?
                .ok_or_else(|| self.overlay.damaged(&key))?;
            self.put_yield(network, subnet, address, &reservation)?;
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
}
