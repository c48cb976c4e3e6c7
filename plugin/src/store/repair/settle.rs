//! Deciding between records that contradict each other. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Lookout;
use crate::rules::lease::{Lease, LeasedAddress, NetworkId, Tenancy};
use crate::store::check::Contents;

/// No store comes near it: a generation above is no counter's.
const HIGHEST_GENERATION: u64 = u64::MAX / 2;

/// An address of a network.
type At = (NetworkId, IpAddr);

/// To whom an address belongs that several records speak of.
enum Owner {
    /// To this one.
    One(Tenancy),
    /// To nobody: it is free.
    Nobody,
    /// To one of several who may be alive: who it is cannot be told.
    Contested,
}

/// Makes leases, tenants and holds agree, as far as it can be decided, and returns
/// the highest generation given out, `highest` before.
pub(super) fn settle(contents: &mut Contents, highest: u64, lookout: &dyn Lookout) -> u64 {
    list_once(contents);
    let mut fresh = highest_known(contents, highest);
    for (at, claimants) in claims(contents) {
        match owner(contents, &at, &claimants, lookout) {
            Owner::One(tenancy) => {
                let others = claimants.iter().filter(|other| **other != tenancy);
                others.for_each(|other| strike(contents, other, at.1));
                award(contents, &at, &tenancy, &mut fresh);
            }
            Owner::Nobody => {
                contents.leases.remove(&at);
            }
            // Leased it must be, or it would go to a third.
            Owner::Contested if !contents.leases.contains_key(&at) => {
                if let Some(tenancy) = listed_last(contents, &at, &claimants) {
                    award(contents, &at, &tenancy, &mut fresh);
                }
            }
            Owner::Contested => {}
        }
    }
    number_apart(contents, &mut fresh);
    let leases = &contents.leases;
    contents.holds.retain(|at, _| !leases.contains_key(at));
    contents
        .tenants
        .retain(|_, tenant| !tenant.leased.is_empty() || lookout.may_be_alive(tenant));
    fresh
}

/// Strikes what a tenant lists twice; what agrees with the lease stays.
fn list_once(contents: &mut Contents) {
    for (tenancy, tenant) in &mut contents.tenants {
        let leased = |holding: &LeasedAddress| {
            let at = (tenancy.network_id.clone(), holding.address);
            let lease = contents.leases.get(&at);
            lease.is_some_and(|lease| agrees(lease, tenancy, holding))
        };
        let mut listed = BTreeMap::new();
        for (place, holding) in tenant.leased.iter().enumerate() {
            let kept = listed.entry(holding.address).or_insert(place);
            if !leased(&tenant.leased[*kept]) && leased(holding) {
                *kept = place;
            }
        }
        let kept: BTreeSet<usize> = listed.into_values().collect();
        let mut place = 0;
        tenant.leased.retain(|_| {
            place += 1;
            kept.contains(&(place - 1))
        });
    }
}

fn agrees(lease: &Lease, tenancy: &Tenancy, holding: &LeasedAddress) -> bool {
    lease.tenancy == *tenancy
        && lease.generation == holding.generation
        && lease.kind == holding.kind
}

fn highest_known(contents: &Contents, highest: u64) -> u64 {
    let leased = contents.leases.values().map(|lease| lease.generation);
    let listed = contents.tenants.values().flat_map(|tenant| {
        let generations = tenant.leased.iter().map(|holding| holding.generation);
        generations.collect::<Vec<_>>()
    });
    let known = leased.chain(listed);
    let plausible = known.filter(|generation| *generation <= HIGHEST_GENERATION);
    plausible.max().unwrap_or(0).max(highest)
}

/// Returns everybody who is said to have each address.
fn claims(contents: &Contents) -> BTreeMap<At, BTreeSet<Tenancy>> {
    let mut claims: BTreeMap<At, BTreeSet<Tenancy>> = BTreeMap::new();
    for (at, lease) in &contents.leases {
        let claimants = claims.entry(at.clone()).or_default();
        claimants.insert(lease.tenancy.clone());
    }
    for (tenancy, tenant) in &contents.tenants {
        for holding in &tenant.leased {
            let at = (tenancy.network_id.clone(), holding.address);
            claims.entry(at).or_default().insert(tenancy.clone());
        }
    }
    claims
}

