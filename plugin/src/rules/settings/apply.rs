//! Applies the settings to a network.

use super::{Concern, Item, Mistake, Section, Setting, Settings};
use crate::protocol::Network;
use crate::rules::options::{self, COOLDOWN, EXCLUDE, HOLD, ORDER, RESERVE, SHARE, TTL};
use crate::rules::pledge;

impl Settings {
    /// Puts the settings for a network into its options, as if it had been created with them.
    /// Every setting that can be understood is applied.
    ///
    /// # Errors
    /// The first mistake because of which berth may lease no address of the network.
    pub fn apply(&self, network: &mut Network) -> Result<(), Mistake> {
        let none = Section::new();
        let own = self.networks.get(&network.name).unwrap_or(&none);
        for name in [COOLDOWN, HOLD, TTL, ORDER, SHARE] {
            let is_said = network.options.contains_key(name);
            let set = own
                .get(name)
                .or(self.defaults.get(name).filter(|_| !is_said));
            if let Some(item) = set.and_then(|setting| setting.items.first()) {
                network.options.insert(name.to_owned(), item.text.clone());
            }
        }
        let share = network.options.get(SHARE).cloned();
        let mistake = |mistake: &&Mistake| match &mistake.concern {
            Concern::Everything => true,
            Concern::Network(name) => *name == network.name,
            Concern::Share(name) => Some(name) == share.as_ref(),
            Concern::Nothing => false,
        };
        let mistake = self.mistakes.iter().find(mistake).cloned();
        let excluded = self.exclude(network, own.get(EXCLUDE));
        let reserved = reserve(network, own.get(RESERVE));
        mistake.map_or(Ok(()), Err).and(excluded).and(reserved)
    }

    /// Returns the mistakes that keep no container from starting.
    pub fn harmless(&self) -> impl Iterator<Item = &Mistake> {
        let mistakes = self.mistakes.iter();
        mistakes.filter(|mistake| mistake.concern == Concern::Nothing)
    }

    /// Adds exclusions to those that the network has. An exclusion from the defaults counts as
    /// far as it lies in the network; one from the network's section must lie in it.
    fn exclude(&self, network: &mut Network, own: Option<&Setting>) -> Result<(), Mistake> {
        let mut done = Ok(());
        let said = network.options.get(EXCLUDE).cloned();
        let mut all: Vec<_> = said.into_iter().collect();
        for item in items(own) {
            match options::excluded(&item.text, network) {
                Ok(_) => all.push(item.text.clone()),
                Err(error) => done = done.and(Err(mistake(item, network, error.to_string()))),
            }
        }
        for item in items(self.defaults.get(EXCLUDE)) {
            let here = options::excluded_here(&item.text, network);
            all.extend(here.iter().map(ToString::to_string));
        }
        if !all.is_empty() {
            network.options.insert(EXCLUDE.to_owned(), all.join(", "));
        }
        done
    }
}

/// Adds reserved addresses to those that the network has. If both have an address, the file
/// wins.
fn reserve(network: &mut Network, own: Option<&Setting>) -> Result<(), Mistake> {
    let mut done = Ok(());
    let mut set = Vec::new();
    for item in items(own) {
        let mut alone = network.clone();
        alone.options.insert(RESERVE.to_owned(), item.text.clone());
        match pledge::parse(&alone) {
            Ok(pledges) => set.extend(pledges),
            Err(error) => done = done.and(Err(mistake(item, network, error.to_string()))),
        }
    }
    // If the network's own option is bad, the code that reads its options refuses it.
    if !set.is_empty()
        && let Ok(mut pledges) = pledge::parse(network)
    {
        pledges.retain(|pledge| set.iter().all(|own| own.address != pledge.address));
        pledges.extend(set);
        network.set_pledges(&pledges);
    }
    done
}

fn items(setting: Option<&Setting>) -> impl Iterator<Item = &Item> {
    setting.into_iter().flat_map(|setting| &setting.items)
}

fn mistake(item: &Item, network: &Network, what: String) -> Mistake {
    Mistake {
        origin: item.origin.clone(),
        what,
        concern: Concern::Network(network.name.clone()),
    }
}
