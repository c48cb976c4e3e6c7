//! Finds the flaws of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use berth::rules::lease::{is_id, short_id};
use berth::rules::pool::normalise;
use ipnetwork::IpNetwork;

use super::Flaw;
use crate::evidence::{Inhabitant, Kernel, Word};
use crate::ipam::claim::Claim;
use crate::ipam::content::{Content, Listed, NetworkRecord, SubnetRecord};
use crate::networks::{Networks, is_allocated};

/// Returns everything that is wrong with a file.
pub(crate) fn flaws(content: &Content, networks: &Networks, word: &Word) -> Vec<Flaw> {
    let mut found: Vec<Flaw> = foreign(None, None, &content.foreign).collect();
    for (name, record) in &content.networks {
        let claims = record.claims(name);
        found.extend(of_network(name, record, networks));
        found.extend(recreated(name, &claims, networks, word));
        let each = claims.iter();
        found.extend(each.flat_map(|claim| of_claim(claim, record, networks)));
        found.extend(contested(name, &claims));
        found.extend(twice(name, &claims, record, networks));
    }
    found
}

/// Returns the addresses that containers have on Podman's networks although they are not
/// leased to anything.
pub(crate) fn unleased(content: &Content, networks: &Networks, kernel: &Kernel) -> Vec<Flaw> {
    let leased: BTreeSet<_> = content
        .claims()
        .into_iter()
        .map(|claim| (claim.key.network, claim.key.address))
        .collect();
    let allocated = networks
        .all
        .values()
        .filter(|network| is_allocated(network));
    let found = allocated.flat_map(|network| {
        let on = kernel
            .holders
            .keys()
            .filter(|address| network.covers(**address));
        on.filter_map(|address| {
            let mut holders = kernel.holders(*address, Some(network)).into_iter();
            let holder =
                holders.find_map(|holder| match (&holder.container, &holder.inhabitant) {
                    (_, Inhabitant::Host | Inhabitant::Nobody { .. }) => None,
                    (Some(id), Inhabitant::Process { .. }) => {
                        Some(format!("container {}", short_id(id)))
                    }
                    (None, Inhabitant::Process { pid, name }) => {
                        Some(format!("process {pid} ({name})"))
                    }
                })?;
            let is_leased = leased.contains(&(network.name.clone(), *address));
            (!is_leased).then(|| Flaw::Unleased {
                network: network.name.clone(),
                address: *address,
                holder,
            })
        })
    });
    found.collect()
}

fn foreign(
    network: Option<&str>,
    subnet: Option<&str>,
    keys: &[Vec<u8>],
) -> impl Iterator<Item = Flaw> {
    keys.iter().map(move |key| Flaw::Foreign {
        network: network.map(str::to_owned),
        subnet: subnet.map(str::to_owned),
        key: text(key),
    })
}

fn of_network(name: &str, record: &NetworkRecord, networks: &Networks) -> Vec<Flaw> {
    let network = name.to_owned();
    let mut found = Vec::new();
    if networks.lacks(name) {
        found.push(match networks.all.contains_key(name) {
            true => Flaw::NotPodmans { network },
            false => Flaw::NoNetwork { network },
        });
    }
    let configured = networks.subnets(name);
    for subnet in &record.subnets {
        let (network, key) = (name.to_owned(), subnet.key.clone());
        if !configured.is_empty() && !configured.contains(&normalise(subnet.subnet)) {
            found.push(Flaw::NoSubnet {
                network: network.clone(),
                subnet: key.clone(),
            });
        }
        if subnet.cursor_is_astray() {
            found.push(Flaw::StrayCursor {
                network,
                subnet: key,
            });
        }
        found.extend(foreign(Some(name), Some(&subnet.key), &subnet.foreign));
    }
    found.extend(foreign(Some(name), None, &record.foreign));
    let is_empty = |listed: &Listed| listed.addresses().is_empty();
    let lists = record.ids.iter().filter(|(_, listed)| is_empty(listed));
    found.extend(lists.map(|(container, _)| Flaw::NoList {
        network: name.to_owned(),
        container: container.clone(),
    }));
    found
}

