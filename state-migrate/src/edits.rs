//! What to change in the file: a pure decision from its content, the networks and the
//! verdicts, and how to carry it out on the tree of buckets. Whatever no edit names stays as
//! it is, byte for byte.

mod apply;

use berth::rules::lease::short_id;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use berth::rules::pool::normalise;
use serde::Serialize;

pub(crate) use apply::apply;

use crate::ipam::claim::ClaimKey;
use crate::ipam::content::{Content, Listed, NetworkRecord, Slot};
use crate::judgement::{Judgement, Judgements};
use crate::networks::Networks;
use crate::verdict::{Sign, Verdict};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub(crate) enum Edit {
    /// Frees an address, or moves it to another key or bucket.
    RemoveLease {
        network: String,
        /// The key of the subnet's bucket.
        subnet: String,
        /// The key in it, in bytes.
        #[serde(skip)]
        key: Vec<u8>,
        address: IpAddr,
        container: String,
    },
    /// Makes the allocator see that a container has an address.
    PutLease {
        network: String,
        /// The key of the subnet's bucket, which is made if need be.
        subnet: String,
        address: IpAddr,
        container: String,
    },
    /// Sets what Podman releases when a container stops.
    SetList {
        network: String,
        container: String,
        addresses: Vec<IpAddr>,
    },
    /// Leaves a container nothing to release.
    RemoveList { network: String, container: String },
    /// Makes the next dynamic lease begin at the start of the range.
    RemoveCursor {
        network: String,
        /// The key of the subnet's bucket.
        subnet: String,
    },
    /// Removes a subnet that the network no longer has and no container uses.
    RemoveSubnet { network: String, subnet: String },
    /// Removes a network that no longer exists and that no container uses.
    RemoveNetwork { network: String },
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveLease {
                network,
                address,
                container,
                key,
                ..
            } => {
                let wrong_key = address.is_ipv4() && key.len() == 16;
                let under = if wrong_key {
                    " under a 16-byte key"
                } else {
                    ""
                };
                let container = short_id(container);
                write!(
                    f,
                    "remove the lease of {address} on {network} to {container}{under}"
                )
            }
            Self::PutLease {
                network,
                address,
                container,
                ..
            } => write!(
                f,
                "lease {address} on {network} to {}, which uses it",
                short_id(container)
            ),
            Self::SetList {
                network,
                container,
                addresses,
            } => {
                let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                write!(
                    f,
                    "list {} on {network} for {}",
                    addresses.join(", "),
                    short_id(container)
                )
            }
            Self::RemoveList { network, container } => {
                write!(f, "list nothing on {network} for {}", short_id(container))
            }
            Self::RemoveCursor { network, subnet } => write!(
                f,
                "reset the cursor of {subnet} on {network}, which is outside the subnet"
            ),
            Self::RemoveSubnet { network, subnet } => {
                write!(f, "forget subnet {subnet}, which {network} no longer has")
            }
            Self::RemoveNetwork { network } => {
                write!(f, "forget network {network}, which no longer exists")
            }
        }
    }
}

/// Returns what to change: dead and contradictory entries are removed, and the two indexes are
/// made to agree about the rest. Returns nothing if all is well, as it is after the changes.
///
/// If `only` names a network, nothing else is changed.
pub(crate) fn edits(
    content: &Content,
    judgements: &Judgements,
    networks: &Networks,
    only: Option<&str>,
) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (name, record) in &content.networks {
        if only.is_none_or(|only| only == name) {
            let judged = judgements
                .values()
                .filter(|judgement| judgement.claim.key.network == *name);
            let wanted = Wanted::of(judged);
            edits.extend(wanted.edits(name, record, networks));
        }
    }
    edits
}

/// Who should have which address on one network.
struct Wanted {
    holders: BTreeMap<IpAddr, String>,
}

