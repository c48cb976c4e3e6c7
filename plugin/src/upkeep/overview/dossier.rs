//! Everything that is known about one address, container or network; [`lease`] has the evidence.

mod lease;

use std::net::IpAddr;

use serde::Serialize;
use thiserror::Error;

use super::totals::{Totals, pools};
use super::{Entry, Overview, OverviewError, State};
use crate::protocol::{LeaseRange, Network};
use crate::rules::options::{self, Options, OptionsError};
use crate::rules::pool::PoolError;
use lease::LeaseDossier;

/// Why there is nothing to tell.
#[derive(Debug, Error)]
pub enum UnknownError {
    #[error(transparent)]
    Network(#[from] OverviewError),
    #[error("no network of berth's covers {0}; `berth list --all` shows what berth knows")]
    Address(IpAddr),
    #[error("network {network} does not cover {address}; it has {subnets}")]
    Outside {
        address: IpAddr,
        network: String,
        subnets: String,
    },
    #[error(
        "berth knows no container and no network {0:?}; `berth list --all` shows what it knows"
    )]
    Name(String),
    #[error("{0:?} is the beginning of several containers' ids; give more of it, or the name")]
    Ambiguous(String),
}

impl UnknownError {
    /// Returns the error for an address that is in none of a network's subnets.
    pub fn outside(address: IpAddr, network: &Network) -> Self {
        let subnets = network.subnets.iter();
        let subnets: Vec<_> = subnets.map(|subnet| subnet.subnet.to_string()).collect();
        Self::Outside {
            address,
            network: network.name.clone(),
            subnets: match subnets.is_empty() {
                true => "no subnet".to_owned(),
                false => subnets.join(", "),
            },
        }
    }
}

/// Everything known about one thing.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Dossier {
    Address(Box<AddressDossier>),
    Container(ContainerDossier),
    Network(NetworkDossier),
}

/// Everything known about an address on one network.
#[derive(Debug, Serialize)]
pub struct AddressDossier {
    #[serde(flatten)]
    pub entry: Entry,
    /// The lease, if the address is leased.
    pub lease: Option<LeaseDossier>,
}

/// Everything known about a container.
#[derive(Debug, Serialize)]
pub struct ContainerDossier {
    pub container_id: String,
    pub container_name: String,
    /// What it has leased, by network.
    pub leases: Vec<LeaseDossier>,
    /// What it has on other hosts, according to their shares.
    pub elsewhere: Vec<Entry>,
    /// The addresses that are kept for it.
    pub reservations: Vec<Entry>,
}

/// Everything known about a network.
#[derive(Debug, Serialize)]
pub struct NetworkDossier {
    pub name: String,
    pub id: String,
    pub driver: String,
    /// netavark's driver, which makes the interfaces.
    pub plumbing: String,
    /// The bridge, or the parent of macvlan and ipvlan.
    pub interface: Option<String>,
    pub options: OptionsDossier,
    /// Why no container can get an address, if that is so.
    pub fault: Option<String>,
    pub subnets: Vec<SubnetDossier>,
    /// Every address that is not free.
    pub addresses: Vec<Entry>,
}

/// A network's options, with defaults for those it does not set.
#[derive(Debug, Serialize)]
pub struct OptionsDossier {
    pub cooldown_seconds: u64,
    pub hold_seconds: u64,
    pub ttl_seconds: u64,
    pub order: String,
}

/// A subnet of a network.
#[derive(Debug, Serialize)]
pub struct SubnetDossier {
    #[serde(flatten)]
    pub totals: Totals,
    pub lease_range: Option<LeaseRange>,
}

impl Overview {
    /// Returns everything known about what a person calls by this word: an address, a
    /// container's name or the beginning of its id, a network's name or id. An address may be
    /// known on several networks; `only` names one of them.
    ///
    /// # Errors
    /// If berth knows nothing by that name, or the word fits several containers.
    pub fn inspect(&self, word: &str, only: Option<&str>) -> Result<Vec<Dossier>, UnknownError> {
        if let Ok(address) = word.parse::<IpAddr>() {
            return self.inspect_address(address.to_canonical(), only);
        }
        if let Some(container) = self.container(word)? {
            return Ok(vec![Dossier::Container(container)]);
        }
        match self.network(word) {
            Ok(network) => Ok(vec![Dossier::Network(self.inspect_network(network))]),
            Err(_) => Err(UnknownError::Name(word.to_owned())),
        }
    }

    /// Returns the entry of an address of a network.
    pub fn entry(&self, network: &Network, address: IpAddr) -> Entry {
        let own = |entry: &Entry| entry.network_id == network.id;
        let entries = self.entries(true).into_iter();
        let mut entries = entries.filter(|entry| own(entry) && entry.address.0.contains(address));
        // Entries of single addresses come first, because an excluded address may be leased.
        let found: Vec<_> = entries.by_ref().collect();
        let single = found.iter().find(|entry| entry.state != State::Excluded);
        match single.or(found.first()) {
            Some(entry) => entry.clone(),
            None => Entry::of_nobody(network, address),
        }
    }

