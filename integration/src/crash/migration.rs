//! Injures berth-migrate while it adopts a network or rolls it back.
//!
//! Two containers run all the time: one with a published port, one with a static address.
//! Whatever happens, they answer, no other container gets their addresses, and running the
//! same command again completes the move.

use std::time::Duration;

use super::injector::Injector;
use super::setting::Setting;
use super::{Scene, Verb, assert_no_crash};
use crate::syscalls::Point;
use crate::{Driver, Lab, Outcome, wait_until};

const MIGRATE: &str = "/usr/local/bin/berth-migrate";
const FILE: &str = "/etc/containers/networks/n.json";
const BOUND: Duration = Duration::from_secs(15);
const ADDRESSES: [&str; 2] = ["10.77.0.2", "10.77.0.50"];

/// A lab with a network of Podman's own allocation, and two containers on it.
pub(super) struct MigrationScene {
    setting: Setting,
    /// The network's file and allocation, as Podman wrote them.
    file: String,
    allocation: String,
}

impl MigrationScene {
    #[track_caller]
    pub(super) fn in_lab(lab: Lab) -> Self {
        let injector = Injector::before(&lab, MIGRATE);
        let setting = Setting::new(lab, injector, Driver::Bridge, "web");
        let lab = &setting.lab;
        lab.container("twin", &["n"]).ip(ADDRESSES[1]).start();
        let mut scene = Self {
            file: lab.cmd("cat").arg(FILE).ok(),
            allocation: dump(lab),
            setting,
        };
        wait_until("the names", BOUND, || scene.is_served().then_some(()));
        scene.setting.remember();
        scene
    }
}

impl Scene for MigrationScene {
    fn setting(&self) -> &Setting {
        &self.setting
    }

    fn prepare(&mut self, verb: Verb) {
        if verb == Verb::Rollback {
            self.complete("adopt");
        }
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        self.setting.run(&[verb.name(), "n", "--yes"])
    }

    fn check_answer(&self, outcome: &Outcome, _trace: &str) {
        assert_ne!(outcome.status.code(), Some(101), "it panicked:\n{outcome}");
        assert_no_crash(outcome);
        // A failed move was undone, unless the report says that it was not.
        let is_moved = self.setting.lab.cmd("cat").arg(FILE).ok() != self.file;
        let is_silenced = outcome
            .stderr
            .contains("failed to write to standard output");
        if outcome.command.contains("adopt") && !outcome.status.success() && !is_silenced {
            let told = outcome.stdout.contains("run this again");
            assert!(!is_moved || told, "it must be undone, or told:\n{outcome}");
        }
    }

    fn mend(&mut self, point: &Point) -> bool {
        let read = self.setting.lab.cmd("lab-store").run();
        let is_damaged =
            point.may_break_store() && !read.status.success() && read.stderr.contains("is damaged");
        if is_damaged {
            self.setting.lab.cmd("berth").arg("rebuild").ok();
        }
        is_damaged
    }

    fn recover(&mut self, verb: Verb, at_once: bool) {
        assert!(self.is_served(), "they answer whatever happened");
        if self.setting.lab.cmd("cat").arg(FILE).ok() == self.file {
            let leases = self
                .setting
                .lab
                .leases(&self.setting.network)
                .of(&self.setting.network);
            assert!(leases.is_empty(), "two allocators serve it: {leases:?}");
        }
        if !at_once {
            self.setting.lab.cmd("berth").args(["gc", "--now"]).ok();
        }
        self.assert_nobody_gets_their_addresses();
        if verb == Verb::Adopt {
            self.complete("adopt");
            self.assert_adopted();
            self.setting
                .lab
                .podman(["restart", "--time=0", "twin"])
                .ok();
            self.assert_adopted();
            self.complete("adopt");
        }
        self.complete("rollback");
        self.assert_as_before();
        self.setting.lab.podman(["stop", "--time=0", "twin"]).ok();
        self.setting.lab.podman(["start", "twin"]).ok();
        self.assert_as_before();
    }
}

impl MigrationScene {
    /// Runs a command without injuries.
    #[track_caller]
    fn complete(&self, verb: &str) {
        self.setting
            .lab
            .cmd(MIGRATE)
            .args([verb, "n", "--yes"])
            .ok();
    }

    /// Asserts that no other container gets the two containers' addresses, whichever allocator
    /// leases them now, and whether or not they are asked for.
    #[track_caller]
    fn assert_nobody_gets_their_addresses(&self) {
        for address in ADDRESSES {
            let thief = self.setting.lab.container("thief", &["n"]).ip(address);
            thief.fails("is already allocated to container ID");
            self.setting.lab.podman(["rm", "--force", "thief"]).ok();
        }
        self.setting.lab.container("guest", &["n"]).start();
        let guest = self.setting.lab.addresses("guest", "eth0")[0].to_string();
        assert!(!ADDRESSES.contains(&guest.as_str()), "{guest}");
        self.setting.lab.remove("guest");
    }

    #[track_caller]
    fn assert_adopted(&self) {
        assert_eq!(dump(&self.setting.lab), "{}", "Podman has leased nothing");
        let mut leases = self
            .setting
            .lab
            .leases(&self.setting.network)
            .of(&self.setting.network);
        leases.sort();
        let expected = ["[10.77.0.2] bound to web", "[10.77.0.50] bound to twin"];
        assert_eq!(leases, expected);
        self.setting.lab.cmd("berth").arg("doctor").ok();
        assert!(self.is_served(), "they answer once it is adopted");
    }

    /// Asserts that everything is as Podman made it.
    #[track_caller]
    fn assert_as_before(&self) {
        assert_eq!(self.setting.lab.cmd("cat").arg(FILE).ok(), self.file);
        assert_eq!(
            without_cursors(&dump(&self.setting.lab)),
            without_cursors(&self.allocation)
        );
        // A rollback that is killed after its last step leaves the copy. The next adopt overwrites
        // it.
        let mut files = self.setting.lab.names("/etc/containers/networks");
        files.retain(|name| name != "berth-backup");
        assert_eq!(files, ["n.json"], "nothing is left staged");
        self.setting.assert_as_before(|| ());
        self.setting.lab.cmd("berth").arg("doctor").ok();
        assert!(self.is_served(), "they answer in the end");
    }

    /// Returns whether the two containers answer: one at its published port, the other at its
    /// address, and both by their names.
    #[track_caller]
    fn is_served(&self) -> bool {
        // With any driver, a restarted container has the same address with another MAC
        // address. A peer that has just talked to it notices only after half a minute.
        let [web, twin] = ADDRESSES;
        let lab = &self.setting.lab;
        lab.cmd("ip").args(["neighbour", "flush", "all"]).ok();
        let ping = ["-q", "-c", "1", "-W", "2", twin];
        lab.cmd("ping").args(ping).run().status.success()
            && self.setting.is_served(&[("web", web), ("twin", twin)])
    }
}

/// Returns what Podman's own allocation has on record.
#[track_caller]
fn dump(lab: &Lab) -> String {
    lab.cmd(MIGRATE).arg("dump").ok()
}

/// Returns a dump without the cursors, which move with every dynamic lease.
fn without_cursors(dump: &str) -> Vec<&str> {
    let lines = dump.lines().filter(|line| !line.contains("lastIP"));
    lines.map(|line| line.trim_end_matches(',')).collect()
}
