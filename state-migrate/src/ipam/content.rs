//! The meaning of the file: the networks, their subnets, and who has which address. Keys
//! that mean nothing to Podman are noted, and never touched.

use std::collections::BTreeMap;
use std::net::IpAddr;

use berth::rules::pool::normalise;
use ipnetwork::IpNetwork;

use super::key::{IDS, Key};
use crate::bolt::{Bucket, Item};

/// Everything in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The networks, by name.
    pub networks: BTreeMap<String, NetworkRecord>,
    /// Keys beside the networks that are not networks.
    pub foreign: Vec<Vec<u8>>,
}

/// What the file says about one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRecord {
    /// What `ids` lists for each container.
    pub ids: BTreeMap<String, Listed>,
    /// The subnets' buckets, in the order of their keys.
    pub subnets: Vec<SubnetRecord>,
    /// Keys that are neither.
    pub foreign: Vec<Vec<u8>>,
}

/// The addresses that `ids` lists for a container. Podman releases them when the container
/// stops, even if another container has them by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// In Podman's order, which is that of the subnets.
    Addresses(Vec<IpAddr>),
    /// Not a JSON list of addresses; Podman fails on it.
    Malformed(Vec<u8>),
}

impl Listed {
    fn parse(value: &[u8]) -> Self {
        let texts: Result<Vec<String>, _> = serde_json::from_slice(value);
        let addresses = texts.ok().and_then(|texts| {
            let parsed = texts.iter().map(|text| text.parse::<IpAddr>().ok());
            // Podman reads both ways of writing an IPv4 address as the same address.
            parsed
                .map(|address| Some(address?.to_canonical()))
                .collect::<Option<_>>()
        });
        addresses.map_or_else(|| Self::Malformed(value.to_owned()), Self::Addresses)
    }

    /// Returns the addresses; none if they cannot be read.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Addresses(addresses) => addresses,
            Self::Malformed(_) => &[],
        }
    }
}

/// What the file says about one subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetRecord {
    /// The key of its bucket, such as `10.88.0.0/16`.
    pub key: String,
    /// The subnet.
    pub subnet: IpNetwork,
    /// Its leases: what Podman's allocator reads before it leases an address.
    pub slots: Vec<Slot>,
    /// The last address that was leased dynamically.
    pub cursor: Option<Cursor>,
    /// Keys that are neither.
    pub foreign: Vec<Vec<u8>>,
}

/// A lease in a subnet's bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The address.
    pub address: IpAddr,
    /// Whether the key has 16 bytes for an IPv4 address, so that Podman's allocator never
    /// finds it.
    pub mapped: bool,
    /// The container's id.
    pub container: String,
}

impl Slot {
    /// Returns the key in the subnet's bucket.
    pub fn key(&self) -> Vec<u8> {
        match self.address {
            IpAddr::V4(v4) if self.mapped => v4.to_ipv6_mapped().octets().to_vec(),
            address => address_key(address),
        }
    }
}

/// Returns the key that Podman writes for an address.
pub fn address_key(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The last address that was leased dynamically: the next lease starts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The address.
    At(IpAddr),
    /// Something that is no address.
    Malformed(Vec<u8>),
}

impl Content {
    /// Reads the root bucket of a file.
    pub fn parse(root: &Bucket) -> Self {
        let mut content = Self::default();
        for (key, item) in &root.items {
            match (item, std::str::from_utf8(key)) {
                (Item::Bucket(bucket), Ok(name)) => {
                    let record = NetworkRecord::parse(bucket);
                    content.networks.insert(name.to_owned(), record);
                }
                (Item::Bucket(_) | Item::Value(_), _) => content.foreign.push(key.clone()),
            }
        }
        content
    }
}

impl NetworkRecord {
    fn parse(bucket: &Bucket) -> Self {
        let mut record = Self::default();
        for (key, item) in &bucket.items {
            let text = std::str::from_utf8(key).unwrap_or_default();
            match (item, text.parse::<IpNetwork>()) {
                (Item::Bucket(ids), _) if key == IDS => record.list(ids),
                (Item::Bucket(bucket), Ok(subnet)) if text.contains('/') => {
                    record
                        .subnets
                        .push(SubnetRecord::parse(text, subnet, bucket));
                }
                (Item::Bucket(_) | Item::Value(_), _) => record.foreign.push(key.clone()),
            }
        }
        record
    }

    fn list(&mut self, ids: &Bucket) {
        for (key, item) in &ids.items {
            match (item, std::str::from_utf8(key)) {
                (Item::Value(value), Ok(container)) => {
                    self.ids.insert(container.to_owned(), Listed::parse(value));
                }
                (Item::Bucket(_) | Item::Value(_), _) => self.foreign.push(key.clone()),
            }
        }
    }

