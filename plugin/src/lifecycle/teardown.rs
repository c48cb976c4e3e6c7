//! A container gives its interface and its addresses back.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;

use super::claims;
use super::session::{Session, with_lock};
use super::takedown::{self, Left, namespace_remains, take_down_unleased};
use super::{LifecycleError, introduction, noted};
use crate::delegate::{Call, Started};
use crate::podman::Podman;
use crate::rules::attachment::Attachment;
use crate::rules::history::{End, Work};
use crate::rules::lease::Tenant;
use crate::sight::{self, Everywhere, Evidence, PathFact, Window};

/// Takes a container's interfaces down, with `unplumb` for all its networks at once, then
/// releases its leases there, each with a reservation, in one transaction. `unplumb` gets
/// the netavark of this call.
///
/// Repeating it is not a failure, and neither is a namespace or lease that is gone: `unplumb`
/// is called only if there is something to take down. One failure does not stop the rest. On
/// return the release is durable.
///
/// # Errors
/// All failures. A lease whose interface is still there is kept, and is taken back once its
/// namespace is gone.
pub fn teardown(
    podman: &Podman,
    call: &Call<'_>,
    attachments: &[Attachment],
    netns: &Path,
    unplumb: impl FnOnce(Started<'_>, &[Tenant]) -> Result<(), String>,
) -> Result<(), LifecycleError> {
    let mut failures = Vec::new();
    let who = introduction("teardown", attachments);
    // T1
    let done = with_lock(podman, &who, podman.settings.lock_wait(), |locked| {
        // Opening it takes a thread, which would wait for a processor once netavark starts.
        let window = match sight::examine(netns) {
            PathFact::There(key) => Window::open(netns, key).ok(),
            PathFact::Missing | PathFact::Unreadable(_) => None,
        };
        let netavark = call.start("teardown", netns);
        let take_down = |tenants: &[Tenant]| {
            let unplumb = |tenants: &[Tenant]| unplumb(netavark, tenants);
            takedown::take_down_together(podman, tenants, window, unplumb)
        };
        by_record(
            &locked.open()?,
            attachments,
            netns,
            take_down,
            &mut failures,
        )
    });
    match done {
        // K3
        Ok(gone) => claims::release(podman, &gone),
        Err(error) => {
            // Whatever is wrong with the store, the interfaces can go, and so can the
            // addresses that no other container has been seen to have.
            failures.push(crate::chain(&error));
            let elsewhere = held_elsewhere(attachments, netns);
            let free = |address| matches!(&elsewhere, Some(held) if !held.contains(&address));
            for attachment in attachments {
                failures.extend(take_down_unleased(podman, attachment, netns, free).err());
            }
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(noted(
        podman,
        Work::Teardown,
        LifecycleError::Teardown { who, failures },
    ))
}

/// Tears down what the store knows of, and returns the tenants whose leases it has released.
/// Errors are those of the store; failures of the plumbing are collected in `failures`.
fn by_record(
    session: &Session<'_>,
    attachments: &[Attachment],
    netns: &Path,
    take_down: impl FnOnce(&[Tenant]) -> Vec<Result<(), Left>>,
    failures: &mut Vec<String>,
) -> Result<Vec<Tenant>, LifecycleError> {
    session
        .recover(attachments, netns)
        .map_err(LifecycleError::Recover)?;
    let (mut tenants, mut unleased) = (Vec::new(), Vec::new());
    for attachment in attachments {
        match session.store.begin().tenant(&attachment.tenancy())? {
            Some(tenant) if is_of(&tenant, netns) => tenants.push(tenant),
            Some(tenant) => log::info!(
                "container {} has been started again: leaving it alone",
                tenant.tenancy.container_id.short()
            ),
            None => unleased.push(attachment),
        }
    }
    // T2
    let mut gone = Vec::new();
    for (tenant, taken) in tenants.iter().zip(take_down(&tenants)) {
        match taken {
            Err(Left::Interface(reason)) => {
                failures.push(format!(
                    "its interface is still there, so its lease is kept: {reason}"
                ));
                continue;
            }
            Err(Left::Rest(reason)) => failures.push(reason),
            Ok(()) => {}
        }
        gone.push(tenant);
    }
    // T3
    session.release(&gone, End::Released, "")?;
    let gone: Vec<_> = gone.into_iter().cloned().collect();
    for attachment in unleased {
        let transaction = session.store.begin();
        let network = attachment.tenancy().network_id;
        let free = |address| matches!(transaction.lease(&network, address), Ok(None));
        let done = take_down_unleased(session.podman, attachment, netns, free);
        failures.extend(done.err());
    }
    Ok(gone)
}

/// Returns whether a teardown of this namespace is meant for the tenant. A late teardown, for
/// the namespace of an earlier start, must not touch the present one.
fn is_of(tenant: &Tenant, netns: &Path) -> bool {
    netns == tenant.namespace.path || !namespace_remains(&tenant.namespace)
}

/// Returns the addresses that are in use in namespaces other than this one, or `None` if berth
/// cannot tell.
fn held_elsewhere(attachments: &[Attachment], netns: &Path) -> Option<HashSet<IpAddr>> {
    let PathFact::There(own) = sight::examine(netns) else {
        return None;
    };
    let evidence = Evidence::gather(&[], &sight::boot_id().ok()?, sight::now().ok()?);
    let everywhere = Everywhere::look(&evidence).ok()?.without(own);
    let mut networks = attachments.iter().map(|one| &one.network);
    let is_clear = networks.all(|network| everywhere.doubt_about(network).is_none());
    is_clear.then(|| everywhere.addresses().collect())
}
