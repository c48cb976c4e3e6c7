//! In which order entries are listed.

use std::cmp::Ordering;

use super::entry::Entry;

/// What entries are sorted by. Equal ones are sorted by network and address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Address,
    Container,
    Network,
    State,
    /// The newest first.
    Age,
    /// What ends soonest comes first, what never ends last.
    Expires,
}

impl Order {
    /// Sorts entries.
    pub fn sort(self, entries: &mut [Entry]) {
        entries.sort_by(|one, other| compare(one, other, self).then_with(|| place(one, other)));
    }
}

fn compare(one: &Entry, other: &Entry, order: Order) -> Ordering {
    match order {
        Order::Address => one.address.key().cmp(&other.address.key()),
        Order::Container => one.container_name.cmp(&other.container_name),
        Order::Network => Ordering::Equal,
        Order::State => one.state.cmp(&other.state),
        Order::Age => one.age.cmp(&other.age),
        Order::Expires => {
            let end = |entry: &Entry| (entry.left.is_none(), entry.left);
            end(one).cmp(&end(other))
        }
    }
}

fn place(one: &Entry, other: &Entry) -> Ordering {
    let key = |entry: &Entry| (entry.network.clone(), entry.address.key());
    key(one).cmp(&key(other))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::entry::tests::{entry, tenant};
    use super::*;
    use crate::rules::verdict::{Cause, Sign, Verdict};

    fn sorted(order: Order) -> Vec<String> {
        let live = Verdict::Live(Sign::Starting { pid: 4 });
        let dead = Verdict::Dead(Cause::NamespaceGone);
        let make = |address: &str, name: &str, verdict: &Verdict, age| {
            let entry = entry(&tenant(address), verdict, Duration::from_secs(age));
            Entry {
                container_name: name.to_owned(),
                network: format!("net-{name}"),
                ..entry
            }
        };
        let mut entries = [
            make("10.0.0.10", "a", &dead, 5),
            make("fd00::1", "c", &live, 3),
            make("10.0.0.9", "b", &live, 4),
        ];
        order.sort(&mut entries);
        let addresses = entries.iter().map(|entry| entry.address.to_string());
        addresses.collect()
    }

    #[test]
    fn entries_are_sorted_by_what_is_asked_for() {
        let by_address = ["10.0.0.9", "10.0.0.10", "fd00::1"];
        let by_name = ["10.0.0.10", "10.0.0.9", "fd00::1"];
        assert_eq!(sorted(Order::Address), by_address);
        assert_eq!(sorted(Order::Container), by_name);
        assert_eq!(sorted(Order::Network), by_name);
        assert_eq!(sorted(Order::State), ["10.0.0.9", "fd00::1", "10.0.0.10"]);
        assert_eq!(sorted(Order::Age), ["fd00::1", "10.0.0.9", "10.0.0.10"]);
        assert_eq!(sorted(Order::Expires), by_name);
    }
}
