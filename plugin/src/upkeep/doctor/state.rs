//! The state directory, and under both locks the store in it.

use std::path::Path;
use std::time::Duration;

use super::directory::{self, DirectoryFacts};
use super::finding::{Finding, Report};
use super::lookout::Watch;
use super::{collection, holders, records, unconfigured};
use crate::podman::{NetworkLock, Podman};
use crate::rules::lease::Moment;
use crate::sight;
use crate::store::{LockFile, STORE, Store, StoreError};

/// How long to wait for each lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// How we introduce ourselves to others who wait for the store.
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
    // Whoever waits for both takes Podman's first, as Podman does. Without it the
    // store can still be read, but it is not the time for a repair.
    let network = NetworkLock::acquire(&podman.lock, PATIENCE);
    if let Err(error) = &network {
        let finding = Finding::problem("network-lock", crate::chain(error))
            .because("no container can start or stop meanwhile; nothing is repaired");
        report.add([finding]);
    }
    let repair = repair && network.is_ok();
    if let Err(finding) = look_inside(directory, &podman.namespace_directory, repair, report) {
        report.add([finding]);
    }
}

/// Takes the store's lock and examines what it protects. Returns what keeps it from
/// that.
fn look_inside(
    directory: &Path,
    namespaces: &Path,
    repair: bool,
    report: &mut Report,
) -> Result<(), Finding> {
    let failed = |error: StoreError| records::failure(&error);
    let mut lock = LockFile::open(directory).map_err(failed)?;
    let guard = lock.acquire(PATIENCE, WHO).map_err(failed)?;
    let names = directory::names(directory)?;
    let mut found = directory::judge_names(directory, &names);
    if repair {
        directory::repair(directory, &mut found);
    }
    report.add(found);
    if !names.iter().any(|name| name == STORE) {
        // Opening would make one.
        report.add([directory::no_store(directory)]);
        return Ok(());
    }
    let boot_id = sight::boot_id().map_err(|error| unconfigured(&error))?;
    let now = sight::now().map_err(|error| unconfigured(&error))?;
    Store::open(directory, guard, &boot_id, now)
        .and_then(|store| examine_store(&store, namespaces, (&boot_id, now), repair, report))
        .map_err(failed)
}

/// Examines the open store.
fn examine_store(
    store: &Store<'_>,
    namespaces: &Path,
    (boot_id, now): (&str, Moment),
    repair: bool,
    report: &mut Report,
) -> Result<(), StoreError> {
    let tenants = store.begin().all_tenants()?;
    // Evidence is taken after the tenants were read.
    let watch = Watch::keep(&tenants, namespaces, boot_id, now);
    if repair {
        report.add(records::mended(&store.repair(now, &watch)?));
    } else {
        report.add(records::found(&store.check()?));
    }
    let tenants = store.begin().all_tenants()?;
    let verdicts = watch.verdicts(&tenants);
    let judged: Vec<_> = tenants.into_iter().zip(verdicts).collect();
    report.add(holders::judge(&judged, now));
    let last = store.last_collection();
    report.add(collection::judge(last.as_ref(), store.since(), now));
    Ok(())
}
