//! Finds and kills the processes of a lab, and the addresses that they have.
//!
//! Everything is done inside the lab, so that a pid cannot be one of the host's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::{Cmd, Lab, wait_until};

/// How long the cleanups of removed containers may take.
const SETTLED: Duration = Duration::from_secs(30);

/// Prints a line `NAMESPACE INHABITANT ADDRESS` for every address in every network
/// namespace except the lab's own. A namespace without processes has the inhabitant 0.
const SIGHTINGS: &str = r#"
own=$(stat --dereference --format %i /proc/self/ns/net)
declare -A seen=()
look() { # INODE PID PATH
  [ "$1" != "$own" ] && [ -z "${seen[$1]-}" ] || return 0
  seen[$1]=1
  while read -r _ _ _ address _; do
    echo "$1 $2 ${address%/*}"
  done < <(nsenter "--net=$3" ip -oneline address show scope global 2>/dev/null)
}
while read -r inode path; do
  pid=${path#/proc/}
  look "$inode" "${pid%%/*}" "$path"
done < <(stat --dereference --format '%i %n' /proc/[0-9]*/ns/net 2>/dev/null)
for path in /run/netns/*; do
  inode=$(stat --file-system --format '%T' "$path" 2>/dev/null) || continue
  [ "$inode" = nsfs ] || continue
  inode=$(stat --format %i "$path" 2>/dev/null) || continue
  look "$inode" 0 "$path"
done"#;

/// Waits for a process with a given name and kills it after a delay. `cleanup` means the
/// podman that conmon starts when its container has ended.
const HUNT: &str = r#"
prey=$1 delay=$2 end=$((SECONDS + $3))
while ((SECONDS < end)); do
  for file in /proc/[0-9]*/comm; do
    { read -r comm <"$file"; } 2>/dev/null || continue
    if [ "$prey" = cleanup ]; then
      [ "$comm" = podman ] || continue
      { mapfile -d '' arguments <"${file%comm}cmdline"; } 2>/dev/null || continue
      case " ${arguments[*]} " in *" container cleanup "*) ;; *) continue ;; esac
    else
      [ "$comm" = "$prey" ] || continue
    fi
    pid=${file#/proc/}
    sleep "$delay"
    if kill -9 "${pid%/comm}" 2>/dev/null; then echo killed; fi
    exit
  done
done"#;

/// An address in a namespace, as the kernel shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The namespace's inode.
    pub namespace: u64,
    /// A process that lives in it; 0 if there is none.
    pub inhabitant: u32,
    /// The address.
    pub address: IpAddr,
}

impl Lab {
    /// Returns which addresses of global scope the lab's network namespaces have.
    #[track_caller]
    pub fn sightings(&self) -> BTreeSet<Sighting> {
        let text = self.cmd("bash").args(["-uc", SIGHTINGS]).run().stdout;
        let sighting = |line: &str| {
            let mut words = line.split(' ');
            Some(Sighting {
                namespace: words.next()?.parse().ok()?,
                inhabitant: words.next()?.parse().ok()?,
                address: words.next()?.parse().ok()?,
            })
        };
        text.lines().filter_map(sighting).collect()
    }

    /// Returns the addresses that several inhabited namespaces have, one line each.
    ///
    /// Only what two looks show counts: a look takes time, and an address may meanwhile
    /// move from a dead container to a live one.
    #[track_caller]
    pub fn duplicates(&self) -> Vec<String> {
        let first = duplicates(&self.sightings());
        if first.is_empty() {
            return Vec::new();
        }
        let second = duplicates(&self.sightings());
        first
            .into_iter()
            .filter(|(address, holders)| second.get(address) == Some(holders))
            .map(|(address, holders)| format!("{address} in the namespaces {holders:?}"))
            .collect()
    }

    /// Returns a command that waits at most `patience` for a process called `prey`,
    /// kills it after `delay`, and prints `killed` if it did.
    pub fn hunt(&self, prey: &str, delay: Duration, patience: Duration) -> Cmd<'_> {
        let delay = format!("{}", delay.as_secs_f32());
        let patience = patience.as_secs().to_string();
        let hunt = self.cmd("bash").args(["-uc", HUNT, "bash", prey]);
        hunt.args([delay, patience])
    }

    /// Returns the pids of the processes with this name.
    #[track_caller]
    pub fn pids(&self, name: &str) -> Vec<String> {
        let found = self.cmd("pgrep").args(["-x", name]).run();
        found.stdout.lines().map(str::to_owned).collect()
    }

    /// Ends a process of the lab with SIGKILL; it may have ended already.
    #[track_caller]
    pub fn kill(&self, pid: &str) {
        self.cmd("kill").args(["-9", pid]).run();
    }

    /// Removes every container, in several attempts if necessary. Returns how many
    /// processes lived on in a container's namespace and had to be killed: if everything
    /// involved in a container's start was killed, Podman does not know that it started.
    ///
    /// # Panics
    /// If a container is still there after five attempts.
    #[track_caller]
    pub fn remove_all(&self) -> usize {
        for _ in 0..5 {
            // podman may wait for ever for a conmon that was killed.
            let bounded = self.cmd("timeout").args(["--signal=KILL", "30", "podman"]);
            let remove = bounded.args(["rm", "--force", "--all", "--time=0"]);
            if remove.run().status.success() {
                break;
            }
        }
        assert_eq!(self.podman(["ps", "--all", "--quiet"]).ok(), "");
        // Cleanups run in parallel with the removal that asked for them.
        wait_until("the end of every podman", SETTLED, || {
            let at_work = ["podman", "netavark", "berth"];
            let idle = at_work.iter().all(|name| self.pids(name).is_empty());
            idle.then_some(())
        });
        let mut ended = BTreeSet::<u32>::new();
        wait_until("the end of what Podman has lost", SETTLED, || {
            let alive = self.sightings().into_iter().map(|seen| seen.inhabitant);
            let alive: BTreeSet<_> = alive.filter(|pid| *pid != 0).collect();
            alive.iter().for_each(|pid| self.kill(&pid.to_string()));
            ended.extend(&alive);
            alive.is_empty().then_some(())
        });
        ended.len()
    }
}

/// Returns the addresses that several namespaces with processes in them have.
fn duplicates(sightings: &BTreeSet<Sighting>) -> BTreeMap<IpAddr, BTreeSet<u64>> {
    let mut holders = BTreeMap::<_, BTreeSet<_>>::new();
    for sighting in sightings.iter().filter(|sighting| sighting.inhabitant != 0) {
        let of_address = holders.entry(sighting.address).or_default();
        of_address.insert(sighting.namespace);
    }
    holders.retain(|_, namespaces| namespaces.len() > 1);
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sightings(lines: &[(u64, u32, &str)]) -> BTreeSet<Sighting> {
        let sighting = |(namespace, inhabitant, address): &(u64, u32, &str)| Sighting {
            namespace: *namespace,
            inhabitant: *inhabitant,
            address: address.parse().expect("it is an address"),
        };
        lines.iter().map(sighting).collect()
    }

    #[test]
    fn an_address_in_two_living_namespaces_is_a_duplicate() {
        let two = sightings(&[
            (1, 10, "10.0.0.2"),
            (2, 20, "10.0.0.2"),
            (2, 20, "10.0.0.3"),
        ]);
        let found: Vec<_> = duplicates(&two).into_keys().collect();
        assert_eq!(found, ["10.0.0.2".parse::<IpAddr>().expect("it is one")]);
        let ghost = sightings(&[(1, 10, "10.0.0.2"), (2, 0, "10.0.0.2")]);
        assert!(duplicates(&ghost).is_empty());
    }
}
