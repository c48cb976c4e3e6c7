//! A look at a share that also says whether this host may speak there, without a beat.

use std::time::Duration;

use berth_share::operator::Picture;
use berth_share::{HostId, Identity, Refusal, ShareName, beat};

use super::{SharingError, identity, look, machine};
use crate::podman::Podman;

/// How often berth looks, if other commands of this host beat meanwhile.
const LOOKS: usize = 3;

/// A share as it is recorded, and this host in it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `None` if no host has joined it yet.
    pub picture: Option<Picture>,
    /// This host's identity there, if it has ever taken part.
    pub host: Option<HostId>,
    /// Why the share refuses this host, if it does.
    pub refusal: Option<Refusal>,
}

/// Looks at a share without taking part. etcd has `total` for all its answers together, and again
/// for each further look.
///
/// # Errors
/// If the share is not configured, etcd does not answer, or what this host knows about itself
/// cannot be read.
pub fn see(podman: &Podman, name: &ShareName, total: Duration) -> Result<Seen, SharingError> {
    let machine = machine();
    let mut own = identity(podman, name)?;
    for _ in 1..LOOKS {
        let seen = seen_by(own.as_ref(), &machine, look(podman, name, total)?, name)?;
        if seen.refusal.is_none() {
            return Ok(seen);
        }
        // If another command of this host has beaten meanwhile, the record is not a stranger's.
        let now = identity(podman, name)?;
        if now == own {
            return Ok(seen);
        }
        own = now;
    }
    // Whoever is refused stops: a host that beats this often is not.
    Ok(Seen {
        picture: look(podman, name, total)?,
        host: own.map(|own| own.host),
        refusal: None,
    })
}

fn seen_by(
    own: Option<&Identity>,
    machine: &str,
    picture: Option<Picture>,
    name: &ShareName,
) -> Result<Seen, SharingError> {
    let refusal = match own {
        Some(own) => {
            let mut hosts = picture.iter().flat_map(|picture| &picture.hosts);
            let found = hosts.find(|host| host.record.host == own.host);
            let refusal = beat::refusal(own, machine, found.map(|host| &host.record));
            refusal.map_err(|source| SharingError::of(name, source))?
        }
        None => None,
    };
    Ok(Seen {
        host: own.map(|own| own.host.clone()),
        refusal,
        picture,
    })
}
