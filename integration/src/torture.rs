//! Runs containers on a network of Podman's own or of berth's, kills the processes that make and
//! keep them at random moments, and counts what is left in the end.
//!
//! A plan depends only on the seed, so both drivers get the same blows.

use std::fmt;
use std::time::Duration;

use crate::tally::Tally;
use crate::{Driver, Lab, Network};

/// How many containers there are at once, before all are removed.
const BATCH: usize = 20;
/// How long to wait for a victim to appear. Usually it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is killed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// `podman run`, this long after its start. What it started carries on.
    Podman(Duration),
    /// `podman run` and what it started, as when a whole service is killed.
    PodmanAndAll(Duration),
    /// netavark, this long after it started for the new container.
    Netavark(Duration),
    /// berth, this long after it started for the new container. With Podman's own
    /// allocation, netavark.
    Berth(Duration),
    /// berth, this long after it started for the removal. With Podman's own driver,
    /// netavark.
    BerthAtRemoval(Duration),
    /// conmon, while the container runs.
    Conmon,
    /// The container's process.
    Process,
    /// conmon, and then the container's process: nothing cleans up.
    ConmonAndProcess,
    /// The podman that cleans up after the container's process was killed, this long
    /// after its start.
    Cleanup(Duration),
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its name.
    pub name: String,
    /// Its address, if it asks for one.
    pub address: Option<String>,
    /// The port of the host that is published for its port 80.
    pub port: u16,
    /// What is done to it.
    pub blow: Blow,
}

/// What is done in one lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The containers, in order.
    pub rounds: Vec<Round>,
}

/// The result with one driver.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The driver.
    pub driver: Driver,
    /// The blows that hit.
    pub hits: Vec<Blow>,
    /// What is left once the last container is removed.
    pub left: Tally,
    /// The refusals of static addresses that were not available at once.
    pub refused: Vec<String>,
    /// What is left after one collection. Podman's own driver has no collection.
    pub collected: Tally,
    /// Addresses that two namespaces with processes had at once.
    pub duplicates: Vec<String>,
}

impl Blow {
    /// The kinds, in the table's order.
    const NAMES: [&'static str; 9] = [
        "podman run",
        "podman run and all it started",
        "netavark, starting",
        "berth, starting",
        "berth, removing",
        "conmon",
        "the container's process",
        "conmon and the process",
        "the cleanup",
    ];

    /// Returns its kind.
    fn name(self) -> &'static str {
        Self::NAMES[match self {
            Self::Podman(_) => 0,
            Self::PodmanAndAll(_) => 1,
            Self::Netavark(_) => 2,
            Self::Berth(_) => 3,
            Self::BerthAtRemoval(_) => 4,
            Self::Conmon => 5,
            Self::Process => 6,
            Self::ConmonAndProcess => 7,
            Self::Cleanup(_) => 8,
        }]
    }
}

impl Plan {
    /// Plans to kill `count` `podman run` of each kind, static and dynamic, and a tenth as many
    /// of each other blow.
    pub fn new(count: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut blows = Vec::new();
        let millis = |range: std::ops::Range<u64>, random: &mut fastrand::Rng| {
            Duration::from_millis(random.u64(range))
        };
        for is_static in [true, false] {
            for number in 0..count {
                let delay = millis(30..400, &mut random);
                let blow = if number.is_multiple_of(2) {
                    Blow::Podman(delay)
                } else {
                    Blow::PodmanAndAll(delay)
                };
                blows.push((is_static, blow));
            }
            for _ in 0..count.div_ceil(10) {
                for blow in [
                    Blow::Netavark(millis(0..60, &mut random)),
                    Blow::Berth(millis(0..60, &mut random)),
                    Blow::BerthAtRemoval(millis(0..90, &mut random)),
                    Blow::Conmon,
                    Blow::Process,
                    Blow::ConmonAndProcess,
                    Blow::Cleanup(millis(0..150, &mut random)),
                ] {
                    blows.push((is_static, blow));
                }
            }
        }
        random.shuffle(&mut blows);
        let rounds = blows
            .into_iter()
            .enumerate()
            .map(|(number, (is_static, blow))| {
                let address = || format!("10.77.{}.{}", 1 + number / 200, 1 + number % 200);
                Round {
                    name: format!("c{number}"),
                    address: is_static.then(address),
                    port: 20_000 + u16::try_from(number).unwrap_or(0),
                    blow,
                }
            });
        Self {
            rounds: rounds.collect(),
        }
    }

