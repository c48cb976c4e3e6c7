//! The repair: what is dead or contradictory is removed from the file, under Podman's
//! network lock.
//!
//! A look (see [`crate::look`]); a second one two seconds later, the lock free meanwhile,
//! if anything is dead, for only what both find dead is; then, still under the second's
//! lock: the plan, a backup beside the file, the change in place, and what of it the
//! dead have left elsewhere. A kill leaves the file as it was or as it shall be.

mod ghosts;
mod report;

use std::path::PathBuf;
use std::thread;

use berth::podman::NetworkLock;
use thiserror::Error;

pub use report::{Lease, Report};

use crate::bolt::Bucket;
use crate::file::{self, FileError, IpamFile};
use crate::judgement::{any_dead, confirm};
use crate::look::{FILE_WAIT, Look, LookError, Subject};
use crate::networks::Networks;
use crate::plan::{apply, plan};
use crate::verdict::SECOND_LOOK;

/// Failure of a repair as a whole. The file has its old content.
#[derive(Debug, Error)]
pub enum SanitiseError {
    /// Looking.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such network.
    #[error(
        "there is no network {0:?}, neither in the file nor in Podman's configuration; see \
         `berth-migrate inspect`"
    )]
    NoNetwork(String),
    /// The file has changed under Podman's lock.
    #[error(
        "{} has changed while Podman's network lock was held: something else writes to it; find \
         out what, and try again",
        .0.display()
    )]
    Changed(PathBuf),
}

/// How to repair.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Only this network, by name or id.
    pub network: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
    /// Write the result to this file, and change nothing else.
    pub output: Option<PathBuf>,
    /// Trust one look.
    pub now: bool,
    /// Have Podman clean up after containers that do not run.
    pub cleanup: bool,
    /// Tear down what the dead have left elsewhere.
    pub ghosts: bool,
}

/// Repairs. On return the new content is durable, or has been found to need no change.
///
/// # Errors
/// If a lock is not to be had or the file cannot be read or written. What could not be
/// done for one container is in the report.
pub fn sanitise(subject: &Subject<'_>, wish: &Wish) -> Result<Report, SanitiseError> {
    let mut report = Report::new(subject.path(), wish);
    if wish.cleanup && !wish.dry_run {
        clean_up(subject, wish, &mut report)?;
    }
    let (mut lock, mut look) = subject.look()?;
    if any_dead(&look.judgements) && !wish.now {
        drop(lock);
        thread::sleep(SECOND_LOOK);
        let earlier = look;
        (lock, look) = subject.look()?;
        confirm(&mut look.judgements, &earlier.judgements);
        report.looks = 2;
    }
    let only = network(wish, &look.networks, &look)?;
    let edits = plan(&look.content, &look.judgements, &look.networks, only);
    let result = apply(&look.root, &edits);
    report.tell(&look, &edits, only);
    let found = if wish.ghosts {
        ghosts::find(subject.podman, &look, only)
    } else {
        Vec::new()
    };
    if let Some(output) = &wish.output {
        if !wish.dry_run {
            file::write_new(output, &result)?;
        }
        return Ok(report);
    }
    if wish.dry_run {
        report.cleared = found.iter().map(ToString::to_string).collect();
        return Ok(report);
    }
    if !edits.is_empty() {
        report.backup = Some(change(subject, &look, &result)?);
    }
    clear(&found, subject, &lock, &mut report);
    Ok(report)
}

/// Changes the file from what was seen to what was planned.
fn change(subject: &Subject<'_>, look: &Look, result: &Bucket) -> Result<PathBuf, SanitiseError> {
    let changed = || SanitiseError::Changed(subject.path());
    let file = IpamFile::open(&subject.path(), FILE_WAIT)?.ok_or_else(changed)?;
    if file.bytes()? != look.bytes {
        return Err(changed());
    }
    let backup = file.back_up()?;
    file.replace(result)?;
    file.drop_old_copies();
    Ok(backup)
}

/// Has Podman clean up after those who wait for it.
fn clean_up(subject: &Subject<'_>, wish: &Wish, report: &mut Report) -> Result<(), SanitiseError> {
    let Some(asking) = &subject.asking else {
        return Ok(());
    };
    let look = subject.glance()?;
    let only = network(wish, &look.networks, &look)?;
    for container in look.pending(only) {
        match asking.clean_up(container) {
            Ok(()) => report.cleaned_up.push(container.to_owned()),
            Err(reason) => report.failures.push(reason),
        }
    }
    Ok(())
}

/// Tears down what the dead have left, with Podman's lock still held.
fn clear(found: &[ghosts::Ghost], subject: &Subject<'_>, _lock: &NetworkLock, report: &mut Report) {
    for ghost in found {
        match ghosts::clear(ghost, subject.podman) {
            Ok(()) => report.cleared.push(ghost.to_string()),
            Err(reason) => {
                let failure = format!("failed to clear away {ghost}: {reason}");
                report.failures.push(failure);
            }
        }
    }
}

/// Returns the name of the network that is wished for.
fn network<'a>(
    wish: &'a Wish,
    networks: &'a Networks,
    look: &Look,
) -> Result<Option<&'a str>, SanitiseError> {
    let Some(wanted) = &wish.network else {
        return Ok(None);
    };
    let mut known = networks.all.values();
    if let Some(network) = known.find(|network| network.answers_to(wanted)) {
        return Ok(Some(&network.name));
    }
    if look.content.networks.contains_key(wanted) {
        return Ok(Some(wanted));
    }
    Err(SanitiseError::NoNetwork(wanted.clone()))
}
