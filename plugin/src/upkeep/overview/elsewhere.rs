//! What other hosts have of the networks that are in a share, as etcd says it now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use berth_share::operator::Picture;
use berth_share::{Holder, HostId, ShareName};

use super::Overview;
use crate::podman::Podman;
use crate::protocol::Network;
use crate::rules::share::{self, Configuration};
use crate::sharing;
use crate::text::foreign;

/// How long etcd may take: a person waits for what this host knows.
const TOTAL: Duration = Duration::from_secs(1);

/// What etcd says of the shares that networks are in; nothing if it was not asked.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    pub asked: Vec<Asked>,
    /// What this host is called in the share of each network, by the network's id.
    pub(super) own: BTreeMap<String, String>,
    pub(super) claims: Vec<Elsewhere>,
}

/// One share, and whether etcd has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    /// How many hosts take part and how many addresses they have; `None` without an answer.
    pub size: Option<(usize, usize)>,
}

/// An address that another host, or another user's Podman here, has on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    pub(super) network_id: String,
    pub(super) address: IpAddr,
    pub(super) container_id: String,
    pub(super) container_name: String,
    pub(super) host: String,
}

impl Overview {
    /// Asks etcd about each share that a network is in. If it does not answer, berth warns, and
    /// only what this host knows is there.
    pub fn ask_shares(&mut self, podman: &Podman) {
        let mut shared: BTreeMap<ShareName, Vec<&Network>> = BTreeMap::new();
        for network in &self.networks {
            if let Some(name) = share::of_network(network) {
                shared.entry(name).or_default().push(network);
            }
        }
        let mut shares = Shares::default();
        for (name, networks) in shared {
            if let Ok(configuration) = Configuration::of(&podman.settings, &name) {
                let own = sharing::host_name(&configuration);
                let named = networks.iter().map(|one| (one.id.clone(), own.clone()));
                shares.own.extend(named);
            }
            let size = match sharing::look(podman, &name, TOTAL) {
                Ok(Some(picture)) => {
                    let host = sharing::host(podman, &name).ok().flatten();
                    let own = (host.as_ref(), sharing::store(podman));
                    for network in networks {
                        shares.claims.extend(elsewhere(&picture, &own, network));
                    }
                    let addresses = picture.hosts.iter().map(|host| host.addresses.len());
                    Some((picture.hosts.len(), addresses.sum()))
                }
                Ok(None) => Some((0, 0)),
                Err(error) => {
                    log::warn!(
                        "what other hosts have is not shown: {}",
                        crate::chain(&error)
                    );
                    None
                }
            };
            let name = name.to_string();
            shares.asked.push(Asked { name, size });
        }
        self.shares = shares;
    }
}

/// Returns what others than this host and store have on a network.
fn elsewhere(
    picture: &Picture,
    (own, store): &(Option<&HostId>, String),
    network: &Network,
) -> Vec<Elsewhere> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (host, claim) in picture.claims() {
        let Ok(holder) = Holder::decode(claim.value.as_bytes()) else {
            continue;
        };
        let is_own = Some(&holder.host) == *own && holder.store == *store;
        if !is_own && network.covers(claim.address) && seen.insert(claim.address) {
            found.push(Elsewhere {
                network_id: network.id.clone(),
                address: claim.address,
                // Other hosts have written these.
                container_id: foreign(&holder.container),
                container_name: foreign(&holder.name),
                host: foreign(host.unwrap_or_else(|| holder.host.short())),
            });
        }
    }
    found
}
