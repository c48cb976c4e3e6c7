//! What a person asks of a share, or does in it: how it is, who takes part, joining again,
//! ending a suspension, evicting a host that is gone.

mod evict;
mod view;

use std::fmt;

use berth_share::ShareName;
use berth_share::operator::{self, Rejoin};
use serde::Serialize;

pub use evict::{EvictError, Evicted, evict};
pub use view::{HostState, HostView, ShareState, ShareView, hosts, view};

use crate::podman::Podman;
use crate::sharing::{Seat, SharingError};

/// How this host takes part again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejoined {
    pub share: String,
    /// Who it is there from now on.
    pub host: String,
    /// Whether it is who it was.
    pub original: bool,
}

impl fmt::Display for Rejoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            share,
            host,
            original,
        } = self;
        let kind = if *original {
            "as before"
        } else {
            "as a new host"
        };
        write!(
            f,
            "this host takes part in share {share} {kind}, {host}; the next collection claims the \
             addresses that its containers have"
        )
    }
}

/// Lets this host take part again.
///
/// # Errors
/// If the share is not configured or its seat not free, or etcd does not answer.
pub fn rejoin(podman: &Podman, share: &ShareName, how: Rejoin) -> Result<Rejoined, SharingError> {
    let mut seat = Seat::take(podman, share, podman.settings.lock_wait())?;
    Ok(Rejoined {
        host: seat.rejoin(how)?.to_string(),
        share: share.to_string(),
        original: how == Rejoin::Original,
    })
}

/// What has become of a suspension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    pub share: String,
    /// Whether it was suspended.
    pub was_suspended: bool,
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            share,
            was_suspended,
        } = self;
        match was_suspended {
            true => write!(f, "share {share} takes new claims again"),
            false => write!(f, "share {share} is not suspended; nothing has changed"),
        }
    }
}

/// Ends the suspension of a share; `without` names hosts that are gone for good.
///
/// # Errors
/// If other hosts have not put their leases back, or etcd does not answer.
pub fn accept(
    podman: &Podman,
    share: &ShareName,
    without: &[&str],
) -> Result<Accepted, SharingError> {
    let mut seat = Seat::take(podman, share, podman.settings.lock_wait())?;
    let total = seat.configuration.times.total;
    let was_suspended = seat.speak(None, total, |member| operator::accept(member, without))?;
    Ok(Accepted {
        share: share.to_string(),
        was_suspended,
    })
}
