//! A container gets its addresses and its interfaces, in three steps: lease, plumb,
//! bind.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::bridge;
use super::claims::Claims;
use super::lease::{Applicant, lease, propose};
use super::predecessor::clear_predecessors;
use super::reclaim::{clear_away, remove_abandoned};
use super::session::{Session, note, with_lock, with_session};
use super::{LifecycleError, introduction, noted};
use crate::delegate::{self, Call, DelegateError, Reach, Ready};
use crate::podman::Podman;
use crate::rules::attachment::Attachment;
use crate::rules::history::{End, Line, Work};
use crate::rules::lease::{Namespace, Phase, Tenant};
use crate::sight::{self, PathFact};

/// The result of a setup.
#[derive(Debug)]
pub struct Done {
    /// netavark's status block for each network, in the order of the attachments.
    pub status: Vec<Value>,
    pub collection_due: bool,
}

/// Leases addresses for a container on each of its networks, calls `plumb` with the netavark
/// of this call to make the interfaces, and returns netavark's status block for each.
///
/// Asking again for the same container, network and interface gives the same addresses;
/// the interface is made again. On return the leases are durable and the store is closed.
///
/// # Errors
/// If the request is bad, an address is held by a container that is not known to be gone,
/// or netavark or the store fails. What was done is then undone on all networks; what
/// cannot be undone stays on record for reclaim.
pub fn setup(
    podman: &Podman,
    call: &Call<'_>,
    attachments: Vec<Attachment>,
    netns: &Path,
    plumb: impl FnOnce(Ready<'_>, &[Tenant]) -> Result<Vec<Value>, DelegateError>,
) -> Result<Done, LifecycleError> {
    let done = lease_and_plumb(podman, call, attachments, netns, plumb);
    done.map_err(|error| noted(podman, Work::Setup, error))
}

fn lease_and_plumb(
    podman: &Podman,
    call: &Call<'_>,
    attachments: Vec<Attachment>,
    netns: &Path,
    plumb: impl FnOnce(Ready<'_>, &[Tenant]) -> Result<Vec<Value>, DelegateError>,
) -> Result<Done, LifecycleError> {
    let began = Instant::now();
    let who = introduction("setup", &attachments);
    let namespace = namespace(netns)?;
    podman
        .settings
        .harmless()
        .for_each(|mistake| log::warn!("{mistake}"));
    let applicants = attachments
        .into_iter()
        .map(|asked| Applicant::new(asked, &podman.settings));
    let applicants: Vec<_> = applicants.collect::<Result<_, _>>()?;
    let asked: Vec<_> = applicants
        .iter()
        .map(|one| one.attachment.clone())
        .collect();
    let is_half_made = bridge::check(podman, &asked)?;
    let mut claims = Claims::open(podman, &applicants)?;
    if !claims.are_none() {
        // K1
        claims.claim(&applicants, &|| {
            with_session(podman, &who, |session| {
                clear_the_way(session, &asked, netns, &namespace)?;
                propose(session, &applicants, &namespace)
            })
        })?;
    }
    // C1
    let done = with_lock(podman, &who, podman.settings.lock_wait(), |locked| {
        let netavark = call.start("setup", netns)?;
        let session = &locked.open()?;
        clear_the_way(session, &asked, netns, &namespace)?;
        if is_half_made {
            bridge::remove_half_made(&asked);
        }
        let tenants = lease(session, &applicants, &namespace, &claims)?;
        prepare_names(&podman.delegation.config, &asked);
        // C5
        let plumbed = plumb(netavark, &tenants).map_err(LifecycleError::from);
        let bound = plumbed.and_then(|status| {
            bind(session, &tenants, &status)?;
            Ok(status)
        });
        let status = bound.map_err(|failure| undo(session, &tenants, failure))?;
        let lines = tenants.iter().enumerate().map(|(at, tenant)| {
            let took = (at == 0).then(|| began.elapsed());
            Line::began(tenant, false, took)
        });
        note(podman, &lines.collect::<Vec<_>>());
        let done = Done {
            status,
            collection_due: super::is_collection_due(session),
        };
        Ok((done, tenants))
    });
    // K2
    let verified = done.and_then(|(done, tenants)| match claims.verify() {
        Ok(()) => Ok(done),
        Err(lost) => with_session(podman, &who, |session| Err(undo(session, &tenants, lost))),
    });
    if verified.is_err() {
        claims.give_back();
    }
    verified
}

/// Adopts what the store does not know of, and takes down what earlier starts of the same
/// container have left.
fn clear_the_way(
    session: &Session<'_>,
    asked: &[Attachment],
    netns: &Path,
    namespace: &Namespace,
) -> Result<(), LifecycleError> {
    let doubts = session.recover(asked, netns);
    let doubts = doubts.map_err(LifecycleError::Recover)?;
    if let Some((network, doubt)) = doubts.into_iter().next() {
        // A hidden container may have an address that we would lease to another.
        let network = network.name.as_str().into();
        return Err(LifecycleError::Hidden { network, doubt });
    }
    for attachment in asked {
        clear_earlier_start(session, attachment, namespace)?;
    }
    clear_predecessors(session, asked)
}

/// Corrects what would keep names from resolving after netavark's setup.
fn prepare_names(run_directory: &Path, asked: &[Attachment]) {
    delegate::end_orphaned(run_directory);
    for network in asked.iter().map(|one| &one.network) {
        if let Err(error) = delegate::put_servers_right(run_directory, network, false) {
            log::warn!("names on network {}: {error}", network.name);
        }
    }
}

/// Takes down the plumbing of an earlier start of the same container that was never torn
/// down.
fn clear_earlier_start(
    session: &Session<'_>,
    attachment: &Attachment,
    namespace: &Namespace,
) -> Result<(), LifecycleError> {
    if let Some(earlier) = session.store.begin().tenant(&attachment.tenancy())? {
        // C2
        clear_away(session.podman, &earlier, Reach::Network)?;
        if earlier.namespace != *namespace {
            remove_abandoned(&earlier, &session.boot_id);
        }
    }
    Ok(())
}

/// Marks the tenants' leases as bound, durably, in one transaction.
fn bind(session: &Session<'_>, tenants: &[Tenant], status: &[Value]) -> Result<(), LifecycleError> {
    let mut transaction = session.store.begin();
    for (tenant, status) in tenants.iter().zip(status) {
        let interface = &status["interfaces"][tenant.tenancy.interface.as_str()];
        transaction.update(&Tenant {
            phase: Phase::Bound,
            mac_address: interface["mac_address"].as_str().map(str::to_owned),
            ..tenant.clone()
        })?;
    }
    // C6
    Ok(transaction.commit(session.now)?)
}

/// Undoes a setup that failed, because netavark calls no teardown for it. The addresses
/// stay reserved for the container, which will try again. Returns the failure, and with it
/// what could not be undone.
fn undo(session: &Session<'_>, tenants: &[Tenant], failure: LifecycleError) -> LifecycleError {
    let mut failures = Vec::new();
    let mut clean = Vec::new();
    for tenant in tenants {
        match clear_away(session.podman, tenant, Reach::Network) {
            Ok(()) => clean.push(tenant),
            Err(error) => failures.push(crate::chain(&error)),
        }
    }
    if let Err(error) = session.release(&clean, End::Undone, &crate::chain(&failure)) {
        failures.push(crate::chain(&error));
    }
    if failures.is_empty() {
        return failure;
    }
    LifecycleError::Undo {
        failure: crate::chain(&failure),
        cleanup: failures.join("; "),
    }
}

/// Returns the identity of the container's namespace.
fn namespace(path: &Path) -> Result<Namespace, LifecycleError> {
    let unreadable = |reason| LifecycleError::Namespace {
        path: path.to_owned(),
        reason,
    };
    match sight::examine(path) {
        PathFact::There((device, inode)) => Ok(Namespace {
            path: path.to_owned(),
            device,
            inode,
        }),
        PathFact::Missing => Err(unreadable("there is none".to_owned())),
        PathFact::Unreadable(reason) => Err(unreadable(reason)),
    }
}
