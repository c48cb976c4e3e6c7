//! berth itself, injured while it sets up, takes down or collects.
//!
//! Beside the victim lives a bystander, whose lease, name, port and interface must
//! never change.

use std::time::Duration;

use serde_json::{Value, json};

use super::injector::Injector;
use super::setting::Setting;
use super::{Scene, Verb, assert_no_crash};
use crate::syscalls::Point;
use crate::{Cmd, Driver, Lab, Outcome, wait_until};

const PLUGIN: &str = "/usr/libexec/netavark/berth";
const BOUND: Duration = Duration::from_secs(15);
const ADDRESS: &str = "10.77.0.99";

/// A lab with a network, a bystander on it, and berth where it can be injured.
pub(super) struct PluginScene {
    setting: Setting,
    bystander: Value,
}

impl PluginScene {
    #[track_caller]
    pub(super) fn in_lab(lab: Lab) -> Self {
        let injector = Injector::before(&lab, PLUGIN);
        lab.write(
            "/etc/containers/containers.conf.d/50-crash.conf",
            &format!(
                "[network]\nnetavark_plugin_dirs = [\"{}\"]\n",
                Injector::directory()
            ),
        );
        let mut scene = Self {
            setting: Setting::new(lab, injector, Driver::Berth, "bystander"),
            bystander: Value::Null,
        };
        wait_until("the bystander's name", BOUND, || {
            scene.is_served().then_some(())
        });
        scene.setting.remember();
        scene.bystander = scene.bystanders_lease();
        scene
    }
}

impl Scene for PluginScene {
    fn setting(&self) -> &Setting {
        &self.setting
    }

    fn prepare(&mut self, verb: Verb) {
        match verb {
            Verb::Teardown => {
                self.victim().ok();
            }
            Verb::Gc => self.make_ghost(),
            _ => {}
        }
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        match verb {
            Verb::Teardown => {
                let remove = ["rm", "--force", "--time=0", "victim"];
                self.setting.lab.podman(remove).run()
            }
            Verb::Gc => self.setting.run(&["gc", "--now"]),
            _ => self.victim().run(),
        }
    }

    fn check_answer(&self, outcome: &Outcome, trace: &str) {
        // strace counts in each thread, so that the answer itself may be hit as well.
        let is_silenced = trace
            .lines()
            .any(|line| line.contains(r#", "{\"error\":"#) && line.ends_with("(INJECTED)"));
        if is_silenced {
            return;
        }
        let by_plugin = outcome.stderr.contains("plugin \"berth\" failed");
        assert!(
            !by_plugin || outcome.stderr.contains("failed: exit code 1, message: "),
            "a failing call must not crash it:\n{outcome}"
        );
        assert_no_crash(outcome);
    }

    fn mend(&mut self, point: &Point) -> bool {
        let is_damaged = point.may_break_store() && self.is_store_damaged();
        if is_damaged {
            self.rebuild();
        }
        is_damaged
    }

    fn recover(&mut self, _verb: Verb, at_once: bool) {
        self.remove_victim();
        if at_once {
            self.restart();
        }
        self.setting.lab.cmd("berth").args(["gc", "--now"]).ok();
        self.assert_as_before();
        self.setting.lab.cmd("berth").arg("doctor").ok();
        if !at_once {
            self.restart();
            self.assert_as_before();
        }
    }
}

impl PluginScene {
    /// Returns whether berth says that its store is damaged.
    #[track_caller]
    fn is_store_damaged(&self) -> bool {
        let read = self.setting.lab.cmd("lab-store").run();
        !read.status.success() && read.stderr.contains("is damaged")
    }

    /// Makes the store again from what runs. The bystander's lease is a new one, of
    /// the same address.
    #[track_caller]
    fn rebuild(&mut self) {
        self.remove_victim();
        self.setting.lab.cmd("berth").arg("rebuild").ok();
        self.bystander = self.bystanders_lease();
    }

    /// Runs a container at the victim's address, and removes it.
    #[track_caller]
    fn restart(&self) {
        self.victim().ok();
        let addresses = self.setting.lab.addresses("victim", "eth0");
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        assert_eq!(addresses[0].to_string(), ADDRESS);
        self.remove_victim();
    }

    /// Asserts that the bystander is as it was, and nobody else is there.
    #[track_caller]
    fn assert_as_before(&self) {
        self.setting.assert_as_before(|| ());
        assert_eq!(self.bystanders_lease(), self.bystander);
        assert!(self.is_served(), "the bystander's port, name or address");
    }

    /// Returns what runs the victim.
    fn victim(&self) -> Cmd<'_> {
        let run = self.setting.lab.container("victim", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80").cmd()
    }

    /// Removes the victim, whatever Podman makes of it.
    #[track_caller]
    fn remove_victim(&self) {
        let remove = ["rm", "--force", "--time=0", "victim"];
        for _ in 0..3 {
            if self.setting.lab.podman(remove).run().status.success() {
                break;
            }
        }
        let known = self
            .setting
            .lab
            .podman(["container", "exists", "victim"])
            .run();
        assert_eq!(known.status.code(), Some(1), "the victim is removed");
    }

    /// Leaves everything of a container behind, and no container.
    #[track_caller]
    fn make_ghost(&self) {
        let run = self.setting.lab.container("victim", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80")
            .dies(crate::outage::Death::PodmanAfterNetavark);
        self.remove_victim();
    }

    /// Returns what must not change of the bystander's lease: all but the times
    /// of its last renewal.
    #[track_caller]
    fn bystanders_lease(&self) -> Value {
        let leases = self.setting.lab.leases(&self.setting.network);
        let mut tenants = leases.tenants.into_iter();
        let own = tenants.find(|tenant| tenant.container_name.as_str() == "bystander");
        let tenant = own.unwrap_or_else(|| panic!("the bystander has no lease"));
        json!({
            "tenancy": tenant.tenancy,
            "leased": tenant.leased,
            "namespace": tenant.namespace,
            "created": tenant.created,
        })
    }

    /// Returns whether the bystander answers at its published port, and by name.
    #[track_caller]
    fn is_served(&self) -> bool {
        self.setting.is_served(&[("bystander", "10.77.0.2")])
    }
}
