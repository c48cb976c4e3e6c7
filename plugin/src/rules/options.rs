//! berth's own options of a network. No I/O.
//!
//! They are among the driver options (`podman network create -o name=value`), beside those of
//! netavark's own driver, which [`passed_on`] separates again. They are read at `create`, to
//! refuse what cannot work, and at every setup.

mod choices;
mod exclusions;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use berth_share::ShareName;
use thiserror::Error;

use crate::protocol::Network;
use crate::rules::pledge::{self, Pledge, PledgeError};
use crate::rules::pool::{Pool, PoolError, Span};
use choices::choice;
pub use choices::{Order, Plumbing};
use exclusions::spans;
pub(super) use exclusions::{excluded, excluded_here, listed};

/// Cooldown if `ipam_cooldown` is absent: a released address rests for 30 seconds.
pub const DEFAULT_COOLDOWN: Duration = Duration::from_secs(30);
/// Reservation if `ipam_hold` is absent: a former holder can have its address back for 24
/// hours.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(24 * 60 * 60);
/// TTL if `ipam_ttl` is absent: an unseen lease of unknown liveness is kept for 1 hour.
pub const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);
/// Shortest TTL, itself allowed: a shorter one could run out before the next collection renews
/// the lease.
pub const MIN_TTL: Duration = Duration::from_secs(60);
/// Longest duration of any option, itself allowed: 365 days.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a released address rests before anyone may lease it.
pub const COOLDOWN: &str = "ipam_cooldown";
/// How long a released address waits for its former holder to come back.
pub const HOLD: &str = "ipam_hold";
/// How long a lease of unknown liveness is kept after it was last seen live.
pub const TTL: &str = "ipam_ttl";
/// The addresses that are never leased dynamically.
pub const EXCLUDE: &str = "ipam_exclude";
/// The addresses that are reserved for good: see [`crate::rules::pledge`].
pub const RESERVE: &str = "ipam_reserve";
/// Which free address is leased next.
pub const ORDER: &str = "ipam_order";
/// The share in which the addresses are claimed: see [`crate::rules::share`].
pub const SHARE: &str = "ipam_share";
/// Which of netavark's drivers does the plumbing.
pub const DRIVER: &str = "driver";

/// All our options, in the order of the error messages.
pub const KNOWN: [&str; 8] = [DRIVER, COOLDOWN, EXCLUDE, HOLD, ORDER, RESERVE, SHARE, TTL];

/// The prefix of all our names except [`DRIVER`]. netavark has no such names.
pub(super) const PREFIX: &str = "ipam_";

/// Why one of our options is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OptionsError {
    /// It begins like our options, but we have none of that name.
    #[error("unsupported option {name}: berth knows {}", KNOWN.join(", "))]
    Unknown { name: String },
    #[error(
        "invalid option {name}={value}: not a duration; give whole seconds (90) or a number with a unit (90s, 10m, 24h, 7d)"
    )]
    NotADuration { name: &'static str, value: String },
    /// The duration is too long or too short.
    #[error(
        "invalid option {name}={value}: it must be between {} and {}",
        humantime::format_duration(*.shortest), "365days"
    )]
    DurationOutside {
        name: &'static str,
        value: String,
        /// The shortest duration allowed; the longest is [`MAX_DURATION`].
        shortest: Duration,
    },
    #[error("invalid option {name}={value}: it must be {known}")]
    Choice {
        name: &'static str,
        value: String,
        known: String,
    },
    /// Part of the list is not an address, a range or a subnet.
    #[error(
        "invalid option {EXCLUDE}: {item:?} is not an address (10.0.0.9), a range (10.0.0.9-10.0.0.20) or a subnet (10.0.0.16/28)"
    )]
    Exclusion { item: String },
    #[error(
        "invalid option {EXCLUDE}: {span} is not within a subnet of the network ({subnets}); exclusions need subnets given with --subnet"
    )]
    ExclusionOutside { span: Span, subnets: String },
    /// Part of the list is not a reserved address.
    #[error(
        "invalid option {RESERVE}: {item:?} is not an address (10.0.0.9), with a container's name (10.0.0.9=web) or a comment (10.0.0.9 # the printer) after it"
    )]
    Pledge { item: String },
    #[error("invalid option {RESERVE}: {address} is listed twice")]
    PledgeRepeated { address: IpAddr },
    #[error(
        "invalid option {RESERVE}: {address} is not within a subnet of the network ({subnets})"
    )]
    PledgeOutside { address: IpAddr, subnets: String },
    #[error("invalid option {RESERVE}: {0}")]
    PledgeUnleasable(PledgeError),
    #[error("invalid option {SHARE}={value}: {reason}")]
    Share { value: String, reason: String },
}

/// Options of a network, with defaults for those that it does not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a released address rests; zero for no rest. Default [`DEFAULT_COOLDOWN`].
    pub cooldown: Duration,
    /// How long an address is reserved for its former holder; zero for not at all. Default
    /// [`DEFAULT_HOLD`].
    pub hold: Duration,
    /// How long a lease of unknown liveness is kept. Default [`DEFAULT_TTL`].
    pub ttl: Duration,
    /// What is never leased dynamically, in the order given. Each span lies in one subnet of
    /// the network; spans may overlap.
    pub exclusions: Vec<Span>,
    /// What is reserved for good. Each address lies in a subnet of the network, and occurs
    /// once.
    pub pledges: Vec<Pledge>,
    pub order: Order,
    pub plumbing: Plumbing,
    /// The share in which every address is claimed before it is leased.
    pub share: Option<ShareName>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cooldown: DEFAULT_COOLDOWN,
            hold: DEFAULT_HOLD,
            ttl: DEFAULT_TTL,
            exclusions: Vec::new(),
            pledges: Vec::new(),
            order: Order::Next,
            plumbing: Plumbing::Bridge,
            share: None,
        }
    }
}

