//! Workers start, connect, reload and remove containers at the same time, while collections
//! run in a loop and processes are killed at work.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Driver, Lab, Network, podman::IMAGE};

const WORKERS: usize = 8;
/// The programs whose processes are killed. `sleep` is what the containers run.
const PREY: [&str; 5] = ["podman", "conmon", "netavark", "berth", "sleep"];
/// A podman command that takes longer than this is killed, too.
const PATIENCE: &str = "60";

/// A storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How long it lasts. If nothing of some kind has happened by then, as on a busy machine,
    /// it lasts up to four times as long.
    pub length: Duration,
    /// The seed by which the workers and the killer choose. Threads and processes run in
    /// any order, so a seed does not repeat a storm exactly.
    pub seed: u64,
}

/// The result.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many commands the workers ran.
    pub commands: usize,
    /// How many of them succeeded.
    pub succeeded: usize,
    /// How many processes were killed.
    pub kills: usize,
    /// How many collections were started.
    pub collections: usize,
    /// How many of them finished.
    pub collected: usize,
    /// How many times the kernel was asked for every namespace's addresses.
    pub samples: usize,
    /// The most addresses seen at once.
    pub most: usize,
    /// Addresses that two namespaces with processes had at once.
    pub duplicates: Vec<String>,
    /// How many processes lived on in a namespace that Podman did not know.
    pub lost: usize,
    /// What is left after the end and one collection.
    pub left: Vec<String>,
}

/// What the threads share.
struct Shared<'a> {
    lab: &'a Lab,
    over: AtomicBool,
    commands: AtomicUsize,
    succeeded: AtomicUsize,
    kills: AtomicUsize,
    collections: AtomicUsize,
    collected: AtomicUsize,
}

impl Storm {
    /// Runs it in a lab of its own, and cleans up after it.
    ///
    /// # Panics
    /// If Podman itself can no longer remove its containers, or the last collection or the
    /// doctor fails.
    #[track_caller]
    pub fn rage(self) -> Outcome {
        let lab = Lab::start();
        let subnet = |number| format!("10.{number}.0.0/24");
        let network =
            |name, number| lab.network(Driver::Berth, name, &["--subnet", &subnet(number)]);
        let networks = [network("n", 77), network("m", 78)];
        let mut outcome = self.rage_in(&lab);
        lab.forget();
        outcome.lost = lab.remove_all();
        lab.cmd("berth").arg("gc").ok();
        outcome.left = left(&lab, &networks);
        lab.cmd("berth").arg("doctor").ok();
        outcome
    }

