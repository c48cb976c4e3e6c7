//! Verdicts on many tenants at once, with what only a look into every namespace shows.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::addresses::Everywhere;
use super::survey::hangs_on;
use super::{Evidence, Link, NamespaceKey};
use crate::rules::lease::Tenant;
use crate::rules::roster::Roster;
use crate::rules::verdict::{Cause, Judge, Sign, Verdict, has_expired};

/// Judges tenants, in order, by evidence taken after they were read.
///
/// A tenant that stays unknown beyond its TTL is dead if nothing on its network can be
/// hidden from us and no namespace holds any of its addresses. No tenant is dead in this
/// boot as long as its address is in use on its network: a container may have moved its
/// interface into a namespace of its own.
pub fn judge_all(tenants: &[Tenant], evidence: &Evidence) -> Vec<Verdict> {
    let judge = Judge::by(evidence);
    let mut verdicts: Vec<_> = tenants.iter().map(|tenant| judge.judge(tenant)).collect();
    let everywhere = LazyCell::new(|| Everywhere::look(evidence));
    let expired = |(tenant, verdict): (&Tenant, &Verdict)| {
        matches!(verdict, Verdict::Unknown(_)) && has_expired(tenant, &evidence.at)
    };
    if tenants.iter().zip(&verdicts).any(expired)
        && let Ok(seen) = &*everywhere
    {
        let held: HashSet<_> = seen.addresses().collect();
        for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
            let mut leased = tenant.leased.iter();
            let gone = leased.all(|leased| !held.contains(&leased.address))
                && seen.doubt_about(&tenant.request.network).is_none();
            if gone && expired((tenant, &*verdict)) {
                *verdict = Verdict::Dead(Cause::Expired);
            }
        }
    }
    let holders = LazyCell::new(|| everywhere.as_ref().map(Holders::of));
    for (tenant, verdict) in tenants.iter().zip(&mut verdicts) {
        let is_dead_in_this_boot =
            matches!(verdict, Verdict::Dead(cause) if *cause != Cause::Rebooted);
        if !is_dead_in_this_boot {
            continue;
        }
        match &*holders {
            Ok(holders) => {
                if let Some(sign) = holders.moved(tenant, &judge.roster) {
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

/// The interfaces in other namespaces, by their addresses.
struct Holders<'s> {
    host: &'s [Link],
    /// Each with its namespace and that namespace's index in the look.
    by_address: HashMap<IpAddr, Vec<(usize, NamespaceKey, &'s Link)>>,
}

impl<'s> Holders<'s> {
    fn of(seen: &'s Everywhere) -> Self {
        let mut by_address = HashMap::<_, Vec<_>>::new();
        for (place, other) in seen.others.iter().enumerate() {
            for link in &other.links {
                for address in &link.addresses {
                    let holders = by_address.entry(*address).or_default();
                    holders.push((place, other.key, link));
                }
            }
        }
        Self {
            host: &seen.host,
            by_address,
        }
    }

    /// Returns what has an address of the tenant's on its network, if anything has.
    fn moved(&self, tenant: &Tenant, roster: &Roster<'_>) -> Option<Sign> {
        let network = &tenant.request.network;
        let leased = tenant.leased.iter();
        let holders = leased.filter_map(|leased| self.by_address.get(&leased.address));
        let on_network = holders
            .flatten()
            .filter(|(.., link)| hangs_on(link, network, self.host));
        let inhabited = on_network
            .filter_map(|(place, key, _)| Some((place, roster.inhabitants(*key).next()?)));
        let (_, fact) = inhabited.min_by_key(|(place, _)| *place)?;
        Some(Sign::Moved {
            pid: fact.process.pid,
            name: fact.name.clone(),
        })
    }
}