    fn inspect_address(
        &self,
        address: IpAddr,
        only: Option<&str>,
    ) -> Result<Vec<Dossier>, UnknownError> {
        let networks: Vec<&Network> = match only {
            Some(only) => vec![self.network(only)?],
            None => self.networks.iter().collect(),
        };
        let tell = |network: &&Network| {
            let lease = self.lease_of(network, address);
            if lease.is_none() && !network.covers(address) {
                return None;
            }
            let entry = self.entry(network, address);
            Some(Dossier::Address(Box::new(AddressDossier { entry, lease })))
        };
        let found: Vec<_> = networks.iter().filter_map(tell).collect();
        match (found.is_empty(), only) {
            (false, _) => Ok(found),
            (true, None) => Err(UnknownError::Address(address)),
            (true, Some(_)) => Err(UnknownError::outside(address, networks[0])),
        }
    }

    fn lease_of(&self, network: &Network, address: IpAddr) -> Option<LeaseDossier> {
        let mut holders = self.holders.iter();
        let (tenant, verdict) = holders.find(|(tenant, _)| {
            tenant.tenancy.network_id.as_str() == network.id && tenant.has_leased(address)
        })?;
        Some(LeaseDossier::new(tenant, verdict, &self.evidence))
    }

    fn container(&self, word: &str) -> Result<Option<ContainerDossier>, UnknownError> {
        let mut entries = self.entries(true);
        // Several hosts may have a container of that name: the word means this host's if it
        // has leases.
        entries.sort_by_key(|one| (!one.state.is_leased(), one.state == State::Elsewhere));
        let mut named = entries.iter().filter(|entry| entry.container_name == word);
        let first = named.next();
        // A reservation for a container does not know the container's id.
        let mut named = first.into_iter().chain(named);
        let named = named.find(|entry| !entry.container_id.is_empty());
        let named = named.or(first);
        let of_id = || {
            let mut ids: Vec<_> = entries.iter().filter(|entry| entry.is_of(word)).collect();
            ids.sort_by(|one, other| one.container_id.cmp(&other.container_id));
            ids.dedup_by(|one, other| one.container_id == other.container_id);
            ids
        };
        let meant = match (named, &of_id()[..]) {
            (Some(entry), _) => entry,
            (None, []) => return Ok(None),
            (None, [entry]) => *entry,
            (None, _) => return Err(UnknownError::Ambiguous(word.to_owned())),
        };
        // A container that was made again under its name comes back to its addresses.
        let is_its = |entry: &&Entry| {
            !entry.container_id.is_empty() && entry.container_id == meant.container_id
                || named.is_some() && entry.container_name == word
        };
        let leases = self.holders.iter().filter(|(tenant, _)| {
            tenant.tenancy.container_id.as_str() == meant.container_id
                || named.is_some() && tenant.container_name.as_str() == word
        });
        Ok(Some(ContainerDossier {
            container_id: meant.container_id.clone(),
            container_name: meant.container_name.clone(),
            leases: leases
                .map(|(tenant, verdict)| LeaseDossier::new(tenant, verdict, &self.evidence))
                .collect(),
            elsewhere: entries
                .iter()
                .filter(is_its)
                .filter(|entry| entry.state == State::Elsewhere)
                .cloned()
                .collect(),
            reservations: entries
                .iter()
                .filter(is_its)
                .filter(|entry| !entry.state.is_leased())
                .cloned()
                .collect(),
        }))
    }

    fn inspect_network(&self, network: &Network) -> NetworkDossier {
        let mut addresses = self.entries(true);
        addresses.retain(|entry| entry.network_id == network.id);
        let parsed = Options::parse(network);
        let fault = fault(network, &parsed);
        let options = parsed.unwrap_or_default();
        let subnets = pools(network).into_iter().zip(&network.subnets);
        NetworkDossier {
            name: network.name.clone(),
            id: network.id.clone(),
            driver: network.driver.clone(),
            plumbing: options.plumbing.to_string(),
            interface: network.network_interface.clone(),
            fault,
            subnets: subnets
                .map(|(pool, subnet)| SubnetDossier {
                    totals: Totals::of(&pool, &addresses),
                    lease_range: subnet.lease_range.clone(),
                })
                .collect(),
            options: OptionsDossier {
                cooldown_seconds: options.cooldown.as_secs(),
                hold_seconds: options.hold.as_secs(),
                ttl_seconds: options.ttl.as_secs(),
                order: options.order.to_string(),
            },
            addresses,
        }
    }
}

/// Returns why no container can get an address on a network, if that is so.
fn fault(network: &Network, options: &Result<Options, OptionsError>) -> Option<String> {
    let pools = |options: &Options| -> Result<_, PoolError> { options::pools(network, options) };
    match options {
        Err(error) => Some(error.to_string()),
        Ok(options) => pools(options).err().map(|error| error.to_string()),
    }
}
