//! berth is killed, or refused something, at one system call of its own; then a
//! user does what users do, and everything must be as before.
//!
//! The executable is the real one: a script in its place, in a plugin directory
//! before it, starts it under strace when it is armed. Beside the victim lives a
//! bystander, whose lease, name, port and interface must never change.

use std::time::Duration;

use serde_json::{Value, json};

use crate::syscalls::{Injury, Point, Recording};
use crate::{Driver, Lab, Network, Outcome, wait_until};

const PLUGIN: &str = "/usr/libexec/netavark/berth";
const DIRECTORY: &str = "/opt/crash";
const STATE: &str = "/run/crash";
const BOUND: Duration = Duration::from_secs(15);
const ADDRESS: &str = "10.77.0.99";

/// What berth is doing when it is injured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It sets a container's network up.
    Setup,
    /// It takes it down.
    Teardown,
    /// It collects what a dead container has left.
    Gc,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Teardown, Self::Gc];

    /// Returns it as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Teardown => "teardown",
            Self::Gc => "gc",
        }
    }
}

/// How a run with an injury went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// The call was made, and injured.
    Yes,
    /// The call was not made this time: threads do not always share work alike.
    NotReached,
    /// The call was injured, and the store with it. That was noticed, and the store
    /// made again from what runs.
    Rebuilt,
}

/// A lab with a network, a bystander on it, and berth where it can be injured.
pub struct Site {
    lab: Lab,
    network: Network,
    before: Vec<String>,
    bystander: Value,
}

