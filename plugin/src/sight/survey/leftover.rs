//! What the dead have left and no lease mentions. A pure decision. Nothing on a network
//! counts as left over while a container may be hidden on it.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use super::{Record, Survey};
use crate::protocol::Network;
use crate::rules::bridge;
use crate::rules::doubt::seen_inside;
use crate::rules::lease::Tenant;
use crate::rules::roster::Roster;
use crate::sight::{Link, NamespaceKey, Peer};

/// Something that belongs to no container any more.
#[derive(Clone, Debug, PartialEq)]
pub enum Leftover {
    /// A namespace file of Podman's whose namespace has no process and no interface but
    /// `lo`; or one on which no namespace is mounted any more, in no mount namespace.
    NamespaceFile {
        /// The file.
        path: PathBuf,
        /// What it shows.
        key: NamespaceKey,
    },
    /// The host's end of a veth pair on a network's bridge, whose other end is in a
    /// namespace that no process and no file shows.
    Veth {
        /// The network.
        network: Network,
        /// The interface's name on the host.
        name: String,
        /// Its index on the host.
        index: u32,
    },
    /// A DNS name or published ports of a container that holds no lease.
    Record {
        /// The network.
        network: Network,
        /// What netavark remembers, with only those addresses that are not leased.
        record: Record,
    },
    /// A bridge of a network without tenants. Its only ports, if any, are left over as well:
    /// see [`Leftover::Veth`].
    Bridge {
        /// The network.
        network: Network,
    },
}

impl Leftover {
    /// Returns the network it is on, if it is on one.
    pub fn network(&self) -> Option<&Network> {
        match self {
            Self::NamespaceFile { .. } => None,
            Self::Veth { network, .. }
            | Self::Record { network, .. }
            | Self::Bridge { network } => Some(network),
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamespaceFile { path, .. } => {
                write!(f, "namespace file {} without a container", path.display())
            }
            Self::Veth { network, name, .. } => {
                write!(
                    f,
                    "interface {name} on network {} without a container",
                    network.name
                )
            }
            Self::Record { network, record } => {
                let container = record.container_id.short();
                let network = &network.name;
                write!(
                    f,
                    "{} of container {container} on network {network}",
                    record.what()
                )
            }
            Self::Bridge { network } => {
                let bridge = network.network_interface.as_deref().unwrap_or_default();
                write!(
                    f,
                    "bridge {bridge} of network {} without containers",
                    network.name
                )
            }
        }
    }
}

/// Returns what is left over, in the order in which it should be cleared away.
///
/// `tenants` are all that the store knows of after adoption.
pub fn leftovers(survey: &Survey, tenants: &[Tenant]) -> Vec<Leftover> {
    if survey.networks.is_empty() {
        return Vec::new();
    }
    // A namespace that berth could not look into is none of those with a file.
    let sees_all = survey.evidence.doubts.is_empty() && survey.evidence.unreadable.is_none();
    let mut found = match sees_all {
        true => namespace_files(survey, tenants),
        false => Vec::new(),
    };
    let inside = seen_inside(&survey.namespaces);
    let is_clear = |network: &&Network| survey.doubt_about(network).is_none();
    for network in survey.networks.iter().filter(is_clear) {
        let own = |tenant: &&Tenant| tenant.tenancy.network_id.as_str() == network.id;
        // DNS names are kept under the network's name, which an earlier network may
        // have had, too. Tenants of that one may be left, or even alive.
        let named = |tenant: &&Tenant| tenant.network_name.as_str() == network.name;
        let related = tenants.iter().filter(|tenant| own(tenant) || named(tenant));
        let related: Vec<_> = related.collect();
        let own: Vec<_> = related.iter().copied().filter(own).collect();
        let veths = veths(survey, network, &own, &inside);
        let records = stale_records(survey, network, &related);
        let is_last = own.is_empty() && records.is_empty();
        let bridge = idle_bridge(survey, network, &veths).filter(|_| is_last);
        found.extend(veths);
        found.extend(records);
        found.extend(bridge);
    }
    found
}

