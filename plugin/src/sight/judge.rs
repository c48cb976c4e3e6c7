//! Verdicts on many tenants at once, and what only a look at every namespace shows.

use std::cell::LazyCell;

use super::addresses::Everywhere;
use super::survey::hangs_on;
use super::{Evidence, Link};
use crate::rules::lease::Tenant;
use crate::rules::verdict::{Cause, Sign, Verdict, has_expired, judge};

/// Judges tenants, in order, by evidence taken after they were read.
///
/// One that stays unknown beyond its TTL is dead if every namespace of this host that may
/// be on its network can be looked into and none holds any of its addresses. None is dead in this boot
/// while somebody has its address on its network: a container may have moved its
/// interface into a namespace of its own.
pub fn judge_all(tenants: &[Tenant], evidence: &Evidence) -> Vec<Verdict> {
    let mut verdicts: Vec<_> = tenants.iter().map(|t| judge(t, evidence)).collect();
    let everywhere = LazyCell::new(|| Everywhere::look(evidence));
    let expired = |(tenant, verdict): (&Tenant, &Verdict)| {
        matches!(verdict, Verdict::Unknown(_)) && has_expired(tenant, &evidence.at)
    };
    if tenants.iter().zip(&verdicts).any(expired)
        && let Ok(seen) = &*everywhere
    {
        let held = seen.seen();
        for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
            let mut leased = tenant.leased.iter();
            let gone = leased.all(|leased| !held.contains(&leased.address))
                && !seen.may_lack_one_on(&tenant.request.network);
            if gone && expired((tenant, &*verdict)) {
                *verdict = Verdict::Dead(Cause::Expired);
            }
        }
    }
    for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
        let is_dead_in_this_boot =
            matches!(verdict, Verdict::Dead(cause) if *cause != Cause::Rebooted);
        if !is_dead_in_this_boot {
            continue;
        }
        match &*everywhere {
            Ok(seen) => {
                if let Some(sign) = moved(tenant, evidence, seen) {
                    *verdict = Verdict::Live(sign);
                }
            }
            Err(error) => {
                *verdict = Verdict::Unknown(format!("this host's interfaces: {error}"));
            }
        }
    }
    verdicts
}

/// Returns who has an address of the tenant's on its network, if somebody has.
fn moved(tenant: &Tenant, evidence: &Evidence, seen: &Everywhere) -> Option<Sign> {
    let network = &tenant.request.network;
    let has_one = |link: &Link| {
        let mut addresses = link.addresses.iter();
        addresses.any(|address| tenant.has_leased(*address)) && hangs_on(link, network, &seen.host)
    };
    let holders = seen
        .others
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
