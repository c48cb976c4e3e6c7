//! A netavark that outlives the berth that ran it, and what outlives netavark.
//!
//! When a berth is killed, the kernel gives the store's lock to the next one at once,
//! while the netavark that the killed one ran is still at work. Two side by side spoil
//! each other's work: one may be taking down what the other is just setting up, and
//! afterwards nothing has a record of it. The same goes for the `nft` that a killed
//! netavark leaves. So berth waits for both.

use std::path::Path;
use std::time::Duration;

use berth_share::poll;
use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::unistd::Pid;

use crate::rules::lease::Delegation;
use crate::sight::{self, NamespaceKey, ProcessFact};

/// How long they may take. They take milliseconds, unless the machine is close to a
/// standstill.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until nothing that a killed berth has left is at work, and returns whether that
/// happened within ten seconds. The caller has the store's lock, so no living berth runs
/// a netavark with these directories.
pub fn await_orphans(delegation: &Delegation) -> bool {
    let own = sight::own_namespace().ok();
    await_end("a netavark whose berth was killed", || {
        let is_one = |fact: &ProcessFact| is_orphan(fact, &delegation.config, own);
        !sight::processes_named(&["netavark", "nft"])
            .iter()
            .any(is_one)
    })
}

/// Waits until the process group of a netavark that was killed is empty.
pub(super) fn await_group(leader: u32) {
    let group = Pid::from_raw(leader.cast_signed());
    await_end("what a killed netavark has started", || {
        killpg(group, None) == Err(Errno::ESRCH)
    });
}

fn await_end(what: &str, is_over: impl FnMut() -> bool) -> bool {
    let has_ended = wait_until(PATIENCE, is_over);
    if !has_ended {
        log::warn!("{what} is still at work after {}s", PATIENCE.as_secs());
    }
    has_ended
}

/// Waits until something is over, and returns whether it was over within `patience`.
pub fn wait_until(patience: Duration, mut is_over: impl FnMut() -> bool) -> bool {
    poll(patience, PAUSE, || is_over().then_some(())).is_some()
}

/// Returns whether a process is a netavark that any berth has run with this configuration
/// directory, or an `nft` that a netavark has run in this namespace.
fn is_orphan(fact: &ProcessFact, config: &Path, own: Option<NamespaceKey>) -> bool {
    match fact.name.as_str() {
        "netavark" => fact.is_netavark_of(config) && !fact.is_called_by_podman(),
        "nft" => {
            let words = fact.arguments.iter().skip(1).map(String::as_str);
            words.eq(["-j", "-f", "-"]) && own.is_some() && fact.namespace == own
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::lease::Process;

    fn fact(name: &str, arguments: &str, namespace: NamespaceKey) -> ProcessFact {
        ProcessFact {
            process: Process {
                pid: 7,
                start_time: 1,
            },
            parent: 1,
            name: name.to_owned(),
            arguments: arguments.split(' ').map(str::to_owned).collect(),
            namespace: Some(namespace),
        }
    }

    #[test]
    fn a_netavark_that_berth_runs_is_told_from_podmans() {
        let check = |name: &str, arguments: &str, expected: bool| {
            let fact = fact(name, arguments, (4, 1));
            let found = is_orphan(&fact, Path::new("/r"), Some((4, 1)));
            assert_eq!(found, expected, "{arguments}");
        };
        let nested = "/usr/lib/podman/netavark --config /r --rootless=false setup /run/netns/n";
        check("netavark", nested, true);
        check("netavark", &nested.replace("setup", "teardown"), true);
        check("netavark", &nested.replace("/r ", "/run/user/1 "), false);
        check("bash", nested, false);
        let podmans = nested.replace(" setup", " --plugin-directory /x setup");
        check("netavark", &podmans, false);
        check("netavark", "netavark --version", false);
        check("nft", "nft -j -f -", true);
        check("nft", "nft list ruleset", false);
    }

    #[test]
    fn an_nft_elsewhere_is_nobodys() {
        let elsewhere = fact("nft", "nft -j -f -", (4, 2));
        assert!(!is_orphan(&elsewhere, Path::new("/r"), Some((4, 1))));
    }
}
