//! Workers on three hosts start and remove containers on one LAN, while collections run in a
//! loop, processes are killed at work, nodes of etcd die, and hosts are cut off from etcd.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::look::Look;
use super::{Kind, Lan, NAMES, Wire};
use crate::podman::IMAGE;
use crate::{Lab, wait_until};

/// The number of workers on each host.
const WORKERS: usize = 4;
/// The lease range, with fewer addresses than there are workers on all hosts: they compete for
/// each other's addresses.
const RANGE: &str = "10.77.0.16-10.77.0.20";
/// The programs whose processes are killed. `sleep` is what the containers run.
const PREY: [&str; 5] = ["podman", "conmon", "netavark", "berth", "sleep"];
/// A podman command that takes longer than this is killed, too.
const PATIENCE: &str = "60";
/// How long a container is left alone, in milliseconds.
const LONGEST_LIFE: u64 = 4000;
/// How long all nodes may take to agree again.
const AGAIN: Duration = Duration::from_secs(30);

/// A storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How long it lasts.
    pub length: Duration,
    /// The seed of all random choices. Threads and processes run in any order, so a seed does
    /// not repeat a storm exactly.
    pub seed: u64,
}

/// The result.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many commands the workers ran.
    pub commands: usize,
    /// How many of them succeeded.
    pub succeeded: usize,
    /// How many processes of podman, berth and what they run were killed.
    pub kills: usize,
    /// How many times a node of etcd was killed.
    pub dead_nodes: usize,
    /// How many times a host was cut off from etcd.
    pub cuts: usize,
    /// How many collections finished.
    pub collected: usize,
    /// How many times the kernels were asked for every namespace's addresses.
    pub samples: usize,
    /// The most addresses seen at once.
    pub most: usize,
    /// Addresses that two namespaces with processes had at once, on any hosts.
    pub duplicates: Vec<String>,
    /// How many processes lived on in a namespace that Podman did not know.
    pub lost: usize,
    /// The keys and leases that are left after the end and one collection on each host.
    pub left: Vec<String>,
}

/// What the threads share.
#[derive(Default)]
struct Counts {
    over: AtomicBool,
    commands: AtomicUsize,
    succeeded: AtomicUsize,
    kills: AtomicUsize,
    collected: AtomicUsize,
}

impl Storm {
    /// Runs it on a LAN of its own, and cleans up after it.
    ///
    /// # Panics
    /// If Podman itself can no longer remove its containers, etcd does not recover, or the
    /// last collection or the doctor fails.
    #[track_caller]
    pub fn rage(self, kind: Kind) -> Outcome {
        let mut lan = Lan::start(kind);
        for lab in lan.hosts() {
            // With the default breaker, a host would spend most of a storm waiting until it may ask
            // etcd again.
            lan.configure(lab, "client", "breaker = \"1s\"\n");
        }
        let networks = lan.share(&["--ip-range", RANGE]);
        let mut outcome = self.rage_on(&mut lan);
        wait_until("a leader of all nodes", AGAIN, || lan.cluster.leader());
        for lab in lan.hosts() {
            lab.forget();
            outcome.lost += lab.remove_all();
        }
        for (lab, network) in lan.hosts().into_iter().zip(&networks) {
            // A host whose etcd did not answer a moment ago asks again once its breaker is closed.
            wait_until("a collection that reaches etcd", AGAIN, || {
                let collection = lab.cmd("berth").args(["gc", "--now"]).run();
                collection.status.success().then_some(())
            });
            let leases = lab.leases(network).of(network);
            outcome.left.extend(leases);
            lab.cmd("berth").arg("doctor").ok();
        }
        outcome.left.extend(lan.keys());
        outcome
    }

