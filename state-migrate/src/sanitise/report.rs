//! What a repair has done, for people and as JSON.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::Wish;
use crate::ipam::claim::ClaimKey;
use crate::judgement::Judgement;
use crate::look::Look;
use crate::plan::Edit;
use crate::verdict::{Verdict, short};

/// What a repair has done; in a dry run, would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Where the result was written, if not into the file.
    pub output: Option<PathBuf>,
    /// The copy of before, if anything was changed.
    pub backup: Option<PathBuf>,
    /// How often the containers were looked for.
    pub looks: u32,
    /// The leases that were removed.
    pub removed: Vec<Lease>,
    /// How many are in use.
    pub live: usize,
    /// Those that Podman has still to clean up after.
    pub pending: Vec<Lease>,
    /// Those kept because it could not be told.
    pub unknown: Vec<Lease>,
    /// Every change in the file.
    pub edits: Vec<Edit>,
    /// What a damaged file was read without.
    pub skipped: Vec<String>,
    /// The containers that Podman has cleaned up after.
    pub cleaned_up: Vec<String>,
    /// What else of the dead was torn down.
    pub cleared: Vec<String>,
    /// What could not be done.
    pub failures: Vec<String>,
}

/// A lease, and why it is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// The network's name.
    pub network: String,
    /// The address.
    pub address: IpAddr,
    /// The container's id.
    pub container: String,
    /// Its name, if Podman knows it.
    pub name: Option<String>,
    /// Why.
    pub why: String,
}

impl Lease {
    fn new(key: &ClaimKey, why: &str, look: &Look) -> Self {
        let known = look.evidence.word.of(&key.container);
        Self {
            network: key.network.clone(),
            address: key.address,
            container: key.container.clone(),
            name: known.map(|known| known.name.clone()),
            why: why.to_owned(),
        }
    }
}

impl Report {
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
            let lease = Lease::new(&judgement.claim.key, &verdict.to_string(), look);
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

    /// Returns whether all is well now: nothing has failed, and nothing is left that
    /// may be dead.
    pub fn is_clean(&self) -> bool {
        let found = self.dry_run && !self.edits.is_empty();
        let left = [&self.pending, &self.unknown];
        let whole = self.failures.is_empty() && self.skipped.is_empty();
        !found && whole && left.iter().all(|leases| leases.is_empty())
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            network,
            address,
            container,
            name,
            why,
        } = self;
        write!(f, "{address} on {network}, container {}", short(container))?;
        if let Some(name) = name {
            write!(f, " ({name})")?;
        }
        write!(f, ": {why}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (remove, repair, clear) = if self.dry_run {
            ("would remove", "would", "would clear away")
        } else {
            ("removed", "done:", "cleared away")
        };
        for container in &self.cleaned_up {
            writeln!(f, "Podman has cleaned up after {}", short(container))?;
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
            writeln!(f, "kept {lease} {}, or sanitise --cleanup", lease.container)?;
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
            (None, _) if self.edits.is_empty() => write!(f, "; nothing to change"),
            (None, _) => Ok(()),
        }
    }
}

impl Report {
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
