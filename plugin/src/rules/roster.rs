//! The processes of one look, indexed by where they live and by their arguments, so that many
//! tenants can be judged without going through all processes for each. No I/O.

use std::collections::HashMap;
use std::path::Path;

use super::evidence::{NamespaceKey, ProcessFact};
use super::lease::Process;

/// The processes of one look. Every query returns them in the order of the look.
#[derive(Debug)]
pub struct Roster<'e> {
    processes: &'e [ProcessFact],
    by_namespace: HashMap<NamespaceKey, Vec<usize>>,
    by_pid: HashMap<i32, Vec<usize>>,
    by_argument: HashMap<&'e str, Vec<usize>>,
    /// These may be at work for any container.
    netavarks: Vec<usize>,
}

impl<'e> Roster<'e> {
    /// Indexes processes.
    pub fn of(processes: &'e [ProcessFact]) -> Self {
        let mut roster = Self {
            processes,
            by_namespace: HashMap::new(),
            by_pid: HashMap::new(),
            by_argument: HashMap::new(),
            netavarks: Vec::new(),
        };
        for (place, fact) in processes.iter().enumerate() {
            if let Some(key) = fact.namespace {
                roster.by_namespace.entry(key).or_default().push(place);
            }
            let pid = fact.process.pid;
            roster.by_pid.entry(pid).or_default().push(place);
            for argument in &fact.arguments {
                let places = roster.by_argument.entry(argument).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            if fact.name == "netavark" {
                roster.netavarks.push(place);
            }
        }
        roster
    }

    fn at(&self, places: Option<&'_ Vec<usize>>) -> impl Iterator<Item = &'e ProcessFact> {
        let places = places.map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| &self.processes[*place])
    }

    /// Returns the processes that live in a namespace.
    pub fn inhabitants(&self, key: NamespaceKey) -> impl Iterator<Item = &'e ProcessFact> {
        self.at(self.by_namespace.get(&key))
    }

    /// Returns whether a process lives in a namespace.
    pub fn is_inhabited(&self, key: NamespaceKey) -> bool {
        self.by_namespace.contains_key(&key)
    }

    /// Returns the process with a pid.
    pub fn with_pid(&self, pid: i32) -> Option<&'e ProcessFact> {
        self.at(self.by_pid.get(&pid)).next()
    }

    /// Returns the processes with exactly this argument.
    pub fn told(&self, argument: &str) -> impl Iterator<Item = &'e ProcessFact> {
        self.at(self.by_argument.get(argument))
    }

    /// Returns exactly this process, if it still runs.
    pub fn same(&self, process: Process) -> Option<&'e ProcessFact> {
        let mut same = self.at(self.by_pid.get(&process.pid));
        same.find(|fact| fact.process == process)
    }

    /// Returns a process at work in the namespace at a path, or for a container if one is
    /// named.
    pub fn worker(&self, namespace: &Path, container: Option<&str>) -> Option<&'e ProcessFact> {
        let is_one = |place: &usize| {
            let fact = &self.processes[*place];
            fact.plumbs(namespace) || container.is_some_and(|container| fact.works_for(container))
        };
        let told = |argument: &str| self.by_argument.get(argument).into_iter().flatten();
        let of_namespace = namespace.to_str().into_iter().flat_map(told);
        let of_container = container.into_iter().flat_map(told);
        let places = self.netavarks.iter().chain(of_namespace);
        let places = places.chain(of_container).copied();
        let first = places.filter(is_one).min()?;
        Some(&self.processes[first])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMESPACE: &str = "/run/netns/n1";

    fn processes() -> impl Strategy<Value = Vec<ProcessFact>> {
        let names = prop::sample::select(vec!["conmon", "podman", "netavark", "berth", "bash"]);
        let words = vec![
            NAMESPACE,
            "c1",
            "c2",
            "run",
            "/proc/9/fd/4",
            "--plugin-directory",
        ];
        let arguments = prop::collection::vec(prop::sample::select(words), 0..4);
        let fact = (names, arguments, 1..6_i32, prop::option::of(1..4_u64));
        let fact = fact.prop_map(|(name, arguments, pid, namespace)| ProcessFact {
            process: Process { pid, start_time: 1 },
            parent: 1,
            name: name.to_owned(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            namespace: namespace.map(|inode| (4, inode)),
        });
        prop::collection::vec(fact, 0..9)
    }

    proptest! {
        #[test]
        fn whoever_is_found_is_the_first_that_a_walk_finds(all in processes()) {
            let roster = Roster::of(&all);
            let path = Path::new(NAMESPACE);
            for container in [None, Some("c1")] {
                let mut walk = all.iter();
                let walked = walk.find(|fact| {
                    fact.plumbs(path) || container.is_some_and(|id| fact.works_for(id))
                });
                let found = roster.worker(path, container);
                prop_assert!(found.map(std::ptr::from_ref) == walked.map(std::ptr::from_ref));
            }
            for inode in 1..4 {
                let lives = |fact: &&ProcessFact| fact.namespace == Some((4, inode));
                let walked: Vec<_> = all.iter().filter(lives).collect();
                prop_assert_eq!(roster.is_inhabited((4, inode)), !walked.is_empty());
                let found: Vec<_> = roster.inhabitants((4, inode)).collect();
                prop_assert_eq!(found, walked);
            }
            for pid in 1..6 {
                let walked = all.iter().find(|fact| fact.process.pid == pid);
                prop_assert_eq!(roster.with_pid(pid), walked);
                prop_assert_eq!(roster.same(Process { pid, start_time: 1 }), walked);
                let later = Process { pid, start_time: 2 };
                prop_assert_eq!(roster.same(later), None);
            }
        }
    }
}
