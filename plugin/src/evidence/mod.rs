//! What the kernel says about who is alive: facts, without a verdict.
//!
//! Evidence is taken in one pass over `/proc` and always *after* the leases it
//! is about were read: a lease made in between is then newer than the evidence
//! and cannot look orphaned. Nothing here writes, and nothing here decides.

mod addresses;
mod clock;
mod process;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub use addresses::{AddressesError, interface_addresses, interface_exists, on_this_host};
pub use clock::{ClockError, boot_id, now};
pub use process::{ProcessFact, parent_of, process};

use crate::lease::{Moment, Process, Tenant};

/// Device and inode of a namespace: its identity while it lives.
pub type NamespaceKey = (u64, u64);

/// What a path shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathFact {
    /// There is nothing.
    Missing,
    /// A file with this device and inode.
    There(NamespaceKey),
    /// It could not be examined; the reason.
    Unreadable(String),
}

/// The facts of one moment.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// When the pass began.
    pub at: Moment,
    /// The current boot.
    pub boot_id: String,
    /// Every process seen, ourselves excepted.
    pub processes: Vec<ProcessFact>,
    /// What could not be read about some process.
    pub unreadable: Option<String>,
    /// What the tenants' namespace paths show.
    pub paths: HashMap<PathBuf, PathFact>,
    /// Namespaces that have a file beside one of those paths: inode numbers are
    /// given out again, and a file of its own says that a namespace is another's.
    pub named: HashMap<NamespaceKey, PathBuf>,
}

impl Evidence {
    /// Gathers what is needed to judge these tenants.
    pub fn gather<'a>(
        tenants: impl IntoIterator<Item = &'a Tenant>,
        boot_id: &str,
        at: Moment,
    ) -> Self {
        let (processes, unreadable) = process::all();
        let mut evidence = Self {
            at,
            boot_id: boot_id.to_owned(),
            processes,
            unreadable,
            ..Self::default()
        };
        for path in tenants.into_iter().map(|tenant| &tenant.namespace.path) {
            if !evidence.paths.contains_key(path) {
                evidence.paths.insert(path.clone(), examine(path));
                evidence.note_siblings(path);
            }
        }
        evidence
    }

    /// Returns whether this very process still runs.
    pub fn runs(&self, process: Process) -> bool {
        self.processes.iter().any(|fact| fact.process == process)
    }

    /// Notes the namespaces with a file in the same directory. A directory that
    /// cannot be read names none, which keeps leases rather than freeing them.
    fn note_siblings(&mut self, path: &Path) {
        let siblings = path
            .parent()
            .map(fs::read_dir)
            .into_iter()
            .flatten()
            .flatten();
        for sibling in siblings.flatten().map(|entry| entry.path()) {
            if let PathFact::There(key) = examine(&sibling) {
                self.named.insert(key, sibling);
            }
        }
    }
}

/// Returns what a namespace path shows.
pub fn examine(path: &Path) -> PathFact {
    match fs::metadata(path) {
        Ok(metadata) => PathFact::There((metadata.dev(), metadata.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => PathFact::Missing,
        Err(error) => PathFact::Unreadable(format!("{}: {error}", path.display())),
    }
}
