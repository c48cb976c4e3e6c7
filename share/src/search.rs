//! Chooses the addresses that a claim tries next, one for each that the container wants.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::ShareError;
use crate::claim::{self, Obstacles};
use crate::key::Keys;
use crate::registry::{Read, Registry};
use crate::span::Span;
use crate::window::Search;

/// An address that a container wants.
pub enum Want<'w> {
    /// This one. The store has not leased it.
    Static(IpAddr),
    /// Any address of a range that `usable` allows, searched from `start` on. `usable` allows none
    /// that the store has leased, excluded or reserved.
    Dynamic {
        range: Span,
        start: IpAddr,
        usable: &'w dyn Fn(IpAddr) -> bool,
    },
}

/// The present choice, and where to go on searching.
pub(crate) struct Searches<'w> {
    wants: &'w [Want<'w>],
    pub(crate) choice: Vec<IpAddr>,
    searches: Vec<Option<Search>>,
    /// Which of the chosen addresses others have.
    lost: Vec<bool>,
}

impl<'w> Searches<'w> {
    /// Makes the first choice, before anything is known of the share.
    pub(crate) fn new(wants: &'w [Want<'w>]) -> Result<Self, ShareError> {
        let mut new = Self {
            wants,
            choice: Vec::new(),
            searches: Vec::new(),
            lost: vec![false; wants.len()],
        };
        for want in wants {
            let (choice, search) = match want {
                Want::Static(address) => (*address, None),
                Want::Dynamic {
                    range,
                    start,
                    usable,
                } => {
                    let mut search = Search::new(*range, *start);
                    let usable = |one| usable(one) && !is_asked_for(wants, &new.choice, one);
                    let choice = loop {
                        match search.first(&usable) {
                            Some(choice) => break choice,
                            None if search.advance() => {}
                            None => return Err(full(*range)),
                        }
                    };
                    (choice, Some(search))
                }
            };
            new.choice.push(choice);
            new.searches.push(search);
        }
        Ok(new)
    }

    /// Returns the windows to be looked at if the choice is refused.
    pub(crate) fn windows(&self) -> Vec<(IpAddr, IpAddr)> {
        self.searches.iter().flatten().map(Search::window).collect()
    }

    /// Notes that another holder has the address chosen for this want.
    pub(crate) fn lose(&mut self, at: usize) {
        self.lost[at] = true;
        if let Some(search) = &mut self.searches[at] {
            search.lose(self.choice[at]);
        }
    }

    /// Chooses again where the last choice was lost: at random among the free addresses of the
    /// window, or else of the next windows.
    pub(crate) fn choose(
        &mut self,
        keys: &Keys,
        registry: &mut dyn Registry,
        obstacles: &Obstacles<'_>,
        random: &mut dyn FnMut() -> u128,
    ) -> Result<(), ShareError> {
        let mut windows = obstacles.windows.iter();
        for (at, want) in self.wants.iter().enumerate() {
            let (Want::Dynamic { range, usable, .. }, Some(search)) =
                (want, &mut self.searches[at])
            else {
                continue;
            };
            let mut taken: BTreeSet<_> = windows.next().cloned().unwrap_or_default();
            if !std::mem::take(&mut self.lost[at]) {
                continue;
            }
            let usable = |one| usable(one) && !is_asked_for(self.wants, &self.choice, one);
            self.choice[at] = loop {
                if let Some(choice) = search.choose(&taken, &usable, random()) {
                    break choice;
                }
                if !search.advance() {
                    return Err(full(*range));
                }
                let (first, last) = search.window();
                let span = keys.addresses(first, last);
                let found = registry.read(&[Read::Names(span, usize::MAX)])?;
                taken = found
                    .first()
                    .map(|found| claim::taken(keys, found))
                    .unwrap_or_default();
            };
        }
        Ok(())
    }
}

/// Returns whether another of the container's wants already gets this address: no transaction may
/// put a key twice.
fn is_asked_for(wants: &[Want<'_>], chosen: &[IpAddr], address: IpAddr) -> bool {
    let is_static = |want: &Want<'_>| matches!(want, Want::Static(own) if *own == address);
    chosen.contains(&address) || wants.iter().any(is_static)
}

fn full(range: Span) -> ShareError {
    ShareError::Full {
        first: range.first(),
        last: range.last(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_container_with_two_networks_in_a_share_gets_two_addresses() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let dynamic = || Want::Dynamic {
            range: Span::new(address("10.0.0.1"), address("10.0.0.9")).unwrap(),
            start: address("10.0.0.1"),
            usable: &|_| true,
        };
        let wants = [dynamic(), dynamic(), Want::Static(address("10.0.0.2"))];
        let chosen = Searches::new(&wants).unwrap().choice;
        assert_eq!(chosen, ["10.0.0.1", "10.0.0.3", "10.0.0.2"].map(address));
    }
}
