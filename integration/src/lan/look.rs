//! Which addresses of the LAN containers have, according to the kernels of several hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;

use super::NAMES;
use crate::Lab;
use crate::processes::Sighting;

/// One look at every namespace with processes, on all hosts at once: for each address, the hosts
/// and namespaces that have it.
pub(super) struct Look(BTreeMap<IpAddr, BTreeSet<(&'static str, u64)>>);

impl Look {
    #[track_caller]
    pub(super) fn take(labs: &[Lab]) -> Self {
        let sightings = thread::scope(|scope| {
            let looks = labs.iter().map(|lab| scope.spawn(|| lab.sightings()));
            let looks: Vec<_> = looks.collect();
            let looks = looks.into_iter().map(|look| {
                look.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            looks.collect::<Vec<_>>()
        });
        let mut holders = BTreeMap::<_, BTreeSet<_>>::new();
        for (sightings, name) in sightings.into_iter().zip(NAMES) {
            let is_there = |seen: &Sighting| seen.inhabitant != 0 && is_on_lan(seen.address);
            for seen in sightings.into_iter().filter(is_there) {
                let of_address = holders.entry(seen.address).or_default();
                of_address.insert((name, seen.namespace));
            }
        }
        Self(holders)
    }

    /// Returns how many addresses containers have.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the addresses that several namespaces have both in this look and in a second one,
    /// one line each. A look takes time, and an address may move meanwhile.
    #[track_caller]
    pub(super) fn duplicates(mut self, labs: &[Lab]) -> Vec<String> {
        self.0.retain(|_, holders| holders.len() > 1);
        if self.0.is_empty() {
            return Vec::new();
        }
        let Self(second) = Self::take(labs);
        let both = self.0.into_iter().filter_map(|(address, holders)| {
            let held: Vec<_> = holders.intersection(second.get(&address)?).collect();
            (held.len() > 1).then(|| format!("{address} in the namespaces {held:?}"))
        });
        both.collect()
    }
}

/// Returns whether an address is on the LAN, and not on a network of a single host.
fn is_on_lan(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets().starts_with(&[10, 77, 0]),
        IpAddr::V6(address) => address.segments()[0] == 0xfd77,
    }
}