fn of_claim(claim: &Claim, record: &NetworkRecord, networks: &Networks) -> Vec<Flaw> {
    let key = &claim.key;
    let mut found = Vec::new();
    if !claim.listed {
        found.push(Flaw::NotListed(key.clone()));
    }
    if claim.mapped {
        found.push(Flaw::Mapped(key.clone()));
    } else if !claim.leased {
        found.push(Flaw::NotLeased(key.clone()));
    }
    let outside = |subnet: Option<&SubnetRecord>| Flaw::Outside {
        lease: key.clone(),
        subnet: subnet.map(|subnet| subnet.key.clone()),
    };
    let holds = |subnet: &&SubnetRecord| {
        let mut slots = subnet.slots.iter();
        slots.any(|slot| slot.address == key.address && slot.container == key.container)
    };
    let excludes = |subnet: &&SubnetRecord| !normalise(subnet.subnet).contains(key.address);
    let misplaced: Vec<_> = record
        .subnets
        .iter()
        .filter(|subnet| holds(subnet) && excludes(subnet))
        .collect();
    let configured = networks.subnets(&key.network);
    let in_none = configured.iter().all(|s| !s.contains(key.address));
    if misplaced.is_empty() && !configured.is_empty() && in_none {
        found.push(outside(None));
    }
    found.extend(misplaced.into_iter().map(|subnet| outside(Some(subnet))));
    if networks.is_gateway(&key.network, key.address) {
        found.push(Flaw::Gateway(key.clone()));
    }
    if !is_id(&key.container) {
        found.push(Flaw::NoContainerId(key.clone()));
    }
    found
}

fn contested(name: &str, claims: &[Claim]) -> impl Iterator<Item = Flaw> {
    let mut claimants: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for Claim { key, .. } in claims {
        let of_address = claimants.entry(key.address).or_default();
        of_address.push(key.container.clone());
    }
    let several = claimants.into_iter().filter(|(_, all)| all.len() > 1);
    several.map(|(address, containers)| Flaw::Contested {
        network: name.to_owned(),
        address,
        containers,
    })
}

fn twice(
    name: &str,
    claims: &[Claim],
    record: &NetworkRecord,
    networks: &Networks,
) -> impl Iterator<Item = Flaw> {
    let recorded = record.subnets.iter().map(|s| normalise(s.subnet));
    let subnets: BTreeSet<IpNetwork> = networks.subnets(name).into_iter().chain(recorded).collect();
    let mut all: BTreeMap<(IpNetwork, &str), Vec<IpAddr>> = BTreeMap::new();
    for Claim { key, .. } in claims {
        for subnet in subnets.iter().filter(|s| s.contains(key.address)) {
            let of_container = all.entry((*subnet, &key.container)).or_default();
            of_container.push(key.address);
        }
    }
    let several = all.into_iter().filter(|(_, addresses)| addresses.len() > 1);
    several.map(|((subnet, container), addresses)| Flaw::Twice {
        network: name.to_owned(),
        subnet,
        container: container.to_owned(),
        addresses,
    })
}

/// Returns the containers that have been running since before their network was made.
/// Podman keeps no network id with a lease, so nothing else distinguishes a network from
/// an earlier one of the same name.
fn recreated(name: &str, claims: &[Claim], networks: &Networks, word: &Word) -> Vec<Flaw> {
    let Some(made) = networks.made(name) else {
        return Vec::new();
    };
    let containers: BTreeSet<&str> = claims.iter().map(|c| c.key.container.as_str()).collect();
    let is_older = |container: &&str| {
        let started = word.of(container).and_then(|known| known.started);
        started.is_some_and(|started| started < made)
    };
    let older = containers.into_iter().filter(is_older);
    older
        .map(|container| Flaw::Recreated {
            network: name.to_owned(),
            container: container.to_owned(),
        })
        .collect()
}

/// Returns a key for people.
fn text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && !text.contains(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => {
            let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("hex:{digits}")
        }
    }
}