fn namespace_files(survey: &Survey, tenants: &[Tenant]) -> Vec<Leftover> {
    let evidence = &survey.evidence;
    let roster = Roster::of(&evidence.processes);
    let seen = survey.namespaces.iter();
    let seen: HashMap<_, _> = seen.map(|seen| (seen.key, &seen.links)).collect();
    let of_tenants = tenants.iter().map(|tenant| &tenant.namespace.path);
    let of_tenants = LazyCell::new(|| of_tenants.collect::<HashSet<_>>());
    let nobodys = |path: &PathBuf, key: NamespaceKey| {
        if key.0 != survey.own.0 {
            return !survey.mounted_elsewhere.contains(path);
        }
        let links = seen.get(&key);
        links.is_some_and(|links| links.iter().all(|link| link.name == "lo"))
            && !roster.is_inhabited(key)
    };
    let mut files: Vec<_> = evidence
        .files
        .iter()
        .filter(|(path, _)| crate::sight::is_namespace_file(path))
        .filter(|(path, key)| nobodys(path, **key))
        .filter(|(path, _)| !of_tenants.contains(path))
        .map(|(path, key)| Leftover::NamespaceFile {
            path: path.clone(),
            key: *key,
        })
        .collect();
    files.sort_by_key(ToString::to_string);
    files
}

fn veths(
    survey: &Survey,
    network: &Network,
    tenants: &[&Tenant],
    inside: &HashSet<u32>,
) -> Vec<Leftover> {
    let Some(bridge) = bridge::of(network, &survey.links) else {
        return Vec::new();
    };
    // If some processes are out of sight, so may be some namespaces.
    let is_elsewhere = |tenant: &&Tenant| tenant.pid_namespace != survey.evidence.pid_namespace;
    if tenants.iter().any(is_elsewhere) {
        return Vec::new();
    }
    let leads_out = |link: &Link| matches!(link.peer, Some(Peer::Elsewhere(..)));
    survey
        .links
        .iter()
        .filter(|link| link.master == Some(bridge.index) && link.kind == "veth")
        // netavark lets the kernel choose the name. Other names are an administrator's.
        .filter(|link| leads_out(link) && link.name.starts_with("veth"))
        .filter(|link| !inside.contains(&link.index))
        .map(|link| Leftover::Veth {
            network: network.clone(),
            name: link.name.clone(),
            index: link.index,
        })
        .collect()
}

fn stale_records(survey: &Survey, network: &Network, tenants: &[&Tenant]) -> Vec<Leftover> {
    let records = survey.records_of(network);
    if records.is_empty() {
        return Vec::new();
    }
    let containers = tenants.iter().map(|tenant| &tenant.tenancy.container_id);
    let containers: HashSet<_> = containers.collect();
    let leased = tenants.iter().flat_map(|tenant| &tenant.leased);
    let leased: HashSet<_> = leased.map(|leased| leased.address).collect();
    let stale = records
        .iter()
        .filter(|record| !containers.contains(&record.container_id));
    stale
        .map(|record| {
            let mut record = record.clone();
            record.addresses.retain(|address| !leased.contains(address));
            Leftover::Record {
                network: network.clone(),
                record,
            }
        })
        .collect()
}

/// Returns the bridge if it has no ports but `veths`, which are left over. A kernel that is busy
/// removing namespaces removes them a while after the container has gone.
fn idle_bridge(survey: &Survey, network: &Network, veths: &[Leftover]) -> Option<Leftover> {
    bridge::managed(network)?;
    let bridge = bridge::of(network, &survey.links)
        .filter(|bridge| bridge::is_netavarks(network, bridge))?;
    let is_left = |link: &Link| {
        let mut veths = veths.iter();
        veths.any(|veth| matches!(veth, Leftover::Veth { index, .. } if *index == link.index))
    };
    let mut ports = survey.links.iter();
    ports
        .all(|link| link.master != Some(bridge.index) || is_left(link))
        .then(|| Leftover::Bridge {
            network: network.clone(),
        })
}
