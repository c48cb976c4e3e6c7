//! Taking back what a dead holder left: plumbing, namespace file, leases.
//!
//! The order survives a kill at any step: the leases go last, so that whatever
//! is left is still on record and the next reclaim finishes the work. A release
//! names each address' generation and fails if it has a new holder.

mod verdict;

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, umount2};
use thiserror::Error;

pub use verdict::{Cause, START_GRACE, STARTER_GRACE, Sign, Verdict, has_expired, judge};

use crate::delegate::{self, Plan, StandIn};
use crate::evidence::{self, PathFact};
use crate::lease::{Hold, Holding, Moment, Namespace, Tenant};
use crate::options::{Options, Plumbing};
use crate::store::{Store, StoreError};

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
    remove_namespace_file(&tenant.namespace);
    release(store, tenant, now)?;
    Ok(())
}

/// Takes a tenant's plumbing down, so that nothing answers at its addresses.
///
/// # Errors
/// If its interface is still there afterwards. Lesser failures are warned of.
pub fn clear_away(netavark: &Path, tenant: &Tenant) -> Result<(), ReclaimError> {
    let Err(reason) = take_down(netavark, tenant) else {
        return Ok(());
    };
    let container = tenant.tenancy.container_id.short().to_owned();
    if interface_remains(tenant) {
        return Err(ReclaimError::Plumbing { container, reason });
    }
    let network = &tenant.network_name;
    log::warn!("clearing away what container {container} left on network {network}: {reason}");
    Ok(())
}

/// Releases all leases of a tenant, durably, each with a hold for its former
/// holder. A lease that has a new holder by now is left alone.
///
/// # Errors
/// If the store fails; nothing is released then.
pub fn release(store: &Store<'_>, tenant: &Tenant, now: Moment) -> Result<(), StoreError> {
    let mut transaction = store.begin();
    for holding in &tenant.holdings {
        let hold = hold(tenant, holding, now);
        transaction.release(
            &tenant.tenancy,
            holding.address,
            holding.generation,
            Some(hold),
        )?;
    }
    transaction.commit(now)?;
    for holding in &tenant.holdings {
        log::info!(
            "released {} of container {} on network {}",
            holding.address,
            tenant.tenancy.container_id.short(),
            tenant.network_name
        );
    }
    Ok(())
}

/// Returns the hold an address is released with: the longer of cooldown and
/// reservation, as the network was configured at setup.
fn hold(tenant: &Tenant, holding: &Holding, now: Moment) -> Hold {
    let options = Options::parse(&tenant.request.network).unwrap_or_default();
    Hold {
        container_id: tenant.tenancy.container_id.clone(),
        container_name: tenant.container_name.clone(),
        kind: holding.kind,
        released: now,
        until: now.after(options.cooldown.max(options.hold)),
    }
}

/// Takes a tenant's plumbing down with its stored request: in its namespace if
/// the interface is there, else by a stand-in.
///
/// # Errors
/// What failed, but for what was gone already.
pub fn take_down(netavark: &Path, tenant: &Tenant) -> Result<(), String> {
    let addresses: Vec<_> = tenant
        .holdings
        .iter()
        .map(|holding| holding.address)
        .collect();
    let plan = Plan {
        exec: &tenant.request,
        plumbing: Plumbing::of(&tenant.request.network.options).unwrap_or_default(),
        addresses: &addresses,
    };
    let namespace = &tenant.namespace;
    if namespace_remains(namespace) && interface_remains(tenant) {
        return delegate::teardown(netavark, &tenant.delegation, &plan, &namespace.path);
    }
    let stand_in = StandIn::new(tenant.tenancy.interface.as_str()).map_err(|e| crate::chain(&e))?;
    delegate::teardown(netavark, &tenant.delegation, &plan, &stand_in.path())
}

/// Returns whether a tenant's interface is still there, or may be.
pub fn interface_remains(tenant: &Tenant) -> bool {
    let namespace = &tenant.namespace;
    match evidence::examine(&namespace.path) {
        fact if fact == there(namespace) => {
            evidence::interface_exists(&namespace.path, tenant.tenancy.interface.as_str())
                .unwrap_or(true)
        }
        PathFact::Missing | PathFact::There(_) => false,
        PathFact::Unreadable(_) => true,
    }
}

/// Removes a namespace file that is nobody's any more. Podman lost track of it
/// when it was killed; failing to remove it leaks nothing but the file.
fn remove_namespace_file(namespace: &Namespace) {
    let path = &namespace.path;
    let mounted = match evidence::examine(path) {
        fact if fact == there(namespace) => true,
        // The file on which a namespace was mounted once.
        PathFact::There((device, _)) if device != namespace.device => false,
        PathFact::There(_) | PathFact::Missing | PathFact::Unreadable(_) => return,
    };
    if !is_a_named_namespace(path) {
        return;
    }
    let unmounted = if mounted {
        umount2(path, MntFlags::MNT_DETACH)
    } else {
        Ok(())
    };
    if let Err(error) = unmounted
        .map_err(Into::into)
        .and_then(|()| fs::remove_file(path))
    {
        log::warn!(
            "failed to remove the namespace file {}: {error}",
            path.display()
        );
    }
}

/// Returns whether a path is one of Podman's namespace files
/// (containers/common `pkg/netns`: `netns-<uuid>` in a directory `netns`).
fn is_a_named_namespace(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let directory = path.parent().and_then(|parent| parent.file_name());
    name.starts_with("netns-") && directory.is_some_and(|directory| directory == "netns")
}

/// Returns whether a namespace is still at its path.
pub fn namespace_remains(namespace: &Namespace) -> bool {
    evidence::examine(&namespace.path) == there(namespace)
}

fn there(namespace: &Namespace) -> PathFact {
    PathFact::There((namespace.device, namespace.inode))
}
