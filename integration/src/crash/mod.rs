//! Kills one of our commands, or makes one of its system calls fail. Then a user does what users
//! do, and everything must be as before.
//!
//! A [`Scene`] says what a command is run on, and what must be true afterwards. There is one for
//! the plugin's verbs, and one for each group of commands that need another lab. A new verb needs
//! a variant of [`Verb`], its stage, and a scene for that stage.

mod injector;
mod migration;
mod plugin;
mod repair;
mod setting;
mod shared;

pub use injector::Injector;

use berth::store::EngineKind;

use self::setting::Setting;
use crate::syscalls::{Injury, Point, Recording};
use crate::{Lab, Outcome};

/// What a program is doing when it is injured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// berth sets a container's network up.
    Setup,
    /// berth takes it down.
    Teardown,
    /// berth collects what a dead container left.
    Gc,
    /// berth moves the lease store to its other engine.
    Rebuild,
    /// berth sets a container up on a network in a share.
    SharedSetup,
    /// berth takes it down.
    SharedTeardown,
    /// berth collects what a dead container left there.
    SharedGc,
    /// berth-migrate moves a network to berth.
    Adopt,
    /// berth-migrate moves it back.
    Rollback,
    /// berth-migrate repairs Podman's own allocation.
    Sanitise,
    /// berth, in front of netavark, sets a container up on two networks.
    FrontSetup,
    /// berth, in front of netavark, takes it down.
    FrontTeardown,
    /// The netavark that berth is in front of sets the container up.
    NetavarkSetup,
    /// That netavark takes it down.
    NetavarkTeardown,
    /// podman, with berth in front of its netavark, starts the container.
    PodmanRun,
    /// That podman removes it.
    PodmanRm,
}

/// The verbs that share a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Plugin,
    Shared,
    Migration,
    Repair,
    HostWide,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 16] = [
        Self::Setup,
        Self::Teardown,
        Self::Gc,
        Self::Rebuild,
        Self::SharedSetup,
        Self::SharedTeardown,
        Self::SharedGc,
        Self::Adopt,
        Self::Rollback,
        Self::Sanitise,
        Self::FrontSetup,
        Self::FrontTeardown,
        Self::NetavarkSetup,
        Self::NetavarkTeardown,
        Self::PodmanRun,
        Self::PodmanRm,
    ];

    /// The plugin's verbs.
    pub const PLUGIN: [Self; 4] = [Self::Setup, Self::Teardown, Self::Gc, Self::Rebuild];

    /// The plugin's verbs on a network in a share.
    pub const SHARED: [Self; 3] = [Self::SharedSetup, Self::SharedTeardown, Self::SharedGc];

    /// The verbs that move networks.
    pub const MIGRATION: [Self; 2] = [Self::Adopt, Self::Rollback];

    /// The verbs of a call that passes through berth on its way to netavark.
    pub const HOST_WIDE: [Self; 6] = [
        Self::FrontSetup,
        Self::FrontTeardown,
        Self::NetavarkSetup,
        Self::NetavarkTeardown,
        Self::PodmanRun,
        Self::PodmanRm,
    ];

    /// Returns its name, which ends with [`Verb::word`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Teardown => "teardown",
            Self::Gc => "gc",
            Self::Rebuild => "rebuild",
            Self::SharedSetup => "shared-setup",
            Self::SharedTeardown => "shared-teardown",
            Self::SharedGc => "shared-gc",
            Self::Adopt => "adopt",
            Self::Rollback => "rollback",
            Self::Sanitise => "sanitise",
            Self::FrontSetup => "front-setup",
            Self::FrontTeardown => "front-teardown",
            Self::NetavarkSetup => "netavark-setup",
            Self::NetavarkTeardown => "netavark-teardown",
            Self::PodmanRun => "podman-run",
            Self::PodmanRm => "podman-rm",
        }
    }

    /// Returns the verb as it is on the injured program's command line.
    fn word(self) -> &'static str {
        let name = self.name();
        name.split_once('-').map_or(name, |(_, word)| word)
    }

    /// Returns whether the program is ours, and so must withstand any injury. Other programs are
    /// only killed, and only where they change something.
    pub fn is_ours(self) -> bool {
        use Verb::{NetavarkSetup, NetavarkTeardown, PodmanRm, PodmanRun};
        !matches!(
            self,
            NetavarkSetup | NetavarkTeardown | PodmanRun | PodmanRm
        )
    }

    const fn stage(self) -> Stage {
        match self {
            Self::Setup | Self::Teardown | Self::Gc | Self::Rebuild => Stage::Plugin,
            Self::SharedSetup | Self::SharedTeardown | Self::SharedGc => Stage::Shared,
            Self::Adopt | Self::Rollback => Stage::Migration,
            Self::Sanitise => Stage::Repair,
            Self::FrontSetup
            | Self::FrontTeardown
            | Self::NetavarkSetup
            | Self::NetavarkTeardown
            | Self::PodmanRun
            | Self::PodmanRm => Stage::HostWide,
        }
    }
}

/// How a run with an injury went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// The call was made, and injured.
    Yes,
    /// The call was not made this time: threads do not always share the work in the same way.
    NotReached,
    /// The call was injured, and the store with it. berth noticed, and `berth rebuild`
    /// rebuilt the store from what runs.
    Rebuilt,
}

