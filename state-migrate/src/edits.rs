//! What is to be changed in the file: a pure decision over its content, the networks and
//! the verdicts, and its execution on the tree of buckets. What is not named in an edit
//! stays as it is, byte for byte.

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
    /// An address is free again, or goes on under another key or in another bucket.
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
    /// A container has an address in the allocator's eyes.
    PutLease {
        network: String,
        /// The key of the subnet's bucket, which is made if need be.
        subnet: String,
        address: IpAddr,
        container: String,
    },
    /// What Podman releases when a container stops.
    SetList {
        network: String,
        container: String,
        addresses: Vec<IpAddr>,
    },
    /// A container has nothing to release.
    RemoveList { network: String, container: String },
    /// The next dynamic lease begins at the start of the range.
    RemoveCursor {
        network: String,
        /// The key of the subnet's bucket.
        subnet: String,
    },
    /// A subnet that the network does not have any more, and nobody uses.
    RemoveSubnet { network: String, subnet: String },
    /// A network that is not there any more, and nobody uses.
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

/// Returns what is to be changed: the dead and the contradictory go, what is kept is
/// brought into agreement. Nothing is, where all is well; after the changes, nothing
/// more is.
///
/// `only` names one network, to which all changes are confined.
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

/// Who shall have which address on one network.
struct Wanted {
    holders: BTreeMap<IpAddr, String>,
}

impl Wanted {
    /// Of those whose claims are kept, one has an address: whoever the kernel shows, else
    /// whoever the subnet's entry names, for that is what Podman's allocator reads. The
    /// list of another must not name it, or Podman would release it under its holder.
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

    /// Brings the subnets' buckets to what is wanted.
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

    /// Returns the bucket that an address belongs in: where Podman looks for it, which is
    /// the network's own subnet; else where one of the file fits.
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
        let mut fitting: Vec<_> = record
            .subnets
            .iter()
            .filter(|subnet| normalise(subnet.subnet).contains(address))
            .collect();
        fitting.sort_by_key(|subnet| !has(&subnet.slots));
        fitting.first().map(|subnet| subnet.key.clone())
    }

    /// Brings `ids` to what is wanted.
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
            // As Podman has it, where it has it.
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

/// How good a claim is, the best last.
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
