//! What the dead have left that no lease speaks of. A pure decision; nothing is left
//! over on a network while somebody may be hidden there.

use std::fmt;
use std::path::PathBuf;

use super::{Record, Survey};
use crate::protocol::Network;
use crate::rules::bridge;
use crate::rules::doubt::is_seen_inside;
use crate::rules::lease::Tenant;
use crate::sight::{Link, NamespaceKey, Peer};

/// Something that is nobody's.
#[derive(Clone, Debug, PartialEq)]
pub enum Leftover {
    /// A namespace file of Podman's, with nobody in the namespace and no interface
    /// but `lo`; or one on which no namespace is mounted any more.
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
        /// Its number on the host.
        index: u32,
    },
    /// A DNS name or published ports of a container that holds no lease.
    Record {
        /// The network.
        network: Network,
        /// What netavark remembers; only addresses that nobody has leased.
        record: Record,
    },
    /// A bridge without ports, of a network without tenants.
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
                write!(f, "namespace file {} with nobody behind it", path.display())
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

/// Returns what is left over, in the order in which it is to be cleared away.
///
/// `tenants` are all that the store knows of after adoption.
pub fn leftovers(survey: &Survey, tenants: &[Tenant]) -> Vec<Leftover> {
    if survey.networks.is_empty() {
        return Vec::new();
    }
    let mut found = match survey.doubts.is_empty() {
        true => namespace_files(survey, tenants),
        false => Vec::new(),
    };
    let is_clear = |network: &&Network| survey.doubt_about(network).is_none();
    for network in survey.networks.iter().filter(is_clear) {
        let veths = veths(survey, network, tenants);
        let records = stale_records(survey, network, tenants);
        let bridge = idle_bridge(survey, network, tenants).filter(|_| records.is_empty());
        found.extend(veths);
        found.extend(records);
        found.extend(bridge);
    }
    found
}

fn namespace_files(survey: &Survey, tenants: &[Tenant]) -> Vec<Leftover> {
    let evidence = &survey.evidence;
    let nobodys = |key: NamespaceKey| {
        if key.0 != survey.own.0 {
            return true;
        }
        let namespace = survey.namespaces.iter().find(|seen| seen.key == key);
        namespace.is_some_and(|seen| seen.links.iter().all(|link| link.name == "lo"))
            && !evidence.is_inhabited(key)
    };
    let mut files: Vec<_> = evidence
        .files
        .iter()
        .filter(|(path, _)| crate::sight::is_namespace_file(path))
        .filter(|(path, _)| !tenants.iter().any(|t| t.namespace.path == **path))
        .filter(|(_, key)| nobodys(**key))
        .map(|(path, key)| Leftover::NamespaceFile {
            path: path.clone(),
            key: *key,
        })
        .collect();
    files.sort_by_key(ToString::to_string);
    files
}

fn veths(survey: &Survey, network: &Network, tenants: &[Tenant]) -> Vec<Leftover> {
    let Some(bridge) = bridge::of(network, &survey.links) else {
        return Vec::new();
    };
    // Where some of the processes cannot be seen, nor can all namespaces.
    let is_elsewhere = |tenant: &Tenant| {
        tenant.tenancy.network_id.as_str() == network.id
            && tenant.pid_namespace != survey.evidence.pid_namespace
    };
    if tenants.iter().any(is_elsewhere) {
        return Vec::new();
    }
    let leads_out = |link: &Link| matches!(link.peer, Some(Peer::Elsewhere(..)));
    survey
        .links
        .iter()
        .filter(|link| link.master == Some(bridge.index) && link.kind == "veth")
        // netavark lets the kernel choose the name. Others are an administrator's.
        .filter(|link| leads_out(link) && link.name.starts_with("veth"))
        .filter(|link| !is_seen_inside(link, &survey.namespaces))
        .map(|link| Leftover::Veth {
            network: network.clone(),
            name: link.name.clone(),
            index: link.index,
        })
        .collect()
}

fn stale_records(survey: &Survey, network: &Network, tenants: &[Tenant]) -> Vec<Leftover> {
    // DNS names are kept by the network's name, which an earlier network may have
    // had as well, with tenants that are left of it or live.
    let of_network = || {
        tenants.iter().filter(|tenant| {
            tenant.tenancy.network_id.as_str() == network.id
                || tenant.network_name.as_str() == network.name
        })
    };
    let mut stale: Vec<Record> = survey.records_of(network).to_vec();
    stale.retain(|record| of_network().all(|t| t.tenancy.container_id != record.container_id));
    stale
        .into_iter()
        .map(|mut record| {
            let leased = |address| of_network().any(|tenant| tenant.has_leased(address));
            record.addresses.retain(|address| !leased(*address));
            Leftover::Record {
                network: network.clone(),
                record,
            }
        })
        .collect()
}

fn idle_bridge(survey: &Survey, network: &Network, tenants: &[Tenant]) -> Option<Leftover> {
    bridge::managed(network)?;
    let bridge = bridge::of(network, &survey.links)
        .filter(|bridge| bridge::is_netavarks(network, bridge))?;
    let has_port = survey
        .links
        .iter()
        .any(|link| link.master == Some(bridge.index));
    let has_tenant = tenants
        .iter()
        .any(|tenant| tenant.tenancy.network_id.as_str() == network.id);
    (!has_port && !has_tenant).then(|| Leftover::Bridge {
        network: network.clone(),
    })
}
