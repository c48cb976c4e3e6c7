//! What is wrong with a file, how it comes about, and what to do. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use berth::rules::pool::normalise;
use ipnetwork::IpNetwork;
use serde::Serialize;

use crate::evidence::Word;
use crate::ipam::claim::{Claim, ClaimKey};
use crate::ipam::content::{Content, Cursor, Listed, NetworkRecord};
use crate::networks::Networks;
use crate::verdict::short;

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finding {
    /// A subnet's entry names a container that lists nothing of it in `ids`.
    NotListed(ClaimKey),
    /// `ids` lists an address for which no subnet has an entry.
    NotLeased(ClaimKey),
    /// Several containers claim an address.
    Contested {
        /// The network's name.
        network: String,
        /// The address.
        address: IpAddr,
        /// The containers' ids.
        containers: Vec<String>,
    },
    /// An IPv4 address under a key of 16 bytes.
    Mapped(ClaimKey),
    /// An address outside the subnet whose bucket it is in, or outside all.
    Outside {
        /// Whose it is.
        #[serde(flatten)]
        lease: ClaimKey,
        /// The bucket, if it is in one.
        subnet: Option<String>,
    },
    /// The gateway's address.
    Gateway(ClaimKey),
    /// A container with several addresses of one subnet.
    Twice {
        /// The network's name.
        network: String,
        /// The subnet.
        subnet: IpNetwork,
        /// The container's id.
        container: String,
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// What is no container's id.
    NoContainerId(ClaimKey),
    /// A list in `ids` that is none, or empty.
    NoList {
        /// The network's name.
        network: String,
        /// The container's id.
        container: String,
    },
    /// A network that has no configuration.
    NoNetwork {
        /// Its name.
        network: String,
    },
    /// A network whose addresses Podman does not lease.
    NotPodmans {
        /// Its name.
        network: String,
    },
    /// A container that was started before its network was made.
    Recreated {
        /// The network's name.
        network: String,
        /// The container's id.
        container: String,
    },
    /// A subnet that the network does not have.
    NoSubnet {
        /// The network's name.
        network: String,
        /// The key of its bucket.
        subnet: String,
    },
    /// A cursor outside its subnet.
    StrayCursor {
        /// The network's name.
        network: String,
        /// The key of the subnet's bucket.
        subnet: String,
    },
    /// A key that is nothing of Podman's.
    Foreign {
        /// The network's name, if it is in one.
        network: Option<String>,
        /// The subnet's key, if it is in one.
        subnet: Option<String>,
        /// The key, as text if it is one, else as hexadecimal digits.
        key: String,
    },
}

/// What to do about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// `berth-migrate sanitise` repairs it.
    Sanitise,
    /// `berth-migrate sanitise` repairs it once nobody uses it any more.
    WhenUnused,
    /// Nothing: it does no harm.
    Nothing,
}

