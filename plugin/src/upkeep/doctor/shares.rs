//! The shares that networks of this host are in: whether etcd answers, whether this host may
//! speak there, and whether the keys agree with the leases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use berth_share::operator::Picture;
use berth_share::{Conflict, Holder, HostId, Refusal, ShareName, Taker};

use super::finding::Finding;
use crate::lifecycle::reconcile::{self, Leases};
use crate::podman::{NetworkFile, Podman};
use crate::protocol::Network;
use crate::rules::share;
use crate::sharing::{self, Seen};

const CHECK: &str = "share";

/// How long etcd may take. No container waits for this.
const TOTAL: Duration = Duration::from_secs(2);

/// The facts about one share, here and in etcd.
struct Facts {
    name: ShareName,
    /// The networks of this host that are in it, with what berth.conf sets.
    networks: Vec<Network>,
    /// This host's identity there, if it has ever taken part.
    host: Option<HostId>,
    /// Why the share refuses this host, if it does.
    refusal: Option<Refusal>,
    store: String,
    leases: Leases,
    picture: Picture,
}

/// Examines every share that a network is in or that berth.conf describes.
pub(super) fn examine(podman: &Podman, files: &[NetworkFile]) -> Vec<Finding> {
    let networks = files.iter().filter_map(|file| file.network.as_ref().ok());
    let networks = networks.filter(|network| network.is_ours()).cloned();
    let mut shared: BTreeMap<ShareName, Vec<Network>> = sharing::configured(podman)
        .into_iter()
        .map(|name| (name, Vec::new()))
        .collect();
    for mut network in networks {
        podman.fill_in(&mut network);
        if let Some(name) = share::of_network(&network) {
            shared.entry(name).or_default().push(network);
        }
    }
    let findings = shared.into_iter().flat_map(|(name, networks)| {
        let affected = affected(&networks);
        match gather(podman, name, networks) {
            Ok(Some(facts)) => judge(&facts),
            Ok(None) => Vec::new(),
            Err(reason) => vec![
                Finding::problem(CHECK, reason)
                    .because(affected)
                    .repair("check that etcd is running, and that berth.conf has its address"),
            ],
        }
    });
    findings.collect()
}

fn affected(networks: &[Network]) -> String {
    let names: Vec<_> = networks.iter().map(|one| one.name.as_str()).collect();
    match names[..] {
        [] => "no network of this host is in it yet".to_owned(),
        _ => format!(
            "no container can start on {}; those that run keep their addresses",
            names.join(", ")
        ),
    }
}

/// Returns the facts; `None` if no host has joined the share yet.
fn gather(
    podman: &Podman,
    name: ShareName,
    networks: Vec<Network>,
) -> Result<Option<Facts>, String> {
    let told = |error: &dyn std::error::Error| crate::chain(error);
    let Seen {
        picture,
        host,
        refusal,
    } = sharing::see(podman, &name, TOTAL).map_err(|error| told(&error))?;
    let Some(picture) = picture else {
        return Ok(None);
    };
    Ok(Some(Facts {
        host,
        refusal,
        store: sharing::store(podman),
        leases: reconcile::leases(podman, &name).map_err(|error| told(&error))?,
        networks,
        picture,
        name,
    }))
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(terms(facts));
    found.extend(suspended(facts));
    found.extend(standing(facts));
    found.extend(silent(facts));
    found.extend(keys(facts));
    found
}

/// Compares this host's networks with the share.
fn terms(facts: &Facts) -> Vec<Finding> {
    let differing = facts.networks.iter().filter_map(|network| {
        let terms = share::terms(network).ok()?;
        let differences = terms.differences(&facts.picture.meta.terms);
        let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let (network, share) = (&network.name, &facts.name);
        (!differences.is_empty()).then(|| {
            let what = format!(
                "network {network} differs from share {share} in {}",
                differences.join("; ")
            );
            Finding::problem(CHECK, what)
                .because("no container can start there")
                .repair("create the network again as it is on the other hosts")
        })
    });
    differing.collect()
}

fn suspended(facts: &Facts) -> Option<Finding> {
    let Picture { meta, hosts, .. } = &facts.picture;
    if !meta.epoch.suspended {
        return None;
    }
    let missing = hosts.iter().filter(|host| host.is_incomplete);
    let missing: Vec<_> = missing.map(|host| host.record.name.as_str()).collect();
    let what = format!("share {} is suspended", facts.name);
    let finding = Finding::problem(CHECK, what);
    Some(match missing[..] {
        [] => finding
            .because("etcd was restored from a backup; every host has put its leases back")
            .repair("run `berth share accept`"),
        _ => finding
            .because(format!(
                "etcd was restored from a backup, and these hosts have not put their leases back: \
                 {}",
                missing.join(", ")
            ))
            .repair("run `berth gc` there, then `berth share accept`"),
    })
}

