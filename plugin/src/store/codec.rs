//! Keys and values as bytes.
//!
//! All tables share one ordered key space; a key's first byte names its table. Numbers are
//! big-endian, so that keys sort as addresses and moments do. Each name ends with a NUL, which
//! it may not contain, so that no name is a prefix of another.
//!
//! A value is a CRC-32 of key and payload, followed by the payload. This detects a value that
//! was changed, or that turns up under another key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::tables::Table;
use crate::rules::lease::{Kind, Moment, NetworkId, Tenancy};
use crate::rules::pool::Span;

/// Appends a name and its end mark.
pub(super) fn push_name(
    key: &mut Vec<u8>,
    what: &'static str,
    name: &str,
) -> Result<(), StoreError> {
    if name.contains('\0') {
        return Err(StoreError::Name {
            what,
            name: name.to_owned(),
            problem: "divided by a NUL",
        });
    }
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    Ok(())
}

/// Appends an address: 4 or 6, then its octets.
pub(super) fn push_address(key: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            key.push(4);
            key.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            key.push(6);
            key.extend_from_slice(&v6.octets());
        }
    }
}

/// Returns the prefix with an address after it.
pub(super) fn with_address(prefix: &[u8], address: IpAddr) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_address(&mut key, address);
    key
}

/// Returns the prefix of a network's keys in a table.
pub(super) fn network_key(table: Table, network: &NetworkId) -> Result<Vec<u8>, StoreError> {
    if network.as_str().is_empty() {
        return Err(StoreError::Name {
            what: "network id",
            name: String::new(),
            problem: "empty",
        });
    }
    let mut key = table.prefix();
    push_name(&mut key, "network id", network.as_str())?;
    Ok(key)
}

/// Returns the key of an address in [`Table::Reservation`], or of a block in [`Table::Lease`].
pub(super) fn address_key(
    table: Table,
    network: &NetworkId,
    address: IpAddr,
) -> Result<Vec<u8>, StoreError> {
    let mut key = network_key(table, network)?;
    push_address(&mut key, address);
    Ok(key)
}

/// Returns the key of a subnet in [`Table::Pool`] or [`Table::Cursor`], and the
/// prefix of its keys in [`Table::Free`] and [`Table::Yield`].
pub(super) fn subnet_key(
    table: Table,
    network: &NetworkId,
    subnet: IpNetwork,
) -> Result<Vec<u8>, StoreError> {
    let mut key = network_key(table, network)?;
    push_address(&mut key, subnet.network());
    key.push(subnet.prefix());
    Ok(key)
}

/// Returns the key of a tenant.
pub(super) fn tenancy_key(tenancy: &Tenancy) -> Result<Vec<u8>, StoreError> {
    let mut key = network_key(Table::Tenant, &tenancy.network_id)?;
    push_name(&mut key, "container id", tenancy.container_id.as_str())?;
    push_name(&mut key, "interface name", tenancy.interface.as_str())?;
    Ok(key)
}

/// Returns the prefix of a former tenant's keys in [`Table::FormerId`] or
/// [`Table::FormerName`].
pub(super) fn former_key(
    table: Table,
    network: &NetworkId,
    name: &str,
) -> Result<Vec<u8>, StoreError> {
    let mut key = network_key(table, network)?;
    push_name(&mut key, "container id or name", name)?;
    Ok(key)
}

/// Appends a moment, encoded so that later moments sort first.
pub(super) fn push_latest_first(key: &mut Vec<u8>, moment: Moment) {
    key.extend_from_slice(&(!moment.boot_ms).to_be_bytes());
    key.extend_from_slice(&(!moment.wall_ms).to_be_bytes());
}

/// Returns a kind's rank in the order in which reservations yield.
pub(super) const fn yield_rank(kind: Kind) -> u8 {
    match kind {
        Kind::Dynamic => 0,
        Kind::Static => 1,
    }
}

/// Reads fields off the front of a key or payload.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Takes `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes an eight-byte number.
    pub(super) fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.bytes(8)?.try_into().ok()?))
    }

    /// Takes a name and its end mark.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let name = self.bytes(end)?;
        self.bytes(1)?;
        std::str::from_utf8(name).ok()
    }

    /// Takes an address.
    pub(super) fn address(&mut self) -> Option<IpAddr> {
        match self.bytes(1)? {
            [4] => {
                let octets: [u8; 4] = self.bytes(4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(octets)))
            }
            [6] => {
                let octets: [u8; 16] = self.bytes(16)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(octets)))
            }
            _ => None,
        }
    }

    /// Takes a subnet.
    pub(super) fn subnet(&mut self) -> Option<IpNetwork> {
        let address = self.address()?;
        let &[prefix] = self.bytes(1)? else {
            return None;
        };
        IpNetwork::new(address, prefix).ok()
    }

    /// Returns `value` if no field is left over.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// Returns the network and what follows it in a key.
pub(super) fn split_network(key: &[u8]) -> Option<(NetworkId, Fields<'_>)> {
    let mut fields = Fields(key.get(1..)?);
    let network = NetworkId::from(fields.name()?);
    Some((network, fields))
}

/// Returns the address that a key ends with, which in every index is its last field.
pub(super) fn last_address(key: &[u8], prefix_len: usize) -> Option<IpAddr> {
    let mut fields = Fields(key.get(prefix_len..)?);
    let address = fields.address()?;
    fields.end(address)
}

/// Returns spans as bytes.
pub(super) fn spans_payload(spans: &[Span]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(spans.len() * 34);
    for span in spans {
        push_address(&mut payload, span.first());
        push_address(&mut payload, span.last());
    }
    payload
}

/// Reads spans.
pub(super) fn parse_spans(payload: &[u8]) -> Option<Vec<Span>> {
    let mut fields = Fields(payload);
    let mut spans = Vec::new();
    while !fields.0.is_empty() {
        spans.push(Span::new(fields.address()?, fields.address()?)?);
    }
    Some(spans)
}

/// A pool as it is stored: the spans that its free extents were built from.
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

/// Returns an address as a payload.
pub(super) fn address_payload(address: IpAddr) -> Vec<u8> {
    let mut payload = Vec::with_capacity(17);
    push_address(&mut payload, address);
    payload
}

/// Returns the checksum of a payload under its key.
fn checksum(key: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_be_bytes()
}

/// Returns the value to store under a key.
pub(super) fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(payload.len() + 4);
    value.extend_from_slice(&checksum(key, payload));
    value.extend_from_slice(payload);
    value
}

/// Returns the payload of a value, or `None` if the checksum is wrong.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, payload) = value.split_at_checked(4)?;
    (sum == checksum(key, payload)).then_some(payload)
}

/// Returns a record's value.
pub(super) fn seal_record<T: Serialize>(key: &[u8], record: &T) -> Vec<u8> {
    let payload =
        serde_json::to_vec(record).expect("our records have string keys and finite numbers only");
    seal(key, &payload)
}

/// Returns a record, or `None` if it is damaged.
pub(super) fn unseal_record<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Option<T> {
    serde_json::from_slice(unseal(key, value)?).ok()
}