/// Decides to whom an address belongs: to whoever alone may be alive; if nobody
/// may, to whom it is leased, else to whoever listed it last.
fn owner(
    contents: &Contents,
    at: &At,
    claimants: &BTreeSet<Tenancy>,
    lookout: &dyn Lookout,
) -> Owner {
    let lessee = contents.leases.get(at).map(|lease| &lease.tenancy);
    let recorded = || claimants.iter().filter_map(|who| contents.tenants.get(who));
    if let (1, Some(tenant)) = (claimants.len(), recorded().next()) {
        return Owner::One(tenant.tenancy.clone());
    }
    let mut alive: Vec<&Tenancy> = recorded()
        .filter(|tenant| lookout.may_be_alive(tenant))
        .map(|tenant| &tenant.tenancy)
        .collect();
    // Of a lessee without a record only the address and the container are known.
    let unrecorded = lessee.filter(|tenancy| !contents.tenants.contains_key(tenancy));
    if let Some(tenancy) = unrecorded {
        let unexplained = alive.is_empty() && lookout.may_be_held(at.1);
        if unexplained || lookout.may_be_at_work_for(&tenancy.container_id) {
            alive.push(tenancy);
        }
    }
    match alive[..] {
        [] => {
            let recorded = lessee.filter(|tenancy| contents.tenants.contains_key(tenancy));
            recorded
                .cloned()
                .or_else(|| listed_last(contents, at, claimants))
                .map_or(Owner::Nobody, Owner::One)
        }
        [only] => Owner::One(only.clone()),
        [..] => Owner::Contested,
    }
}

/// Returns who lists an address with the highest generation.
fn listed_last(contents: &Contents, at: &At, claimants: &BTreeSet<Tenancy>) -> Option<Tenancy> {
    let listed = claimants.iter().filter_map(|who| {
        let tenant = contents.tenants.get(who)?;
        let holding = tenant.leased.iter().find(|held| held.address == at.1)?;
        Some((holding.generation, who))
    });
    let last = listed.max_by_key(|(generation, _)| *generation);
    last.map(|(_, tenancy)| tenancy.clone())
}

/// Strikes an address from what a tenant lists.
fn strike(contents: &mut Contents, tenancy: &Tenancy, address: IpAddr) {
    if let Some(tenant) = contents.tenants.get_mut(tenancy) {
        tenant.leased.retain(|holding| holding.address != address);
    }
}

/// Makes the address' lease and what its owner lists one. An owner without a
/// record keeps the lease as it is.
fn award(contents: &mut Contents, at: &At, owner: &Tenancy, fresh: &mut u64) {
    let Some(tenant) = contents.tenants.get_mut(owner) else {
        return;
    };
    let listed = tenant.leased.iter_mut().find(|held| held.address == at.1);
    let leased = contents.leases.get(at);
    let leased = leased.filter(|lease| lease.tenancy == *owner);
    let (generation, kind) = match (&listed, leased) {
        (Some(holding), Some(lease)) if holding.generation == lease.generation => {
            (lease.generation, holding.kind)
        }
        (Some(holding), None) => (holding.generation, holding.kind),
        (None, Some(lease)) => (lease.generation, lease.kind),
        (Some(holding), Some(_)) => {
            *fresh += 1;
            (*fresh, holding.kind)
        }
        // It claims the address by one of the two.
        (None, None) => return,
    };
    let holding = LeasedAddress {
        address: at.1,
        generation,
        kind,
    };
    match listed {
        Some(listed) => *listed = holding,
        None => tenant.leased.push(holding),
    }
    let lease = Lease {
        tenancy: owner.clone(),
        generation,
        kind,
    };
    contents.leases.insert(at.clone(), lease);
}

/// Gives a fresh generation to every lease whose own is another's too, or none
/// that was ever given out.
fn number_apart(contents: &mut Contents, fresh: &mut u64) {
    let mut seen = BTreeSet::new();
    for ((_, address), lease) in &mut contents.leases {
        if lease.generation <= HIGHEST_GENERATION && seen.insert(lease.generation) {
            continue;
        }
        *fresh += 1;
        let old = std::mem::replace(&mut lease.generation, *fresh);
        let Some(tenant) = contents.tenants.get_mut(&lease.tenancy) else {
            continue;
        };
        for holding in &mut tenant.leased {
            if holding.address == *address && holding.generation == old {
                holding.generation = lease.generation;
            }
        }
    }
}