    /// Returns whether no container has an address.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.subnets.iter().all(|subnet| subnet.slots.is_empty())
    }
}

impl SubnetRecord {
    /// Returns whether the cursor is outside the subnet.
    pub fn cursor_is_astray(&self) -> bool {
        match &self.cursor {
            Some(Cursor::At(address)) => !normalise(self.subnet).contains(*address),
            Some(Cursor::Malformed(_)) => true,
            None => false,
        }
    }

    fn parse(key: &str, subnet: IpNetwork, bucket: &Bucket) -> Self {
        let mut record = Self {
            key: key.to_owned(),
            subnet,
            slots: Vec::new(),
            cursor: None,
            foreign: Vec::new(),
        };
        for (key, item) in &bucket.items {
            let Item::Value(value) = item else {
                record.foreign.push(key.clone());
                continue;
            };
            let (address, mapped) = match Key::parse(key) {
                Key::Address(address) => (address, false),
                Key::Mapped(v4) => (v4.into(), true),
                Key::LastIp => {
                    record.cursor = Some(match Key::parse(value) {
                        Key::Address(address) => Cursor::At(address),
                        Key::Mapped(v4) => Cursor::At(v4.into()),
                        Key::LastIp | Key::Foreign(_) => Cursor::Malformed(value.clone()),
                    });
                    continue;
                }
                Key::Foreign(_) => {
                    record.foreign.push(key.clone());
                    continue;
                }
            };
            record.slots.push(Slot {
                address,
                mapped,
                container: String::from_utf8_lossy(value).into_owned(),
            });
        }
        record
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ipam::sample::{address, bucket, value};

    #[test]
    fn every_thing_of_podmans_is_read_and_the_rest_is_noted() {
        let mapped = [&[0; 10][..], &[255, 255, 10, 1, 0, 7]].concat();
        let subnet = bucket([
            (vec![10, 1, 0, 5], value("c5")),
            (mapped, value("c7")),
            (b"lastIP".to_vec(), Item::Value(vec![10, 1, 0, 5])),
            (b"whatever".to_vec(), value("it is")),
            (b"1234".to_vec(), bucket([])),
        ]);
        let six = bucket([(b"lastIP".to_vec(), value("x"))]);
        let ids = bucket([
            (b"c5".to_vec(), value(r#"["10.1.0.5","::ffff:10.1.0.7"]"#)),
            (b"c6".to_vec(), value("null")),
            (b"c7".to_vec(), value(r#"["10.1.0.999"]"#)),
            (vec![0xff], value("[]")),
        ]);
        let network = bucket([
            (b"10.1.0.0/24".to_vec(), subnet),
            (b"fd00::/64".to_vec(), six),
            (b"ids".to_vec(), ids),
            (b"10.1.0.9".to_vec(), bucket([])),
            (b"10.9.0.0/24".to_vec(), value("")),
        ]);
        let Item::Bucket(root) = bucket([(b"net".to_vec(), network), (vec![0xff], value("x"))])
        else {
            unreachable!("a bucket")
        };
        let content = Content::parse(&root);
        assert_eq!(content.foreign, [vec![0xff]]);
        let net = &content.networks["net"];
        let texts = [vec![0xff], b"10.1.0.9".to_vec(), b"10.9.0.0/24".to_vec()];
        let mut foreign = net.foreign.clone();
        foreign.sort_by_key(|key| key.len());
        assert_eq!(foreign, texts);
        let both = [address("10.1.0.5"), address("10.1.0.7")];
        assert_eq!(net.ids["c5"].addresses(), both);
        assert_eq!(net.ids["c6"], Listed::Malformed(b"null".to_vec()));
        assert!(matches!(net.ids["c7"], Listed::Malformed(_)));
        let [four, six] = &net.subnets[..] else {
            panic!("{net:?}")
        };
        let slot = |text, mapped, container: &str| Slot {
            address: address(text),
            mapped,
            container: container.to_owned(),
        };
        let slots = [slot("10.1.0.7", true, "c7"), slot("10.1.0.5", false, "c5")];
        assert_eq!(four.slots, slots);
        assert_eq!(four.slots[0].key().len(), 16);
        assert_eq!(four.cursor, Some(Cursor::At(address("10.1.0.5"))));
        assert_eq!(four.foreign, [b"1234".to_vec(), b"whatever".to_vec()]);
        assert_eq!(six.cursor, Some(Cursor::Malformed(b"x".to_vec())));
    }
}
