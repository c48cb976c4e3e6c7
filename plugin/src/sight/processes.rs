//! All processes, as `/proc` shows them, and their threads.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use procfs::ProcError;

use super::proc_net::view_of;
use super::process::{arguments_of_worker, observe, read};
use super::reach::{Sight, Stranger};
use super::{Doubt, NamespaceKey, ProcessFact, View};
use crate::rules::lease::Process;

/// How many threads of a process are looked at.
const THREADS: usize = 1 << 16;

/// All processes but ourselves and our netavark, and what could not be read about some of
/// them.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) facts: Vec<ProcessFact>,
    /// What could not be read about a process that may be in any container.
    pub(super) unreadable: Option<String>,
    /// What is known of the namespaces of processes that may be in any container.
    pub(super) doubts: Vec<Doubt>,
    /// What could not be read about a process that may be in a container of an earlier
    /// user namespace of ours.
    pub(super) elsewhere: Option<String>,
}

impl Processes {
    /// Reads them from `/proc`. A process that ends meanwhile is left out, because it is
    /// gone.
    pub(super) fn all() -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let sight = Sight::of_this_process();
        let host = LazyCell::new(|| view_of("thread-self"));
        let mut all = Self::default();
        if let Some(doubt) = sight.blind_spot() {
            all.doubt(sight.hidden(), doubt);
        }
        let listing = match procfs::process::all_processes() {
            Ok(listing) => listing,
            Err(error) => {
                all.doubt(Stranger::Suspect, error.to_string());
                return all;
            }
        };
        for entry in listing {
            match entry.and_then(|process| observe(&process)) {
                Ok((fact, _)) if fact.process.pid == own || is_run_by(own, &fact) => {}
                Ok((mut fact, mut doubt)) => {
                    let pid = fact.process.pid;
                    if fact.namespace.is_none() && doubt.is_none() {
                        let found = threads(&fact);
                        all.facts.extend(found.0);
                        doubt = found.1;
                    }
                    if let Some(why) = doubt {
                        all.unplaced(sight.stranger(pid), pid, why, host.as_ref().ok());
                    }
                    match arguments_of_worker(&fact) {
                        Ok(arguments) => fact.arguments = arguments,
                        Err(doubt) => all.doubt(sight.stranger(pid), doubt),
                    }
                    all.facts.push(fact);
                }
                Err(ProcError::NotFound(_)) => {}
                // Only `hidepid` causes this refusal.
                Err(error @ ProcError::PermissionDenied(_)) => {
                    all.doubt(sight.hidden(), error.to_string());
                }
                Err(error) => all.doubt(Stranger::Suspect, error.to_string()),
            }
        }
        all
    }

    /// Notes that a process does not show which namespace it is in.
    fn unplaced(&mut self, stranger: Stranger, pid: i32, why: String, host: Option<&View>) {
        if stranger == Stranger::Outsider {
            return;
        }
        let view = view_of(&pid.to_string()).ok();
        match (&view, host, stranger) {
            (Some(view), Some(host), _) if view.is_beside_the_point(host) => {}
            // It may have ended, or show nothing while it ends.
            (None, _, Stranger::Sibling) => self.elsewhere = Some(why),
            _ => self.doubts.push(Doubt { why, view }),
        }
    }

    fn doubt(&mut self, stranger: Stranger, doubt: String) {
        match stranger {
            Stranger::Suspect => self.unreadable = Some(doubt),
            Stranger::Sibling => self.elsewhere = Some(doubt),
            Stranger::Outsider => {}
        }
    }
}

/// Returns the visible processes with one of these names, except ourselves and our netavark.
/// Of all others, only the name is read.
pub fn processes_named(names: &[&str]) -> Vec<ProcessFact> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let listing = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = listing.filter_map(pid).filter(|pid| {
        let name = read(&format!("/proc/{pid}/comm"), 64).unwrap_or_default();
        *pid != own
            && names
                .iter()
                .any(|known| known.as_bytes() == name.trim_ascii_end())
    });
    let facts = named.filter_map(|pid| {
        let process = procfs::process::Process::new(pid).ok()?;
        let (mut fact, _) = observe(&process).ok()?;
        fact.arguments = arguments_of_worker(&fact).unwrap_or_default();
        (!is_run_by(own, &fact)).then_some(fact)
    });
    facts.collect()
}

/// Returns whether a process is the netavark that we have started ourselves. It waits for us,
/// so it is no sign of life.
fn is_run_by(own: i32, fact: &ProcessFact) -> bool {
    fact.parent == own && fact.name == "netavark"
}

/// Returns the namespaces of a process's threads if its first thread has ended: that one
/// is a zombie, and shows no namespace. Also returns what could not be read about them.
fn threads(fact: &ProcessFact) -> (Vec<ProcessFact>, Option<String>) {
    let pid = fact.process.pid;
    let (mut found, mut doubt) = (Vec::new(), None);
    if !is_survived_by_threads(pid) {
        return (found, doubt);
    }
    let listing = fs::read_dir(format!("/proc/{pid}/task"));
    let mut seen = HashSet::<NamespaceKey>::new();
    for (count, entry) in listing.into_iter().flatten().flatten().enumerate() {
        if count == THREADS {
            doubt = Some(format!("process {pid} has more than {THREADS} threads"));
            break;
        }
        let thread = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let namespace = fs::metadata(entry.path().join("ns/net"));
        if let Err(error) = &namespace
            && error.kind() == ErrorKind::PermissionDenied
        {
            doubt = Some(format!("namespace of process {pid}: {error}"));
        }
        if let (Some(thread), Ok(namespace)) = (thread, namespace) {
            let namespace = (namespace.dev(), namespace.ino());
            if seen.insert(namespace) {
                found.push(ProcessFact {
                    process: Process {
                        pid: thread,
                        ..fact.process
                    },
                    arguments: Vec::new(),
                    namespace: Some(namespace),
                    ..fact.clone()
                });
            }
        }
    }
    (found, doubt)
}

fn is_survived_by_threads(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.num_threads > 1)
}

#[cfg(test)]
mod tests;
