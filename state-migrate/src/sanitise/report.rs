//! What a repair has done, for people and as JSON.

use berth::rules::lease::short_id;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::Wish;
use crate::edits::Edit;
use crate::judgement::Judgement;
use crate::look::{Lease, Look};
use crate::verdict::Verdict;

/// What a repair has done or, in a dry run, would do.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RepairReport {
    pub(crate) file: PathBuf,
    pub(crate) dry_run: bool,
    /// Where the result was written, if not into the file.
    pub(crate) output: Option<PathBuf>,
    /// The copy of the file as it was before, if anything was changed.
    pub(crate) backup: Option<PathBuf>,
    /// How many times berth looked for the containers.
    pub(crate) looks: u32,
    pub(crate) removed: Vec<Lease>,
    pub(crate) live: usize,
    /// Those that Podman still has to clean up after.
    pub(crate) pending: Vec<Lease>,
    /// Those kept because berth could not tell.
    pub(crate) unknown: Vec<Lease>,
    pub(crate) edits: Vec<Edit>,
    /// What had to be skipped because it cannot be read: in a damaged file, or on a network.
    pub(crate) skipped: Vec<String>,
    /// The containers that Podman has cleaned up after.
    pub(crate) cleaned_up: Vec<String>,
    /// What else of dead containers was torn down.
    pub(crate) cleared: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl RepairReport {
    pub(super) fn new(file: PathBuf, wish: &Wish) -> Self {
        Self {
            file,
            dry_run: wish.dry_run,
            output: wish.output.clone(),
            looks: 1,
            ..Self::default()
        }
    }

    /// Notes what was seen and planned.
    pub(super) fn tell(&mut self, look: &Look, edits: &[Edit], only: Option<&str>) {
        let wanted =
            |judgement: &&Judgement| only.is_none_or(|only| only == judgement.claim.key.network);
        for judgement in look.judgements.values().filter(wanted) {
            let verdict = &judgement.verdict;
            let lease = look.lease(judgement);
            match verdict {
                Verdict::Live(_) => self.live += 1,
                Verdict::Pending { .. } => self.pending.push(lease),
                Verdict::Unknown(_) => self.unknown.push(lease),
                Verdict::Dead(_) => self.removed.push(lease),
            }
        }
        self.edits = edits.to_vec();
        self.skipped = look.skipped.iter().map(ToString::to_string).collect();
    }

    /// Returns whether all is well now: nothing failed, and nothing is left that may be dead.
    pub(crate) fn is_clean(&self) -> bool {
        let found = self.dry_run && !(self.edits.is_empty() && self.cleared.is_empty());
        let left = [&self.pending, &self.unknown];
        let whole = self.failures.is_empty() && self.skipped.is_empty();
        !found && whole && left.iter().all(|leases| leases.is_empty())
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (remove, repair, clear) = if self.dry_run {
            ("would remove", "would", "would clear away")
        } else {
            ("removed", "done:", "cleared away")
        };
        for container in &self.cleaned_up {
            writeln!(f, "Podman has cleaned up after {}", short_id(container))?;
        }
        for lease in &self.removed {
            writeln!(f, "{remove} {lease}")?;
        }
        let repairs = self.edits.iter().filter(|edit| !self.is_removal(edit));
        for edit in repairs {
            writeln!(f, "{repair} {edit}")?;
        }
        for thing in &self.cleared {
            writeln!(f, "{clear} {thing}")?;
        }
        for lease in &self.unknown {
            writeln!(f, "kept {lease}")?;
        }
        for lease in &self.pending {
            writeln!(f, "kept {lease}, or `berth-migrate sanitise --cleanup`")?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped {skipped}")?;
        }
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        let dead = self.removed.len();
        let kept = self.pending.len() + self.unknown.len();
        write!(
            f,
            "{}: {dead} dead, {} live, {kept} kept in doubt",
            self.file.display(),
            self.live
        )?;
        match (&self.backup, &self.output) {
            (Some(backup), _) => write!(f, "; before: {}", backup.display()),
            (None, Some(output)) if !self.dry_run => {
                write!(f, "; written to {}", output.display())
            }
            (None, _) if self.has_nothing_to_do() => write!(f, "; nothing to change"),
            (None, _) => Ok(()),
        }
    }
}

impl RepairReport {
    /// Returns whether nothing was found to change, neither in the file nor elsewhere.
    fn has_nothing_to_do(&self) -> bool {
        self.edits.is_empty() && self.cleared.is_empty() && self.failures.is_empty()
    }

    /// Returns whether an edit only carries out the removal of a lease.
    fn is_removal(&self, edit: &Edit) -> bool {
        let removed = |container: &String, address: Option<&IpAddr>| {
            self.removed.iter().any(|lease| {
                lease.container == *container && address.is_none_or(|a| *a == lease.address)
            })
        };
        match edit {
            Edit::RemoveLease {
                address, container, ..
            } => removed(container, Some(address)),
            Edit::SetList { container, .. } | Edit::RemoveList { container, .. } => {
                removed(container, None)
            }
            Edit::PutLease { .. }
            | Edit::RemoveCursor { .. }
            | Edit::RemoveSubnet { .. }
            | Edit::RemoveNetwork { .. } => false,
        }
    }
}
