//! Evicts a host that is gone: the share shows that it does not beat, and the link shows that
//! nothing has its addresses.

use std::fmt;
use std::net::IpAddr;

use berth_share::ShareName;
use berth_share::evict::Evidence;
use berth_share::operator::{Eviction, Host};
use serde::Serialize;
use thiserror::Error;

use crate::podman::{Podman, PodmanError};
use crate::protocol::Network;
use crate::rules::share::{Configuration, of_network};
use crate::sharing::probe::{Question, probe};
use crate::sharing::{self, SharingError};

/// Failure to evict a host.
#[derive(Debug, Error)]
pub enum EvictError {
    #[error(transparent)]
    Sharing(#[from] SharingError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(
        "this host has no network in share {0}, so the link cannot be probed from here; run this \
         on a host that has one"
    )]
    NoNetwork(ShareName),
    #[error("this host has no network {network} in share {share}")]
    NotInShare { network: String, share: ShareName },
    #[error(
        "network {0} does not name its interface, so its link cannot be probed; run this on a host \
         where the network names its parent"
    )]
    NoInterface(String),
}

/// A host that was evicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evicted {
    pub share: String,
    pub host: String,
    pub name: String,
    /// The addresses that others may claim from now on, sorted.
    pub addresses: Vec<IpAddr>,
}

impl fmt::Display for Evicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            share,
            host,
            name,
            addresses,
        } = self;
        write!(f, "host {name} ({host}) is evicted from share {share}; ")?;
        let all: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        match all.len() {
            0 => write!(f, "it had no addresses"),
            1 => write!(f, "its address is free: {}", all[0]),
            count => write!(f, "its {count} addresses are free: {}", all.join(", ")),
        }
    }
}

/// Evicts the host with this name from a share. berth asks the links of all networks of this
/// host that are in the share, or only the one that is named.
///
/// Nothing is locked meanwhile: if another host was faster, etcd refuses.
///
/// # Errors
/// If anything speaks for the host, or too little against it; if etcd does not answer.
/// Repeating it does no harm.
pub fn evict(
    podman: &Podman,
    share: &ShareName,
    called: &str,
    network: Option<&str>,
) -> Result<Evicted, EvictError> {
    let own = sharing::host(podman, share)?;
    let configuration = Configuration::of(&podman.settings, share).map_err(SharingError::from)?;
    let total = configuration.times.total;
    let eviction = sharing::ask(podman, share, total, |registry, keys| {
        Eviction::begin(registry, keys, own.as_ref(), called)
    })?;
    let others: Vec<_> = eviction
        .picture()
        .hosts
        .iter()
        .filter(|host| host.live && Some(&host.record.host) != own.as_ref())
        .cloned()
        .collect();
    let record = eviction.target().record.clone();
    let ask = |addresses: &[IpAddr]| {
        if addresses.is_empty() {
            return Ok(Evidence::default());
        }
        let networks = networks(podman, share, network)?;
        let evidence = networks.iter().map(|network| {
            let interface = network.network_interface.as_deref().unwrap_or_default();
            probe(&Question {
                network,
                interface,
                addresses,
                known: &known(network, &others, addresses),
            })
        });
        Ok::<_, EvictError>(evidence.reduce(Evidence::and).unwrap_or_default())
    };
    let evidence = ask(&eviction.addresses())?;
    let nonce = fastrand::u128(..);
    let fenced = sharing::ask(podman, share, total, |registry, keys| {
        eviction.fence(registry, keys, evidence, nonce)
    })?;
    let evidence = ask(&fenced.addresses())?;
    let freed = sharing::ask(podman, share, total, |registry, keys| {
        fenced.free(registry, keys, evidence)
    })?;
    let mut addresses: Vec<_> = freed.iter().map(|claim| claim.address).collect();
    addresses.sort_unstable();
    Ok(Evicted {
        share: share.to_string(),
        host: record.host.short().to_owned(),
        name: record.name,
        addresses,
    })
}

/// Returns this host's networks in a share, or the one that is named, each with its interface.
fn networks(
    podman: &Podman,
    share: &ShareName,
    named: Option<&str>,
) -> Result<Vec<Network>, EvictError> {
    let mut networks = podman.networks()?;
    networks.retain(|network| of_network(network).as_ref() == Some(share));
    if let Some(name) = named {
        networks.retain(|network| network.answers_to(name));
    }
    if networks.is_empty() {
        return Err(match named {
            None => EvictError::NoNetwork(share.clone()),
            Some(network) => EvictError::NotInShare {
                network: network.to_owned(),
                share: share.clone(),
            },
        });
    }
    let has_interface = |network: &&Network| {
        let interface = network.network_interface.as_deref();
        interface.is_some_and(|name| !name.is_empty())
    };
    match networks.iter().find(|network| !has_interface(network)) {
        Some(network) => Err(EvictError::NoInterface(network.name.clone())),
        None => Ok(networks),
    }
}

/// Returns the addresses known to be in use on the link: the gateways, then addresses of other
/// hosts that have been heard from lately, first one of each host, then another of each, and so
/// on. This host's own are left out, because they would answer even on a link that leads
/// nowhere.
fn known(network: &Network, others: &[Host], asked: &[IpAddr]) -> Vec<IpAddr> {
    let of_hosts = others
        .iter()
        .flat_map(|host| host.addresses.iter().enumerate());
    let mut of_hosts: Vec<_> = of_hosts.collect();
    of_hosts.sort_by_key(|(turn, _)| *turn);
    let of_hosts = of_hosts.into_iter().map(|(_, claim)| claim.address);
    let known = network.gateways().chain(of_hosts);
    known.filter(|address| !asked.contains(address)).collect()
}
