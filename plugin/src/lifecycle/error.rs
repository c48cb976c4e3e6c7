//! Why a container does not get its network, in words for its user.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::contest::Contest;
use super::reclaim::ReclaimError;
use super::session::SessionError;
use crate::delegate::DelegateError;
use crate::rules::lease::NetworkName;
use crate::rules::options::OptionsError;
use crate::rules::pool::{PoolError, Unleasable};
use crate::sight::ClockError;
use crate::store::StoreError;

/// Failure of a setup or teardown.
#[derive(Debug, Error)]
pub enum LifecycleError {
    /// The network's options are bad.
    #[error("network {network}")]
    Options {
        /// The network.
        network: NetworkName,
        /// Why.
        #[source]
        source: OptionsError,
    },
    /// A subnet of the network is bad.
    #[error("network {network}")]
    Pool {
        /// The network.
        network: NetworkName,
        /// Why.
        #[source]
        source: PoolError,
    },
    /// The network has no subnet.
    #[error("network {0} has no subnet to lease an address from; create it again with --subnet")]
    NoSubnet(NetworkName),
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The store is new, and not everything can be seen.
    #[error(
        "the lease store is new, and berth must know what running containers hold before it \
         leases an address"
    )]
    Recover(#[source] SessionError),
    /// The namespace is missing or unreadable.
    #[error("failed to examine the container's namespace {}: {reason}", path.display())]
    Namespace {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An address lies in no subnet. Podman's words.
    #[error("requested static ip {address} not in any subnet on network {network}")]
    Outside {
        /// The address.
        address: IpAddr,
        /// The network.
        network: NetworkName,
    },
    /// An address can never be leased.
    #[error("requested ip address {address} cannot be leased on network {network}: {reason}")]
    Unleasable {
        /// The address.
        address: IpAddr,
        /// The network.
        network: NetworkName,
        /// Why.
        reason: Unleasable,
    },
    /// Somebody else holds what is asked for.
    #[error(transparent)]
    Contested(#[from] Contest),
    /// netavark failed.
    #[error(transparent)]
    Delegate(#[from] DelegateError),
    /// netavark failed, and so did the clean-up after it.
    #[error("{failure}; cleaning up after it failed too: {cleanup}")]
    Undo {
        /// netavark's failure.
        failure: String,
        /// The clean-up's failure.
        cleanup: String,
    },
    /// The plumbing of the same container's last start is still there.
    #[error(transparent)]
    Reclaim(#[from] ReclaimError),
    /// A teardown left something; all of it.
    #[error("teardown of container {container} on network {network}: {}", failures.join("; "))]
    Teardown {
        /// The container's short id.
        container: String,
        /// The network.
        network: NetworkName,
        /// What failed.
        failures: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The answer could not be handed over, so everything was undone.
    #[error("the caller did not take the answer; the lease was released")]
    Unheard(#[source] io::Error),
}
