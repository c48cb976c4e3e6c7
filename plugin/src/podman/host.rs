//! What `create` must know about this host: the I/O behind [`HostFacts`].
//!
//! Everything is read once, on request, and nothing is changed. Podman holds its network lock
//! while it calls us, so the network configurations do not change meanwhile.

mod links;
mod routes;

use std::path::PathBuf;

use nix::errno::Errno;
use thiserror::Error;

use crate::podman::{ContainersConf, Environment};
use crate::rules::network_config::{HostFacts, KnownNetwork};

use crate::sight;

use super::{CommandLine, default_network, known_networks, network_config_dir};

/// Why the host's facts cannot be read.
#[derive(Debug, Error)]
pub enum HostError {
    #[error("failed to list the network interfaces and their addresses")]
    Links(#[source] Errno),
    #[error("failed to list the kinds of the network interfaces")]
    Kinds(#[source] std::io::Error),
    /// A file or directory exists but cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "invalid default_subnet {value:?} in containers.conf: give an IPv4 subnet like 10.88.0.0/16"
    )]
    DefaultSubnet { value: String },
    #[error("failed to parse {}: {message}", path.display())]
    Storage {
        path: PathBuf,
        /// What is wrong, on one line.
        message: String,
    },
    #[error("failed to find the network config directory: neither HOME nor XDG_DATA_HOME is set")]
    NoHome,
}

/// Gathers what is in use on this host. `callers` are the command lines above us, nearest
/// first: they may name the directory of the network configurations.
///
/// A damaged network configuration is skipped with a warning, as Podman does.
///
/// # Errors
/// [`HostError`] if anything exists but cannot be read: an unreadable fact is not an absent
/// one.
pub fn gather(
    environment: &Environment,
    conf: &ContainersConf,
    callers: &[CommandLine],
) -> Result<HostFacts, HostError> {
    let (links, addresses) = links::list()?;
    let mut networks = known_networks(&network_config_dir(environment, conf, callers)?)?;
    if networks
        .iter()
        .all(|known| known.name != conf.default_network)
    {
        networks.push(default_network(conf)?);
    }
    let all = sight::links().map_err(HostError::Kinds)?.into_iter();
    let not_bridges = all.filter(|link| link.kind != "bridge");
    Ok(HostFacts {
        not_bridges: not_bridges.map(|link| link.name).collect(),
        routes: routes::list(environment.root(), &addresses)?,
        links,
        addresses,
        networks: networks.iter().map(KnownNetwork::of).collect(),
    })
}

/// Returns the command lines above this process, nearest first: Podman's, or netavark's and
/// then Podman's. What cannot be read is left out.
pub fn callers() -> Vec<CommandLine> {
    super::command_line::above(nix::unistd::getppid().as_raw())
}