impl Finding {
    /// Returns what to do.
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::NotListed(_)
            | Self::NotLeased(_)
            | Self::Contested { .. }
            | Self::Mapped(_)
            | Self::NoList { .. }
            | Self::StrayCursor { .. } => Remedy::Sanitise,
            Self::Outside { .. }
            | Self::Twice { .. }
            | Self::NoContainerId(_)
            | Self::NoNetwork { .. }
            | Self::NotPodmans { .. }
            | Self::Recreated { .. }
            | Self::NoSubnet { .. } => Remedy::WhenUnused,
            Self::Gateway(_) | Self::Foreign { .. } => Remedy::Nothing,
        }
    }

    /// Returns how it comes about.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::NotListed(_) => {
                "a second start of the container has overwritten its list, so that Podman will \
                 never release this address"
            }
            Self::NotLeased(_) => {
                "another container's release has taken the lease away: Podman may give the \
                 address to somebody else"
            }
            Self::Contested { .. } => "when one of them stops, Podman releases the other's address",
            Self::Mapped(_) => "an earlier Podman has written it; the allocator does not see it",
            Self::Outside { .. } => "the network had another subnet when it was leased",
            Self::Gateway(_) => "Podman grants the gateway to whoever asks for it by --ip",
            Self::Twice { .. } => {
                "it was started again without having been stopped, or asked for several"
            }
            Self::NoContainerId(_) => "a build has leased it (buildah), or the file was edited",
            Self::NoList { .. } => "the file was edited or damaged; Podman fails over it",
            Self::NoNetwork { .. } => {
                "its file was removed by hand, or another network configuration directory is in use"
            }
            Self::NotPodmans { .. } => "its ipam driver was changed while containers had addresses",
            Self::Recreated { .. } => {
                "the network was removed and made again under its name while the container ran"
            }
            Self::NoSubnet { .. } => "the network was edited, or made again with another subnet",
            Self::StrayCursor { .. } => {
                "the network was edited; Podman would lease addresses from outside the subnet"
            }
            Self::Foreign { .. } => "a newer Podman or another program has written it",
        }
    }

    /// Returns the network that it is about.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::NotListed(key)
            | Self::NotLeased(key)
            | Self::Mapped(key)
            | Self::Outside { lease: key, .. }
            | Self::Gateway(key)
            | Self::NoContainerId(key) => Some(&key.network),
            Self::Contested { network, .. }
            | Self::Twice { network, .. }
            | Self::NoList { network, .. }
            | Self::NoNetwork { network }
            | Self::NotPodmans { network }
            | Self::Recreated { network, .. }
            | Self::NoSubnet { network, .. }
            | Self::StrayCursor { network, .. } => Some(network),
            Self::Foreign { network, .. } => network.as_deref(),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sanitise => "berth-migrate sanitise",
            Self::WhenUnused => "berth-migrate sanitise, once nobody uses it",
            Self::Nothing => "nothing",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = |key: &ClaimKey| {
            let container = short(&key.container).to_owned();
            format!("{} on {} to {container}", key.address, key.network)
        };
        match self {
            Self::NotListed(key) => write!(f, "lease of {} is not listed in ids", lease(key)),
            Self::NotLeased(key) => {
                write!(f, "{} is listed in ids, and not leased", lease(key))
            }
            Self::Contested {
                network,
                address,
                containers,
            } => {
                let containers: Vec<_> = containers.iter().map(|id| short(id)).collect();
                let containers = containers.join(", ");
                write!(
                    f,
                    "{address} on {network} is claimed by several: {containers}"
                )
            }
            Self::Mapped(key) => write!(f, "lease of {} has a 16-byte key", lease(key)),
            Self::Outside {
                lease: key,
                subnet: Some(subnet),
            } => write!(f, "lease of {} is outside its subnet {subnet}", lease(key)),
            Self::Outside {
                lease: key,
                subnet: None,
            } => write!(f, "{} is in no subnet of the network", lease(key)),
            Self::Gateway(key) => write!(f, "lease of {} is the gateway's address", lease(key)),
            Self::Twice {
                network,
                subnet,
                container,
                addresses,
            } => {
                let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                write!(
                    f,
                    "container {} has several addresses of {subnet} on {network}: {}",
                    short(container),
                    addresses.join(", ")
                )
            }
            Self::NoContainerId(key) => write!(
                f,
                "lease of {} on {} is to {:?}, which is no container's id",
                key.address, key.network, key.container
            ),
            Self::NoList { network, container } => write!(
                f,
                "container {} on {network} has no list of addresses in ids",
                short(container)
            ),
            Self::NoNetwork { network } => write!(f, "network {network} has no configuration"),
            Self::NotPodmans { network } => {
                write!(
                    f,
                    "network {network} is not one that Podman leases addresses of"
                )
            }
            Self::Recreated { network, container } => write!(
                f,
                "container {} was started before network {network} was made",
                short(container)
            ),
            Self::NoSubnet { network, subnet } => {
                write!(
                    f,
                    "network {network} does not have subnet {subnet} any more"
                )
            }
            Self::StrayCursor { network, subnet } => {
                write!(f, "the cursor of subnet {subnet} on {network} is not in it")
            }
            Self::Foreign {
                network,
                subnet,
                key,
            } => {
                let places = [network, subnet].into_iter().flatten();
                let place: String = places.map(|name| format!(" of {name}")).collect();
                write!(
                    f,
                    "key {key}{place} is nothing that Podman is known to write"
                )
            }
        }
    }
}

/// Returns everything that is wrong with a file.
pub fn findings(content: &Content, networks: &Networks, word: &Word) -> Vec<Finding> {
    let foreign = content.foreign.iter().map(|key| Finding::Foreign {
        network: None,
        subnet: None,
        key: text(key),
    });
    let mut found: Vec<Finding> = foreign.collect();
    for (name, record) in &content.networks {
        let claims = record.claims(name);
        found.extend(of_network(name, record, networks));
        found.extend(recreated(name, &claims, networks, word));
        let claims = claims.iter();
        found.extend(claims.flat_map(|claim| of_claim(claim, record, networks)));
        found.extend(contested(name, record));
        found.extend(twice(name, record, networks));
    }
    found
}

