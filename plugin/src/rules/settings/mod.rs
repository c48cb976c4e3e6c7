//! berth.conf: what an administrator sets for this host, for every network or for one. No
//! I/O.
//!
//! The files follow the rules of containers.conf: a later file wins key by key, for lists too
//! unless they say `{append=true}`. A network's own options rank between `[defaults]` and
//! `[network.NAME]`; exclusions and reserved addresses from all of these are kept.
//!
//! **What a mistake does.** The file may say that an address is not berth's to give, or that
//! the leases are elsewhere. If berth cannot understand that, it leases nothing: an address
//! given by mistake silently breaks an innocent party, while a refused start says what to
//! repair, and where. A mistake in one network's section does not affect other networks. A
//! mistake in a time or an order stops nothing: berth ignores the value.

mod apply;
pub mod keys;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::options::{self, RESERVE};
use super::pledge;

/// How long to wait for each lock if `lock` is not set.
pub const LOCK_WAIT: Duration = Duration::from_secs(30);
/// How old the last collection may be before a setup starts one, if `collection` is not set.
/// The timer collects every minute, so that normally no setup has to.
pub const COLLECTION_WAIT: Duration = Duration::from_secs(150);

/// Where a value is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub path: PathBuf,
    /// The line, counted from 1; `None` for the file as a whole.
    pub line: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.line {
            Some(line) => write!(f, " line {line}"),
            None => Ok(()),
        }
    }
}

/// One value, or one item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub text: String,
    pub origin: Origin,
}

/// The value of a key: one item, or any number of items if it is a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    pub items: Vec<Item>,
    /// Whether items of later files are added. Once set, it stays in force, as in Podman's
    /// lists.
    append: bool,
}

/// The keys that are set in one table.
pub type Section = BTreeMap<&'static str, Setting>;

/// What a mistake keeps berth from doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Leasing anything.
    Everything,
    /// Leasing addresses of this network.
    Network(String),
    /// Leasing addresses of the networks in this share.
    Share(String),
    /// Nothing: the value counts as not set.
    Nothing,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("berth leases no address until that is fixed"),
            Self::Network(name) => {
                write!(
                    f,
                    "berth leases no address on network {name} until that is fixed"
                )
            }
            Self::Share(name) => {
                write!(
                    f,
                    "berth leases no address on the networks of share {name} until that is fixed"
                )
            }
            Self::Nothing => f.write_str("it counts as not set"),
        }
    }
}

/// A mistake in the files.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{origin}: {what}")]
pub struct Mistake {
    pub origin: Origin,
    pub what: String,
    pub concern: Concern,
}

/// Everything that the files say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The keys outside any table: see [`keys::GENERAL`].
    pub general: Section,
    /// See [`keys::WAITS`].
    pub waits: Section,
    /// See [`keys::DEFAULTS`].
    pub defaults: Section,
    /// By the network's name; see [`keys::NETWORK`].
    pub networks: BTreeMap<String, Section>,
    /// By the share's name; see [`keys::SHARE`].
    pub shares: BTreeMap<String, Section>,
    /// In the order of the files.
    pub mistakes: Vec<Mistake>,
}

impl Settings {
    /// Returns the directory of the lease store, if it is set.
    pub fn state_directory(&self) -> Option<&Item> {
        self.general.get(keys::STATE_DIRECTORY)?.items.first()
    }

    /// Returns the name of the engine for a new lease store, if it is set.
    pub fn engine(&self) -> Option<&str> {
        let item = self.general.get(keys::ENGINE)?.items.first()?;
        Some(&item.text)
    }

    /// Returns the item that reserves this address of a network, if the files have one.
    pub fn reserving(&self, network: &str, address: IpAddr) -> Option<&Item> {
        let reserved = self.networks.get(network)?.get(RESERVE)?;
        let is_it = |item: &&Item| {
            let mut pledges = pledge::items(&item.text).flatten();
            pledges.any(|pledge| pledge.address == address)
        };
        reserved.items.iter().find(is_it)
    }

    /// Returns how long to wait for each lock.
    pub fn lock_wait(&self) -> Duration {
        self.wait(keys::LOCK).unwrap_or(LOCK_WAIT)
    }

    /// Returns how old the last collection may be before a setup starts one.
    pub fn collection_wait(&self) -> Duration {
        self.wait(keys::COLLECTION).unwrap_or(COLLECTION_WAIT)
    }

    fn wait(&self, key: &str) -> Option<Duration> {
        let item = self.waits.get(key)?.items.first()?;
        options::whole_seconds(&item.text)
    }

    /// Returns the first mistake that may hide anything at all, such as where the leases are.
    pub fn blinding(&self) -> Option<&Mistake> {
        let mut mistakes = self.mistakes.iter();
        mistakes.find(|mistake| mistake.concern == Concern::Everything)
    }
}

#[cfg(test)]
mod tests;