    /// Carries it out in a lab of its own.
    ///
    /// # Panics
    /// If Podman can no longer remove its containers.
    #[track_caller]
    pub fn carry_out(&self, driver: Driver) -> Outcome {
        let lab = Lab::start();
        let network = Self::network(&lab, driver);
        let (hits, mut duplicates) = self.deal(&lab, driver);
        let left = Tally::take(&lab, &network, driver);
        let refused = self.start_statics_again(&lab);
        duplicates.extend(lab.duplicates());
        lab.remove_all();
        if driver != Driver::Bridge {
            lab.cmd("berth").arg("gc").ok();
        }
        Outcome {
            driver,
            hits,
            left,
            refused,
            collected: Tally::take(&lab, &network, driver),
            duplicates,
        }
    }

    /// Makes the network that the containers are on.
    #[track_caller]
    pub fn network(lab: &Lab, driver: Driver) -> Network {
        // Dynamic addresses stay clear of the static ones.
        let options = ["--subnet", "10.77.0.0/16", "--ip-range", "10.77.128.0/17"];
        lab.network(driver, "n", &options)
    }

    /// Runs the containers, deals the blows and removes everything. Returns the blows that hit,
    /// and the addresses that two namespaces with processes had at once.
    #[track_caller]
    pub fn deal(&self, lab: &Lab, driver: Driver) -> (Vec<Blow>, Vec<String>) {
        let (mut hits, mut duplicates) = (Vec::new(), Vec::new());
        for batch in self.rounds.chunks(BATCH) {
            lab.forget();
            for round in batch {
                hits.extend(round.carry_out(lab, driver).then_some(round.blow));
            }
            duplicates.extend(lab.duplicates());
            lab.remove_all();
        }
        (hits, duplicates)
    }

    /// Asks for every static address again, and returns the refusals.
    fn start_statics_again(&self, lab: &Lab) -> Vec<String> {
        let mut refused = Vec::new();
        for (number, round) in self.rounds.iter().enumerate() {
            let Some(address) = &round.address else {
                continue;
            };
            if number % BATCH == 0 {
                lab.forget();
            }
            let name = format!("again{number}");
            let run = lab.container(&name, &["n"]).ip(address).cmd().run();
            if !run.status.success() {
                refused.push(format!("{address}: {}", run.stderr.trim_end()));
            }
        }
        refused
    }
}

impl Round {
    /// Runs the container and deals the blow; returns whether it hit.
    fn carry_out(&self, lab: &Lab, driver: Driver) -> bool {
        let berth = match driver {
            Driver::Bridge => "netavark",
            Driver::Berth | Driver::HostWide => "berth",
        };
        match self.blow {
            Blow::Podman(delay) => self.run_for(lab, &["--foreground"], delay),
            Blow::PodmanAndAll(delay) => self.run_for(lab, &[], delay),
            Blow::Netavark(delay) => self.run_hunted(lab, "netavark", delay),
            Blow::Berth(delay) => self.run_hunted(lab, berth, delay),
            Blow::BerthAtRemoval(delay) => {
                lab.podman(self.run()).run();
                let hunt = lab.hunt(berth, delay, PATIENCE).spawn();
                let remove = ["rm", "--force", "--time=0", &self.name];
                lab.podman(remove).run();
                hunt.wait().stdout.contains("killed")
            }
            Blow::Conmon => self.run_and_kill(lab, "{{.State.ConmonPid}}"),
            Blow::Process => self.run_and_kill(lab, "{{.State.Pid}}"),
            Blow::ConmonAndProcess => self.run_and_kill(lab, "{{.State.ConmonPid}} {{.State.Pid}}"),
            Blow::Cleanup(delay) => {
                lab.podman(self.run()).run();
                let hunt = lab.hunt("cleanup", delay, PATIENCE).spawn();
                self.kill(lab, "{{.State.Pid}}");
                hunt.wait().stdout.contains("killed")
            }
        }
    }

