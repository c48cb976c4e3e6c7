//! Why a container does not get its network, in words for its user.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use berth_share::ShareName;
use thiserror::Error;

use super::bridge::BridgeError;
use super::contest::Contest;
use super::reclaim::ReclaimError;
use super::session::SessionError;
use crate::delegate::DelegateError;
use crate::rules::lease::NetworkName;
use crate::rules::options::OptionsError;
use crate::rules::pledge::Pledge;
use crate::rules::pool::{PoolError, Unleasable};
use crate::rules::settings::Mistake;
use crate::sharing::SharingError;
use crate::sight::ClockError;
use crate::store::StoreError;

/// Why a setup or teardown failed.
#[derive(Debug, Error)]
pub enum LifecycleError {
    /// The mistake may hide that an address is not berth's to give.
    #[error(
        "{0}; `berth config` shows every mistake, and berth leases no address until that is fixed"
    )]
    Settings(#[from] Mistake),
    #[error("network {network}")]
    Options {
        network: NetworkName,
        #[source]
        source: OptionsError,
    },
    #[error("network {network}")]
    Pool {
        network: NetworkName,
        #[source]
        source: PoolError,
    },
    #[error(
        "network {0}: a container's interface cannot be called lo, because the loopback has that \
         name; choose another interface_name"
    )]
    Loopback(NetworkName),
    #[error("network {0} has no subnet to lease an address from; create it again with --subnet")]
    NoSubnet(NetworkName),
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A container may be on a network whose addresses are not leased yet.
    #[error(
        "network {network}: berth has leased nothing on it yet, and a process that it cannot see may \
         have an address there ({doubt}); end that process, or give Podman CAP_SYS_PTRACE and \
         CAP_SYS_ADMIN"
    )]
    Hidden { network: NetworkName, doubt: String },
    /// The store is new, and the host cannot be looked at.
    #[error(
        "the lease store is new, and berth must know what running containers hold before it \
         leases an address; clear this obstacle and start the container again"
    )]
    Recover(#[source] SessionError),
    #[error("failed to examine the container's namespace {}: {reason}", path.display())]
    Namespace { path: PathBuf, reason: String },
    #[error("requested static ip {address} not in any subnet on network {network}")]
    Outside {
        address: IpAddr,
        network: NetworkName,
    },
    #[error("requested ip address {address} cannot be leased on network {network}: {reason}")]
    Unleasable {
        address: IpAddr,
        network: NetworkName,
        reason: Unleasable,
    },
    #[error(
        "requested ip address {} is reserved on network {network} {}; ask for another address, or \
         run `berth unreserve {} --network {network}`",
        pledge.address, pledge.whom(), pledge.address
    )]
    Pledged {
        pledge: Pledge,
        network: NetworkName,
    },
    #[error(transparent)]
    Contested(#[from] Contest),
    #[error(transparent)]
    Sharing(Box<SharingError>),
    /// The share says, after the interface was made, that the address is not ours any
    /// more.
    #[error(
        "{address} was claimed in share {share} and is not this container's any more: this host \
         was evicted, or etcd was restored from a backup; see `berth share status`"
    )]
    Lost { address: IpAddr, share: ShareName },
    #[error(transparent)]
    Delegate(#[from] DelegateError),
    #[error("{failure}; the cleanup failed too: {cleanup}")]
    Undo { failure: String, cleanup: String },
    /// The plumbing of the same container's last start could not be removed.
    #[error(transparent)]
    Reclaim(#[from] ReclaimError),
    #[error("{who}: {}", failures.join("; "))]
    Teardown {
        /// What the command was for, from [`super::introduction`].
        who: String,
        failures: Vec<String>,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The answer could not be handed over, so everything was undone.
    #[error("the caller did not take the answer; the lease was released")]
    Unheard(#[source] io::Error),
}
