//! The state directory, and, under both locks, the store in it.

use std::time::Duration;

use super::directory::{self, DirectoryFacts};
use super::finding::{Finding, Report};
use super::{collection, holders, records};
use crate::lifecycle::session::{Locked, Session, SessionError, with_lock};
use crate::podman::Podman;
use crate::store::{Store, StoreError};

/// How long to wait for each lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the doctor introduces itself to others that wait for the store.
const WHO: &str = "doctor";

/// Examines the state directory and what is in it, if it is there.
pub(super) fn examine(podman: &Podman, repair: bool, report: &mut Report) {
    let directory = &podman.state_directory;
    let facts = DirectoryFacts::gather(directory);
    let mut found = directory::judge(&facts);
    if repair {
        directory::repair(directory, &mut found);
    }
    report.add(found);
    if !facts.is_there() {
        return;
    }
    // A command that waits for both takes Podman's first, as Podman does. Without it,
    // the store can still be read, but not repaired.
    let network = podman.lock_networks(PATIENCE);
    if let Err(error) = &network {
        let finding = Finding::problem("network-lock", crate::chain(error))
            .because("no container can start or stop meanwhile; nothing is repaired");
        report.add([finding]);
    }
    let repair = repair && network.is_ok();
    let looked = with_lock(podman, WHO, PATIENCE, |locked| {
        look_inside(locked, podman, repair, report)
    });
    if let Err(finding) = looked {
        report.add([finding]);
    }
}

/// Examines what the store's lock protects. Returns what prevented that, if anything
/// did.
fn look_inside(
    locked: &Locked<'_>,
    podman: &Podman,
    repair: bool,
    report: &mut Report,
) -> Result<(), Finding> {
    let directory = &podman.state_directory;
    let names = directory::names(directory)?;
    let mut found = directory::judge_names(directory, &names);
    if repair {
        directory::repair(directory, &mut found);
    }
    report.add(found);
    if !Store::exists(directory) {
        // Opening the store would create one.
        report.add([directory::no_store(directory)]);
        return Ok(());
    }
    let session = locked.open()?;
    Ok(examine_store(&session, repair, report).map_err(SessionError::from)?)
}

/// Examines the open store.
fn examine_store(
    session: &Session<'_>,
    repair: bool,
    report: &mut Report,
) -> Result<(), StoreError> {
    let (store, now) = (&session.store, session.now);
    let tenants = if repair {
        report.add(records::mended(&store.repair(now)?));
        store.begin().all_tenants()?
    } else {
        let (found, tenants) = store.examine()?;
        report.add(records::found(&found));
        tenants
    };
    // This order matters: evidence is taken after the tenants were read.
    let verdicts = session.judge(&tenants);
    let judged: Vec<_> = tenants.into_iter().zip(verdicts).collect();
    report.add(holders::judge(&judged, now));
    let last = store.last_collection();
    report.add(collection::judge(last.as_ref(), store.since(), now));
    Ok(())
}
