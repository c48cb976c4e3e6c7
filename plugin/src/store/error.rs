//! What can go wrong with the lease store.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::rules::lease::{NetworkId, Tenancy};

/// A failure of the lease store. A call that fails changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("failed to {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Another process held the lock for too long.
    #[error(
        "timed out after {} waiting for {}, held by {holder}; try again, or end that process",
        humantime::format_duration(*wait),
        path.display()
    )]
    LockTimeout {
        path: PathBuf,
        wait: Duration,
        /// `pid <pid> (<what it does>)`, or `an unknown process`.
        holder: String,
    },
    /// The store cannot be read, wholly or in part. It is left as it is.
    #[error(
        "lease store {} is damaged: {what}; `berth rebuild` makes a new one from what runs",
        path.display()
    )]
    Damaged {
        path: PathBuf,
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
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// The engine refused, for a reason other than damage or the file system.
    #[error("failed to {action} lease store {}", path.display())]
    Engine {
        action: &'static str,
        path: PathBuf,
        source: Box<dyn Error + Send + Sync>,
    },
    /// The engine panicked.
    #[error(
        "failed to {action} lease store {}: it panicked ({message}); \
         raise the limits on processes and memory (ulimit -u, -v); if that does not help, \
         `berth rebuild` makes a new one from what runs",
        path.display()
    )]
    Panicked {
        action: &'static str,
        path: PathBuf,
        message: String,
    },
    /// The engine neither succeeded nor failed in time.
    #[error(
        "failed to {action} lease store {} within {}; \
         raise the limit on processes (ulimit -u), free some disk space, or try again when the disk is less busy",
        path.display(),
        humantime::format_duration(*wait)
    )]
    Hung {
        action: &'static str,
        path: PathBuf,
        wait: Duration,
    },
    /// An earlier write of this process failed, so memory and disk may differ.
    #[error("lease store {} is closed: an earlier write failed", path.display())]
    Broken { path: PathBuf },
    /// Two transactions were open, and the other one was committed first.
    #[error("another transaction was committed since this one began")]
    Overtaken,
    /// An identity that cannot be a key.
    #[error("{what} {name:?} is not usable: it is {problem}")]
    Name {
        /// As in "network id".
        what: &'static str,
        name: String,
        /// `empty` or the like.
        problem: &'static str,
    },
    /// The address is leased to another tenancy.
    #[error(
        "address {address} is already leased to container {} (interface {})",
        tenancy.container_id.short(),
        tenancy.interface
    )]
    Leased { address: IpAddr, tenancy: Tenancy },
    /// An address was asked for twice at once.
    #[error("address {address} was requested twice")]
    Repeated { address: IpAddr },
    /// The tenancy's leases are not what the caller thinks.
    #[error(
        "the addresses of container {} (interface {}) were changed by another command",
        tenancy.container_id.short(),
        tenancy.interface
    )]
    Changed { tenancy: Tenancy },
    /// The pool is not the one the network was prepared with.
    #[error("subnet {subnet} of network {network} has not been prepared")]
    Unprepared {
        network: NetworkId,
        subnet: IpNetwork,
    },
    /// The network still has leases.
    #[error("network {network} still has leases, {address} among them")]
    InUse {
        network: NetworkId,
        /// The lowest leased address.
        address: IpAddr,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn damaged(store: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: store.to_owned(),
            what: what.into(),
        }
    }
}
