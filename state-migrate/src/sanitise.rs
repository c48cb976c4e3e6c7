//! The repair: removes dead and contradictory entries from the file, under Podman's network
//! lock.
//!
//! It begins with a look (see [`crate::look`]). If anything is dead, the lock is released, and
//! a second look follows two seconds later: only what both looks find dead is dead. Then, still
//! under the second look's lock, the repair plans, backs the file up beside itself, changes it
//! in place, and removes what dead containers left elsewhere. A kill leaves the file either as
//! it was or as planned.

mod ghosts;
mod report;

use std::path::PathBuf;
use std::thread;

use berth::podman::NetworkLock;

pub(crate) use report::RepairReport;

use crate::bolt::Bucket;
use crate::edits::{apply, edits};
use crate::error::Error;
use crate::file::{self, IpamFile};
use crate::judgement::{any_dead, confirm};
use crate::look::{FILE_WAIT, Look, Reading};
use crate::selection::not_found;
use crate::site::Site;
use crate::verdict::SECOND_LOOK;

/// How to repair.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Only this network, by name or id.
    pub(crate) network: Option<String>,
    pub(crate) dry_run: bool,
    /// Write the result to this file, and change nothing else.
    pub(crate) output: Option<PathBuf>,
    pub(crate) now: bool,
    /// Have Podman clean up after containers that do not run.
    pub(crate) cleanup: bool,
    /// Tear down what dead containers left elsewhere.
    pub(crate) ghosts: bool,
    pub(crate) reading: Reading,
}

/// Repairs. On return the new content is durable, or has been found to need no change.
///
/// # Errors
/// If a lock is not free in time, or the file cannot be read or written. What could not
/// be done for a single container is in the report.
pub(crate) fn sanitise(site: &Site, wish: &Wish) -> Result<RepairReport, Error> {
    let mut report = RepairReport::new(site.ipam_db(), wish);
    if wish.cleanup && !wish.dry_run {
        clean_up(site, wish, &mut report)?;
    }
    let (mut lock, mut look) = site.look(wish.reading)?;
    if any_dead(&look.judgements) && !wish.now {
        drop(lock);
        thread::sleep(SECOND_LOOK);
        let earlier = look;
        (lock, look) = site.look(wish.reading)?;
        confirm(&mut look.judgements, &earlier.judgements);
        report.looks = 2;
    }
    let only = network(site, wish, &look)?;
    let edits = edits(&look.content, &look.judgements, &look.networks, only);
    let result = apply(&look.root, &edits);
    report.tell(&look, &edits, only);
    let found = if wish.ghosts {
        ghosts::find(&site.podman.delegation.config, &look, only)
    } else {
        ghosts::Found::default()
    };
    report.skipped.extend(found.skipped);
    if let Some(output) = &wish.output {
        if !wish.dry_run {
            file::write_new(output, &result)?;
        }
        return Ok(report);
    }
    if wish.dry_run {
        report.cleared = found.ghosts.iter().map(ToString::to_string).collect();
        return Ok(report);
    }
    if !edits.is_empty() {
        report.backup = Some(change(site, &look, &result)?);
    }
    clear(&found.ghosts, site, &lock, &mut report);
    Ok(report)
}

/// Changes the file from the content that was seen to the one that was planned.
fn change(site: &Site, look: &Look, result: &Bucket) -> Result<PathBuf, Error> {
    let changed = || Error::Changed(site.ipam_db());
    let file = IpamFile::open(&site.ipam_db(), FILE_WAIT)?.ok_or_else(changed)?;
    if file.bytes()? != look.bytes {
        return Err(changed());
    }
    let backup = file.back_up()?;
    file.replace(result)?;
    file.drop_old_copies();
    Ok(backup)
}

/// Has Podman clean up after the containers that wait for it.
fn clean_up(site: &Site, wish: &Wish, report: &mut RepairReport) -> Result<(), Error> {
    let Some(asking) = &site.asking else {
        return Ok(());
    };
    let look = site.glance(wish.reading)?;
    let only = network(site, wish, &look)?;
    for container in look.pending(only) {
        match asking.clean_up(container) {
            Ok(()) => report.cleaned_up.push(container.to_owned()),
            Err(reason) => report.failures.push(reason),
        }
    }
    Ok(())
}

/// Tears down what dead containers left, with Podman's lock still held.
fn clear(found: &[ghosts::Ghost], site: &Site, _lock: &NetworkLock, report: &mut RepairReport) {
    for ghost in found {
        match ghosts::clear(ghost, &site.podman) {
            Ok(()) => report.cleared.push(ghost.to_string()),
            Err(reason) => {
                let failure = format!("failed to clear away {ghost}: {reason}");
                report.failures.push(failure);
            }
        }
    }
}

/// Returns the name of the network that the user named.
fn network<'a>(site: &Site, wish: &'a Wish, look: &'a Look) -> Result<Option<&'a str>, Error> {
    let Some(wanted) = &wish.network else {
        return Ok(None);
    };
    let mut known = look.networks.all.values();
    if let Some(network) = known.find(|network| network.answers_to(wanted)) {
        return Ok(Some(&network.name));
    }
    if look.content.networks.contains_key(wanted) {
        return Ok(Some(wanted));
    }
    Err(not_found(wanted, &site.directory))
}