/// Judges whether this host may speak in the share.
fn standing(facts: &Facts) -> Option<Finding> {
    let host = facts.host.as_ref()?;
    let name = &facts.name;
    let refused = |why: &str, repair| {
        let what = format!("share {name} refuses this host");
        let id = host.short();
        let cause = format!("its identity {id} {why}; {}", affected(&facts.networks));
        Some(Finding::problem(CHECK, what).because(cause).repair(repair))
    };
    match facts.refusal {
        Some(Refusal::Evicted) => Some(
            Finding::problem(CHECK, format!("this host was evicted from share {name}"))
                .because("other hosts may have its addresses by now")
                .repair("run `berth share rejoin`"),
        ),
        Some(Refusal::Copied) => refused(
            "is in use elsewhere, or its disk was rolled back",
            "run `berth share rejoin` on the copy, `berth share rejoin --original` on the original",
        ),
        Some(Refusal::OtherMachine) => refused(
            "was made for another machine",
            "run `berth share rejoin` if this is a copy, `berth share rejoin --original` if it is \
             the original on new hardware",
        ),
        None => {
            let mut hosts = facts.picture.hosts.iter();
            let is_known = hosts.any(|one| one.record.host == *host);
            // The host may have joined without having claimed anything yet.
            let is_forgotten = !is_known && !facts.leases.leases.is_empty();
            is_forgotten.then(|| {
                Finding::problem(CHECK, format!("share {name} does not know this host"))
                    .because("etcd is another one, or was restored from a backup")
                    .repair("run `berth gc`, which puts this host's leases back")
            })
        }
    }
}

/// Reports hosts that have not been heard from lately.
fn silent(facts: &Facts) -> Option<Finding> {
    let hosts = facts.picture.hosts.iter();
    let silent = hosts.filter(|host| {
        let is_own = Some(&host.record.host) == facts.host.as_ref();
        !host.live && !is_own && !host.addresses.is_empty()
    });
    let silent: Vec<_> = silent
        .map(|host| format!("{}, which has {}", host.record.name, some(&host.claimed())))
        .collect();
    (!silent.is_empty()).then(|| {
        let name = &facts.name;
        let what = format!(
            "hosts of share {name} that are silent: {}",
            silent.join("; ")
        );
        Finding::note(CHECK, what)
            .because("a host counts as alive for as long as `lease` in its berth.conf says")
            .repair("nothing, if it comes back; else `berth share evict HOST` frees its addresses")
    })
}

/// Compares the keys with the leases.
fn keys(facts: &Facts) -> Vec<Finding> {
    let name = &facts.name;
    let holders = holders(&facts.picture);
    let is_own =
        |holder: &Holder| Some(&holder.host) == facts.host.as_ref() && holder.store == facts.store;
    let mut found = Vec::new();
    let mut unclaimed = Vec::new();
    for lease in &facts.leases.leases {
        match holders.get(&lease.address) {
            None => unclaimed.push(lease.address),
            Some((_, holder)) if is_own(holder) => {}
            Some((host, holder)) => {
                let conflict = Conflict {
                    lease: lease.clone(),
                    taker: Some(Taker {
                        host: host.clone(),
                        container: holder.container.clone(),
                        name: holder.name.clone(),
                    }),
                };
                found.push(Finding::problem(
                    CHECK,
                    reconcile::describe(name, &conflict),
                ));
            }
        }
    }
    if facts.refusal.is_some() {
        // No collection may change anything.
        return found;
    }
    let leases = facts.leases.leases.iter();
    let leased: BTreeSet<_> = leases.map(|lease| lease.address).collect();
    let own = holders.iter().filter(|(_, (_, holder))| is_own(holder));
    let unleased = own.map(|(address, _)| *address);
    let unleased: Vec<_> = unleased.filter(|one| !leased.contains(one)).collect();
    let mut note = |addresses: &[IpAddr], what: &str, cause: &str, repair: &str| {
        if !addresses.is_empty() {
            let what = format!("{what}: {}", some(addresses));
            found.push(Finding::note(CHECK, what).because(cause).repair(repair));
        }
    };
    note(
        &unclaimed,
        &format!("leased here and not claimed in share {name}"),
        "etcd was out of reach, or the network has just joined the share",
        "nothing: the next collection claims them",
    );
    note(
        &unleased,
        &format!("claimed in share {name} and not leased here"),
        "etcd was out of reach, or a start or removal was cut short",
        "nothing: the next collection gives them back",
    );
    found
}

/// Lists the first few of some addresses.
fn some(addresses: &[IpAddr]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = addresses
        .iter()
        .take(SHOWN)
        .map(IpAddr::to_string)
        .collect();
    match addresses.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns the holder of each address, with the name of its host.
fn holders(picture: &Picture) -> BTreeMap<IpAddr, (String, Holder)> {
    let read = picture.claims().filter_map(|(host, claim)| {
        let holder = Holder::decode(claim.value.as_bytes()).ok()?;
        let host = host.unwrap_or_else(|| holder.host.short()).to_owned();
        Some((claim.address, (host, holder)))
    });
    read.collect()
}

#[cfg(test)]
mod tests;