impl Wanted {
    /// Of the containers whose claims are kept, one gets the address: the one that the
    /// kernel shows, or else the one that the subnet's entry names, because Podman's
    /// allocator reads that. No other container's list may name the address, or Podman
    /// would release it while its holder uses it.
    fn of<'a>(judged: impl Iterator<Item = &'a Judgement>) -> Self {
        let mut best: BTreeMap<IpAddr, (Rank, &ClaimKey)> = BTreeMap::new();
        for judgement in judged.filter(|judgement| judgement.verdict.keeps()) {
            let key = &judgement.claim.key;
            let rank = Rank::of(judgement);
            let leads = best.get(&key.address).is_none_or(|(most, _)| rank > *most);
            if leads {
                best.insert(key.address, (rank, key));
            }
        }
        let holders = best
            .into_iter()
            .map(|(address, (_, key))| (address, key.container.clone()));
        Self {
            holders: holders.collect(),
        }
    }

    fn edits(&self, network: &str, record: &NetworkRecord, networks: &Networks) -> Vec<Edit> {
        let is_foreign = |record: &NetworkRecord| {
            let mut subnets = record.subnets.iter();
            !record.foreign.is_empty() || subnets.any(|subnet| !subnet.foreign.is_empty())
        };
        if networks.lacks(network) && self.holders.is_empty() && !is_foreign(record) {
            let network = network.to_owned();
            return vec![Edit::RemoveNetwork { network }];
        }
        let mut edits = self.lease_edits(network, record, networks);
        edits.extend(self.list_edits(network, record, networks));
        edits.extend(self.subnet_edits(network, record, networks));
        edits
    }

    /// Returns the edits that the subnets' buckets need.
    fn lease_edits(&self, network: &str, record: &NetworkRecord, networks: &Networks) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut there = BTreeSet::new();
        for subnet in &record.subnets {
            for slot in &subnet.slots {
                let wanted = self.holders.get(&slot.address) == Some(&slot.container);
                let place = self.place(slot.address, record, network, networks);
                let placed = place.as_deref().is_none_or(|place| place == subnet.key);
                if wanted && placed && !slot.mapped {
                    there.insert(slot.address);
                    continue;
                }
                edits.push(Edit::RemoveLease {
                    network: network.to_owned(),
                    subnet: subnet.key.clone(),
                    key: Slot::key(slot),
                    address: slot.address,
                    container: slot.container.clone(),
                });
            }
        }
        for (address, container) in &self.holders {
            let place = self.place(*address, record, network, networks);
            if let Some(subnet) = place.filter(|_| !there.contains(address)) {
                edits.push(Edit::PutLease {
                    network: network.to_owned(),
                    subnet,
                    address: *address,
                    container: container.clone(),
                });
            }
        }
        edits
    }

    /// Returns the bucket that an address belongs in: that of the network's own subnet,
    /// where Podman looks for it, or else one in the file that fits.
    fn place(
        &self,
        address: IpAddr,
        record: &NetworkRecord,
        network: &str,
        networks: &Networks,
    ) -> Option<String> {
        let configured = networks.subnets(network);
        let configured = configured.iter().find(|subnet| subnet.contains(address));
        if let Some(subnet) = configured {
            return Some(subnet.to_string());
        }
        let has = |slots: &[Slot]| slots.iter().any(|slot| slot.address == address);
        let subnets = record.subnets.iter();
        let fitting = subnets.filter(|subnet| normalise(subnet.subnet).contains(address));
        let best = fitting.min_by_key(|subnet| !has(&subnet.slots));
        best.map(|subnet| subnet.key.clone())
    }

    /// Returns the edits that `ids` needs.
    fn list_edits(&self, network: &str, record: &NetworkRecord, networks: &Networks) -> Vec<Edit> {
        let mut wanted: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
        for (address, container) in &self.holders {
            wanted.entry(container).or_default().push(*address);
        }
        let subnets = networks.subnets(network);
        let order = |address: &IpAddr| {
            let within = subnets.iter().position(|subnet| subnet.contains(*address));
            within.unwrap_or(usize::MAX)
        };
        let mut edits = Vec::new();
        for (container, listed) in &record.ids {
            let Some(addresses) = wanted.get(container.as_str()) else {
                edits.push(Edit::RemoveList {
                    network: network.to_owned(),
                    container: container.clone(),
                });
                continue;
            };
            // In Podman's order, for the addresses that Podman has listed.
            let mut next: Vec<IpAddr> = listed
                .addresses()
                .iter()
                .copied()
                .filter(|address| addresses.contains(address))
                .collect();
            let before = next.len();
            let known = next.clone();
            next.extend(addresses.iter().filter(|address| !known.contains(address)));
            if next.len() > before {
                next.sort_by_key(order);
            }
            if *listed != Listed::Addresses(next.clone()) {
                edits.push(Edit::SetList {
                    network: network.to_owned(),
                    container: container.clone(),
                    addresses: next,
                });
            }
        }
        for (container, mut addresses) in wanted {
            if !record.ids.contains_key(container) {
                addresses.sort_by_key(order);
                edits.push(Edit::SetList {
                    network: network.to_owned(),
                    container: container.to_owned(),
                    addresses,
                });
            }
        }
        edits
    }

    /// Drops cursors that lead out of their subnet, and subnets that are gone.
    fn subnet_edits(
        &self,
        network: &str,
        record: &NetworkRecord,
        networks: &Networks,
    ) -> Vec<Edit> {
        let configured = networks.subnets(network);
        let is_complete = networks.doubt.is_none()
            && network != networks.default
            && networks.allocated(network).is_some();
        let mut edits = Vec::new();
        for subnet in &record.subnets {
            let within = normalise(subnet.subnet);
            let is_used = self.holders.keys().any(|address| {
                let place = self.place(*address, record, network, networks);
                place.as_deref() == Some(subnet.key.as_str())
            });
            let (network, key) = (network.to_owned(), subnet.key.clone());
            let is_gone = is_complete && !configured.contains(&within);
            if is_gone && !is_used && subnet.foreign.is_empty() {
                edits.push(Edit::RemoveSubnet {
                    network,
                    subnet: key,
                });
                continue;
            }
            if subnet.cursor_is_astray() {
                edits.push(Edit::RemoveCursor {
                    network,
                    subnet: key,
                });
            }
        }
        edits
    }
}

/// How good a claim is; the best comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    held: bool,
    leased: bool,
    mapped: bool,
}

impl Rank {
    fn of(judgement: &Judgement) -> Self {
        Self {
            held: matches!(judgement.verdict, Verdict::Live(Sign::Held { .. })),
            leased: judgement.claim.leased,
            mapped: judgement.claim.mapped,
        }
    }
}

#[cfg(test)]
mod tests;
