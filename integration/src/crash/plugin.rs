//! Injures berth itself while it sets up, takes down or collects, as netavark's plugin or in front
//! of netavark. In front of netavark, a victim is on two networks, and netavark and podman are
//! killed as well.
//!
//! Beside the victim lives a bystander, whose lease, name, port and interface must never change.

use std::time::Duration;

use berth::store::EngineKind;
use serde_json::{Value, json};

use super::injector::Injector;
use super::setting::Setting;
use super::{Scene, Verb, assert_no_crash};
use crate::podman::IMAGE;
use crate::processes::Sighting;
use crate::syscalls::{Injury, Point};
use crate::{Cmd, Driver, Lab, Outcome, wait_until};

const STATE: &str = "/run/containers/networks/berth";
/// The beginning of the names of directories in which a rebuild keeps damaged sled stores.
const KEPT: &str = "leases.sled.damaged-";
const PLUGIN: &str = "/usr/libexec/netavark/berth";
const BOUND: Duration = Duration::from_secs(15);
const ADDRESS: &str = "10.77.0.99";
const REMOVE: [&str; 4] = ["rm", "--force", "--time=0", "victim"];

/// What Podman finds as netavark in host-wide mode.
const LINK: &str = "/usr/local/libexec/podman/netavark";
const SECOND_ADDRESS: &str = "10.78.0.99";

/// A lab with a network, a bystander on it, and berth where it can be injured.
pub(super) struct PluginScene {
    setting: Setting,
    bystander: Value,
    /// The victim's networks, with its address on each.
    networks: Vec<(&'static str, &'static str)>,
    /// What is in front of netavark and podman, in host-wide mode.
    beside: Option<Beside>,
}

struct Beside {
    netavark: Injector,
    podman: Injector,
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
        Self {
            setting: Setting::new(lab, injector, Driver::Berth, "bystander"),
            bystander: Value::Null,
            networks: vec![("n", ADDRESS)],
            beside: None,
        }
        .remembered()
    }

    #[track_caller]
    pub(super) fn host_wide_in(lab: Lab) -> Self {
        let netavark = lab.netavark();
        lab.host_wide();
        let directory = |name: &str| format!("{}/{name}", Injector::directory());
        // Its name makes it act as a front; the injector's script has the name by which it is
        // recognised as berth.
        let under = format!("{}/netavark", directory("front"));
        lab.sh(&format!(
            "mkdir -p {0}; ln -s {PLUGIN} {under}",
            directory("front")
        ));
        let injector = Injector::at(&lab, &format!("{}/berth", directory("front")), &under);
        let next = format!("{}/netavark", directory("next"));
        let beside = Beside {
            netavark: Injector::at(&lab, &next, &netavark),
            podman: Injector::at(&lab, &directory("podman"), "/usr/bin/podman"),
        };
        lab.sh(&format!("ln -sfn {} {LINK}", injector.program()));
        let searched = [
            "/usr/local/libexec/podman".to_owned(),
            directory("next"),
            "/usr/lib/podman".to_owned(),
        ];
        lab.write(
            "/etc/containers/containers.conf.d/50-crash.conf",
            &format!("[engine]\nhelper_binaries_dir = {searched:?}\n"),
        );
        let mut setting = Setting::new(lab, injector, Driver::HostWide, "bystander");
        let second = ["--subnet", "10.78.0.0/24"];
        setting.others = vec![setting.lab.network(Driver::HostWide, "m", &second)];
        Self {
            setting,
            bystander: Value::Null,
            networks: vec![("n", ADDRESS), ("m", SECOND_ADDRESS)],
            beside: Some(beside),
        }
        .remembered()
    }

    /// Remembers what must never change.
    #[track_caller]
    fn remembered(mut self) -> Self {
        wait_until("the bystander's name", BOUND, || {
            self.is_served().then_some(())
        });
        self.setting.remember();
        self.bystander = self.bystanders_lease();
        self
    }
}

impl Scene for PluginScene {
    fn setting(&self) -> &Setting {
        &self.setting
    }

    fn injector(&self, verb: Verb) -> &Injector {
        match (verb, &self.beside) {
            (Verb::NetavarkSetup | Verb::NetavarkTeardown, Some(beside)) => &beside.netavark,
            (Verb::PodmanRun | Verb::PodmanRm, Some(beside)) => &beside.podman,
            _ => &self.setting.injector,
        }
    }

    fn prepare(&mut self, verb: Verb) {
        match verb {
            Verb::Teardown | Verb::FrontTeardown | Verb::NetavarkTeardown | Verb::PodmanRm => {
                self.victim().ok();
            }
            Verb::Gc => self.make_ghost(),
            _ => {}
        }
    }

    fn run(&mut self, verb: Verb) -> Outcome {
        let lab = &self.setting.lab;
        let outcome = match verb {
            Verb::Teardown | Verb::FrontTeardown | Verb::NetavarkTeardown => {
                lab.podman(REMOVE).run()
            }
            Verb::Gc => self.setting.run(&["gc", "--now"]),
            Verb::Rebuild => {
                let engine = self.other_engine().name();
                self.setting.run(&["rebuild", "--engine", engine])
            }
            Verb::PodmanRun => {
                let podman = lab.cmd(self.injector(verb).program());
                podman.args(self.words()).run()
            }
            Verb::PodmanRm => lab.cmd(self.injector(verb).program()).args(REMOVE).run(),
            _ => self.victim().run(),
        };
        self.injector(verb).await_strace(lab);
        outcome
    }

