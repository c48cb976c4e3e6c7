//! Judges every claim of a file. Pure.

use std::collections::{BTreeMap, BTreeSet};

use berth::rules::pool::normalise;
use ipnetwork::IpNetwork;

use crate::evidence::Evidence;
use crate::ipam::claim::{Claim, ClaimKey};
use crate::ipam::content::Content;
use crate::networks::Networks;
use crate::verdict::{Case, Verdict, judge};

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) claim: Claim,
    /// Whether the address is in use.
    pub(crate) verdict: Verdict,
}

/// All claims of a file with their verdicts.
pub(crate) type Judgements = BTreeMap<ClaimKey, Judgement>;

/// Judges every claim.
pub(crate) fn judge_all(content: &Content, networks: &Networks, evidence: &Evidence) -> Judgements {
    let claims = content.claims();
    let mut rivals: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    let mut of_container: BTreeMap<_, Vec<&Claim>> = BTreeMap::new();
    for claim in &claims {
        let key = &claim.key;
        let same_address = rivals.entry((&key.network, key.address)).or_default();
        same_address.insert(&key.container);
        let same_container = of_container.entry((&key.network, &key.container));
        same_container.or_default().push(claim);
    }
    let judged = claims.iter().map(|claim| {
        let key = &claim.key;
        let subnet = subnet_of(content, networks, key);
        let others = of_container[&(&key.network, &key.container)].iter();
        let others = others
            .filter(|other| other.is_whole() && other.key != *key)
            .map(|other| other.key.address)
            .filter(|address| subnet.is_some_and(|subnet| subnet.contains(*address)));
        let case = Case {
            claim,
            network: networks.all.get(&key.network),
            rivals: rivals[&(&key.network, key.address)].clone(),
            gateway: networks.is_gateway(&key.network, key.address),
            others: others.collect(),
        };
        let judgement = Judgement {
            claim: claim.clone(),
            verdict: judge(&case, evidence),
        };
        (key.clone(), judgement)
    });
    judged.collect()
}

/// Returns the subnet that an address belongs to: one of the network's own, or else one in the
/// file.
pub(crate) fn subnet_of(
    content: &Content,
    networks: &Networks,
    key: &ClaimKey,
) -> Option<IpNetwork> {
    let configured = networks.subnets(&key.network);
    let recorded = content.networks.get(&key.network);
    let recorded = recorded.iter().flat_map(|record| &record.subnets);
    let mut all = configured
        .into_iter()
        .chain(recorded.map(|record| normalise(record.subnet)));
    all.find(|subnet| subnet.contains(key.address))
}

/// Lets a claim stay dead only if it was dead at an earlier look, too.
pub(crate) fn confirm(judgements: &mut Judgements, earlier: &Judgements) {
    let is_dead = |judgement: &Judgement| matches!(judgement.verdict, Verdict::Dead(_));
    for (key, judgement) in judgements {
        let before = earlier.get(key);
        if is_dead(judgement) && !before.is_some_and(is_dead) {
            let reason = "it was found dead only a moment ago; try again".to_owned();
            judgement.verdict = Verdict::Unknown(reason);
        }
    }
}

/// Returns whether any claim is dead.
pub(crate) fn any_dead(judgements: &Judgements) -> bool {
    let mut verdicts = judgements.values().map(|judgement| &judgement.verdict);
    verdicts.any(|verdict| matches!(verdict, Verdict::Dead(_)))
}
