//! How many addresses of a subnet are in which state.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Serialize;

use super::{Entry, State};
use crate::protocol::Network;
use crate::rules::options::{self, Options};
use crate::rules::pool::{Pool, Span, last_address};

/// How many addresses of a subnet are in which state. A number that does not fit 64 bits
/// is shown as the largest that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub subnet: IpNetwork,
    pub gateway: Option<IpAddr>,
    /// All addresses of the subnet.
    pub addresses: u64,
    /// Those that a container may get without asking for that very address.
    pub leasable: u64,
    /// Those of them that the next container may get.
    pub free: u64,
    /// How many addresses are in each state that some address is in.
    pub states: BTreeMap<State, u64>,
}

impl Totals {
    /// Counts the entries of a network's subnet. All addresses that are not leased, and
    /// that no container gets without asking, count as excluded, except the gateway: so
    /// do the network and the broadcast address, and the addresses outside of the lease
    /// range.
    pub fn of(pool: &Pool, entries: &[Entry]) -> Self {
        let subnet = pool.subnet();
        let mut states = BTreeMap::<_, u64>::new();
        let (mut taken, mut asked_for) = (0_u128, 0_u128);
        for entry in entries.iter().filter(|entry| is_counted(entry, subnet)) {
            *states.entry(entry.state).or_default() += 1;
            if pool.offers(entry.address.0.first()) {
                taken += 1;
            } else {
                asked_for += 1;
            }
        }
        let all = whole(subnet).len();
        let gateway = u128::from(pool.gateway().is_some());
        let excluded = all.saturating_sub(pool.len() + asked_for + gateway);
        if excluded > 0 {
            states.insert(State::Excluded, bounded(excluded));
        }
        Self {
            subnet,
            gateway: pool.gateway(),
            addresses: bounded(all),
            leasable: bounded(pool.len()),
            free: bounded(pool.len().saturating_sub(taken)),
            states,
        }
    }

    /// Returns how many addresses are in a state.
    pub fn count(&self, state: State) -> u64 {
        match state {
            State::Free => self.free,
            State::Gateway => u64::from(self.gateway.is_some()),
            _ => self.states.get(&state).copied().unwrap_or_default(),
        }
    }

    /// Returns how many addresses are leased.
    pub fn leased(&self) -> u64 {
        let leased = self.states.iter().filter(|(state, _)| state.is_leased());
        leased.map(|(_, count)| count).sum()
    }
}

/// Returns whether an entry is one address of the subnet.
fn is_counted(entry: &Entry, subnet: IpNetwork) -> bool {
    entry.state != State::Excluded && subnet.contains(entry.address.0.first())
}

/// Returns all addresses of a subnet.
pub(super) fn whole(subnet: IpNetwork) -> Span {
    let span = Span::new(subnet.network(), last_address(subnet));
    span.expect("a subnet's last address is not before its first")
}

/// Returns the pools of a network; none if it cannot work.
pub(super) fn pools(network: &Network) -> Vec<Pool> {
    let options = Options::parse(network).unwrap_or_default();
    options::pools(network, &options).unwrap_or_default()
}

fn bounded(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entry::tests::{entry, tenant};
    use super::*;
    use crate::rules::verdict::{Sign, Verdict};

    fn totals(subnet: &str, options: &str, leased: &[&str]) -> Totals {
        let network = format!(
            r#"{{"name": "n", "id": "i", "driver": "berth", "options": {{{options}}},
                "subnets": [{subnet}]}}"#
        );
        let network = serde_json::from_str(&network).expect("a network");
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let of = |address: &&str| entry(&tenant(address), &live, Duration::ZERO);
        let entries: Vec<_> = leased.iter().map(of).collect();
        Totals::of(&pools(&network)[0], &entries)
    }

    #[test]
    fn every_address_is_counted_once() {
        let subnet = r#"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}"#;
        let exclude = r#""ipam_exclude": "10.0.0.200-10.0.0.209""#;
        let totals = totals(subnet, exclude, &["10.0.0.9", "10.0.0.205"]);
        assert_eq!((totals.addresses, totals.leasable), (256, 243));
        assert_eq!((totals.free, totals.leased()), (242, 2));
        // Nine of the ten that the option names, the network address and the broadcast
        // address.
        assert_eq!(totals.count(State::Excluded), 11);
        let parts = totals.free + totals.leased() + totals.count(State::Excluded);
        assert_eq!(parts + totals.count(State::Gateway), 256);
    }

    #[test]
    fn a_subnet_may_be_larger_than_any_number() {
        let totals = totals(r#"{"subnet": "fd00::/8"}"#, "", &["fd00::9"]);
        assert_eq!((totals.addresses, totals.free), (u64::MAX, u64::MAX));
        assert_eq!(totals.leased(), 1);
    }
}
