//! What dead containers left besides their leases: interfaces in namespaces without a process,
//! DNS names, firewall rules, published ports, namespace files.
//!
//! A pure decision from the look finds these ghosts, under the same lock; netavark itself takes
//! them down. If a live container has one of their addresses by now, nothing that names that
//! address is touched.

mod find;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use berth::chain;
use berth::delegate::{self, Reach};
use berth::lifecycle::namespace_file;
use berth::lifecycle::takedown::{Left, Remains, take_down_record};
use berth::podman::Podman;
use berth::protocol::Network;
use berth::rules::attachment::Attachment;
use berth::rules::bridge;
use berth::rules::lease::short_id;
use berth::sight::survey::Record;
use berth::sight::{self, NamespaceKey, PathFact};

pub(super) use find::{Found, find};

/// Stands for a container about which nothing is known.
const NOBODY: &str = "nobody";

/// Something that a dead container or a removed network left.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ghost {
    /// What netavark remembers of a container: its DNS names, ports and rules.
    Record {
        network: Box<Network>,
        /// What it remembers, without the addresses that a container has.
        record: Record,
    },
    /// A namespace without a process, with its interfaces on these networks.
    Namespace {
        path: PathBuf,
        key: NamespaceKey,
        interfaces: Vec<Interface>,
    },
    /// A network that was removed, with its bridge and its rules.
    Network { network: Box<Network> },
    /// The addresses of a removed network at which the DNS names of another network, which has
    /// the same name, are served.
    Servers {
        network: Box<Network>,
        served: Vec<IpAddr>,
    },
}

/// An interface of a dead container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Interface {
    name: String,
    network: Box<Network>,
    record: Record,
}

impl fmt::Display for Ghost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { network, record } => write!(
                f,
                "{} of container {} on network {}",
                record.what(),
                record.container_id.short(),
                network.name
            ),
            Self::Network { network } => {
                let bridge = network.network_interface.as_deref().unwrap_or("(none)");
                let name = &network.name;
                write!(
                    f,
                    "network {name}, which was removed, with bridge {bridge} and rules"
                )
            }
            Self::Servers { network, served } => {
                let name = &network.name;
                let served: Vec<_> = served.iter().map(IpAddr::to_string).collect();
                let served = served.join(", ");
                write!(
                    f,
                    "name server address {served} of network {name}, left by an earlier network"
                )
            }
            Self::Namespace {
                path, interfaces, ..
            } => {
                write!(f, "namespace {} with nobody in it", path.display())?;
                for interface in interfaces {
                    let name = &interface.network.name;
                    let container = short_id(interface.record.container_id.as_str());
                    write!(f, ", {} on {name} of {container}", interface.name)?;
                }
                Ok(())
            }
        }
    }
}

/// Clears one ghost away. Podman's network lock must have been held since the ghost was found.
///
/// # Errors
/// If it, or part of it, is still there; the error says why.
pub(super) fn clear(ghost: &Ghost, podman: &Podman) -> Result<(), String> {
    match ghost {
        Ghost::Record { network, record } => {
            take_down_record(podman, network, record, Reach::Network)
        }
        Ghost::Network { network } => {
            take_down_record(
                podman,
                network,
                &Record::nothing(NOBODY.into()),
                Reach::Network,
            )?;
            let links = sight::links().map_err(|error| error.to_string())?;
            match bridge::of(network, &links) {
                Some(bridge) => Err(format!("bridge {} is still there", bridge.name)),
                None => Ok(()),
            }
        }
        Ghost::Servers { network, .. } => {
            let put = delegate::put_servers_right(&podman.delegation.config, network, true);
            put.map(drop).map_err(|error| error.to_string())
        }
        Ghost::Namespace {
            path,
            key,
            interfaces,
        } => {
            if sight::examine(path) != PathFact::There(*key) {
                return Ok(());
            }
            for interface in interfaces {
                interface.take_down(podman, path)?;
            }
            delegate::end_stray(&podman.delegation.config);
            namespace_file::remove_file(path).map_err(|error| chain(&error))
        }
    }
}

impl Interface {
    fn take_down(&self, podman: &Podman, path: &Path) -> Result<(), String> {
        let name = self.name.as_str();
        let attachment: Attachment = self.record.attachment(&self.network, name.into());
        let remains = Remains {
            attachment: &attachment,
            addresses: &self.record.addresses,
            delegation: &podman.delegation,
            reach: Reach::Network,
        };
        let is_there = || {
            let links = sight::links_of(path).unwrap_or_default();
            links.iter().any(|link| link.name == name)
        };
        let done = remains.take_down(podman, path, is_there);
        done.map_err(Left::into_reason)
    }
}