/// A lab for some verbs: what the verbs are run on, and what must be true afterwards.
trait Scene {
    /// Returns the lab, with the injector in front of the program.
    fn setting(&self) -> &Setting;

    /// Returns the injector in front of a verb's program.
    fn injector(&self, _verb: Verb) -> &Injector {
        &self.setting().injector
    }

    /// Makes what the verb is run on.
    fn prepare(&mut self, verb: Verb);

    /// Runs the verb once, through the injector, and waits for strace's end if nothing
    /// else does.
    fn run(&mut self, verb: Verb) -> Outcome;

    /// Asserts that a run with a failed call did not just crash. `trace` is what strace wrote.
    fn check_answer(&self, outcome: &Outcome, trace: &str);

    /// Repairs what only this injury may break, and returns whether it had to.
    fn mend(&mut self, _point: &Point) -> bool {
        false
    }

    /// Asserts that everything works again after what a user does next, and leaves
    /// everything as it was before [`Scene::prepare`]. Half of the time `at_once` is set:
    /// then there is no collection or other repair first.
    fn recover(&mut self, verb: Verb, at_once: bool);
}

/// A scene in a lab.
pub struct Site {
    stage: Stage,
    scene: Box<dyn Scene>,
}

impl Site {
    /// Starts a lab for a verb, with a lease store of this engine.
    #[track_caller]
    pub fn start(verb: Verb, engine: EngineKind) -> Self {
        let lab = Lab::start();
        let conf = format!("engine = \"{}\"\n", engine.name());
        lab.write("/etc/containers/berth.conf", &conf);
        Self::start_in(lab, verb)
    }

    /// Starts a lab in which berth's and netavark's directory is small.
    #[track_caller]
    pub fn start_with_small_run_directory(verb: Verb) -> Self {
        let lab = Lab::start();
        let directory = lab.run_dir();
        let mount = format!("mkdir -p {directory}; mount -t tmpfs -o size=3m lab {directory}");
        lab.sh(&mount);
        Self::start_in(lab, verb)
    }

    #[track_caller]
    fn start_in(lab: Lab, verb: Verb) -> Self {
        let stage = verb.stage();
        let scene: Box<dyn Scene> = match stage {
            Stage::Plugin => Box::new(plugin::PluginScene::in_lab(lab)),
            Stage::Shared => Box::new(shared::SharedScene::in_lab(lab)),
            Stage::Migration => Box::new(migration::MigrationScene::in_lab(lab)),
            Stage::Repair => Box::new(repair::RepairScene::in_lab(lab)),
            Stage::HostWide => Box::new(plugin::PluginScene::host_wide_in(lab)),
        };
        Self { stage, scene }
    }

    /// Returns whether a verb can be run here.
    pub fn serves(&self, verb: Verb) -> bool {
        self.stage == verb.stage()
    }

    /// Records the system calls of a whole run.
    #[track_caller]
    pub fn record(&mut self, verb: Verb) -> Recording {
        self.scene.prepare(verb);
        self.arm(verb, "-f -b execve");
        let outcome = self.scene.run(verb);
        assert!(outcome.status.success(), "nobody is injured:\n{outcome}");
        let trace = self.trace(verb);
        self.scene.recover(verb, false);
        Recording::parse(&trace)
    }

    /// Injures one run at one call, does what a user would do next, and asserts that
    /// everything is as before.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn injure(&mut self, verb: Verb, point: &Point) -> Hit {
        self.scene.setting().lab.forget();
        self.scene.prepare(verb);
        self.arm(verb, &point.strace_options());
        let outcome = self.scene.run(verb);
        let trace = self.trace(verb);
        if point.injury != Injury::Kill && !point.is_loader {
            self.scene.check_answer(&outcome, &trace);
        }
        self.scene.injector(verb).disarm(&self.scene.setting().lab);
        let mut hit = injector::hit(&trace, point);
        if self.scene.mend(point) {
            hit = Hit::Rebuilt;
        }
        self.scene.recover(verb, point.number.is_multiple_of(2));
        hit
    }

    /// Runs the verb while berth's and netavark's directory is full, then makes room, and
    /// asserts that everything is as before. Returns how the run ended.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn run_with_full_directory(&mut self, verb: Verb) -> Outcome {
        self.scene.prepare(verb);
        let lab = &self.scene.setting().lab;
        let filler = format!("{}/filler", lab.run_dir());
        let full = lab.cmd("dd").args(["if=/dev/zero", "bs=4k"]);
        full.arg(format!("of={filler}"))
            .fails("No space left on device");
        let outcome = self.scene.run(verb);
        self.scene.check_answer(&outcome, "");
        self.scene.setting().lab.sh(&format!("rm {filler}"));
        self.scene.recover(verb, true);
        outcome
    }

    #[track_caller]
    fn arm(&self, verb: Verb, options: &str) {
        let injector = self.scene.injector(verb);
        injector.arm(&self.scene.setting().lab, verb, options);
    }

    #[track_caller]
    fn trace(&self, verb: Verb) -> String {
        self.scene.injector(verb).trace(&self.scene.setting().lab)
    }
}

/// Asserts that a run did not crash.
#[track_caller]
fn assert_no_crash(outcome: &Outcome) {
    assert!(
        !["exit code 101", "signal:", "core dumped"]
            .iter()
            .any(|crash| outcome.stderr.contains(crash)),
        "a failing call must not crash it:\n{outcome}"
    );
}
