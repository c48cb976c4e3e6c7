//! Taking back what a dead tenant left, and releasing leases.
//!
//! The order survives a kill at any step: the leases go last, so that everything still
//! left is on record, and the next reclaim finishes the work. A release names each
//! address's generation, so it leaves alone an address that has a new holder.

use thiserror::Error;

use super::namespace_file;
use super::session::Session;
use super::takedown::{Left, namespace_remains, take_down};
use crate::delegate::{self, Reach};
use crate::podman::Podman;
use crate::rules::history::End;
use crate::rules::lease::{LeasedAddress, Moment, Reservation, Tenant};
use crate::rules::options::Options;
use crate::rules::verdict::Verdict;
use crate::sight::{self, Evidence};
use crate::store::{StoreError, Transaction};

/// Failure to take back what a dead tenant left. Its leases stay.
#[derive(Debug, Error)]
pub enum ReclaimError {
    #[error("failed to take down the interface that container {container} left: {reason}")]
    Plumbing { container: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Session<'_> {
    /// Takes back everything a dead tenant left and releases its leases, durably. The
    /// verdict must have been made in this session; `evidence` is what it rests on. Of
    /// several tenants on one network, the last is reclaimed with [`Reach::Network`].
    ///
    /// # Errors
    /// If its interface is still there afterwards, or the store fails. Its leases are
    /// then kept.
    pub fn reclaim(
        &self,
        tenant: &Tenant,
        reach: Reach,
        evidence: &str,
    ) -> Result<(), ReclaimError> {
        // R1
        let mut cleared = clear_away(self.podman, tenant, reach);
        if cleared.is_err() {
            // netavark does not find an interface that the container has renamed, nor an address
            // that is on another one. They go with their namespace, if nobody lives in it.
            remove_abandoned(tenant, &self.boot_id);
            if !namespace_remains(&tenant.namespace) {
                cleared = clear_away(self.podman, tenant, reach);
            }
        }
        cleared?;
        delegate::end_stray(&tenant.delegation.config);
        // R2
        namespace_file::remove(&tenant.namespace);
        // R3
        Ok(self.release(&[tenant], End::Reclaimed, evidence)?)
    }

    /// Takes down the interface of a tenant that may be alive, because a person says so,
    /// and releases its leases, durably. Its namespace is left alone: the container may
    /// have other networks, and its processes live in it.
    ///
    /// # Errors
    /// As [`Session::reclaim`].
    pub fn evict(&self, tenant: &Tenant, evidence: &str) -> Result<(), ReclaimError> {
        // R1
        clear_away(self.podman, tenant, Reach::Network)?;
        // R3
        Ok(self.release(&[tenant], End::Forced, evidence)?)
    }

    /// Releases all leases of tenants in one transaction, durably; each address is
    /// reserved for its former holder. The history records `end` and `why`.
    ///
    /// # Errors
    /// If the store fails. Nothing is released then.
    pub fn release(&self, tenants: &[&Tenant], end: End, why: &str) -> Result<(), StoreError> {
        let mut transaction = self.store.begin();
        for tenant in tenants {
            stage_release(&mut transaction, tenant, self.now)?;
        }
        transaction.commit(self.now)?;
        self.note_end(tenants, end, why);
        for tenant in tenants {
            log::info!(
                "released {:?} of container {} on network {}",
                tenant.addresses(),
                tenant.tenancy.container_id.short(),
                tenant.network_name
            );
        }
        Ok(())
    }

    /// Renews the leases of tenants seen live, durably: their TTL starts again. A lease
    /// that was renewed within the last quarter of its TTL is left as it is.
    ///
    /// # Errors
    /// If the store fails. Nothing is renewed then.
    pub fn renew(&self, tenants: &[Tenant], verdicts: &[Verdict]) -> Result<(), StoreError> {
        let mut transaction = self.store.begin();
        for (tenant, verdict) in tenants.iter().zip(verdicts) {
            let ttl = tenant.expires.since(&tenant.renewed);
            let is_fresh = self.now.since(&tenant.renewed) < ttl / 4;
            if matches!(verdict, Verdict::Live(_)) && !is_fresh {
                let options = Options::parse(&tenant.request.network).unwrap_or_default();
                let renewed = Tenant {
                    renewed: self.now,
                    expires: self.now.after(options.ttl),
                    ..tenant.clone()
                };
                transaction.update(&renewed)?;
            }
        }
        transaction.commit(self.now)
    }
}

/// Takes a tenant's plumbing down, so that nothing answers at its addresses any more.
///
/// # Errors
/// If its interface is still there afterwards. Lesser failures are only logged as
/// warnings.
pub(super) fn clear_away(
    podman: &Podman,
    tenant: &Tenant,
    reach: Reach,
) -> Result<(), ReclaimError> {
    let container = tenant.tenancy.container_id.short().to_owned();
    match take_down(podman, tenant, reach) {
        Ok(()) => Ok(()),
        Err(Left::Interface(reason)) => Err(ReclaimError::Plumbing { container, reason }),
        Err(Left::Rest(reason)) => {
            let network = &tenant.network_name;
            log::warn!("clearing away after container {container} on network {network}: {reason}");
            Ok(())
        }
    }
}

/// Stages the release of all leases of a tenant, each with a reservation.
///
/// # Errors
/// If the store fails.
pub(super) fn stage_release(
    transaction: &mut Transaction<'_>,
    tenant: &Tenant,
    now: Moment,
) -> Result<(), StoreError> {
    for leased in &tenant.leased {
        let reservation = reservation(tenant, leased, now);
        let (address, generation) = (leased.address, leased.generation);
        transaction.release(&tenant.tenancy, address, generation, Some(reservation))?;
    }
    Ok(())
}

/// Returns the reservation that a released address gets. It lasts as long as the longer
/// of cooldown and hold, as the network was configured at setup.
fn reservation(tenant: &Tenant, leased: &LeasedAddress, now: Moment) -> Reservation {
    let options = Options::parse(&tenant.request.network).unwrap_or_default();
    Reservation {
        container_id: tenant.tenancy.container_id.clone(),
        container_name: tenant.container_name.clone(),
        kind: leased.kind,
        released: now,
        until: now.after(options.cooldown.max(options.hold)),
    }
}

/// Removes the namespace file of a tenant, or of its earlier start, if no process is in the
/// namespace.
pub(super) fn remove_abandoned(tenant: &Tenant, boot_id: &str) {
    let Ok(now) = sight::now() else {
        return;
    };
    let evidence = Evidence::gather(std::slice::from_ref(tenant), boot_id, now);
    let namespace = &tenant.namespace;
    let complete = evidence.unreadable.is_none()
        && !evidence.doubts.iter().any(|doubt| doubt.may_hide(tenant))
        && evidence.pid_namespace == tenant.pid_namespace;
    if complete && !evidence.is_inhabited((namespace.device, namespace.inode)) {
        namespace_file::remove(namespace);
    }
}
