//! What adoption does with one network: a pure decision from what was seen.
//!
//! Every claim in ipam.db must be accounted for: its container is seen with the address,
//! or the evidence shows that the claim is dead. Any other claim is in doubt, and the network
//! is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use berth::protocol::Network;
use berth::rules::lease::{ContainerId, Kind, Tenancy, Tenant, short_id};
use berth::rules::network_config::{Form, TakeOverError, hand_back, plain, take_over};
use berth::rules::pool::normalise;
use berth::sight::survey::{Adoption, Survey};
use ipnetwork::IpNetwork;

use crate::evidence::{Evidence, Statics};
use crate::ipam::claim::Claim;
use crate::ipam::content::{Content, Cursor, NetworkRecord};
use crate::judgement::{Judgement, Judgements, judge_all};
use crate::moves::{HeldAddress, LeftBehind, Party};
use crate::network_file::NetworkFile;
use crate::networks::Networks;
use crate::verdict::Verdict;

/// The network as berth will serve it, and what its file must say.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) network: Network,
    /// The file's new text; `None` if it already says so.
    pub(crate) rewrite: Option<Vec<u8>>,
}

impl Target {
    /// Returns what becomes of a network. `links` are the host's interfaces. A network of
    /// ours keeps its form, unless it is to be `turned` into a plain one.
    ///
    /// # Errors
    /// If berth cannot serve it.
    pub(crate) fn of(
        file: &NetworkFile,
        links: Vec<String>,
        form: Form,
        turned: bool,
    ) -> Result<Self, TakeOverError> {
        let network = match file.network.is_ours() {
            true if turned && !file.network.is_plain() => plain(file.network.clone())?,
            true => {
                return Ok(Self {
                    network: file.network.clone(),
                    rewrite: None,
                });
            }
            false => take_over(file.network.clone(), links, form)?,
        };
        let rewrite = Some(file.rewritten(&network));
        Ok(Self { network, rewrite })
    }
}

/// What is done with a network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) holders: Vec<Party>,
    pub(crate) left_behind: Vec<LeftBehind>,
    /// Where each subnet's allocation goes on.
    pub(crate) cursors: Vec<(IpNetwork, IpAddr)>,
}

/// Everything that a plan is based on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) network: &'a Network,
    /// What ipam.db says about the network, if anything.
    pub(crate) record: Option<&'a NetworkRecord>,
    pub(crate) survey: &'a Survey,
    /// What the store knows about all networks.
    pub(crate) tenants: &'a [Tenant],
    /// What the store would adopt on all networks.
    pub(crate) adoptions: &'a [Adoption],
    pub(crate) evidence: &'a Evidence,
    pub(crate) statics: &'a Statics,
}

/// Decides what to do, or returns everything that is in the way.
///
/// # Errors
/// Every reason not to move the network, one line each.
pub(crate) fn decide(facts: &Facts<'_>) -> Result<Plan, Vec<String>> {
    let mut doubts: Vec<String> = facts
        .survey
        .doubt_about(facts.network)
        .into_iter()
        .collect();
    doubts.extend(twice(facts.network, facts.survey));
    let holders = holders(facts);
    let mut left_behind = Vec::new();
    let judgements = judgements(facts);
    for Judgement { claim, verdict } in judgements.values() {
        let key = &claim.key;
        let keeps = |party: &Party| {
            let mut held = party.addresses.iter();
            party.container_id == key.container && held.any(|held| held.address == key.address)
        };
        if holders.iter().any(keeps) {
            continue;
        }
        match verdict {
            Verdict::Dead(cause) => left_behind.push(LeftBehind {
                address: key.address,
                container_id: key.container.clone(),
                why: cause.to_string(),
            }),
            verdict => doubts.push(doubt(claim, verdict)),
        }
    }
    if !doubts.is_empty() {
        return Err(doubts);
    }
    Ok(Plan {
        holders,
        left_behind,
        cursors: facts
            .record
            .map_or_else(Vec::new, |record| cursors(facts.network, record)),
    })
}

/// Judges every claim on the network.
fn judgements(facts: &Facts<'_>) -> Judgements {
    let name = &facts.network.name;
    let mut content = Content::default();
    if let Some(record) = facts.record {
        content.networks.insert(name.clone(), record.clone());
    }
    let mut networks = Networks::default();
    // The network as it was when the claims were made.
    if let Ok(network) = hand_back(facts.network.clone()) {
        networks.all.insert(name.clone(), network);
    }
    judge_all(&content, &networks, facts.evidence)
}