    fn rage_in(self, lab: &Lab) -> Outcome {
        let shared = Shared {
            lab,
            over: AtomicBool::new(false),
            commands: AtomicUsize::new(0),
            succeeded: AtomicUsize::new(0),
            kills: AtomicUsize::new(0),
            collections: AtomicUsize::new(0),
            collected: AtomicUsize::new(0),
        };
        let sampled = Mutex::new(Outcome::default());
        let mut seeds = fastrand::Rng::with_seed(self.seed);
        thread::scope(|scope| {
            let _over = Over(&shared.over);
            for number in 0..WORKERS {
                let random = seeds.fork();
                let shared = &shared;
                scope.spawn(move || Worker { number, random }.work(shared));
            }
            let random = seeds.fork();
            scope.spawn(|| kill(&shared, random));
            scope.spawn(|| collect(&shared));
            scope.spawn(|| sample(&shared, &sampled));
            let start = Instant::now();
            let is_over = || match shared.has_seen_all() {
                true => start.elapsed() >= self.length,
                false => start.elapsed() >= 4 * self.length,
            };
            while !is_over() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let sampled = sampled.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome {
            commands: shared.commands.into_inner(),
            succeeded: shared.succeeded.into_inner(),
            kills: shared.kills.into_inner(),
            collections: shared.collections.into_inner(),
            collected: shared.collected.into_inner(),
            ..sampled
        }
    }
}

/// Ends the threads, even if one of them has panicked.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Shared<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// Returns whether a command has succeeded, a collection has finished, and something was
    /// killed.
    fn has_seen_all(&self) -> bool {
        let counts = [&self.succeeded, &self.collected, &self.kills];
        counts.iter().all(|count| count.load(Relaxed) > 0)
    }

    /// Runs podman, and counts whether it succeeded.
    fn podman(&self, arguments: &[&str]) {
        let bounded = self.lab.cmd("timeout").args(["--signal=KILL", PATIENCE]);
        let outcome = bounded.arg("podman").args(arguments).run();
        self.commands.fetch_add(1, Relaxed);
        let succeeded = usize::from(outcome.status.success());
        self.succeeded.fetch_add(succeeded, Relaxed);
    }
}

/// Works with one container. Every second worker asks for an address.
struct Worker {
    number: usize,
    random: fastrand::Rng,
}

impl Worker {
    fn work(mut self, shared: &Shared<'_>) {
        let name = format!("w{}", self.number);
        let address = format!("--ip=10.77.0.{}", 100 + self.number);
        let publish = format!("--publish={}:80", 8000 + self.number);
        let mut run = vec!["run", "--detach", "--name", &name, "--network=n", &publish];
        if self.number.is_multiple_of(2) {
            run.push(&address);
        }
        run.push(IMAGE);
        while shared.goes_on() {
            shared.podman(&run);
            for _ in 0..self.random.usize(0..4) {
                match self.random.u8(0..3) {
                    0 => shared.podman(&["network", "connect", "m", &name]),
                    1 => shared.podman(&["network", "disconnect", "m", &name]),
                    _ => shared.podman(&["network", "reload", &name]),
                }
            }
            shared.podman(&["rm", "--force", "--time=0", &name]);
        }
    }
}

/// Kills one process after the other.
fn kill(shared: &Shared<'_>, mut random: fastrand::Rng) {
    while shared.goes_on() {
        thread::sleep(Duration::from_millis(random.u64(20..200)));
        let name = PREY[random.usize(..PREY.len())];
        let pids = shared.lab.pids(name);
        if pids.is_empty() {
            continue;
        }
        shared.lab.kill(&pids[random.usize(..pids.len())]);
        shared.kills.fetch_add(1, Relaxed);
    }
}

/// Collects again and again, both as the timer does and as people do.
fn collect(shared: &Shared<'_>) {
    let commands: [&[&str]; 2] = [&["gc"], &["gc", "--now"]];
    for command in commands.iter().cycle() {
        if !shared.goes_on() {
            return;
        }
        let outcome = shared.lab.cmd("berth").args(*command).run();
        shared.collections.fetch_add(1, Relaxed);
        let collected = usize::from(outcome.status.success());
        shared.collected.fetch_add(collected, Relaxed);
    }
}

/// Asks the kernel again and again who has which address.
fn sample(shared: &Shared<'_>, sampled: &Mutex<Outcome>) {
    while shared.goes_on() {
        let duplicates = shared.lab.duplicates();
        let sightings = shared.lab.sightings();
        let living = sightings.iter().filter(|sighting| sighting.inhabitant != 0);
        let mut sampled = sampled.lock().unwrap_or_else(PoisonError::into_inner);
        sampled.samples += 1;
        sampled.most = sampled.most.max(living.count());
        sampled.duplicates.extend(duplicates);
        shared.lab.forget();
    }
}

/// Returns what is left on these networks once cleanups have had their time.
fn left(lab: &Lab, networks: &[Network]) -> Vec<String> {
    let left = networks.iter().flat_map(|network| lab.leftovers(network));
    left.collect()
}

impl Outcome {
    /// Returns the promises of berth that were broken.
    pub fn broken_promises(&self) -> Vec<String> {
        let twice = self.duplicates.iter().map(|what| format!("twice: {what}"));
        let left = self.left.iter().map(|what| format!("left: {what}"));
        twice.chain(left).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commands,
            succeeded,
            kills,
            collections,
            collected,
            samples,
            most,
            duplicates,
            lost,
            left,
        } = self;
        writeln!(
            f,
            "{WORKERS} workers ran {commands} commands; {succeeded} succeeded"
        )?;
        writeln!(f, "{kills} processes were killed")?;
        writeln!(
            f,
            "{collections} collections were started, {collected} finished"
        )?;
        writeln!(
            f,
            "{samples} samples of the kernel, at most {most} addresses at once"
        )?;
        writeln!(f, "{} duplicates ever seen", duplicates.len())?;
        writeln!(f, "{lost} processes that Podman had lost were ended")?;
        write!(f, "{} things left after one collection", left.len())
    }
}
