//! Injures berth-migrate while it repairs Podman's file and clears away what dead containers left.
//!
//! A web server runs all the time. Whatever happens, it answers, its lease stays, the file is
//! whole, and running the same command again completes the repair.

use super::injector::Injector;
use super::setting::Setting;
use super::{Scene, Verb, assert_no_crash};
use crate::outage::Death;
use crate::{Driver, Lab, Outcome};

const MIGRATE: &str = "/usr/local/bin/berth-migrate";
const ADDRESS: &str = "10.77.0.99";

/// A lab with a network of Podman's own allocation, and a container on it.
pub(super) struct RepairScene {
    setting: Setting,
    lease: Vec<String>,
}

impl RepairScene {
    #[track_caller]
    pub(super) fn in_lab(lab: Lab) -> Self {
        let injector = Injector::before(&lab, MIGRATE);
        let setting = Setting::new(lab, injector, Driver::Bridge, "web");
        Self {
            lease: setting.lab.claims(),
            setting,
        }
    }

    /// Asserts that live containers have their leases, and that all other leases belong to dead
    /// ones.
    #[track_caller]
    fn assert_old_or_new(&self) {
        let mut claims = self.setting.lab.claims();
        let dead = format!("n {ADDRESS} ");
        claims.retain(|claim| !claim.starts_with(&dead) || claim.ends_with("(broken)"));
        assert_eq!(
            claims, self.lease,
            "the file has its old content or the new"
        );
    }
}

impl Scene for RepairScene {
    fn setting(&self) -> &Setting {
        &self.setting
    }

    fn prepare(&mut self, _verb: Verb) {
        let run = self.setting.lab.container("x", &["n"]).ip(ADDRESS);
        run.option("--publish", "8082:80")
            .dies(Death::PodmanAfterNetavark);
        self.setting.lab.remove_at_last("x");
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        self.setting.run(&[verb.name(), "--now", "--ghosts"])
    }

    fn check_answer(&self, outcome: &Outcome, _trace: &str) {
        assert_ne!(outcome.status.code(), Some(101), "it panicked:\n{outcome}");
        assert_no_crash(outcome);
    }

    fn recover(&mut self, _verb: Verb, at_once: bool) {
        let lab = &self.setting.lab;
        assert!(self.setting.is_served(&[]), "it answers whatever happened");
        self.assert_old_or_new();
        if at_once {
            // Podman itself leases and releases in the file as it is.
            lab.container("next", &["n"]).start();
            lab.remove("next");
            self.assert_old_or_new();
        }
        lab.sanitise(&["--ghosts"]);
        assert_eq!(lab.claims(), self.lease);
        self.setting.assert_as_before(|| {
            lab.migrate(["sanitise", "--ghosts"]).run();
        });
        let again = lab.container("again", &["n"]).ip(ADDRESS);
        again.option("--publish", "8082:80").start();
        lab.remove("again");
        assert_eq!(lab.claims(), self.lease);
        assert!(self.setting.is_served(&[]));
        let backups = format!("rm -f {}/ipam.db.berth-*", lab.run_dir());
        lab.sh(&backups);
    }
}