impl Options {
    /// Reads our options of a network, and ignores those of netavark's driver.
    ///
    /// # Errors
    /// If a name begins with `ipam_` but is not one of ours, or a value is not allowed.
    pub fn parse(network: &Network) -> Result<Self, OptionsError> {
        let options = &network.options;
        if let Some(name) = options.keys().find(|name| is_unknown(name)) {
            return Err(OptionsError::Unknown { name: name.clone() });
        }
        let share = share(options)?;
        // Hosts that all started at the same address would get in each other's way.
        let scattered = share.is_some() && !options.contains_key(ORDER);
        Ok(Self {
            cooldown: duration(options, COOLDOWN, Duration::ZERO)?.unwrap_or(DEFAULT_COOLDOWN),
            hold: duration(options, HOLD, Duration::ZERO)?.unwrap_or(DEFAULT_HOLD),
            ttl: duration(options, TTL, MIN_TTL)?.unwrap_or(DEFAULT_TTL),
            exclusions: options
                .get(EXCLUDE)
                .map_or_else(|| Ok(Vec::new()), |list| excluded(list, network))?,
            pledges: pledge::parse(network)?,
            order: if scattered {
                Order::Random
            } else {
                choice(options, ORDER, &Order::ALL, Order::as_str)?
            },
            plumbing: Plumbing::of(network)?,
            share,
        })
    }
}

/// Returns whether the option is addressed to us, known or not.
pub fn is_ours(name: &str) -> bool {
    name == DRIVER || name.starts_with(PREFIX)
}

/// Returns the options of netavark's own driver: everything that is not ours.
pub fn passed_on(options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    options
        .iter()
        .filter(|(name, _)| !is_ours(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Returns the pools of a network, one per subnet and in the order of its subnets, without
/// addresses that are excluded or reserved for good.
///
/// # Errors
/// As [`Pool::new`], for the first subnet that cannot be used.
pub fn pools(network: &Network, options: &Options) -> Result<Vec<Pool>, PoolError> {
    let pledges = options.pledges.iter();
    let single = pledges.filter_map(|pledge| Span::new(pledge.address, pledge.address));
    let kept_out: Vec<_> = options.exclusions.iter().copied().chain(single).collect();
    let subnets = network.subnets.iter();
    subnets.map(|subnet| Pool::new(subnet, &kept_out)).collect()
}

/// Returns whether the option is addressed to us, but is not one of ours.
fn is_unknown(name: &str) -> bool {
    is_ours(name) && !KNOWN.contains(&name)
}

/// Checks a value of one of our options, or an item of its list, as far as is possible without
/// the network.
///
/// # Errors
/// If the value is invalid for every network.
pub(super) fn check(name: &'static str, value: &str) -> Result<(), OptionsError> {
    let options = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    match name {
        COOLDOWN | HOLD => duration(&options, name, Duration::ZERO).map(drop),
        TTL => duration(&options, name, MIN_TTL).map(drop),
        ORDER => choice(&options, name, &Order::ALL, Order::as_str).map(drop),
        EXCLUDE => spans(value).try_for_each(|span| span.map(drop)),
        RESERVE => pledge::items(value).try_for_each(|pledge| pledge.map(drop)),
        SHARE => share(&options).map(drop),
        _ => Ok(()),
    }
}

/// Reads a duration of whole seconds, from `shortest` to [`MAX_DURATION`], both allowed.
fn duration(
    options: &BTreeMap<String, String>,
    name: &'static str,
    shortest: Duration,
) -> Result<Option<Duration>, OptionsError> {
    let Some(value) = options.get(name) else {
        return Ok(None);
    };
    let parsed = whole_seconds(value);
    let value = value.clone();
    match parsed {
        None => Err(OptionsError::NotADuration { name, value }),
        Some(duration) if duration < shortest || duration > MAX_DURATION => {
            Err(OptionsError::DurationOutside {
                name,
                value,
                shortest,
            })
        }
        Some(duration) => Ok(Some(duration)),
    }
}

/// Reads the name of the share, if there is one.
fn share(options: &BTreeMap<String, String>) -> Result<Option<ShareName>, OptionsError> {
    let parse = |value: &String| {
        value.parse().map_err(|error| OptionsError::Share {
            value: value.clone(),
            reason: format!("{error}"),
        })
    };
    options.get(SHARE).map(parse).transpose()
}

/// Reads a duration of whole seconds: `90`, or a number with a unit.
pub(super) fn whole_seconds(text: &str) -> Option<Duration> {
    time(text).filter(|duration| duration.subsec_nanos() == 0)
}

/// Reads a duration: `90` (seconds), or a number with a unit.
pub(super) fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits alone fail to parse only if there are too many.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    humantime::parse_duration(text).ok()
}

#[cfg(test)]
mod tests;
