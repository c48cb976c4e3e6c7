//! berth-migrate, injured while it adopts a network or rolls it back.
//!
//! Two containers run all the time: one with a published port, one at an address of its
//! own choice. Whatever happens, they answer, nobody else gets their addresses, and the
//! same command again completes it.

use std::time::{Duration, Instant};

use super::injector::Injector;
use super::{Scene, Verb, assert_no_crash};
use crate::syscalls::Point;
use crate::{Driver, Lab, Network, Outcome, wait_until};

const MIGRATE: &str = "/usr/local/bin/berth-migrate";
const FILE: &str = "/etc/containers/networks/n.json";
const BOUND: Duration = Duration::from_secs(15);
const ADDRESSES: [&str; 2] = ["10.77.0.2", "10.77.0.50"];

/// A lab with a network of Podman's own allocation, and two containers on it.
pub(super) struct MigrationScene {
    lab: Lab,
    injector: Injector,
    network: Network,
    /// As Podman has written them.
    file: String,
    allocation: String,
    before: Vec<String>,
}

impl MigrationScene {
    #[track_caller]
    pub(super) fn in_lab(lab: Lab) -> Self {
        let injector = Injector::before(&lab, MIGRATE);
        let network = lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
        lab.container("web", &["n"])
            .option("--publish", "8081:80")
            .command(&["httpd", "-f", "-p", "80", "-h", "/www"])
            .start();
        lab.container("twin", &["n"]).ip(ADDRESSES[1]).start();
        let mut scene = Self {
            file: lab.cmd("cat").arg(FILE).ok(),
            allocation: dump(&lab),
            before: Vec::new(),
            lab,
            injector,
            network,
        };
        wait_until("the page", BOUND, || scene.is_served().then_some(()));
        scene.before = scene.sorted_leftovers();
        scene
    }
}

impl Scene for MigrationScene {
    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn injector(&self) -> &Injector {
        &self.injector
    }

    fn prepare(&mut self, verb: Verb) {
        if verb == Verb::Rollback {
            self.complete("adopt");
        }
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        let migrate = self.lab.cmd(self.injector.program());
        let outcome = migrate.args([verb.name(), "n", "--yes"]).run();
        self.injector.await_strace(&self.lab);
        outcome
    }

    fn check_answer(&self, outcome: &Outcome, _trace: &str) {
        assert_ne!(outcome.status.code(), Some(101), "it panicked:\n{outcome}");
        assert_no_crash(outcome);
        // What fails is undone, unless it says that it is not.
        let is_moved = self.lab.cmd("cat").arg(FILE).ok() != self.file;
        let is_silenced = outcome
            .stderr
            .contains("failed to write to standard output");
        if outcome.command.contains("adopt") && !outcome.status.success() && !is_silenced {
            let told = outcome.stdout.contains("run this again");
            assert!(!is_moved || told, "it must be undone, or told:\n{outcome}");
        }
    }

    fn mend(&mut self, point: &Point) -> bool {
        let read = self.lab.cmd("lab-store").run();
        let is_damaged =
            point.may_break_store() && !read.status.success() && read.stderr.contains("is damaged");
        if is_damaged {
            self.lab.cmd("berth").arg("rebuild").ok();
        }
        is_damaged
    }

    fn recover(&mut self, verb: Verb, at_once: bool) {
        assert!(self.is_served(), "they answer whatever happened");
        if self.lab.cmd("cat").arg(FILE).ok() == self.file {
            let leases = self.lab.leases(&self.network).of(&self.network);
            assert!(leases.is_empty(), "two allocators serve it: {leases:?}");
        }
        if !at_once {
            self.lab.cmd("berth").args(["gc", "--now"]).ok();
        }
        self.assert_nobody_gets_their_addresses();
        if verb == Verb::Adopt {
            self.complete("adopt");
            self.assert_adopted();
            self.lab.podman(["restart", "--time=0", "twin"]).ok();
            self.assert_adopted();
            self.complete("adopt");
        }
        self.complete("rollback");
        self.assert_as_before();
        self.lab.podman(["stop", "--time=0", "twin"]).ok();
        self.lab.podman(["start", "twin"]).ok();
        self.assert_as_before();
    }
}

