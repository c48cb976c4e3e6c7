//! Leases, sixteen addresses to a record.
//!
//! The cost of opening grows with the number of sled's pages, and a page has at least eight
//! records, however small they are. With a record per address, leases made up half of all
//! pages; with a record per block of sixteen, next to none.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::codec::{address_key, network_key, seal_record, split_network, unseal_record};
use super::error::StoreError;
use super::overlay::{Ordered, OrderedMut, successor};
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::{ContainerId, InterfaceName, Kind, Lease, NetworkId, Tenancy};
use crate::rules::pool::{Family, last_address, number};

/// The bits of an address that give its place within its block.
const WITHIN: u128 = 0xf;

/// A lease in its block: last four bits of the address, generation, kind, container id,
/// interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry(u8, u64, Kind, ContainerId, InterfaceName);

/// The leases of a block, by address.
type Block = Vec<Entry>;

/// Returns the first address of an address's block.
fn block(address: IpAddr) -> IpAddr {
    Family::of(address).address(number(address) & !WITHIN)
}

/// Returns an address's place in its block.
fn place(address: IpAddr) -> u8 {
    u8::try_from(number(address) & WITHIN).expect("four bits fit in a byte")
}

impl Transaction<'_> {
    /// Returns the lease of an address.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub fn lease(&self, network: &NetworkId, address: IpAddr) -> Result<Option<Lease>, StoreError> {
        let key = address_key(Table::Lease, network, block(address))?;
        let entries: Option<Block> = self.record(&key)?;
        let entry = entries
            .unwrap_or_default()
            .into_iter()
            .find(|entry| entry.0 == place(address));
        Ok(entry.map(|entry| lease(network, entry)))
    }

    /// Stores the lease of an address, replacing any old one.
    pub(super) fn put_lease(&mut self, address: IpAddr, lease: &Lease) -> Result<(), StoreError> {
        let tenancy = lease.tenancy.clone();
        let entry = Entry(
            place(address),
            lease.generation,
            lease.kind,
            tenancy.container_id,
            tenancy.interface,
        );
        self.edit_block(&tenancy.network_id, address, Some(entry))
    }

    /// Deletes the lease of an address.
    pub(super) fn delete_lease(
        &mut self,
        network: &NetworkId,
        address: IpAddr,
    ) -> Result<(), StoreError> {
        self.edit_block(network, address, None)
    }

    fn edit_block(
        &mut self,
        network: &NetworkId,
        address: IpAddr,
        entry: Option<Entry>,
    ) -> Result<(), StoreError> {
        let key = address_key(Table::Lease, network, block(address))?;
        let mut entries: Block = self.record(&key)?.unwrap_or_default();
        entries.retain(|other| other.0 != place(address));
        entries.extend(entry);
        if entries.is_empty() {
            self.overlay.delete(key);
        } else {
            entries.sort_unstable_by_key(|entry| entry.0);
            let value = seal_record(&key, &entries);
            self.overlay.put(key, value);
        }
        Ok(())
    }

    /// Returns the leased addresses of a subnet, sorted.
    pub(super) fn leased_in(
        &self,
        network: &NetworkId,
        subnet: IpNetwork,
    ) -> Result<Vec<IpAddr>, StoreError> {
        let last = address_key(Table::Lease, network, block(last_address(subnet)))?;
        let mut next = address_key(Table::Lease, network, block(subnet.network()))?;
        let mut addresses = Vec::new();
        while let Some((key, value)) = self.overlay.at_or_above(&next)?
            && key <= last
        {
            let entries = parse_block(&key, &value).ok_or_else(|| self.overlay.damaged(&key))?;
            let leased = entries.into_iter().map(|(_, address, _)| address);
            addresses.extend(leased.filter(|address| subnet.contains(*address)));
            next = successor(&key);
        }
        Ok(addresses)
    }

    /// Returns the lowest leased address of a network.
    pub(super) fn first_leased(&self, network: &NetworkId) -> Result<Option<IpAddr>, StoreError> {
        let prefix = network_key(Table::Lease, network)?;
        let Some((key, value)) = self
            .overlay
            .at_or_above(&prefix)?
            .filter(|(key, _)| key.starts_with(&prefix))
        else {
            return Ok(None);
        };
        let entries = parse_block(&key, &value).ok_or_else(|| self.overlay.damaged(&key))?;
        Ok(entries.first().map(|(_, address, _)| *address))
    }

    /// Returns all leases of all networks.
    pub(super) fn all_leases(&self) -> Result<Vec<(NetworkId, IpAddr, Lease)>, StoreError> {
        let blocks = self.read_all(&Table::Lease.prefix(), parse_block)?;
        Ok(blocks.into_iter().flatten().collect())
    }
}

fn lease(network: &NetworkId, entry: Entry) -> Lease {
    let Entry(_, generation, kind, container_id, interface) = entry;
    Lease {
        tenancy: Tenancy {
            network_id: network.clone(),
            container_id,
            interface,
        },
        generation,
        kind,
    }
}

/// Reads an entry of [`Table::Lease`], which has at least one lease.
fn parse_block(key: &[u8], value: &[u8]) -> Option<Vec<(NetworkId, IpAddr, Lease)>> {
    let (network, mut fields) = split_network(key)?;
    let base = fields.address()?;
    let base = fields.end(base)?;
    let entries: Block = unseal_record(key, value)?;
    let at = |entry: &Entry| {
        let address = Family::of(base).address(number(base) | u128::from(entry.0));
        (block(address) == base).then_some(address)
    };
    let leases: Option<Vec<_>> = entries
        .into_iter()
        .map(|entry| Some((network.clone(), at(&entry)?, lease(&network, entry))))
        .collect();
    leases.filter(|leases| !leases.is_empty())
}
