//! Makes a share's keys and this store's leases agree again, where a crash, or an etcd that
//! did not answer, has left them different.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_share::{Conflict, Lease, Reconciled, ShareName, Terms};

use super::LifecycleError;
use super::session::{SessionError, read_store};
use crate::podman::Podman;
use crate::rules::lease::{Tenant, short_id};
use crate::rules::share;
use crate::sharing::Seat;
use crate::text::foreign;

/// What a store has leased in one share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    pub leases: Vec<Lease>,
    /// Whether that is certainly all that containers have: the host has been surveyed since it
    /// booted.
    pub are_complete: bool,
    /// The terms that all hosts of the share must have in common, if a network here is in it.
    pub terms: Option<Terms>,
}

/// Returns what a Podman's store has leased in a share. A lease is in it if its network is in
/// it, by the network's file or as the container was started: when a network leaves a share,
/// its containers follow only when they are started again.
///
/// # Errors
/// If the store or a network file cannot be read.
pub fn leases(podman: &Podman, name: &ShareName) -> Result<Leases, SessionError> {
    let networks = podman.networks()?;
    let shared = networks
        .iter()
        .filter(|network| share::of_network(network).as_ref() == Some(name));
    let shared: BTreeMap<_, _> = shared
        .map(|network| (network.id.as_str(), network))
        .collect();
    let terms = shared
        .values()
        .find_map(|network| share::terms(network).ok());
    let is_shared = |tenant: &Tenant| {
        shared.contains_key(tenant.tenancy.network_id.as_str())
            || share::of_network(&tenant.request.network).as_ref() == Some(name)
    };
    let found = read_store(podman, "look at what is leased in shares", |transaction| {
        let mut leases = Vec::new();
        for tenant in transaction.all_tenants()? {
            if !is_shared(&tenant) {
                continue;
            }
            leases.extend(tenant.addresses().into_iter().map(|address| Lease {
                address,
                container: tenant.tenancy.container_id.to_string(),
                name: tenant.container_name.to_string(),
            }));
        }
        Ok((leases, transaction.is_surveyed()))
    })?;
    let (leases, are_complete) = found.unwrap_or_default();
    Ok(Leases {
        leases,
        are_complete,
        terms,
    })
}

/// Makes a share's keys agree with what the store has leased in it: see
/// [`berth_share::Member::reconcile`]. etcd has `total` for all its answers together.
///
/// # Errors
/// If the store cannot be read, this host may not speak for itself, or etcd does not answer.
pub fn reconcile(
    podman: &Podman,
    seat: &mut Seat,
    terms: Option<&Terms>,
    total: Duration,
) -> Result<Reconciled, LifecycleError> {
    let found = leases(podman, seat.share())?;
    let terms = terms.or(found.terms.as_ref());
    Ok(seat.speak(terms, total, |member| {
        member.reconcile(&found.leases, found.are_complete)
    })?)
}

/// Describes which other host has an address.
pub fn describe(name: &ShareName, conflict: &Conflict) -> String {
    let lease = &conflict.lease;
    let other = conflict.taker.as_ref().map_or_else(
        || "an entry that berth cannot read".to_owned(),
        |taker| {
            // These were written by another host.
            let [container, name, host] =
                [short_id(&taker.container), &taker.name, &taker.host].map(foreign);
            format!("container {container} ({name}) on host {host}")
        },
    );
    let container = short_id(&lease.container);
    format!(
        "share {name}: {} is leased to container {container} ({}) here and claimed for {other}; \
         stop one of the two",
        lease.address, lease.name
    )
}
