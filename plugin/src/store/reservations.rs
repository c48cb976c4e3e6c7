//! Reservations and their indexes.
//!
//! A reservation has one entry each by its end, by its former tenant's container id and by that
//! container's name, and one in the yielding order of each pool that offers the address.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::codec::{
    Fields, StoredPool, address_key, former_key, network_key, push_latest_first, seal, seal_record,
    split_network, subnet_key, unseal_record, with_address, yield_rank,
};
use super::error::StoreError;
use super::overlay::{Ordered, OrderedMut, successor};
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::{Moment, NetworkId, Reservation};
use crate::rules::pool::last_address;

/// Refuses names that cannot be keys.
pub(super) fn check_names(
    network: &NetworkId,
    reservation: &Reservation,
) -> Result<(), StoreError> {
    former_key(Table::FormerId, network, reservation.container_id.as_str())?;
    former_key(
        Table::FormerName,
        network,
        reservation.container_name.as_str(),
    )?;
    Ok(())
}

/// Returns the keys of a reservation's index entries, given the network's pools.
pub(super) fn index_keys(
    network: &NetworkId,
    address: IpAddr,
    reservation: &Reservation,
    pools: &[StoredPool],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut expiry = network_key(Table::Expiry, network)?;
    expiry.extend_from_slice(&reservation.until.boot_ms.to_be_bytes());
    let mut id = former_key(Table::FormerId, network, reservation.container_id.as_str())?;
    push_latest_first(&mut id, reservation.released);
    let mut name = former_key(
        Table::FormerName,
        network,
        reservation.container_name.as_str(),
    )?;
    push_latest_first(&mut name, reservation.released);
    let mut keys = vec![
        with_address(&expiry, address),
        with_address(&id, address),
        with_address(&name, address),
    ];
    for pool in pools.iter().filter(|pool| pool.offers(address)) {
        keys.push(yield_key(network, pool.subnet, address, reservation)?);
    }
    Ok(keys)
}

fn yield_key(
    network: &NetworkId,
    subnet: IpNetwork,
    address: IpAddr,
    reservation: &Reservation,
) -> Result<Vec<u8>, StoreError> {
    let mut key = subnet_key(Table::Yield, network, subnet)?;
    key.push(yield_rank(reservation.kind));
    key.extend_from_slice(&reservation.until.boot_ms.to_be_bytes());
    Ok(with_address(&key, address))
}

impl Transaction<'_> {
    /// Returns the reservation of an address, expired or not.
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

    /// Returns the reservations of a network by address, expired or not.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn reservations(
        &self,
        network: &NetworkId,
    ) -> Result<Vec<(IpAddr, Reservation)>, StoreError> {
        let prefix = network_key(Table::Reservation, network)?;
        let reservations = self.reservations_under(&prefix)?;
        Ok(reservations
            .into_iter()
            .map(|(_, address, reservation)| (address, reservation))
            .collect())
    }

    /// Returns all reservations of all networks.
    pub(super) fn all_reservations(
        &self,
    ) -> Result<Vec<(NetworkId, IpAddr, Reservation)>, StoreError> {
        self.reservations_under(&Table::Reservation.prefix())
    }

    fn reservations_under(
        &self,
        prefix: &[u8],
    ) -> Result<Vec<(NetworkId, IpAddr, Reservation)>, StoreError> {
        self.read_all(prefix, parse_reservation)
    }

    /// Reserves an address that is neither leased, reserved nor free.
    pub(super) fn put_reservation(
        &mut self,
        network: &NetworkId,
        address: IpAddr,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        for key in index_keys(network, address, reservation, &self.pools(network)?)? {
            let value = seal(&key, &[]);
            self.overlay.put(key, value);
        }
        let key = address_key(Table::Reservation, network, address)?;
        let value = seal_record(&key, reservation);
        self.overlay.put(key, value);
        Ok(())
    }

    /// Removes a reservation. The address is then neither leased, reserved nor free.
    pub(super) fn remove_reservation(
        &mut self,
        network: &NetworkId,
        address: IpAddr,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        for key in index_keys(network, address, reservation, &self.pools(network)?)? {
            self.overlay.delete(key);
        }
        self.overlay
            .delete(address_key(Table::Reservation, network, address)?);
        Ok(())
    }

    /// Returns the reserved addresses of a subnet, sorted.
    pub(super) fn reserved_in(
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

    /// Adds a reservation to the yielding order of one pool.
    pub(super) fn put_yield(
        &mut self,
        network: &NetworkId,
        subnet: IpNetwork,
        address: IpAddr,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        let key = yield_key(network, subnet, address, reservation)?;
        let value = seal(&key, &[]);
        self.overlay.put(key, value);
        Ok(())
    }

    /// Frees the addresses of the network whose reservations end at or before `now`.
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
            let Some(reservation) = self.reservation(network, address)? else {
                return Err(self.overlay.damaged(&key));
            };
            self.remove_reservation(network, address, &reservation)?;
            self.give(network, address)?;
            next = successor(&key);
        }
        Ok(())
    }

    /// Moves all reservations to the clock of a new boot: from `now` on, each keeps the time
    /// that it had left at the last commit of the old boot.
    pub(super) fn rebase_reservations(&mut self, now: Moment) -> Result<(), StoreError> {
        let last_ms = self.meta.clock_ms;
        for (network, address, reservation) in self.all_reservations()? {
            let left = reservation.until.boot_ms.saturating_sub(last_ms);
            let ago = last_ms.saturating_sub(reservation.released.boot_ms);
            let mut rebased = reservation.clone();
            rebased.until.boot_ms = now.boot_ms.saturating_add(left);
            rebased.released.boot_ms = now.boot_ms.saturating_sub(ago);
            self.remove_reservation(&network, address, &reservation)?;
            self.put_reservation(&network, address, &rebased)?;
        }
        Ok(())
    }
}

/// Reads an entry of [`Table::Reservation`].
pub(super) fn parse_reservation(
    key: &[u8],
    value: &[u8],
) -> Option<(NetworkId, IpAddr, Reservation)> {
    let (network, mut fields) = split_network(key)?;
    let address = fields.address()?;
    fields.end((network, address, unseal_record(key, value)?))
}