impl Site {
    /// Starts a lab.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_in(Lab::start())
    }

    /// Starts a lab where berth's and netavark's directory is small.
    #[track_caller]
    pub fn start_with_small_run_directory() -> Self {
        let lab = Lab::start();
        let directory = lab.run_dir();
        let mount = format!("mkdir -p {directory}; mount -t tmpfs -o size=3m lab {directory}");
        lab.sh(&mount);
        Self::start_in(lab)
    }

    #[track_caller]
    fn start_in(lab: Lab) -> Self {
        lab.write_executable(
            &format!("{DIRECTORY}/berth"),
            &format!(
                r#"#!/bin/bash
# In the plugin's place. Armed by a file of strace's options; only one run takes it.
if mv {STATE}/armed-"${{1-}}" {STATE}/fired 2>/dev/null; then
  # -D: the caller stays the parent of berth.
  read -r options <{STATE}/fired
  # shellcheck disable=SC2086 # these are several words
  exec strace -D -q -o {STATE}/trace $options {PLUGIN} "$@"
fi
exec {PLUGIN} "$@"
"#
            ),
        );
        lab.write(
            "/etc/containers/containers.conf.d/50-crash.conf",
            &format!("[network]\nnetavark_plugin_dirs = [\"{DIRECTORY}\"]\n"),
        );
        lab.sh(&format!("mkdir {STATE}"));
        let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
        lab.container("bystander", &["n"])
            .option("--publish", "8081:80")
            .command(&["httpd", "-f", "-p", "80", "-h", "/www"])
            .start();
        let mut site = Self {
            lab,
            network,
            before: Vec::new(),
            bystander: Value::Null,
        };
        wait_until("the bystander's page", BOUND, || {
            site.is_served().then_some(())
        });
        site.before = site.sorted_leftovers();
        site.bystander = site.bystanders_lease();
        site
    }

    /// Returns the lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Records the system calls of a whole run.
    #[track_caller]
    pub fn record(&self, verb: Verb) -> Recording {
        self.prepare(verb);
        self.arm(verb, "-f -b execve");
        let outcome = self.run(verb);
        assert!(outcome.status.success(), "nobody is injured:\n{outcome}");
        let trace = self.trace();
        self.recover(false);
        Recording::parse(&trace)
    }

    /// Injures one run at one call, lets a user do what users do, and asserts that
    /// everything is as before.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn injure(&mut self, verb: Verb, point: &Point) -> Hit {
        self.lab.forget();
        self.prepare(verb);
        self.arm(verb, &point.strace_options());
        let outcome = self.run(verb);
        let mut hit = self.hit(point);
        // strace counts in each thread, so that the answer itself may be hit as well.
        let is_silenced = self
            .trace()
            .lines()
            .any(|line| line.contains(r#", "{\"error\":"#) && line.ends_with("(INJECTED)"));
        if point.injury != Injury::Kill && !point.is_loader && !is_silenced {
            assert_answered(&outcome);
        }
        self.lab.sh(&format!("rm -f {STATE}/armed-*"));
        if point.may_break_store() && self.is_store_damaged() {
            self.rebuild();
            hit = Hit::Rebuilt;
        }
        // One half asks for the address before anything is collected.
        self.recover(point.number.is_multiple_of(2));
        hit
    }

    /// Lets berth run while its and netavark's directory is full, then makes room,
    /// and asserts that everything is as before. Returns how it ran.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn run_with_full_directory(&self, verb: Verb) -> Outcome {
        self.prepare(verb);
        let filler = format!("{}/filler", self.lab.run_dir());
        let full = self.lab.cmd("dd").args(["if=/dev/zero", "bs=4k"]);
        full.arg(format!("of={filler}"))
            .fails("No space left on device");
        let outcome = self.run(verb);
        assert_answered(&outcome);
        self.lab.sh(&format!("rm {filler}"));
        self.recover(true);
        outcome
    }

    /// Makes what a verb is run upon.
    #[track_caller]
    fn prepare(&self, verb: Verb) {
        match verb {
            Verb::Setup => {}
            Verb::Teardown => {
                self.victim().ok();
            }
            Verb::Gc => self.make_ghost(),
        }
    }

    /// Runs berth's verb once, in real Podman's hands.
    #[track_caller]
    fn run(&self, verb: Verb) -> Outcome {
        match verb {
            Verb::Setup => self.victim().run(),
            Verb::Teardown => {
                let remove = ["rm", "--force", "--time=0", "victim"];
                self.lab.podman(remove).run()
            }
            Verb::Gc => {
                let gc = self.lab.cmd(&format!("{DIRECTORY}/berth"));
                let outcome = gc.args(["gc", "--now"]).run();
                wait_until("the end of strace", BOUND, || {
                    self.lab.pids("strace").is_empty().then_some(())
                });
                outcome
            }
        }
    }

    /// Returns whether berth says that its store is damaged.
    #[track_caller]
    fn is_store_damaged(&self) -> bool {
        let read = self.lab.cmd("lab-store").run();
        !read.status.success() && read.stderr.contains("is damaged")
    }

    /// Makes the store again from what runs. The bystander's lease is a new one, of
    /// the same address.
    #[track_caller]
    fn rebuild(&mut self) {
        self.remove_victim();
        self.lab.cmd("berth").arg("rebuild").ok();
        self.bystander = self.bystanders_lease();
    }

    /// Asserts that everything works again by what a user does next.
    ///
    /// # Panics
    /// If anything of the victim is left, or anything of the bystander is not.
    #[track_caller]
    pub fn recover(&self, restart_first: bool) {
        self.remove_victim();
        if restart_first {
            self.restart();
        }
        self.lab.cmd("berth").args(["gc", "--now"]).ok();
        self.assert_as_before();
        self.lab.cmd("berth").arg("doctor").ok();
        if !restart_first {
            self.restart();
            self.assert_as_before();
        }
    }

    /// Runs a container at the victim's address, and removes it.
    #[track_caller]
    fn restart(&self) {
        self.victim().ok();
        let addresses = self.lab.addresses("victim", "eth0");
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        assert_eq!(addresses[0].to_string(), ADDRESS);
        self.remove_victim();
    }

    /// Asserts that the bystander is as it was, and nobody else is there.
    #[track_caller]
    pub fn assert_as_before(&self) {
        let mut now = Vec::new();
        let start = std::time::Instant::now();
        while start.elapsed() < BOUND {
            now = self.sorted_leftovers();
            if now == self.before {
                break;
            }
        }
        assert_eq!(
            now, self.before,
            "something is left, or of the bystander not"
        );
        assert_eq!(self.bystanders_lease(), self.bystander);
        assert!(self.is_served(), "the bystander's port, name or address");
    }

    /// Returns what runs the victim.
    pub fn victim(&self) -> crate::Cmd<'_> {
        let run = self.lab.container("victim", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80").cmd()
    }

    /// Removes the victim, whatever Podman makes of it.
    #[track_caller]
    fn remove_victim(&self) {
        let remove = ["rm", "--force", "--time=0", "victim"];
        for _ in 0..3 {
            if self.lab.podman(remove).run().status.success() {
                break;
            }
        }
        let known = self.lab.podman(["container", "exists", "victim"]).run();
        assert_eq!(known.status.code(), Some(1), "the victim is removed");
    }

    /// Leaves everything of a container behind, and no container.
    #[track_caller]
    fn make_ghost(&self) {
        let run = self.lab.container("victim", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80")
            .dies(crate::outage::Death::PodmanAfterNetavark);
        self.remove_victim();
    }

    #[track_caller]
    fn arm(&self, verb: Verb, options: &str) {
        let file = format!("{STATE}/armed-{}", verb.name());
        let script = format!("rm -f {STATE}/fired {STATE}/trace; printf '%s\\n' \"$1\" >{file}");
        let arm = self.lab.cmd("bash");
        arm.args(["-euc", &script, "bash", options]).ok();
    }

    /// Returns what strace has written.
    #[track_caller]
    fn trace(&self) -> String {
        self.lab.cmd("cat").arg(format!("{STATE}/trace")).ok()
    }

    #[track_caller]
    fn hit(&self, point: &Point) -> Hit {
        let trace = self.trace();
        let sign = match point.injury {
            Injury::Kill => "killed by SIGKILL",
            Injury::Fail(_) | Injury::FailFromThenOn(_) => "(INJECTED)",
        };
        if trace.contains(sign) {
            Hit::Yes
        } else {
            Hit::NotReached
        }
    }

    #[track_caller]
    fn sorted_leftovers(&self) -> Vec<String> {
        let mut left = self.lab.leftovers(&self.network);
        left.sort();
        left
    }

    /// Returns what must not change of the bystander's lease: all but the times
    /// of its last renewal.
    #[track_caller]
    fn bystanders_lease(&self) -> Value {
        let leases = self.lab.leases(&self.network);
        let mut tenants = leases.tenants.into_iter();
        let own = tenants.find(|tenant| tenant.container_name.as_str() == "bystander");
        let tenant = own.unwrap_or_else(|| panic!("the bystander has no lease"));
        json!({
            "tenancy": tenant.tenancy,
            "holdings": tenant.holdings,
            "namespace": tenant.namespace,
            "created": tenant.created,
        })
    }

    /// Returns whether the bystander answers at its published port, and by name.
    #[track_caller]
    fn is_served(&self) -> bool {
        let script = r#"
            [ "$(curl -sS --max-time 3 http://127.0.0.1:8081/)" = "hello from the lab" ]
            [ "$(dig +short +time=3 +tries=1 @10.77.0.1 bystander)" = 10.77.0.2 ]"#;
        let outcome = self.lab.cmd("bash").args(["-euc", script]).run();
        outcome.status.success()
    }
}

/// Asserts that a run that was refused something, and so fails, says so in its
/// envelope: that it has not just crashed.
#[track_caller]
fn assert_answered(outcome: &Outcome) {
    let by_plugin = outcome.stderr.contains("plugin \"berth\" failed");
    assert!(
        !by_plugin || outcome.stderr.contains("failed: exit code 1, message: "),
        "a failing call must not crash it:\n{outcome}"
    );
    assert!(
        !["exit code 101", "signal:", "core dumped"]
            .iter()
            .any(|crash| outcome.stderr.contains(crash)),
        "a failing call must not crash it:\n{outcome}"
    );
}
