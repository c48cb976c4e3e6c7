//! What can go wrong with the lease store.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::rules::lease::{NetworkId, Tenancy};

/// Failure of the lease store. Nothing is changed by a call that fails.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried, as in "failed to …".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else kept the lock.
    #[error(
        "timed out after {} waiting for {}, held by {holder}; try again, or end that process",
        humantime::format_duration(*wait),
        path.display()
    )]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        wait: Duration,
        /// `pid <pid> (<what it does>)`, or `an unknown process`.
        holder: String,
    },
    /// The store cannot be read, wholly or in part. It is left as it is.
    #[error(
        "lease store {} is damaged: {what}; `berth rebuild` makes a new one from what runs",
        dir.join(super::STORE).display()
    )]
    Damaged {
        /// The state directory.
        dir: PathBuf,
        /// Table and key, or file, and what is wrong with it.
        what: String,
    },
    /// A newer berth wrote the store. It is left as it is.
    #[error(
        "lease store {} has format {found}, but this berth knows formats up to {known}; \
         use the newer berth",
        path.display()
    )]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format we know.
        known: u32,
    },
    /// sled refused, other than for damage or the file system.
    #[error("failed to {action} lease store {}", path.display())]
    Engine {
        /// What was tried, as in "failed to …".
        action: &'static str,
        /// The store.
        path: PathBuf,
        /// Why not.
        source: sled::Error,
    },
    /// sled panicked.
    #[error(
        "failed to {action} lease store {}: it panicked ({message}); \
         raise the limits on processes and memory (ulimit -u, -v); if that does not help, \
         `berth rebuild` makes a new one from what runs",
        dir.join(super::STORE).display()
    )]
    Panicked {
        /// What was tried, as in "failed to …".
        action: &'static str,
        /// The state directory.
        dir: PathBuf,
        /// The panic's message.
        message: String,
    },
    /// sled neither succeeds nor fails.
    #[error(
        "failed to {action} lease store {} within {}; \
         raise the limit on processes (ulimit -u), or wait for the disk",
        path.display(),
        humantime::format_duration(*wait)
    )]
    Hung {
        /// What was tried, as in "failed to …".
        action: &'static str,
        /// The store.
        path: PathBuf,
        /// How long we waited.
        wait: Duration,
    },
    /// An earlier write of this process failed, so memory and disk may differ.
    #[error("lease store {} is closed: an earlier write failed", path.display())]
    Broken {
        /// The store.
        path: PathBuf,
    },
    /// Two transactions were begun, and the other one was committed first.
    #[error("another transaction was committed since this one began")]
    Overtaken,
    /// An identity that cannot be a key.
    #[error("{what} {name:?} is not usable: it is {problem}")]
    Name {
        /// Of what, as in "network id".
        what: &'static str,
        /// The name.
        name: String,
        /// `empty` or the like.
        problem: &'static str,
    },
    /// Another tenancy holds the address.
    #[error(
        "address {address} is already leased to container {} (interface {})",
        tenancy.container_id.short(),
        tenancy.interface
    )]
    Leased {
        /// The address.
        address: IpAddr,
        /// Its holder.
        tenancy: Tenancy,
    },
    /// An address was asked for twice at once.
    #[error("address {address} is asked for twice")]
    Repeated {
        /// The address.
        address: IpAddr,
    },
    /// The tenancy does not hold what the caller thinks it holds.
    #[error(
        "the addresses of container {} (interface {}) have changed meanwhile",
        tenancy.container_id.short(),
        tenancy.interface
    )]
    Changed {
        /// The tenancy.
        tenancy: Tenancy,
    },
    /// The pool is not the one the network was prepared with.
    #[error("subnet {subnet} of network {network} has not been prepared")]
    Unprepared {
        /// The network.
        network: NetworkId,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// The network still has leases.
    #[error("network {network} still has leases, {address} among them")]
    InUse {
        /// The network.
        network: NetworkId,
        /// Its lowest leased address.
        address: IpAddr,
    },
}