    /// Gives `podman run` this much time. Without options, `timeout` kills its
    /// whole process group.
    fn run_for(&self, lab: &Lab, options: &[&str], time: Duration) -> bool {
        let seconds = format!("{}", time.as_secs_f32());
        let timeout = lab.cmd("timeout").args(options);
        let timeout = timeout.args(["--signal=KILL", &seconds, "podman"]);
        !timeout.args(self.run()).run().status.success()
    }

    fn run_hunted(&self, lab: &Lab, prey: &str, delay: Duration) -> bool {
        let hunt = lab.hunt(prey, delay, PATIENCE).spawn();
        lab.podman(self.run()).run();
        hunt.wait().stdout.contains("killed")
    }

    fn run_and_kill(&self, lab: &Lab, pids: &str) -> bool {
        lab.podman(self.run()).run();
        self.kill(lab, pids)
    }

    /// Kills the processes that podman reports, in the order of `pids`.
    fn kill(&self, lab: &Lab, pids: &str) -> bool {
        let inspect = ["inspect", "--format", pids, &self.name];
        let pids = lab.podman(inspect).run().stdout;
        let pids = pids.split_whitespace().filter(|pid| *pid != "0");
        let mut any = false;
        for pid in pids {
            lab.kill(pid);
            any = true;
        }
        any
    }

    /// Returns podman's arguments.
    fn run(&self) -> Vec<String> {
        let publish = format!("--publish={}:80", self.port);
        let name = format!("--name={}", self.name);
        let mut words = vec!["run", "--detach", "--network=n", &name, &publish];
        let address = self
            .address
            .as_ref()
            .map(|address| format!("--ip={address}"));
        words.extend(address.as_deref());
        words.push(crate::podman::IMAGE);
        words.into_iter().map(str::to_owned).collect()
    }
}

impl Outcome {
    /// Returns the promises of berth that were broken.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let left = self.collected.lines.iter();
        broken.extend(left.map(|line| format!("left after one collection: {line}")));
        broken.extend(self.refused.iter().map(|why| format!("refused: {why}")));
        broken.extend(self.duplicates.iter().map(|what| format!("twice: {what}")));
        broken
    }
}

/// The outcomes side by side.
pub struct Table<'a>(pub &'a [Outcome]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<40}", "")?;
        for outcome in self.0 {
            write!(f, "{:>12}", outcome.driver.title())?;
        }
        writeln!(f)?;
        let mut row = |name: &str, number: &dyn Fn(&Outcome) -> usize| {
            write!(f, "{name:<40}")?;
            for outcome in self.0 {
                write!(f, "{:>12}", number(outcome))?;
            }
            writeln!(f)
        };
        for name in Blow::NAMES {
            let of_kind = |blow: &&Blow| blow.name() == name;
            row(&format!("killed: {name}"), &|outcome| {
                outcome.hits.iter().filter(of_kind).count()
            })?;
        }
        for (number, name) in Tally::NAMES.iter().enumerate() {
            row(name, &|outcome| outcome.left.counts()[number])?;
        }
        row("static addresses refused", &|outcome| outcome.refused.len())?;
        row("duplicates ever seen", &|outcome| outcome.duplicates.len())?;
        for (number, name) in Tally::NAMES.iter().enumerate() {
            let name = format!("{name} after a collection");
            row(&name, &|outcome| outcome.collected.counts()[number])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_plan() {
        assert_eq!(Plan::new(20, 7), Plan::new(20, 7));
        assert_ne!(Plan::new(20, 7), Plan::new(20, 8));
    }

    #[test]
    fn half_of_the_rounds_have_an_address_of_their_own() {
        let plan = Plan::new(200, 7);
        let addresses = plan.rounds.iter().filter_map(|round| round.address.clone());
        let mut addresses: Vec<_> = addresses.collect();
        assert_eq!(2 * addresses.len(), plan.rounds.len());
        let count = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), count);
    }
}
