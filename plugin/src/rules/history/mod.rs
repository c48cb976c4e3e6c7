//! What berth records about every lease, so that one can look up later who held an address.
//!
//! There are two lines for each lease, one when it begins and one when it ends, and one line
//! for each failure. Every line is a JSON document of its own, so damage to one leaves the
//! others readable. Lines that are dropped because they are old are counted in a *tally*, the
//! first line, so that no count ever goes down.

mod spell;
mod tally;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use spell::{Outcome, Spell, spells};
pub use tally::{BOUNDS_MS, Tally};

use super::lease::{Kind, Tenant};

/// How long a line is kept after it was written.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many lines are kept, the newest ones: 10,000 leases that have begun and ended.
pub const MOST_LINES: usize = 20_000;

/// How long a reason may be, in bytes. It may quote error messages of other programs.
const LONGEST_REASON: usize = 500;

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A container got addresses on a network.
    Began(Began),
    /// It no longer has them.
    Ended(Ended),
    /// Something failed.
    Failed(Failed),
    /// The totals of the dropped lines.
    Tally(Tally),
}

/// A container got addresses on a network, or was found with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    pub holder: Holder,
    /// Whether berth adopted it: the host's namespaces showed it, but the store did not know
    /// it.
    pub adopted: bool,
    /// How long the whole setup took, netavark's work included. If a setup covers several
    /// networks, only the line of the first one has this.
    pub took_ms: Option<u64>,
}

/// A container gave addresses back, or lost them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// When it got them.
    pub since: u64,
    pub holder: Holder,
    pub end: End,
    /// The evidence, or what failed; empty if `end` says it all.
    pub reason: String,
}

/// Something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    pub work: Work,
    /// What failed, on what, and why.
    pub reason: String,
}

/// Who held which addresses on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The boot in which it held them.
    pub boot: String,
    pub network: String,
    pub network_id: String,
    pub container_id: String,
    pub container_name: String,
    pub interface: String,
    pub addresses: Vec<(IpAddr, Kind)>,
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The container gave the addresses back.
    Released,
    /// The container was gone, and berth took them back.
    Reclaimed,
    /// A person took them back from a container that was, or may have been, alive.
    Forced,
    /// The setup failed, and all of it was undone.
    Undone,
    /// The network went back to Podman's own allocation; the container kept them.
    Moved,
}

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    Setup,
    Teardown,
    Collection,
}

impl End {
    /// Every kind of end.
    pub const ALL: [Self; 5] = [
        Self::Released,
        Self::Reclaimed,
        Self::Forced,
        Self::Undone,
        Self::Moved,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Reclaimed => "reclaimed",
            Self::Forced => "forced",
            Self::Undone => "undone",
            Self::Moved => "moved",
        }
    }
}

impl Work {
    /// Everything that may fail.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Teardown, Self::Collection];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Teardown => "teardown",
            Self::Collection => "collection",
        }
    }
}

impl Line {
    /// Returns the line for the beginning of a tenant's lease; see [`Began`].
    pub fn began(tenant: &Tenant, adopted: bool, took: Option<Duration>) -> Self {
        Self::Began(Began {
            at: tenant.created.wall_ms,
            holder: Holder::of(tenant),
            adopted,
            took_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    /// Returns the line for the end of a tenant's lease at this wall-clock time.
    pub fn ended(tenant: &Tenant, at: u64, end: End, reason: &str) -> Self {
        Self::Ended(Ended {
            at,
            since: tenant.created.wall_ms,
            holder: Holder::of(tenant),
            end,
            reason: shortened(reason),
        })
    }

    /// Returns the line for a failure at this wall-clock time.
    pub fn failed(work: Work, at: u64, reason: &str) -> Self {
        Self::Failed(Failed {
            at,
            work,
            reason: shortened(reason),
        })
    }

    /// Returns when the line was written, in milliseconds since the Unix epoch.
    pub fn at(&self) -> u64 {
        match self {
            Self::Began(began) => began.at,
            Self::Ended(ended) => ended.at,
            Self::Failed(failed) => failed.at,
            Self::Tally(tally) => tally.at,
        }
    }

    /// Returns who held what, if the line is about a lease.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Began(began) => Some(&began.holder),
            Self::Ended(ended) => Some(&ended.holder),
            Self::Failed(_) | Self::Tally(_) => None,
        }
    }
}

impl Holder {
    /// Returns a tenant as a holder.
    pub fn of(tenant: &Tenant) -> Self {
        let leased = tenant.leased.iter();
        Self {
            boot: tenant.boot_id.clone(),
            network: tenant.network_name.to_string(),
            network_id: tenant.tenancy.network_id.to_string(),
            container_id: tenant.tenancy.container_id.to_string(),
            container_name: tenant.container_name.to_string(),
            interface: tenant.tenancy.interface.to_string(),
            addresses: leased.map(|own| (own.address, own.kind)).collect(),
        }
    }
}

impl fmt::Display for Line {
    /// Describes the line in words, without the time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began(began) => {
                let verb = if began.adopted { "adopted" } else { "leased" };
                write!(f, "{verb} {}", began.holder)
            }
            Self::Ended(Ended {
                end,
                holder,
                reason,
                ..
            }) => {
                write!(f, "{} {holder}", end.as_str())?;
                match reason.as_str() {
                    "" => Ok(()),
                    reason => write!(f, ": {reason}"),
                }
            }
            Self::Failed(failed) => {
                write!(f, "{} failed: {}", failed.work.as_str(), failed.reason)
            }
            Self::Tally(_) => f.write_str("older events were left out"),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self
            .addresses
            .iter()
            .map(|(address, _)| address.to_string());
        let addresses: Vec<_> = addresses.collect();
        write!(
            f,
            "{} of container {} ({}) on network {}",
            addresses.join(", "),
            self.container_id.get(..12).unwrap_or(&self.container_id),
            self.container_name,
            self.network
        )
    }
}

/// Cuts off a text that is too long for a line.
fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_REASON {
        return text.to_owned();
    }
    let ends = (0..=LONGEST_REASON).rev();
    let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
    format!("{}…", &text[..end.unwrap_or_default()])
}

/// Returns the lines to keep, with a tally of all lines dropped so far.
///
/// Failures are dropped first, because a container that fails every second would crowd out the
/// record of who held what. Next go lines older than [`KEPT`], except the beginning of a lease
/// of this boot that has not ended, and then the oldest ones beyond [`MOST_LINES`].
pub fn trimmed(lines: Vec<Line>, now: u64, boot: &str) -> Vec<Line> {
    let kept_ms = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
    let oldest = now.saturating_sub(kept_ms);
    let open = spell::open(&lines, boot);
    let mut tally = Tally {
        at: now,
        ..Tally::default()
    };
    let (mut kept, mut room) = (Vec::new(), MOST_LINES);
    for (at, line) in lines.into_iter().enumerate().rev() {
        let is_lease = line.holder().is_some();
        if room > 0 && is_lease && (line.at() >= oldest || open.contains(&at)) {
            room -= 1;
            kept.push(line);
        } else {
            tally.add(&line);
        }
    }
    kept.push(Line::Tally(tally));
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests;