fn of_network(name: &str, record: &NetworkRecord, networks: &Networks) -> Vec<Finding> {
    let network = name.to_owned();
    let mut found = Vec::new();
    if networks.lacks(name) {
        found.push(match networks.all.contains_key(name) {
            true => Finding::NotPodmans { network },
            false => Finding::NoNetwork { network },
        });
    }
    let configured = networks.subnets(name);
    for subnet in &record.subnets {
        let within = normalise(subnet.subnet);
        let (network, key) = (name.to_owned(), subnet.key.clone());
        if !configured.is_empty() && !configured.contains(&within) {
            found.push(Finding::NoSubnet {
                network: network.clone(),
                subnet: key.clone(),
            });
        }
        let leads_out = match &subnet.cursor {
            Some(Cursor::At(address)) => !within.contains(*address),
            Some(Cursor::Malformed(_)) => true,
            None => false,
        };
        if leads_out {
            found.push(Finding::StrayCursor {
                network,
                subnet: key,
            });
        }
        found.extend(subnet.foreign.iter().map(|key| Finding::Foreign {
            network: Some(name.to_owned()),
            subnet: Some(subnet.key.clone()),
            key: text(key),
        }));
    }
    found.extend(record.foreign.iter().map(|key| Finding::Foreign {
        network: Some(name.to_owned()),
        subnet: None,
        key: text(key),
    }));
    let is_empty = |listed: &Listed| listed.addresses().is_empty();
    let lists = record.ids.iter().filter(|(_, listed)| is_empty(listed));
    found.extend(lists.map(|(container, _)| Finding::NoList {
        network: name.to_owned(),
        container: container.clone(),
    }));
    found
}

fn of_claim(claim: &Claim, record: &NetworkRecord, networks: &Networks) -> Vec<Finding> {
    let key = &claim.key;
    let mut found = Vec::new();
    if !claim.listed {
        found.push(Finding::NotListed(key.clone()));
    }
    if claim.mapped {
        found.push(Finding::Mapped(key.clone()));
    } else if !claim.leased {
        found.push(Finding::NotLeased(key.clone()));
    }
    let holds = |subnet: &&crate::ipam::content::SubnetRecord| {
        let mut slots = subnet.slots.iter();
        slots.any(|slot| slot.address == key.address && slot.container == key.container)
    };
    for subnet in record.subnets.iter().filter(holds) {
        if !normalise(subnet.subnet).contains(key.address) {
            found.push(Finding::Outside {
                lease: key.clone(),
                subnet: Some(subnet.key.clone()),
            });
        }
    }
    let configured = networks.subnets(&key.network);
    let in_none = |subnets: &[IpNetwork]| subnets.iter().all(|s| !s.contains(key.address));
    if found.iter().all(|f| !matches!(f, Finding::Outside { .. }))
        && !configured.is_empty()
        && in_none(&configured)
    {
        found.push(Finding::Outside {
            lease: key.clone(),
            subnet: None,
        });
    }
    if networks.is_gateway(&key.network, key.address) {
        found.push(Finding::Gateway(key.clone()));
    }
    let is_id = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_id(&key.container) {
        found.push(Finding::NoContainerId(key.clone()));
    }
    found
}

fn contested(name: &str, record: &NetworkRecord) -> Vec<Finding> {
    let mut claimants: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for claim in record.claims(name) {
        let of_address = claimants.entry(claim.key.address).or_default();
        of_address.push(claim.key.container);
    }
    let several = claimants.into_iter().filter(|(_, all)| all.len() > 1);
    several
        .map(|(address, containers)| Finding::Contested {
            network: name.to_owned(),
            address,
            containers,
        })
        .collect()
}

fn twice(name: &str, record: &NetworkRecord, networks: &Networks) -> Vec<Finding> {
    let recorded = record.subnets.iter().map(|s| normalise(s.subnet));
    let subnets: BTreeSet<IpNetwork> = networks.subnets(name).into_iter().chain(recorded).collect();
    let mut all: BTreeMap<(IpNetwork, String), Vec<IpAddr>> = BTreeMap::new();
    for claim in record.claims(name) {
        let key = claim.key;
        for subnet in subnets.iter().filter(|s| s.contains(key.address)) {
            let of_container = all.entry((*subnet, key.container.clone())).or_default();
            of_container.push(key.address);
        }
    }
    let several = all.into_iter().filter(|(_, addresses)| addresses.len() > 1);
    several
        .map(|((subnet, container), addresses)| Finding::Twice {
            network: name.to_owned(),
            subnet,
            container,
            addresses,
        })
        .collect()
}

/// Returns the containers that run since before their network was made. Podman keeps no
/// network id with a lease, so that nothing else tells a network from an earlier one of
/// its name.
fn recreated(name: &str, claims: &[Claim], networks: &Networks, word: &Word) -> Vec<Finding> {
    let Some(made) = networks.made(name) else {
        return Vec::new();
    };
    let containers: BTreeSet<&str> = claims.iter().map(|c| c.key.container.as_str()).collect();
    let is_older = |container: &&str| {
        let known = word.of(container);
        known
            .and_then(|known| known.started)
            .is_some_and(|started| started < made)
    };
    containers
        .into_iter()
        .filter(is_older)
        .map(|container| Finding::Recreated {
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

#[cfg(test)]
mod tests;
