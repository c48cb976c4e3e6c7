//! Finds the ghosts in a look: a pure decision but for what netavark remembers, which is read
//! from its files.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use berth::chain;
use berth::delegate;
use berth::protocol::Network;
use berth::rules::lease::ContainerId;
use berth::sight::survey::{self, Lost, Record};
use berth::sight::{self, Link, NamespaceKey};
use serde_json::Value;

use super::{Ghost, Interface, NOBODY};
use crate::evidence::{Evidence, Inhabitant, State, Word};
use crate::ipam::claim::{Claim, ClaimKey};
use crate::judgement::Judgement;
use crate::look::Look;
use crate::networks::is_allocated;
use crate::verdict::{Case, Verdict, judge};

/// What a look at the host finds.
#[derive(Debug, Default)]
pub(in crate::sanitise) struct Found {
    /// In the order in which they must be cleared away: netavark removes a network's chains
    /// with its last interface, and cannot while they have rules of others.
    pub(in crate::sanitise) ghosts: Vec<Ghost>,
    /// What is left alone, and why.
    pub(in crate::sanitise) skipped: Vec<String>,
}

/// Returns what dead containers left. Finds nothing if anything could not be seen.
pub(in crate::sanitise) fn find(run_directory: &Path, look: &Look, only: Option<&str>) -> Found {
    let evidence = &look.evidence;
    if evidence.kernel.doubt_about(None).is_some() || matches!(evidence.word, Word::None(_)) {
        return Found::default();
    }
    let of_podmans =
        |network: &&Network| is_allocated(network) && only.is_none_or(|only| network.name == only);
    let networks: Vec<&Network> = look.networks.all.values().filter(of_podmans).collect();
    let (mut records, mut read, mut skipped) = (Vec::new(), BTreeSet::new(), Vec::new());
    for network in &networks {
        match survey::records(run_directory, network) {
            Ok(found) => {
                read.insert(network.id.as_str());
                records.extend(found.into_iter().map(|record| (*network, record)));
            }
            Err(error) => skipped.push(format!(
                "what dead containers left on network {}, because netavark's records of it \
                 cannot be read: {}; make them readable, then run this again",
                network.name,
                chain(&error)
            )),
        }
    }
    let lost = || {
        let lost = look.networks.lost.iter();
        lost.filter(|lost| only.is_none_or(|only| lost.network.name == only))
    };
    for Lost {
        network,
        records: own,
    } in lost()
    {
        read.insert(network.id.as_str());
        records.extend(own.iter().map(|record| (network, record.clone())));
    }
    let scene = Scene::new(look, &records, read);
    let mut ghosts = scene.records(&records);
    ghosts.extend(scene.namespaces(&records, only));
    let is_idle = |lost: &&Lost| scene.is_idle(&lost.network, &ghosts);
    let idle: Vec<_> = lost()
        .filter(is_idle)
        .map(|lost| Ghost::Network {
            network: Box::new(lost.network.clone()),
        })
        .collect();
    ghosts.extend(idle);
    let misled = networks.into_iter().filter_map(|network| {
        let wrong = delegate::wrong_servers(run_directory, network).ok()??;
        Some(Ghost::Servers {
            network: Box::new(network.clone()),
            served: wrong.servers(),
        })
    });
    ghosts.extend(misled);
    Found { ghosts, skipped }
}

/// What tells a ghost from a live container.
struct Scene<'a> {
    look: &'a Look,
    evidence: Evidence,
    /// The ids of the networks whose records have been read. Ghosts on other networks are left
    /// alone: without the ports that netavark remembers, their rules would stay behind.
    read: BTreeSet<&'a str>,
}

impl<'a> Scene<'a> {
    /// If netavark remembers a container that has no lease on record, the container is not
    /// being set up just now: a lease is made first and released last. So what a container has
    /// without an address is judged like its leases.
    fn new(look: &'a Look, records: &[(&Network, Record)], read: BTreeSet<&'a str>) -> Self {
        let mut evidence = look.evidence.clone();
        let asked = look.evidence.asked_about.iter();
        let without_address = asked.map(|key| ClaimKey {
            address: NO_ADDRESS,
            ..key.clone()
        });
        evidence.asked_about.extend(without_address);
        let keys = records.iter().flat_map(|(network, record)| {
            let addresses = record.addresses.iter().chain([&NO_ADDRESS]);
            addresses.map(|address| key(network, *address, &record.container_id))
        });
        evidence.asked_about.extend(keys);
        let links = look.evidence.kernel.empty.iter().flat_map(|e| &e.links);
        let addresses: BTreeSet<&IpAddr> = links
            .flat_map(|link| &link.addresses)
            .chain([&NO_ADDRESS])
            .collect();
        let networks = look.networks.all.values();
        let nobodys = networks.flat_map(|network| {
            let addresses = addresses.iter();
            addresses.map(|address| key(network, **address, &NOBODY.into()))
        });
        evidence.asked_about.extend(nobodys);
        Self {
            look,
            evidence,
            read,
        }
    }

    fn records(&self, records: &[(&Network, Record)]) -> Vec<Ghost> {
        let dead = records
            .iter()
            .filter(|(network, record)| self.is_dead(network, record));
        dead.map(|(network, record)| Ghost::Record {
            network: Box::new((*network).clone()),
            record: self.without_leased(network, record),
        })
        .collect()
    }

