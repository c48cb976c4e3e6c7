//! What the kernel says about who is alive: facts, without a verdict.
//!
//! Evidence is taken in one pass over `/proc`, and always *after* the leases it is
//! about were read. So a lease made in between never looks orphaned: it is not among
//! those that are judged. Nothing here writes, and nothing here decides.

mod addresses;
mod clock;
mod files;
pub mod front;
pub mod hands;
mod judge;
mod links;
mod namespaces;
mod proc_net;
mod proc_text;
mod process;
mod processes;
mod reach;
pub mod survey;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub use crate::rules::evidence::{
    Doubt, Evidence, Link, NamespaceFact, NamespaceKey, PathFact, Peer, ProcessFact, View,
    is_namespace_file,
};
pub use addresses::Everywhere;
pub use clock::{ClockError, boot_id, now, pid_namespace};
pub use files::list;
use files::read_text;
pub use judge::judge_all;
pub use links::{Window, links, links_in, links_of};
use namespaces::{Seen, namespaces};
pub use namespaces::{own_namespace, unseen};
pub use process::{is_of_our_user, parent_of, process, service_of};
use process::{own_mounts, read as read_proc};
use processes::Processes;
pub use processes::processes_named;

use crate::rules::lease::{Moment, Tenant};

impl Evidence {
    /// Gathers what is needed to judge these tenants.
    pub fn gather(tenants: &[Tenant], boot_id: &str, at: Moment) -> Self {
        let seen = Processes::all();
        let (pid_namespace, unreadable) = match pid_namespace() {
            Ok(inode) => (inode, seen.unreadable),
            Err(error) => (0, Some(crate::chain(&error))),
        };
        let mut evidence = Self {
            at,
            boot_id: boot_id.to_owned(),
            pid_namespace,
            processes: seen.facts,
            unreadable,
            doubts: seen.doubts,
            elsewhere: seen.elsewhere,
            ..Self::default()
        };
        let inhabitants = first_inhabitants(&evidence.processes);
        let mut directories = HashSet::new();
        for namespace in tenants.iter().map(|tenant| &tenant.namespace) {
            let path = &namespace.path;
            let key = (namespace.device, namespace.inode);
            if let Some(place) = inhabitants.get(&key) {
                evidence.look_inside(key, *place);
            }
            let Entry::Vacant(unseen) = evidence.paths.entry(path.clone()) else {
                continue;
            };
            unseen.insert(examine_in_sight(path));
            if holder(path).is_some() {
                // The files beside it are of another kind.
                evidence.note_file(path);
            } else if let Some(directory) = path.parent().filter(|path| directories.insert(*path)) {
                evidence.note_files(directory);
            }
        }
        evidence
    }

    /// Notes the namespaces that have a file in a directory. A directory that cannot be
    /// read names none, which keeps leases rather than freeing them.
    pub fn note_files(&mut self, directory: &Path) {
        for file in fs::read_dir(directory).into_iter().flatten().flatten() {
            self.note_file(&file.path());
        }
    }

    fn note_file(&mut self, path: &Path) {
        if let PathFact::There(key) = examine(path) {
            self.named.insert(key, path.to_owned());
            self.files.insert(path.to_owned(), key);
        }
    }

    /// Notes what is inside a namespace with a process in it, through that process: the
    /// namespace's own file may be gone.
    fn look_inside(&mut self, key: NamespaceKey, inhabitant: usize) {
        if !self.inside.contains_key(&key)
            && let Ok(links) = links_in(&self.processes[inhabitant].namespace_path(), key)
        {
            self.inside.insert(key, links);
        }
    }
}

/// Returns the index of the first process of each namespace.
fn first_inhabitants(processes: &[ProcessFact]) -> HashMap<NamespaceKey, usize> {
    let mut first = HashMap::new();
    for (place, fact) in processes.iter().enumerate() {
        if let Some(key) = fact.namespace {
            first.entry(key).or_insert(place);
        }
    }
    first
}

/// Returns the process that holds a namespace open, if the path is that of its
/// descriptor: `podman build` makes no file for a namespace, but names
/// `/proc/PID/fd/N`.
fn holder(path: &Path) -> Option<i32> {
    let mut names = path.strip_prefix("/proc").ok()?.iter();
    let pid = names.next()?.to_str()?.parse().ok()?;
    (names.next()? == "fd").then_some(pid)
}

/// Returns what a namespace path shows. A file counts as missing only if its directory
/// is there, because our mount namespace may not show the directory. A descriptor
/// counts as missing if its process has ended.
fn examine_in_sight(path: &Path) -> PathFact {
    let has_ended = |pid: i32| {
        let proc = Path::new("/proc");
        proc.join("self").exists()
            && matches!(examine(&proc.join(pid.to_string())), PathFact::Missing)
    };
    match (examine(path), path.parent()) {
        (PathFact::Missing, _) if holder(path).is_some_and(has_ended) => PathFact::Missing,
        (PathFact::Missing, Some(directory)) if !directory.is_dir() => PathFact::Unreadable(
            format!("{}: the directory is not in sight", directory.display()),
        ),
        (fact, _) => fact,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_missing_only_from_a_directory_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netns/netns-1");
        assert!(matches!(examine_in_sight(&path), PathFact::Unreadable(_)));
        fs::create_dir(directory.path().join("netns")).unwrap();
        assert_eq!(examine_in_sight(&path), PathFact::Missing);
        fs::write(&path, "").unwrap();
        assert!(matches!(examine_in_sight(&path), PathFact::There(_)));
    }

    #[test]
    fn a_descriptor_is_missing_when_its_process_has_ended() {
        let mut child = std::process::Command::new("sleep")
            .arg("99")
            .spawn()
            .unwrap();
        let of_child = |what: &str| format!("/proc/{}/{what}", child.id());
        let (open, none) = (of_child("fd/0"), of_child("fd/999"));
        let other = of_child("ns/none");
        assert!(matches!(
            examine_in_sight(open.as_ref()),
            PathFact::There(_)
        ));
        child.kill().and_then(|()| child.wait()).unwrap();
        for path in [open, none] {
            assert_eq!(examine_in_sight(path.as_ref()), PathFact::Missing);
        }
        // About this we know nothing.
        assert!(matches!(
            examine_in_sight(other.as_ref()),
            PathFact::Unreadable(_)
        ));
    }
}
