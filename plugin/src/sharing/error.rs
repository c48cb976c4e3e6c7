//! Why a share cannot be used, in words for the person who starts a container.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::PathBuf;

use berth_share::etcd::EtcdError;
use berth_share::{ShareError, ShareName};
use thiserror::Error;

use crate::rules::share::ConfigurationError;
use crate::sight::ClockError;
use crate::text::foreign;

/// Failure to use a share. Its text includes the cause. Running containers keep what they
/// have.
#[derive(Debug, Error)]
pub enum SharingError {
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    #[error("share {share}: {}", describe_folder(path, cause))]
    Folder {
        share: ShareName,
        path: PathBuf,
        cause: io::Error,
    },
    #[error("share {share}: {cause}; correct [share.{share}] in berth.conf")]
    Client { share: ShareName, cause: EtcdError },
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Another container has a static address. The message begins with Podman's own words.
    #[error(
        "requested ip address {address} is already allocated to container ID {container} (name \
         {name}) on host {host}, according to share {share}; stop that container or ask for \
         another address"
    )]
    Taken {
        share: ShareName,
        address: IpAddr,
        container: String,
        name: String,
        host: String,
    },
    #[error(
        "share {share} has no free address from {first} to {last}; `berth share hosts` shows how \
         many each host has"
    )]
    Full {
        share: ShareName,
        first: IpAddr,
        last: IpAddr,
    },
    #[error("share {share}: {cause}")]
    Share { share: ShareName, cause: ShareError },
}

impl SharingError {
    /// Returns the error of a share of this name.
    pub fn of(share: &ShareName, source: ShareError) -> Self {
        let share = share.clone();
        match source {
            ShareError::Taken {
                address,
                holder: Some(taker),
            } => Self::Taken {
                share,
                address,
                // These were written by another host.
                container: foreign(&taker.container),
                name: foreign(&taker.name),
                host: foreign(&taker.host),
            },
            ShareError::Full { first, last } => Self::Full { share, first, last },
            cause => Self::Share { share, cause },
        }
    }
}

fn describe_folder(path: &std::path::Path, source: &io::Error) -> String {
    let path = path.display();
    match source.kind() {
        ErrorKind::TimedOut => format!(
            "another command on this host has held the lock {path}/lock for too long; try again \
             when it has ended"
        ),
        _ => format!("failed to use {path}: {source}"),
    }
}
