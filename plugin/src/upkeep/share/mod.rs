//! What a person asks about a share, or does in it: its state, the hosts that take part,
//! joining again, ending a suspension, evicting a host that is gone.

mod evict;
mod view;

use std::fmt;

use berth_share::operator::{self, Rejoin};
use berth_share::{ShareError, ShareName};
use serde::Serialize;

pub use evict::{EvictError, Evicted, evict};
pub use view::{HostState, HostView, ShareState, ShareView, hosts, view};

use crate::podman::Podman;
use crate::sharing::{Seat, SharingError};

/// How this host takes part again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejoined {
    pub share: String,
    /// This host's identity there from now on.
    pub host: String,
    /// Whether that is its earlier identity.
    pub original: bool,
    /// Whether it did not take part before; otherwise nothing has changed.
    pub has_changed: bool,
}

impl fmt::Display for Rejoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            share,
            host,
            original,
            has_changed,
        } = self;
        if !has_changed {
            return write!(
                f,
                "this host, {host}, takes part in share {share}; nothing has changed. If it is a \
                 copy of another, run `berth share rejoin --original` on that one first"
            );
        }
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

/// Lets this host take part, if it does not. A host that does take part is left as it is: as
/// a new host, it would run into the claims that it already has.
///
/// # Errors
/// If the share is not configured, its seat is not free, or etcd does not answer.
pub fn rejoin(podman: &Podman, share: &ShareName, how: Rejoin) -> Result<Rejoined, SharingError> {
    let mut seat = Seat::take(podman, share, podman.settings.lock_wait())?;
    let total = seat.configuration.times.total;
    let stands = seat.speak(None, total, |member| {
        member.beat()?;
        Ok(member.host().clone())
    });
    let is_apart = |cause: &ShareError| {
        use ShareError::{Copied, Evicted, NotJoined, OtherMachine};
        matches!(cause, Evicted | Copied(_) | OtherMachine(_) | NotJoined)
    };
    let (host, has_changed) = match stands {
        Err(SharingError::Share { cause, .. }) if is_apart(&cause) => (seat.rejoin(how)?, true),
        stands => (stands?, false),
    };
    Ok(Rejoined {
        host: host.to_string(),
        share: share.to_string(),
        original: how == Rejoin::Original || !has_changed,
        has_changed,
    })
}

/// What has become of a suspension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    pub share: String,
    /// Whether the share was suspended.
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