/// Explains why a claim cannot be left behind, and what to do.
fn doubt(claim: &Claim, verdict: &Verdict) -> String {
    let (address, container) = (claim.key.address, short_id(&claim.key.container));
    let advice = match verdict {
        Verdict::Pending { .. } => format!("run `podman container cleanup {container}` first"),
        Verdict::Live(_) => format!(
            "its interface does not have the address; run `podman network reload {container}`, or \
             stop the container, first"
        ),
        Verdict::Unknown(_) | Verdict::Dead(_) => {
            "try again, or run `berth-migrate sanitise` first".to_owned()
        }
    };
    format!(
        "{address} of container {container} is {}: {verdict}; {advice}",
        verdict.word()
    )
}

/// Returns the containers that have an address on the network and keep it: those that the
/// store knows, and those that the survey shows.
fn holders(facts: &Facts<'_>) -> Vec<Party> {
    let id = facts.network.id.as_str();
    let kind =
        |tenancy: &Tenancy, address| kind(facts.statics, &facts.network.name, tenancy, address);
    let mut parties: BTreeMap<ContainerId, Party> = BTreeMap::new();
    let mut note = |tenant: &Tenant, address: IpAddr, kind: Kind| {
        let container = &tenant.tenancy.container_id;
        let party = parties.entry(container.clone()).or_insert_with(|| Party {
            container_id: container.to_string(),
            container_name: tenant.container_name.to_string(),
            addresses: Vec::new(),
        });
        if party.addresses.iter().all(|held| held.address != address) {
            party.addresses.push(HeldAddress { address, kind });
        }
    };
    let own = |tenant: &Tenant| tenant.tenancy.network_id.as_str() == id;
    for tenant in facts.tenants.iter().filter(|tenant| own(tenant)) {
        for holding in &tenant.leased {
            let told = kind(&tenant.tenancy, holding.address);
            note(tenant, holding.address, holding.kind.max(told));
        }
    }
    for adoption in facts
        .adoptions
        .iter()
        .filter(|adoption| own(&adoption.tenant))
    {
        for (address, _) in &adoption.addresses {
            let kind = kind(&adoption.tenant.tenancy, *address);
            note(&adoption.tenant, *address, kind);
        }
    }
    let mut parties: Vec<_> = parties.into_values().collect();
    for party in &mut parties {
        party.addresses.sort_by_key(|held| held.address);
    }
    parties.sort_by_key(|party| party.addresses.first().map(|held| held.address));
    parties
}

/// Returns how a container got an address, according to Podman. Without an answer from
/// Podman, it counts as dynamic.
pub(crate) fn kind(statics: &Statics, network: &str, tenancy: &Tenancy, address: IpAddr) -> Kind {
    let of_container = statics.get(tenancy.container_id.as_str());
    let of_network = of_container.and_then(|networks| networks.get(network));
    if of_network.is_some_and(|addresses| addresses.contains(&address)) {
        Kind::Static
    } else {
        Kind::Dynamic
    }
}

/// Reports the addresses that two namespaces have at once: the store can know only one holder.
fn twice(network: &Network, survey: &Survey) -> Vec<String> {
    let mut seen: BTreeMap<IpAddr, BTreeSet<_>> = BTreeMap::new();
    for sighting in survey.sightings() {
        if sighting.network.id == network.id {
            for address in sighting.addresses() {
                seen.entry(address)
                    .or_default()
                    .insert(sighting.namespace.key);
            }
        }
    }
    let twice = seen.into_iter().filter(|(_, holders)| holders.len() > 1);
    twice
        .map(|(address, holders)| {
            format!(
                "{address} is in use in {} network namespaces at once; stop all containers but \
                 one that have it first",
                holders.len()
            )
        })
        .collect()
}

/// Returns the last address that Podman leased dynamically from each subnet.
fn cursors(network: &Network, record: &NetworkRecord) -> Vec<(IpNetwork, IpAddr)> {
    let subnets = network.subnets.iter().map(|own| normalise(own.subnet));
    subnets
        .filter_map(|subnet| {
            let same =
                |known: &&crate::ipam::content::SubnetRecord| normalise(known.subnet) == subnet;
            match record.subnets.iter().find(same)?.cursor {
                Some(Cursor::At(address)) if subnet.contains(address) => Some((subnet, address)),
                Some(Cursor::At(_) | Cursor::Malformed(_)) | None => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
