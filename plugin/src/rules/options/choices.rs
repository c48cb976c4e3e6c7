//! The options whose value is one of a few words.

use std::collections::BTreeMap;
use std::fmt;

use super::{DRIVER, OptionsError};
use crate::protocol::Network;

/// Which free address a dynamic lease gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The first free one after the last dynamic lease, as Podman does.
    #[default]
    Next,
    Lowest,
    /// Any free one, all equally likely.
    Random,
}

impl Order {
    pub const ALL: [Self; 3] = [Self::Next, Self::Lowest, Self::Random];

    /// Returns the value of [`ORDER`](super::ORDER) that selects it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Lowest => "lowest",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The driver, one of netavark's own, that makes the interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plumbing {
    #[default]
    Bridge,
    Macvlan,
    Ipvlan,
}

impl Plumbing {
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Macvlan, Self::Ipvlan];

    /// Returns netavark's name of the driver, which is also the value of [`DRIVER`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }

    /// Returns the driver of this name, if netavark has one.
    pub fn named(driver: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|own| own.as_str() == driver)
    }

    /// Returns the driver that makes a network's interfaces: the network's own driver if it is
    /// netavark's, otherwise the one that its options select, by default the bridge.
    ///
    /// # Errors
    /// [`OptionsError::Choice`] if the options name an unknown driver.
    pub fn of(network: &Network) -> Result<Self, OptionsError> {
        match Self::named(&network.driver) {
            Some(own) => Ok(own),
            None => choice(&network.options, DRIVER, &Self::ALL, Self::as_str),
        }
    }
}

impl fmt::Display for Plumbing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads one of a few words, or returns the type's default if the option is absent.
pub(super) fn choice<T: Copy + Default>(
    options: &BTreeMap<String, String>,
    name: &'static str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, OptionsError> {
    let Some(value) = options.get(name) else {
        return Ok(T::default());
    };
    all.iter()
        .copied()
        .find(|item| word(*item) == value)
        .ok_or_else(|| OptionsError::Choice {
            name,
            value: value.clone(),
            known: all
                .iter()
                .map(|item| word(*item))
                .collect::<Vec<_>>()
                .join(" or "),
        })
}