    fn check_answer(&self, outcome: &Outcome, trace: &str) {
        // strace counts in each thread, so the answer itself may be hit, too.
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
        // If sled is refused a look at its files, the store appears damaged, and a change of engine
        // then rebuilds it from what runs.
        let kept = self.setting.lab.names(STATE).into_iter();
        let kept = kept.filter(|name| name.starts_with(KEPT)).count();
        let has_rebuilt = kept > 0 && point.injury == Injury::Fail("EIO");
        if has_rebuilt {
            self.setting.lab.sh(&format!("rm -r {STATE}/{KEPT}*"));
            self.bystander = self.bystanders_lease();
        }
        is_damaged || has_rebuilt
    }

    fn recover(&mut self, verb: Verb, at_once: bool) {
        self.remove_victim();
        if matches!(verb, Verb::PodmanRun | Verb::PodmanRm) {
            self.end_what_podman_has_lost();
        }
        if at_once {
            self.restart();
        }
        self.setting.lab.cmd("berth").args(["gc", "--now"]).ok();
        if matches!(verb, Verb::NetavarkSetup | Verb::NetavarkTeardown) {
            self.restore_names();
        }
        self.assert_as_before();
        self.setting.lab.cmd("berth").arg("doctor").ok();
        if !at_once {
            self.restart();
            self.assert_as_before();
        }
    }
}

impl PluginScene {
    /// Returns the engine that the store does not use.
    #[track_caller]
    fn other_engine(&self) -> EngineKind {
        let names = self.setting.lab.names(STATE);
        let is_kept_in = |kind: &EngineKind| names.contains(&format!("leases.{}", kind.name()));
        let mut others = EngineKind::ALL.into_iter().filter(|kind| !is_kept_in(kind));
        others
            .next()
            .unwrap_or_else(|| panic!("two stores: {names:?}"))
    }

    /// Returns whether berth says that its store is damaged.
    #[track_caller]
    fn is_store_damaged(&self) -> bool {
        let read = self.setting.lab.cmd("lab-store").run();
        !read.status.success() && read.stderr.contains("is damaged")
    }

    /// Rebuilds the store from what runs. The bystander then has a new lease of the same
    /// address.
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
        for (number, (_, address)) in self.networks.iter().enumerate() {
            let interface = format!("eth{number}");
            let addresses = self.setting.lab.addresses("victim", &interface);
            assert_eq!(addresses.len(), 1, "{addresses:?}");
            assert_eq!(addresses[0].to_string(), *address);
        }
        self.remove_victim();
    }

    /// Asserts that the bystander is as it was, and that no other container is there.
    #[track_caller]
    fn assert_as_before(&self) {
        self.setting.assert_as_before(|| ());
        assert_eq!(self.bystanders_lease(), self.bystander);
        assert!(self.is_served(), "the bystander's port, name or address");
        let claims = self.setting.lab.claims();
        assert_eq!(claims, [""; 0], "Podman leases nothing of these networks");
    }

    /// Returns the command that runs the victim.
    fn victim(&self) -> Cmd<'_> {
        self.setting.lab.podman(self.words())
    }

    /// Returns the arguments with which podman runs the victim.
    fn words(&self) -> Vec<String> {
        let on = |(number, (network, address)): (usize, &(&str, &str))| {
            format!("--network={network}:ip={address},interface_name=eth{number}")
        };
        let words = ["run", "--detach", "--name=victim", "--publish=8080:80"];
        let words = words.iter().map(|word| (*word).to_owned());
        let networks = self.networks.iter().enumerate().map(on);
        words.chain(networks).chain([IMAGE.to_owned()]).collect()
    }

    /// Removes the victim, whatever state Podman thinks it is in.
    #[track_caller]
    pub(super) fn remove_victim(&self) {
        for _ in 0..3 {
            if self.setting.lab.podman(REMOVE).run().status.success() {
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

    /// Makes Podman enter the bystander's names again, if they are gone. netavark empties a
    /// network's file of names before it writes it again (1.14, `dns/aardvark.rs`), so if it is
    /// killed in between, all containers' names are lost, even where Podman leases.
    #[track_caller]
    fn restore_names(&mut self) {
        if self.setting.lab.dns_entries("n").is_empty() {
            let reload = ["network", "reload", "bystander"];
            self.setting.lab.podman(reload).ok();
            self.bystander = self.bystanders_lease();
        }
    }

    /// Ends the victim's conmon, runtime and processes. If podman was killed after it started
    /// them and before it recorded that, or after it removed their container and before it ended
    /// them, Podman knows nothing about them. Some still listen at the published port, others are
    /// in the namespace.
    #[track_caller]
    fn end_what_podman_has_lost(&self) {
        let lab = &self.setting.lab;
        wait_until("the end of what Podman has lost", BOUND, || {
            let find = "pgrep -f -- ' -[n] victim ' || true
                ss -Hltnp 'sport = :8080' | grep -o 'pid=[0-9]*' | cut -d= -f2 || true";
            let of_victim = |seen: &Sighting| {
                let address = seen.address.to_string();
                seen.inhabitant != 0 && self.networks.iter().any(|(_, own)| *own == address)
            };
            let inside = lab.sightings().into_iter().filter(of_victim);
            let mut lost: Vec<_> = inside.map(|seen| seen.inhabitant.to_string()).collect();
            lost.extend(lab.sh(find).lines().map(str::to_owned));
            lost.iter().for_each(|pid| lab.kill(pid));
            lost.is_empty().then_some(())
        });
    }

    /// Leaves everything of a container behind, but no container.
    #[track_caller]
    fn make_ghost(&self) {
        let run = self.setting.lab.container("victim", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80")
            .dies(crate::outage::Death::PodmanAfterNetavark);
        self.remove_victim();
    }

    /// Returns the part of the bystander's lease that must not change: everything except the
    /// times of its last renewal.
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
