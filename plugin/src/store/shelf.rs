//! What the store shows to the allocator of one network.

use std::net::IpAddr;

use super::codec::{Fields, former_key, parse_cursor, subnet_key};
use super::error::StoreError;
use super::extents;
use super::overlay::{Ordered, successor};
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::allocator::Shelf;
use crate::rules::lease::{ContainerId, ContainerName, Lease, NetworkId, Reservation};
use crate::rules::pool::Pool;

/// One network of a [`Transaction`], staged writes included.
///
/// [`Transaction::prepare`] must have been called with the pools in question, in this
/// transaction or an earlier one; until it is, expired reservations still count.
pub struct NetworkShelf<'t> {
    transaction: &'t Transaction<'t>,
    network: NetworkId,
}

impl Transaction<'_> {
    /// Returns what the allocator needs to see of a network.
    pub fn shelf(&self, network: &NetworkId) -> NetworkShelf<'_> {
        NetworkShelf {
            transaction: self,
            network: network.clone(),
        }
    }
}

impl NetworkShelf<'_> {
    /// Fails unless the store's extents were built from exactly this pool.
    fn require(&self, pool: &Pool) -> Result<(), StoreError> {
        let pools = self.transaction.pools(&self.network)?;
        let prepared = pools
            .iter()
            .any(|stored| stored.subnet == pool.subnet() && stored.spans == pool.spans());
        if prepared {
            Ok(())
        } else {
            Err(StoreError::Unprepared {
                network: self.network.clone(),
                subnet: pool.subnet(),
            })
        }
    }

    /// Looks a former tenant up in an index, and returns its most recently released address in
    /// the pool's subnet.
    fn latest_of(
        &self,
        pool: &Pool,
        table: Table,
        name: &str,
    ) -> Result<Option<IpAddr>, StoreError> {
        let overlay = &self.transaction.overlay;
        let prefix = former_key(table, &self.network, name)?;
        let mut next = prefix.clone();
        // A container has a reservation or two per subnet, so a step or two suffices.
        while let Some((key, _)) = overlay.at_or_above(&next)?
            && key.starts_with(&prefix)
        {
            let mut fields = Fields(&key[prefix.len()..]);
            let address = fields
                .bytes(16)
                .and_then(|_| fields.address())
                .ok_or_else(|| overlay.damaged(&key))?;
            if pool.covers(address) {
                return Ok(Some(address));
            }
            next = successor(&key);
        }
        Ok(None)
    }
}

impl Shelf for NetworkShelf<'_> {
    type Error = StoreError;

    fn lease(&self, address: IpAddr) -> Result<Option<Lease>, StoreError> {
        self.transaction.lease(&self.network, address)
    }

    fn reservation(&self, address: IpAddr) -> Result<Option<Reservation>, StoreError> {
        self.transaction.reservation(&self.network, address)
    }

    fn first_free(&self, pool: &Pool, from: IpAddr) -> Result<Option<IpAddr>, StoreError> {
        self.require(pool)?;
        let free = subnet_key(Table::Free, &self.network, pool.subnet())?;
        extents::first_free(&self.transaction.overlay, &free, from)
    }

    fn cursor(&self, pool: &Pool) -> Result<Option<IpAddr>, StoreError> {
        let overlay = &self.transaction.overlay;
        let key = subnet_key(Table::Cursor, &self.network, pool.subnet())?;
        let Some(value) = overlay.get(&key)? else {
            return Ok(None);
        };
        parse_cursor(&key, &value)
            .map(Some)
            .ok_or_else(|| overlay.damaged(&key))
    }

    fn reserved_for(
        &self,
        pool: &Pool,
        container_id: &ContainerId,
        container_name: &ContainerName,
    ) -> Result<Option<IpAddr>, StoreError> {
        let by_id = self.latest_of(pool, Table::FormerId, container_id.as_str())?;
        if by_id.is_some() || container_name.as_str().is_empty() {
            return Ok(by_id);
        }
        self.latest_of(pool, Table::FormerName, container_name.as_str())
    }

    fn next_yield(&self, pool: &Pool) -> Result<Option<IpAddr>, StoreError> {
        self.require(pool)?;
        let overlay = &self.transaction.overlay;
        let prefix = subnet_key(Table::Yield, &self.network, pool.subnet())?;
        let Some((key, _)) = overlay
            .at_or_above(&prefix)?
            .filter(|(key, _)| key.starts_with(&prefix))
        else {
            return Ok(None);
        };
        let mut fields = Fields(&key[prefix.len()..]);
        fields
            .bytes(9)
            .and_then(|_| fields.address())
            .and_then(|address| fields.end(Some(address)))
            .ok_or_else(|| overlay.damaged(&key))
    }
}