    fn rage_on(self, lan: &mut Lan) -> Outcome {
        let counts = Counts::default();
        let sampled = Mutex::new(Outcome::default());
        let mut seeds = fastrand::Rng::with_seed(self.seed);
        let (mut dead_nodes, mut cuts) = (0, 0);
        let Lan {
            hosts,
            cluster,
            switch,
            ..
        } = lan;
        thread::scope(|scope| {
            let (counts, labs, sampled) = (&counts, &*hosts, &sampled);
            let _over = Over(&counts.over);
            for (place, lab) in labs.iter().enumerate() {
                for number in 0..WORKERS {
                    let random = seeds.fork();
                    // The workers with the same number on all hosts want the same address.
                    let worker = Worker {
                        number,
                        place,
                        random,
                    };
                    scope.spawn(move || worker.work(lab, counts));
                }
                scope.spawn(move || collect(lab, counts));
            }
            let random = seeds.fork();
            scope.spawn(move || kill(labs, counts, random));
            scope.spawn(move || sample(labs, counts, sampled));
            // Nodes end with the thread that started them, which is this one.
            let start = Instant::now();
            while start.elapsed() < self.length {
                thread::sleep(Duration::from_millis(seeds.u64(1000..3000)));
                let node = seeds.usize(..NAMES.len());
                if seeds.bool() {
                    cluster.kill(node);
                    dead_nodes += 1;
                    thread::sleep(Duration::from_millis(seeds.u64(..1500)));
                    cluster.revive(node);
                } else {
                    switch.set(node, Wire::Etcd, "down");
                    cuts += 1;
                    thread::sleep(Duration::from_millis(seeds.u64(..1500)));
                    switch.set(node, Wire::Etcd, "up");
                }
            }
        });
        let sampled = sampled.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome {
            commands: counts.commands.into_inner(),
            succeeded: counts.succeeded.into_inner(),
            kills: counts.kills.into_inner(),
            collected: counts.collected.into_inner(),
            dead_nodes,
            cuts,
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

impl Counts {
    fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// Runs podman, and counts whether it succeeded.
    fn podman(&self, lab: &Lab, arguments: &[&str]) {
        let bounded = lab.cmd("timeout").args(["--signal=KILL", PATIENCE]);
        let outcome = bounded.arg("podman").args(arguments).run();
        self.commands.fetch_add(1, Relaxed);
        let succeeded = usize::from(outcome.status.success());
        self.succeeded.fetch_add(succeeded, Relaxed);
    }
}

/// Works with one container on one host. The first worker of each host asks for an address, the
/// same on all hosts.
struct Worker {
    number: usize,
    place: usize,
    random: fastrand::Rng,
}

impl Worker {
    fn work(mut self, lab: &Lab, counts: &Counts) {
        let name = format!("{}{}", NAMES[self.place], self.number);
        let mut run = vec!["run", "--detach", "--name", &name, "--network=lan"];
        if self.number == 0 {
            run.push("--ip=10.77.0.99");
        }
        run.push(IMAGE);
        while counts.goes_on() {
            counts.podman(lab, &run);
            for _ in 0..self.random.usize(0..3) {
                match self.random.u8(0..2) {
                    0 => counts.podman(lab, &["restart", "--time=0", &name]),
                    _ => counts.podman(lab, &["network", "reload", &name]),
                }
            }
            // A look at the kernels takes a while, and must find running containers.
            let until = Instant::now() + Duration::from_millis(self.random.u64(..LONGEST_LIFE));
            while counts.goes_on() && Instant::now() < until {
                thread::sleep(Duration::from_millis(50));
            }
            counts.podman(lab, &["rm", "--force", "--time=0", &name]);
        }
    }
}

/// Kills one process after the other.
fn kill(labs: &[Lab], counts: &Counts, mut random: fastrand::Rng) {
    while counts.goes_on() {
        thread::sleep(Duration::from_millis(random.u64(50..350)));
        let lab = &labs[random.usize(..labs.len())];
        let pids = lab.pids(PREY[random.usize(..PREY.len())]);
        if pids.is_empty() {
            continue;
        }
        lab.kill(&pids[random.usize(..pids.len())]);
        counts.kills.fetch_add(1, Relaxed);
    }
}

/// Collects again and again, both as the timer does and as people do.
fn collect(lab: &Lab, counts: &Counts) {
    let commands: [&[&str]; 2] = [&["gc"], &["gc", "--now"]];
    for command in commands.iter().cycle() {
        if !counts.goes_on() {
            return;
        }
        let outcome = lab.cmd("berth").args(*command).run();
        let collected = usize::from(outcome.status.success());
        counts.collected.fetch_add(collected, Relaxed);
    }
}

/// Asks the kernels again and again which namespace has which address.
fn sample(labs: &[Lab], counts: &Counts, sampled: &Mutex<Outcome>) {
    while counts.goes_on() {
        let look = Look::take(labs);
        let most = look.len();
        let twice = look.duplicates(labs);
        let mut sampled = sampled.lock().unwrap_or_else(PoisonError::into_inner);
        sampled.samples += 1;
        sampled.most = sampled.most.max(most);
        sampled.duplicates.extend(twice);
        labs.iter().for_each(Lab::forget);
    }
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
            dead_nodes,
            cuts,
            collected,
            samples,
            most,
            duplicates,
            lost,
            left,
        } = self;
        let workers = NAMES.len() * WORKERS;
        writeln!(
            f,
            "{workers} workers on {} hosts ran {commands} commands; {succeeded} succeeded",
            NAMES.len()
        )?;
        writeln!(
            f,
            "{kills} processes and {dead_nodes} nodes of etcd were killed, hosts cut off from it \
             {cuts} times"
        )?;
        writeln!(f, "{collected} collections finished")?;
        writeln!(
            f,
            "{samples} samples of the kernels, at most {most} addresses at once"
        )?;
        writeln!(f, "{} duplicates ever seen", duplicates.len())?;
        writeln!(f, "{lost} processes that Podman had lost were ended")?;
        write!(
            f,
            "{} keys and leases left after one collection on each host",
            left.len()
        )
    }
}
