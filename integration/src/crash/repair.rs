//! berth-migrate, injured while it repairs Podman's file and clears away after the dead.
//!
//! A web server runs all the time. Whatever happens, it answers, its lease stays, the
//! file is whole, and the same command again completes the repair.

use std::time::{Duration, Instant};

use super::injector::Injector;
use super::{Scene, Verb, assert_no_crash};
use crate::outage::Death;
use crate::{Driver, Lab, Network, Outcome, wait_until};

const MIGRATE: &str = "/usr/local/bin/berth-migrate";
const BOUND: Duration = Duration::from_secs(15);
const ADDRESS: &str = "10.77.0.99";

/// A lab with a network of Podman's own allocation, and a container on it.
pub(super) struct RepairScene {
    lab: Lab,
    injector: Injector,
    network: Network,
    lease: Vec<String>,
    before: Vec<String>,
}

impl RepairScene {
    #[track_caller]
    pub(super) fn in_lab(lab: Lab) -> Self {
        let injector = Injector::before(&lab, MIGRATE);
        let network = lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
        lab.container("web", &["n"])
            .option("--publish", "8081:80")
            .command(&["httpd", "-f", "-p", "80", "-h", "/www"])
            .start();
        let mut scene = Self {
            lease: lab.claims(),
            before: Vec::new(),
            lab,
            injector,
            network,
        };
        wait_until("the page", BOUND, || scene.is_served().then_some(()));
        scene.before = scene.sorted_leftovers();
        scene
    }

    #[track_caller]
    fn is_served(&self) -> bool {
        let get = ["-sf", "-m", "2", "http://127.0.0.1:8081/index.html"];
        self.lab.cmd("curl").args(get).run().status.success()
    }

    #[track_caller]
    fn sorted_leftovers(&self) -> Vec<String> {
        let mut left = self.lab.leftovers(&self.network);
        left.sort();
        left
    }

    /// Asserts that the living have their leases, and nobody else but the dead has one.
    #[track_caller]
    fn assert_old_or_new(&self) {
        let mut claims = self.lab.claims();
        let dead = format!("n {ADDRESS} ");
        claims.retain(|claim| !claim.starts_with(&dead) || claim.ends_with("(broken)"));
        assert_eq!(
            claims, self.lease,
            "the file has its old content or the new"
        );
    }
}

impl Scene for RepairScene {
    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn injector(&self) -> &Injector {
        &self.injector
    }

    fn prepare(&mut self, _verb: Verb) {
        let run = self.lab.container("x", &["n"]).ip(ADDRESS);
        run.option("--publish", "8082:80")
            .dies(Death::PodmanAfterNetavark);
        self.lab.remove_at_last("x");
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        let migrate = self.lab.cmd(self.injector.program());
        let outcome = migrate.args([verb.name(), "--now", "--ghosts"]).run();
        self.injector.await_strace(&self.lab);
        outcome
    }

    fn check_answer(&self, outcome: &Outcome, _trace: &str) {
        assert_ne!(outcome.status.code(), Some(101), "it panicked:\n{outcome}");
        assert_no_crash(outcome);
    }

    fn recover(&mut self, _verb: Verb, at_once: bool) {
        assert!(self.is_served(), "it answers whatever happened");
        self.assert_old_or_new();
        if at_once {
            // Podman itself leases and releases in what is there.
            self.lab.container("next", &["n"]).start();
            self.lab.remove("next");
            self.assert_old_or_new();
        }
        self.lab.sanitise(&["--ghosts"]);
        assert_eq!(self.lab.claims(), self.lease);
        let start = Instant::now();
        while self.sorted_leftovers() != self.before && start.elapsed() < BOUND {
            self.lab.migrate(["sanitise", "--ghosts"]).run();
        }
        assert_eq!(self.sorted_leftovers(), self.before);
        let again = self.lab.container("again", &["n"]).ip(ADDRESS);
        again.option("--publish", "8082:80").start();
        self.lab.remove("again");
        assert_eq!(self.lab.claims(), self.lease);
        assert!(self.is_served());
        let backups = format!("rm -f {}/ipam.db.berth-*", self.lab.run_dir());
        self.lab.sh(&backups);
    }
}
