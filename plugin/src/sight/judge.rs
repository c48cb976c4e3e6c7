//! Verdicts on many tenants at once, and what only a look at every namespace shows.

use std::io;

use super::survey::hangs_on;
use super::{Evidence, Link, NamespaceFact, links, namespaces, own_namespace};
use crate::rules::lease::Tenant;
use crate::rules::verdict::{Cause, Sign, Verdict, has_expired, judge};
use crate::sight;

/// Judges tenants, in order, by evidence taken after they were read.
///
/// One that stays unknown beyond its TTL is dead if every namespace of this host
/// can be looked into and none holds any of its addresses. None is dead in this boot
/// while somebody has its address on its network: a container may have moved its
/// interface into a namespace of its own.
pub fn judge_all(tenants: &[Tenant], evidence: &Evidence) -> Vec<Verdict> {
    let mut verdicts: Vec<_> = tenants.iter().map(|t| judge(t, evidence)).collect();
    let expired = |(tenant, verdict): (&Tenant, &Verdict)| {
        matches!(verdict, Verdict::Unknown(_)) && has_expired(tenant, &evidence.at)
    };
    if tenants.iter().zip(&verdicts).any(expired)
        && let Ok(held) = sight::on_this_host(evidence)
    {
        for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
            let mut leased = tenant.leased.iter();
            let gone = leased.all(|holding| !held.contains_key(&holding.address));
            if gone && expired((tenant, &*verdict)) {
                *verdict = Verdict::Dead(Cause::Expired);
            }
        }
    }
    let is_dead = |verdict: &Verdict| match verdict {
        Verdict::Dead(cause) => *cause != Cause::Rebooted,
        Verdict::Live(_) | Verdict::Unknown(_) => false,
    };
    if verdicts.iter().any(is_dead) {
        let seen = others(evidence);
        for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
            if is_dead(verdict) {
                *verdict = match &seen {
                    Ok((host, others)) => match moved(tenant, evidence, host, others) {
                        Some(sign) => Verdict::Live(sign),
                        None => continue,
                    },
                    Err(error) => Verdict::Unknown(format!("this host's interfaces: {error}")),
                };
            }
        }
    }
    verdicts
}

/// Returns the host's interfaces, and the namespaces that can be looked into.
fn others(evidence: &Evidence) -> io::Result<(Vec<Link>, Vec<NamespaceFact>)> {
    let (others, _) = namespaces(evidence, own_namespace()?);
    Ok((links()?, others))
}

/// Returns who has an address of the tenant's on its network, if somebody has.
fn moved(
    tenant: &Tenant,
    evidence: &Evidence,
    host: &[Link],
    others: &[NamespaceFact],
) -> Option<Sign> {
    let network = &tenant.request.network;
    let has_one = |link: &Link| {
        let mut addresses = link.addresses.iter();
        addresses.any(|address| tenant.has_leased(*address)) && hangs_on(link, network, host)
    };
    let holders = others
        .iter()
        .filter(|other| other.links.iter().any(has_one));
    let mut inhabitants = holders.filter_map(|other| {
        let mut processes = evidence.processes.iter();
        processes.find(|fact| fact.namespace == Some(other.key))
    });
    inhabitants.next().map(|fact| Sign::Moved {
        pid: fact.process.pid,
        name: fact.name.clone(),
    })
}