    /// Returns whether a container is no longer on a network: none of its leases there is
    /// kept, and neither the container nor its addresses are alive.
    fn is_dead(&self, network: &Network, record: &Record) -> bool {
        let container = record.container_id.as_str();
        let keeps = |judgement: &Judgement| {
            let key = &judgement.claim.key;
            key.network == network.name && key.container == container && judgement.verdict.keeps()
        };
        if self.look.judgements.values().any(keeps) {
            return false;
        }
        let addresses = self.without_leased(network, record).addresses;
        let mut addresses = addresses.into_iter().chain([NO_ADDRESS]);
        addresses.all(|address| {
            let claim = Claim::new(key(network, address, &record.container_id));
            let case = Case {
                claim: &claim,
                network: Some(network),
                rivals: BTreeSet::new(),
                gateway: false,
                others: Vec::new(),
            };
            matches!(judge(&case, &self.evidence), Verdict::Dead(_))
        })
    }

    /// Returns a record without the addresses that another container has: the rules for them
    /// belong to that container.
    fn without_leased(&self, network: &Network, record: &Record) -> Record {
        let is_leased = |address: &IpAddr| {
            self.look.judgements.values().any(|judgement| {
                let key = &judgement.claim.key;
                key.network == network.name && key.address == *address && judgement.verdict.keeps()
            })
        };
        let mut record = record.clone();
        record.addresses.retain(|address| !is_leased(address));
        record
    }

    fn namespaces(&self, records: &[(&Network, Record)], only: Option<&str>) -> Vec<Ghost> {
        let kernel = &self.look.evidence.kernel;
        let mut ghosts = Vec::new();
        for empty in &kernel.empty {
            let is_podmans = sight::is_namespace_file(&empty.path);
            let maker = self.evidence.maker(&empty.path, empty.since);
            if !is_podmans || maker.is_some() || self.is_pending(&empty.path) {
                continue;
            }
            let links = empty.links.iter().filter(|link| link.name != "lo");
            let interfaces: Option<Vec<Interface>> =
                links.map(|link| self.interface(link, records)).collect();
            // An interface is on another network, or not a dead container's.
            let Some(interfaces) = interfaces else {
                continue;
            };
            if only.is_none() || !interfaces.is_empty() {
                ghosts.push(Ghost::Namespace {
                    path: empty.path.clone(),
                    key: empty.namespace,
                    interfaces,
                });
            }
        }
        ghosts
    }

    /// Returns whether nothing but these ghosts is on a network: the bridge has no port that
    /// leads anywhere else, and no lease of the network is kept.
    fn is_idle(&self, network: &Network, ghosts: &[Ghost]) -> bool {
        let kernel = &self.look.evidence.kernel;
        let dying = |namespace: NamespaceKey| {
            let mut ghosts = ghosts.iter();
            ghosts.any(|ghost| matches!(ghost, Ghost::Namespace { key, .. } if *key == namespace))
        };
        let mut held = kernel.holders.iter();
        kernel.doubt_about(Some(network)).is_none()
            && held.all(|(address, holders)| {
                !network.covers(*address)
                    || holders.iter().all(|holder| {
                        matches!(holder.inhabitant, Inhabitant::Host) || dying(holder.namespace)
                    })
            })
    }

    /// Returns whether Podman knows a namespace as that of one of its containers.
    fn is_pending(&self, path: &Path) -> bool {
        let Word::Given(known) = &self.look.evidence.word else {
            return false;
        };
        known.values().any(|known| match &known.state {
            State::Pending(sandbox) => Path::new(sandbox) == path,
            State::Unclear => true,
            State::Up | State::Down => false,
        })
    }

    /// Returns the link as a dead container's interface on one of the networks, recognised by
    /// its addresses, or by the bridge if netavark was killed before it had any.
    fn interface(&self, link: &Link, records: &[(&Network, Record)]) -> Option<Interface> {
        let networks = &self.look.networks;
        let host = &self.look.evidence.kernel.host;
        let on = |network: &&Network| match link.is_bare() {
            true => survey::hangs_on(link, network, host),
            false => link.addresses.iter().any(|own| network.covers(*own)),
        };
        let known = records.iter().find(|(network, record)| {
            let has = |address: &IpAddr| record.addresses.contains(address);
            on(network) && link.addresses.iter().any(has)
        });
        let lost = networks.lost.iter().map(|lost| &lost.network);
        let all = networks.all.values().chain(lost);
        let network = known.map_or_else(
            || all.into_iter().find(|n| is_allocated(n) && on(n)),
            |(network, _)| Some(*network),
        )?;
        if !self.read.contains(network.id.as_str()) {
            return None;
        }
        let leased_to = self.look.judgements.values().find(|judgement| {
            let key = &judgement.claim.key;
            key.network == network.name && link.addresses.contains(&key.address)
        });
        let container = leased_to.map_or(NOBODY, |judgement| &judgement.claim.key.container);
        let own = link.addresses.iter().filter(|own| network.covers(**own));
        let unknown = Record {
            container_id: container.into(),
            names: Vec::new(),
            addresses: own.copied().collect(),
            port_mappings: Value::Null,
            network_name: None,
        };
        let record = known.map_or(&unknown, |(_, record)| record);
        self.is_dead(network, record).then(|| Interface {
            name: link.name.clone(),
            network: Box::new(network.clone()),
            record: self.without_leased(network, record),
        })
    }
}

/// Stands for whatever a container without addresses has.
const NO_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

fn key(network: &Network, address: IpAddr, container: &ContainerId) -> ClaimKey {
    ClaimKey {
        network: network.name.clone(),
        address,
        container: container.to_string(),
    }
}

#[cfg(test)]
mod tests;
