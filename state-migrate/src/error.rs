//! What can go wrong, apart from the command line.

use std::io;
use std::path::PathBuf;

use berth::lifecycle::session::SessionError;
use berth::podman::{HostError, NetworkLockError, StageError};
use berth::rules::network_config::TakeOverError;
use berth::store::StoreError;
use berth::upkeep::doctor::Finding;
use berth::upkeep::host_wide::SwitchError;
use berth_share::ShareName;
use thiserror::Error;

use crate::file::FileError;

/// Failure of a command. Nothing was changed, unless the message says otherwise.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// ipam.db, or a network's configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    NetworkLock(#[from] NetworkLockError),
    /// The default network.
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lease store, or a look at the host for it.
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    #[error("found no network {name:?} in {directory}; `podman network ls` lists them")]
    NoNetwork { name: String, directory: String },
    #[error("several networks have an id that begins with {0:?}; give more of it, or the name")]
    Ambiguous(String),
    /// Something writes ipam.db without Podman's lock.
    #[error(
        "{} changed while berth-migrate held Podman's network lock, so another program writes to it \
         without that lock; find and stop that program, then run this again",
        .0.display()
    )]
    Changed(PathBuf),
    /// Containers could no longer start.
    #[error("{}{}; to repair that: {}", .0.what, because(.0), .0.repair)]
    Plugin(Box<Finding>),
    #[error("failed to note that collections leave the network with Podman")]
    Exempt(#[source] io::Error),
    /// Podman would lease from a pool that is not its alone.
    #[error(
        "it is in share {0}, and Podman would not ask the other hosts before it leases an address: \
         take it out of the share (ipam_share), start its containers again, then roll it back"
    )]
    Shared(ShareName),
    #[error(
        "container {} still has its addresses from share {share}: start it again, then roll the \
         network back",
        berth::text::foreign(container)
    )]
    SharedClaim { share: ShareName, container: String },
    #[error(
        "berth is not in front of netavark, so no container could start on a plain network; run \
         `berth host-wide on` first"
    )]
    NotHostWide,
    #[error(
        "{failure}; undoing the change failed as well: {undoing}. Run this again when that is repaired"
    )]
    Undone { failure: String, undoing: String },
}

impl From<StageError> for Error {
    fn from(error: StageError) -> Self {
        FileError::from(error).into()
    }
}

fn because(finding: &Finding) -> String {
    if finding.cause.is_empty() {
        String::new()
    } else {
        format!(": {}", finding.cause)
    }
}
