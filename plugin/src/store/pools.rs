//! Pools and what is derived from them: free extents, cursors. They change as
//! the network's configuration does.

use std::net::IpAddr;
use std::rc::Rc;

use ipnetwork::IpNetwork;

use super::codec::{
    Fields, Table, address_key, address_payload, network_key, parse_spans, seal, spans_payload,
    split_network, subnet_key, unseal,
};
use super::error::StoreError;
use super::extents;
use super::overlay::{Ordered, OrderedMut};
use super::transaction::Transaction;
use crate::rules::lease::{Moment, NetworkId, Reservation};
use crate::rules::pool::{Pool, Span};

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

impl Transaction<'_> {
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
        let key = subnet_key(
            Table::Cursor,
            network,
            crate::rules::pool::normalise(subnet),
        )?;
        let value = seal(&key, &address_payload(address));
        self.overlay.put(key, value);
        Ok(())
    }

    /// Returns whether a network has no leases, and no holds that still last.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn is_idle(&self, network: &NetworkId, now: Moment) -> Result<bool, StoreError> {
        let lasts = |(_, hold): &(IpAddr, Reservation)| hold.until.boot_ms > now.boot_ms;
        Ok(self.first_leased(network)?.is_none() && !self.reservations(network)?.iter().any(lasts))
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
        for (address, hold) in self.reservations(network)? {
            self.remove_reservation(network, address, &hold)?;
        }
        for pool in self.pools(network)?.iter() {
            self.forget_pool(network, pool.subnet)?;
        }
        self.delete_all(&network_key(Table::Cursor, network)?)
    }

    /// Forgets a network with all that its containers hold: for whoever leases its
    /// addresses from now on, and has been told of them. The store has then never
    /// heard of it, so that its containers would be adopted again.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read.
    pub fn hand_over_network(&mut self, network: &NetworkId) -> Result<(), StoreError> {
        self.delete_all(&network_key(Table::Tenant, network)?)?;
        self.delete_all(&network_key(Table::Lease, network)?)?;
        self.forget_network(network)
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
    pub(super) fn take(&mut self, network: &NetworkId, address: IpAddr) -> Result<(), StoreError> {
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
            let key = address_key(Table::Reservation, network, address)?;
            let hold = self
                .record::<Reservation>(&key)?
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
