//! The states of an address, in the words that people read.

use std::fmt;

use serde::Serialize;

use crate::rules::lease::Phase;
use crate::rules::verdict::Verdict;

/// The current state of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Leased; the holder is alive.
    Live,
    /// Leased; the holder is just being started.
    Offered,
    /// Leased; berth cannot tell whether the holder is alive.
    Unknown,
    /// Leased; the holder is gone, and the next collection takes the address back.
    Dead,
    /// Leased on another host of the share.
    Elsewhere,
    /// Released a moment ago: for now, no other container gets it while others are free.
    Cooldown,
    /// Kept for its former holder, who may come back.
    Held,
    /// Reserved by a person, for good.
    Reserved,
    /// Leased only to a container that asks for it.
    Excluded,
    /// The subnet's gateway, which no container gets.
    Gateway,
    /// The next container may get it.
    Free,
}

impl State {
    /// The states that are listed, those of leases first.
    pub const LISTED: [Self; 9] = [
        Self::Live,
        Self::Offered,
        Self::Unknown,
        Self::Dead,
        Self::Elsewhere,
        Self::Cooldown,
        Self::Held,
        Self::Reserved,
        Self::Excluded,
    ];

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Offered => "offered",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
            Self::Elsewhere => "elsewhere",
            Self::Cooldown => "cooldown",
            Self::Held => "held",
            Self::Reserved => "reserved",
            Self::Excluded => "excluded",
            Self::Gateway => "gateway",
            Self::Free => "free",
        }
    }

    /// Returns the listed state with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::LISTED
            .into_iter()
            .find(|state| state.as_str() == word)
    }

    /// Returns whether the address is leased.
    pub const fn is_leased(self) -> bool {
        match self {
            Self::Live | Self::Offered | Self::Unknown | Self::Dead | Self::Elsewhere => true,
            Self::Cooldown
            | Self::Held
            | Self::Reserved
            | Self::Excluded
            | Self::Gateway
            | Self::Free => false,
        }
    }

    /// Returns the state of a lease.
    pub const fn of(phase: Phase, verdict: &Verdict) -> Self {
        match (verdict, phase) {
            (Verdict::Live(_), Phase::Offered) => Self::Offered,
            (Verdict::Live(_), Phase::Bound) => Self::Live,
            (Verdict::Unknown(_), _) => Self::Unknown,
            (Verdict::Dead(_), _) => Self::Dead,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