impl MigrationScene {
    /// Runs a command without injuries.
    #[track_caller]
    fn complete(&self, verb: &str) {
        self.lab.cmd(MIGRATE).args([verb, "n", "--yes"]).ok();
    }

    /// Asserts that nobody is given what the two have, whoever leases it now, asked for
    /// by name or not.
    #[track_caller]
    fn assert_nobody_gets_their_addresses(&self) {
        for address in ADDRESSES {
            let thief = self.lab.container("thief", &["n"]).ip(address);
            thief.fails("is already allocated to container ID");
            self.lab.podman(["rm", "--force", "thief"]).ok();
        }
        self.lab.container("guest", &["n"]).start();
        let guest = self.lab.addresses("guest", "eth0")[0].to_string();
        assert!(!ADDRESSES.contains(&guest.as_str()), "{guest}");
        self.lab.remove("guest");
    }

    #[track_caller]
    fn assert_adopted(&self) {
        assert_eq!(dump(&self.lab), "{}", "Podman has leased nothing");
        let mut leases = self.lab.leases(&self.network).of(&self.network);
        leases.sort();
        let expected = ["[10.77.0.2] bound to web", "[10.77.0.50] bound to twin"];
        assert_eq!(leases, expected);
        self.lab.cmd("berth").arg("doctor").ok();
        assert!(self.is_served(), "they answer once it is adopted");
    }

    /// Asserts that all is as it was when Podman had made it.
    #[track_caller]
    fn assert_as_before(&self) {
        assert_eq!(self.lab.cmd("cat").arg(FILE).ok(), self.file);
        assert_eq!(
            without_cursors(&dump(&self.lab)),
            without_cursors(&self.allocation)
        );
        let files = self.lab.names("/etc/containers/networks");
        assert_eq!(files, ["berth-backup", "n.json"], "nothing is left staged");
        let mut now = Vec::new();
        let start = Instant::now();
        while start.elapsed() < BOUND {
            now = self.sorted_leftovers();
            if now == self.before {
                break;
            }
        }
        assert_eq!(now, self.before, "something is left, or missing");
        self.lab.cmd("berth").arg("doctor").ok();
        assert!(self.is_served(), "they answer in the end");
    }

    #[track_caller]
    fn sorted_leftovers(&self) -> Vec<String> {
        let mut left = self.lab.leftovers(&self.network);
        left.sort();
        left
    }

    /// Returns whether they answer: at the published port, at the other's address, and
    /// by their names.
    #[track_caller]
    fn is_served(&self) -> bool {
        // With any driver, a restarted container has its address with another MAC address,
        // of which those who have just spoken to it hear after half a minute.
        let script = r#"
            ip neighbour flush all
            [ "$(curl -sS --max-time 3 http://127.0.0.1:8081/)" = "hello from the lab" ]
            ping -q -c 1 -W 2 10.77.0.50 >/dev/null
            [ "$(dig +short +time=3 +tries=1 @10.77.0.1 web)" = 10.77.0.2 ]
            [ "$(dig +short +time=3 +tries=1 @10.77.0.1 twin)" = 10.77.0.50 ]"#;
        let outcome = self.lab.cmd("bash").args(["-euc", script]).run();
        outcome.status.success()
    }
}

/// Returns what Podman's own allocation has on record.
#[track_caller]
fn dump(lab: &Lab) -> String {
    lab.cmd(MIGRATE).arg("dump").ok()
}

/// Returns a dump without what moves on with every dynamic lease.
fn without_cursors(dump: &str) -> Vec<&str> {
    let lines = dump.lines().filter(|line| !line.contains("lastIP"));
    lines.map(|line| line.trim_end_matches(',')).collect()
}
