//! Holds and their indexes.
//!
//! A hold has one entry each by its end, by its former holder's id and by its
//! name, and one in the yielding order of each pool that offers the address.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::codec::{
    Fields, Table, address_key, holder_key, network_key, push_latest_first, seal, seal_record,
    subnet_key, yield_rank,
};
use super::error::StoreError;
use super::overlay::{Ordered, OrderedMut, successor};
use super::pools::StoredPool;
use super::transaction::{Transaction, with_address};
use crate::rules::lease::{Moment, NetworkId, Reservation};
use crate::rules::pool::last_address;

/// Finds out names that cannot be keys.
pub(super) fn check_names(network: &NetworkId, hold: &Reservation) -> Result<(), StoreError> {
    holder_key(Table::HolderId, network, hold.container_id.as_str())?;
    holder_key(Table::HolderName, network, hold.container_name.as_str())?;
    Ok(())
}

/// Returns the keys of a hold's index entries, given the network's pools.
pub(super) fn index_keys(
    network: &NetworkId,
    address: IpAddr,
    hold: &Reservation,
    pools: &[StoredPool],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut expiry = network_key(Table::Expiry, network)?;
    expiry.extend_from_slice(&hold.until.boot_ms.to_be_bytes());
    let mut id = holder_key(Table::HolderId, network, hold.container_id.as_str())?;
    push_latest_first(&mut id, hold.released);
    let mut name = holder_key(Table::HolderName, network, hold.container_name.as_str())?;
    push_latest_first(&mut name, hold.released);
    let mut keys = vec![
        with_address(&expiry, address),
        with_address(&id, address),
        with_address(&name, address),
    ];
    for pool in pools.iter().filter(|pool| pool.offers(address)) {
        keys.push(yield_key(network, pool.subnet, address, hold)?);
    }
    Ok(keys)
}

fn yield_key(
    network: &NetworkId,
    subnet: IpNetwork,
    address: IpAddr,
    hold: &Reservation,
) -> Result<Vec<u8>, StoreError> {
    let mut key = subnet_key(Table::Yield, network, subnet)?;
    key.push(yield_rank(hold.kind));
    key.extend_from_slice(&hold.until.boot_ms.to_be_bytes());
    Ok(with_address(&key, address))
}

impl Transaction<'_> {
    /// Holds an address that is neither leased, held nor free.
    pub(super) fn put_reservation(
        &mut self,
        network: &NetworkId,
        address: IpAddr,
        hold: &Reservation,
    ) -> Result<(), StoreError> {
        for key in index_keys(network, address, hold, &self.pools(network)?)? {
            let value = seal(&key, &[]);
            self.overlay.put(key, value);
        }
        let key = address_key(Table::Reservation, network, address)?;
        let value = seal_record(&key, hold);
        self.overlay.put(key, value);
        Ok(())
    }

    /// Ends a hold. The address is then neither leased, held nor free.
    pub(super) fn remove_reservation(
        &mut self,
        network: &NetworkId,
        address: IpAddr,
        hold: &Reservation,
    ) -> Result<(), StoreError> {
        for key in index_keys(network, address, hold, &self.pools(network)?)? {
            self.overlay.delete(key);
        }
        self.overlay
            .delete(address_key(Table::Reservation, network, address)?);
        Ok(())
    }

    /// Returns the held addresses of a subnet, sorted.
    pub(super) fn held_in(
        &self,
        network: &NetworkId,
        subnet: IpNetwork,
    ) -> Result<Vec<IpAddr>, StoreError> {
        let prefix_len = network_key(Table::Reservation, network)?.len();
        let last = address_key(Table::Reservation, network, last_address(subnet))?;
        let mut next = address_key(Table::Reservation, network, subnet.network())?;
        let mut addresses = Vec::new();
        while let Some((key, _)) = self.overlay.at_or_above(&next)?
            && key <= last
        {
            let address = super::codec::last_address(&key, prefix_len)
                .ok_or_else(|| self.overlay.damaged(&key))?;
            addresses.push(address);
            next = successor(&key);
        }
        Ok(addresses)
    }

    /// Enters a hold into the yielding order of one pool.
    pub(super) fn put_yield(
        &mut self,
        network: &NetworkId,
        subnet: IpNetwork,
        address: IpAddr,
        hold: &Reservation,
    ) -> Result<(), StoreError> {
        let key = yield_key(network, subnet, address, hold)?;
        let value = seal(&key, &[]);
        self.overlay.put(key, value);
        Ok(())
    }

    /// Frees the addresses of the network whose holds end at or before `now`.
    pub(super) fn expire(&mut self, network: &NetworkId, now: Moment) -> Result<(), StoreError> {
        let prefix = network_key(Table::Expiry, network)?;
        let mut next = prefix.clone();
        while let Some((key, _)) = self.overlay.at_or_above(&next)?
            && key.starts_with(&prefix)
        {
            let mut fields = Fields(&key[prefix.len()..]);
            let (Some(until), Some(address)) = (fields.number(), fields.address()) else {
                return Err(self.overlay.damaged(&key));
            };
            if until > now.boot_ms {
                break;
            }
            let Some(hold) = self.reservation(network, address)? else {
                return Err(self.overlay.damaged(&key));
            };
            self.remove_reservation(network, address, &hold)?;
            self.give(network, address)?;
            next = successor(&key);
        }
        Ok(())
    }

    /// Moves all holds to the clock of a new boot: what was left of each at the
    /// last commit of the old boot is left of it from `now` on.
    pub(super) fn rebase_reservations(&mut self, now: Moment) -> Result<(), StoreError> {
        let last_ms = self.meta.clock_ms;
        for (key, _) in self.overlay.scan(&Table::Reservation.prefix())? {
            let split = super::codec::split_network(&key)
                .and_then(|(network, mut fields)| Some((network, fields.address()?)));
            let Some((network, address)) = split else {
                return Err(self.overlay.damaged(&key));
            };
            let hold: Reservation = self
                .record(&key)?
                .ok_or_else(|| self.overlay.damaged(&key))?;
            let left = hold.until.boot_ms.saturating_sub(last_ms);
            let ago = last_ms.saturating_sub(hold.released.boot_ms);
            let mut rebased = hold.clone();
            rebased.until.boot_ms = now.boot_ms.saturating_add(left);
            rebased.released.boot_ms = now.boot_ms.saturating_sub(ago);
            self.remove_reservation(&network, address, &hold)?;
            self.put_reservation(&network, address, &rebased)?;
        }
        Ok(())
    }
}
