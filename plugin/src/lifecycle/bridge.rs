//! Checks, before anything is leased, whether the container can be put on its networks'
//! bridges, and removes those that a kill has left half made.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::io;

use thiserror::Error;

use crate::delegate;
use crate::podman::{Podman, read_networks};
use crate::protocol::Network;
use crate::rules::attachment::Attachment;
use crate::rules::bridge::{half_made, managed, other_than_bridge, usurper};
use crate::sight;

/// The interface that should be a network's bridge is something else.
#[derive(Debug, Error)]
pub enum BridgeError {
    #[error(
        "network {network} has {bridge} as its bridge, but that is another interface of this host \
         ({kind}); create the network again with another --interface-name, or with the driver \
         macvlan if {bridge} is to be its parent"
    )]
    NotABridge {
        network: String,
        bridge: String,
        kind: String,
    },
    #[error(
        "network {network} has {bridge} as its bridge, but network {other} is on it: containers of \
         {network} would have no gateway and no DNS; stop those of {other}, or create {network} \
         again with another --interface-name"
    )]
    Anothers {
        network: String,
        bridge: String,
        other: String,
    },
    #[error("failed to list this host's interfaces")]
    Links(#[source] io::Error),
}

/// Refuses a network whose bridge is an interface of another kind, or belongs to another
/// network. Returns whether one of the bridges is half made.
///
/// # Errors
/// [`BridgeError`]. A network whose file cannot be read counts as having no bridge.
pub(super) fn check(podman: &Podman, attachments: &[Attachment]) -> Result<bool, BridgeError> {
    let networks = || attachments.iter().map(|one| &one.network);
    if networks().all(|network| managed(network).is_none()) {
        return Ok(false);
    }
    let links = sight::links().map_err(BridgeError::Links)?;
    let others = LazyCell::new(|| others(podman));
    for network in networks() {
        let bridge = || managed(network).unwrap_or_default().to_owned();
        if let Some(link) = other_than_bridge(network, &links) {
            return Err(BridgeError::NotABridge {
                network: network.name.clone(),
                bridge: bridge(),
                kind: link.kind_or_hardware().to_owned(),
            });
        }
        if let Some(other) = usurper(network, &links, || &others) {
            return Err(BridgeError::Anothers {
                network: network.name.clone(),
                bridge: bridge(),
                other: other.name.clone(),
            });
        }
    }
    Ok(networks().any(|network| half_made(network, &links).is_some()))
}

/// Removes the networks' bridges that are half made. The caller has the store's lock, so
/// netavark is not about to complete one of them.
pub(super) fn remove_half_made(attachments: &[Attachment]) {
    let links = match sight::links() {
        Ok(links) => links,
        Err(error) => {
            log::warn!("failed to list this host's interfaces for half-made bridges: {error}");
            return;
        }
    };
    // Two networks may have the same bridge.
    let mut seen = HashSet::new();
    for network in attachments.iter().map(|one| &one.network) {
        if let Some(bridge) = half_made(network, &links)
            && seen.insert(bridge.index)
            && let Err(error) = delegate::remove_link(bridge.index)
        {
            let network = &network.name;
            log::warn!("failed to remove the half-made bridge of network {network}: {error}");
        }
    }
}

/// Returns the networks whose files can be read.
fn others(podman: &Podman) -> Vec<Network> {
    let directory = podman.network_config_dir();
    let files = directory.ok().and_then(|path| read_networks(path).ok());
    let files = files.into_iter().flatten();
    files.filter_map(|file| file.network.ok()).collect()
}
