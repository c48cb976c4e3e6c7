//! Which entries a person wants to see.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use thiserror::Error;

use super::{Entry, State};

/// Why a filter is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FilterError {
    #[error("invalid filter {0:?}: give it as KEY=VALUE, as in state=dead")]
    Form(String),
    #[error("invalid filter {0:?}: the keys are network, container, address and state")]
    Key(String),
    #[error(
        "invalid filter {0:?}: the states are {states}",
        states = State::LISTED.map(State::as_str).join(", ")
    )]
    State(String),
    #[error(
        "invalid filter {0:?}: give an address (10.0.0.9) or the addresses of a subnet (10.0.0.0/28)"
    )]
    Address(String),
}

/// What entries must be like. As with podman, an entry must match every key, and for
/// each key one of the values.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    networks: Vec<String>,
    containers: Vec<String>,
    addresses: Vec<IpNetwork>,
    states: Vec<State>,
}

impl Filter {
    /// Reads filters of the form `KEY=VALUE`.
    ///
    /// # Errors
    /// For the first one that cannot be understood.
    pub fn parse<T: AsRef<str>>(filters: &[T]) -> Result<Self, FilterError> {
        let mut all = Self::default();
        for filter in filters {
            all.add(filter.as_ref())?;
        }
        Ok(all)
    }

    fn add(&mut self, filter: &str) -> Result<(), FilterError> {
        let whole = || filter.to_owned();
        let (key, value) = filter
            .split_once('=')
            .ok_or_else(|| FilterError::Form(whole()))?;
        if value.is_empty() {
            return Err(FilterError::Form(whole()));
        }
        match key {
            "network" => self.networks.push(value.to_owned()),
            "container" => self.containers.push(value.to_owned()),
            "address" => {
                let address = value.parse();
                self.addresses
                    .push(address.map_err(|_| FilterError::Address(whole()))?);
            }
            "state" => {
                let state = State::named(value);
                self.states
                    .push(state.ok_or_else(|| FilterError::State(whole()))?);
            }
            _ => return Err(FilterError::Key(whole())),
        }
        Ok(())
    }

    /// Adds that entries must be of a network, by its name or id.
    pub fn add_network(&mut self, network: &str) {
        self.networks.push(network.to_owned());
    }

    /// Returns whether it asks for a state of addresses that are not leased.
    pub fn asks_for_unleased(&self) -> bool {
        self.states.iter().any(|state| !state.is_leased())
    }

    /// Returns whether an entry is wanted. A container matches by its name or by the
    /// beginning of its id.
    pub fn wants(&self, entry: &Entry) -> bool {
        let network = |wanted: &String| *wanted == entry.network || *wanted == entry.network_id;
        let container = |wanted: &String| entry.is_of(wanted);
        let is_in = |wanted: &IpNetwork| {
            let covers = |address: IpAddr| wanted.contains(address);
            let span = entry.address.0;
            covers(span.first()) || covers(span.last()) || span.contains(wanted.network())
        };
        fn any<T>(wanted: &[T], is_it: impl Fn(&T) -> bool) -> bool {
            wanted.is_empty() || wanted.iter().any(is_it)
        }
        any(&self.networks, network)
            && any(&self.containers, container)
            && any(&self.addresses, is_in)
            && any(&self.states, |state| *state == entry.state)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entry::tests::{entry, tenant};
    use super::*;
    use crate::rules::verdict::{Sign, Verdict};

    #[track_caller]
    fn check(filters: &[&str], expected: bool) {
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let entry = entry(&tenant("10.0.0.9"), &live, Duration::ZERO);
        let filter = Filter::parse(filters).expect("filters");
        assert_eq!(filter.wants(&entry), expected, "{filters:?}");
    }

    #[test]
    fn one_value_of_every_key_must_fit() {
        check(&[], true);
        check(&["network=net"], true);
        check(&["network=other"], false);
        check(&["network=other", "network=net"], true);
        check(&["container=web", "state=live"], true);
        check(&["container=web", "state=dead"], false);
        check(&["container=1f2e"], true);
        check(&["container=we"], false);
        check(&["address=10.0.0.9"], true);
        check(&["address=10.0.0.0/28"], true);
        check(&["address=10.0.0.16/28"], false);
    }

    #[test]
    fn a_filter_that_cannot_be_understood_is_refused_in_one_line() {
        let refused = |filter: &str| {
            let error = Filter::parse(&[filter]).expect_err("it must be refused");
            error.to_string()
        };
        assert_eq!(
            refused("state"),
            "invalid filter \"state\": give it as KEY=VALUE, as in state=dead"
        );
        assert_eq!(
            refused("name=web"),
            "invalid filter \"name=web\": the keys are network, container, address and state"
        );
        assert_eq!(
            refused("state=up"),
            "invalid filter \"state=up\": the states are live, offered, unknown, dead, elsewhere, \
             cooldown, held, reserved, excluded"
        );
        assert_eq!(
            refused("address=web"),
            "invalid filter \"address=web\": give an address (10.0.0.9) or the addresses of a \
             subnet (10.0.0.0/28)"
        );
    }
}
