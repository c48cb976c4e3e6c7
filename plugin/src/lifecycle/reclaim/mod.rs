//! Taking back what a dead holder left: plumbing, namespace file, leases.
//!
//! The order survives a kill at any step: the leases go last, so that whatever
//! is left is still on record and the next reclaim finishes the work. A release
//! names each address' generation and fails if it has a new holder.

mod namespace_file;
mod tenants;

use std::path::Path;

use thiserror::Error;

pub use namespace_file::{file_made, remove_file};
pub use tenants::{judge_all, renew};

use crate::delegate::{self, Plan};
use crate::rules::lease::{LeasedAddress, Moment, Namespace, Reservation, Tenant};
use crate::rules::options::{Options, Plumbing};
use crate::sight::{self, Evidence, PathFact};
use crate::store::{Store, StoreError, Transaction};

/// Failure to take back what a dead holder left. Its leases stay.
#[derive(Debug, Error)]
pub enum ReclaimError {
    /// Its interface may still answer.
    #[error("failed to take down the interface that container {container} left: {reason}")]
    Plumbing {
        /// The former holder.
        container: String,
        /// What netavark said.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes back everything a dead tenant left and releases its leases, durably.
///
/// The caller holds the store's lock since before the verdict was made.
///
/// # Errors
/// If its interface is still there afterwards, or the store fails; its leases
/// are kept then.
pub fn reclaim(
    store: &Store<'_>,
    netavark: &Path,
    tenant: &Tenant,
    now: Moment,
) -> Result<(), ReclaimError> {
    clear_away(netavark, tenant)?;
    delegate::end_stray(&tenant.delegation.config);
    namespace_file::remove(&tenant.namespace);
    release(store, tenant, now)?;
    Ok(())
}

/// Takes a tenant's plumbing down, so that nothing answers at its addresses.
///
/// # Errors
/// If its interface is still there afterwards. Lesser failures are warned of.
pub fn clear_away(netavark: &Path, tenant: &Tenant) -> Result<(), ReclaimError> {
    let container = tenant.tenancy.container_id.short().to_owned();
    match take_down(netavark, tenant) {
        Ok(()) => Ok(()),
        Err(Left::Interface(reason)) => Err(ReclaimError::Plumbing { container, reason }),
        Err(Left::Rest(reason)) => {
            let network = &tenant.network_name;
            log::warn!("clearing away after container {container} on network {network}: {reason}");
            Ok(())
        }
    }
}

/// Releases all leases of a tenant, durably, each with a hold for its former
/// holder. A lease that has a new holder by now is left alone.
///
/// # Errors
/// If the store fails; nothing is released then.
pub fn release(store: &Store<'_>, tenant: &Tenant, now: Moment) -> Result<(), StoreError> {
    let mut transaction = store.begin();
    stage_release(&mut transaction, tenant, now)?;
    transaction.commit(now)?;
    for holding in &tenant.leased {
        log::info!(
            "released {} of container {} on network {}",
            holding.address,
            tenant.tenancy.container_id.short(),
            tenant.network_name
        );
    }
    Ok(())
}

/// Stages the release of all leases of a tenant, each with its hold.
///
/// # Errors
/// If the store fails.
pub fn stage_release(
    transaction: &mut Transaction<'_>,
    tenant: &Tenant,
    now: Moment,
) -> Result<(), StoreError> {
    for holding in &tenant.leased {
        let hold = hold(tenant, holding, now);
        let (address, generation) = (holding.address, holding.generation);
        transaction.release(&tenant.tenancy, address, generation, Some(hold))?;
    }
    Ok(())
}

/// Returns the hold an address is released with: the longer of cooldown and
/// reservation, as the network was configured at setup.
fn hold(tenant: &Tenant, holding: &LeasedAddress, now: Moment) -> Reservation {
    let options = Options::parse(&tenant.request.network).unwrap_or_default();
    Reservation {
        container_id: tenant.tenancy.container_id.clone(),
        container_name: tenant.container_name.clone(),
        kind: holding.kind,
        released: now,
        until: now.after(options.cooldown.max(options.hold)),
    }
}

/// What taking plumbing down has left, and why.
#[derive(Debug)]
pub enum Left {
    /// The interface: something may answer at the addresses.
    Interface(String),
    /// A firewall rule, DNS name or bridge at most.
    Rest(String),
}

/// Takes a tenant's plumbing down with its stored request: in its namespace if
/// the interface is there, else by a stand-in.
///
/// Where netavark has removed the interface and then failed, a stand-in takes down
/// the rest as well.
///
/// # Errors
/// What is left, but for what was gone already.
pub fn take_down(netavark: &Path, tenant: &Tenant) -> Result<(), Left> {
    let addresses = tenant.addresses();
    let plan = Plan {
        exec: &tenant.request,
        plumbing: Plumbing::of(&tenant.request.network.options).unwrap_or_default(),
        addresses: &addresses,
    };
    let delegation = &tenant.delegation;
    if interface_remains(tenant) {
        let done = delegate::teardown(netavark, delegation, &plan, &tenant.namespace.path);
        if interface_remains(tenant) {
            let renamed = || "netavark did not find it: it may have been renamed".to_owned();
            return Err(Left::Interface(done.err().unwrap_or_else(renamed)));
        }
        let Err(reason) = done else {
            return Ok(());
        };
        log::debug!("trying again without the interface: {reason}");
    }
    delegate::teardown_in_stand_in(netavark, delegation, &plan).map_err(Left::Rest)
}

/// Returns whether a tenant's interface is still in its namespace, or may be.
fn interface_remains(tenant: &Tenant) -> bool {
    let namespace = &tenant.namespace;
    match sight::examine(&namespace.path) {
        fact if fact == there(namespace) => sight::links_of(&namespace.path)
            .map_or(true, |links| {
                crate::rules::verdict::is_among(tenant, &links)
            }),
        PathFact::Missing | PathFact::There(_) => false,
        PathFact::Unreadable(_) => true,
    }
}

/// Removes the namespace file of a tenant's earlier start, if nobody lives in it.
pub fn remove_abandoned(tenant: &Tenant, boot_id: &str) {
    let Ok(now) = sight::now() else {
        return;
    };
    let evidence = Evidence::gather(std::slice::from_ref(tenant), boot_id, now);
    let namespace = &tenant.namespace;
    let complete = evidence.unreadable.is_none() && evidence.pid_namespace == tenant.pid_namespace;
    if complete && !evidence.is_inhabited((namespace.device, namespace.inode)) {
        namespace_file::remove(namespace);
    }
}

/// Returns whether a namespace is still at its path.
pub fn namespace_remains(namespace: &Namespace) -> bool {
    sight::examine(&namespace.path) == there(namespace)
}

fn there(namespace: &Namespace) -> PathFact {
    PathFact::There((namespace.device, namespace.inode))
}
