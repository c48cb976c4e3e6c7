//! A container gives its interface and its addresses back.

use std::net::IpAddr;
use std::path::Path;

use super::session::{Session, with_session};
use super::takedown::{self, Left, namespace_remains, take_down_unleased};
use super::{LifecycleError, introduction};
use crate::podman::Podman;
use crate::rules::attachment::Attachment;
use crate::rules::lease::Tenant;
use crate::store::StoreError;

/// Has netavark take the interface down, then releases the container's leases on this
/// network, each with a reservation.
///
/// Repeating it is no failure, nor is a namespace or lease that is gone. It carries on
/// past failures. On return the release is durable.
///
/// # Errors
/// All that failed. A lease whose interface is still there is kept: it is taken back once
/// its namespace is gone.
pub fn teardown(
    podman: &Podman,
    attachment: &Attachment,
    netns: &Path,
) -> Result<(), LifecycleError> {
    let mut failures = Vec::new();
    let who = introduction("teardown", std::slice::from_ref(attachment));
    // T1
    let done = with_session(podman, &who, |session| {
        by_record(session, attachment, netns, &mut failures)
    });
    if let Err(error) = done {
        // Whatever is wrong with the store, the interface can go. berth does not know now
        // whose the addresses are that the caller names.
        failures.push(crate::chain(&error));
        failures.extend(take_down_unleased(podman, attachment, netns, &[]).err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(LifecycleError::Teardown {
        container: attachment.container_id.short().to_owned(),
        network: attachment.network.name.as_str().into(),
        failures,
    })
}

/// Tears down by what the store knows. Errors are those of the store; failures of the
/// plumbing are collected.
fn by_record(
    session: &Session<'_>,
    attachment: &Attachment,
    netns: &Path,
    failures: &mut Vec<String>,
) -> Result<(), LifecycleError> {
    session
        .recover(std::slice::from_ref(attachment), netns)
        .map_err(LifecycleError::Recover)?;
    match session.store.begin().tenant(&attachment.tenancy())? {
        Some(tenant) if is_of(&tenant, netns) => {
            // T2
            match takedown::take_down(session.podman, &tenant) {
                Err(Left::Interface(reason)) => {
                    failures.push(format!(
                        "its interface is still there, so its lease is kept: {reason}"
                    ));
                    return Ok(());
                }
                Err(Left::Rest(reason)) => failures.push(reason),
                Ok(()) => {}
            }
            // T3
            session.release(&[&tenant])?;
        }
        Some(tenant) => log::info!(
            "container {} has been started again: leaving it alone",
            tenant.tenancy.container_id.short()
        ),
        None => {
            let said = not_leased(session, attachment)?;
            let done = take_down_unleased(session.podman, attachment, netns, &said);
            failures.extend(done.err());
        }
    }
    Ok(())
}

/// Returns whether a teardown of this namespace is meant for the tenant. A late one, for
/// the namespace of an earlier start, must not touch the present one.
fn is_of(tenant: &Tenant, netns: &Path) -> bool {
    netns == tenant.namespace.path || !namespace_remains(&tenant.namespace)
}

/// Returns the addresses the container is said to have that nobody has leased: firewall
/// rules of the others belong to their present holders.
fn not_leased(session: &Session<'_>, attachment: &Attachment) -> Result<Vec<IpAddr>, StoreError> {
    let transaction = session.store.begin();
    let network = attachment.tenancy().network_id;
    let mut free = Vec::new();
    for address in attachment
        .options
        .static_ips
        .iter()
        .map(IpAddr::to_canonical)
    {
        if transaction.lease(&network, address)?.is_none() {
            free.push(address);
        }
    }
    Ok(free)
}
