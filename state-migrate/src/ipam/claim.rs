//! Which container claims an address: by an entry in a subnet's bucket, by its list in
//! `ids`, or, as it should be, by both.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::content::{Content, NetworkRecord};

/// What identifies a claim, in the order in which people look for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ClaimKey {
    /// The network's name.
    pub network: String,
    /// The address.
    pub address: IpAddr,
    /// The container's id.
    pub container: String,
}

/// A claim, and where the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who claims what.
    pub key: ClaimKey,
    /// Whether `ids` lists it.
    pub listed: bool,
    /// Whether a subnet's bucket has it under Podman's key.
    pub leased: bool,
    /// Whether a subnet's bucket has it under a key of 16 bytes, though it is IPv4.
    pub mapped: bool,
}

impl Claim {
    /// Returns a claim that is nowhere in the file.
    pub fn new(key: ClaimKey) -> Self {
        Self {
            key,
            listed: false,
            leased: false,
            mapped: false,
        }
    }

    /// Returns whether both indexes have it.
    pub fn is_whole(&self) -> bool {
        self.listed && self.leased
    }
}

impl Content {
    /// Returns all claims, sorted by network, address and container.
    pub fn claims(&self) -> Vec<Claim> {
        let networks = self.networks.iter();
        networks
            .flat_map(|(name, record)| record.claims(name))
            .collect()
    }
}

impl NetworkRecord {
    /// Returns the claims on this network, sorted by address and container.
    pub fn claims(&self, network: &str) -> Vec<Claim> {
        let mut claims: BTreeMap<ClaimKey, Claim> = BTreeMap::new();
        let mut claim = |address: IpAddr, container: &str, note: &dyn Fn(&mut Claim)| {
            let key = ClaimKey {
                network: network.to_owned(),
                address,
                container: container.to_owned(),
            };
            note(claims.entry(key.clone()).or_insert_with(|| Claim::new(key)));
        };
        for slot in self.subnets.iter().flat_map(|subnet| &subnet.slots) {
            claim(slot.address, &slot.container, &|claim| {
                claim.leased |= !slot.mapped;
                claim.mapped |= slot.mapped;
            });
        }
        for (container, listed) in &self.ids {
            for address in listed.addresses() {
                claim(*address, container, &|claim| claim.listed = true);
            }
        }
        claims.into_values().collect()
    }
}
