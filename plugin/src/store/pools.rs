//! Pools, their free addresses, and their cursors.

use std::net::IpAddr;
use std::rc::Rc;

use ipnetwork::IpNetwork;

use super::codec::{StoredPool, address_payload, network_key, parse_pool, seal, subnet_key};
use super::error::StoreError;
use super::extents;
use super::overlay::OrderedMut;
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::NetworkId;
use crate::rules::pool::normalise;

impl Transaction<'_> {
    /// Returns every network that the store keeps pools of, sorted.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn networks(&self) -> Result<Vec<NetworkId>, StoreError> {
        let mut networks: Vec<_> = self.all_pools()?.into_iter().map(|(id, _)| id).collect();
        networks.dedup();
        Ok(networks)
    }

    /// Returns all pools of all networks, by network and subnet.
    pub(super) fn all_pools(&self) -> Result<Vec<(NetworkId, StoredPool)>, StoreError> {
        self.pools_under(&Table::Pool.prefix())
    }

    fn pools_under(&self, prefix: &[u8]) -> Result<Vec<(NetworkId, StoredPool)>, StoreError> {
        self.read_all(prefix, parse_pool)
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
        let key = subnet_key(Table::Cursor, network, normalise(subnet))?;
        let value = seal(&key, &address_payload(address));
        self.overlay.put(key, value);
        Ok(())
    }

    /// Returns the network's pools as stored, by subnet.
    pub(super) fn pools(&self, network: &NetworkId) -> Result<Rc<[StoredPool]>, StoreError> {
        if let Some(pools) = self.pools.borrow().get(network) {
            return Ok(Rc::clone(pools));
        }
        let prefix = network_key(Table::Pool, network)?;
        let pools = self.pools_under(&prefix)?;
        let pools: Rc<[_]> = pools.into_iter().map(|(_, pool)| pool).collect();
        self.pools
            .borrow_mut()
            .insert(network.clone(), Rc::clone(&pools));
        Ok(pools)
    }

    /// Makes an address free in every pool that offers it.
    pub(super) fn give(&mut self, network: &NetworkId, address: IpAddr) -> Result<(), StoreError> {
        for pool in self.pools(network)?.iter() {
            if pool.offers(address) {
                let free = subnet_key(Table::Free, network, pool.subnet)?;
                extents::give(&mut self.overlay, &free, address)?;
            }
        }
        Ok(())
    }

    /// Removes an address from the free ones.
    pub(super) fn take(&mut self, network: &NetworkId, address: IpAddr) -> Result<(), StoreError> {
        for pool in self.pools(network)?.iter() {
            if pool.offers(address) {
                let free = subnet_key(Table::Free, network, pool.subnet)?;
                extents::take(&mut self.overlay, &free, address)?;
            }
        }
        Ok(())
    }
}
