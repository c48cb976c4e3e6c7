//! What every scene has: a lab with the network `n`, a container on it that serves a page all
//! the time, and a program that can be injured.

use std::time::{Duration, Instant};

use super::injector::Injector;
use crate::{Driver, Lab, Network, Outcome};

const BOUND: Duration = Duration::from_secs(15);
const URL: &str = "http://127.0.0.1:8081/";

/// A lab, and what is in it before any injury.
pub(super) struct Setting {
    pub(super) lab: Lab,
    pub(super) injector: Injector,
    pub(super) network: Network,
    /// Networks beside it.
    pub(super) others: Vec<Network>,
    before: Vec<String>,
}

impl Setting {
    /// Makes the network, and starts a container with this name that serves its page at
    /// port 8081.
    #[track_caller]
    pub(super) fn new(lab: Lab, injector: Injector, driver: Driver, server: &str) -> Self {
        let network = lab.network(driver, "n", &["--subnet", "10.77.0.0/24"]);
        let run = lab.container(server, &["n"]);
        run.option("--publish", "8081:80").serving().start();
        lab.assert_served(URL);
        let mut setting = Self {
            lab,
            injector,
            network,
            others: Vec::new(),
            before: Vec::new(),
        };
        setting.remember();
        setting
    }

    /// Remembers what is in the lab now, and so must be in it after each injury.
    #[track_caller]
    pub(super) fn remember(&mut self) {
        self.before = self.leftovers();
    }

    /// Runs the program that may be injured, and waits for strace's end.
    #[track_caller]
    pub(super) fn run(&self, args: &[&str]) -> Outcome {
        let outcome = self.lab.cmd(self.injector.program()).args(args).run();
        self.injector.await_strace(&self.lab);
        outcome
    }

    /// Returns whether the page is served, and each name leads to its address by DNS.
    #[track_caller]
    pub(super) fn is_served(&self, names: &[(&str, &str)]) -> bool {
        self.lab.serves(URL)
            && names.iter().all(|(name, address)| {
                let dig = ["+short", "+time=3", "+tries=1", "@10.77.0.1", name];
                self.lab.cmd("dig").args(dig).run().stdout.trim_end() == *address
            })
    }

    /// Asserts that, within a bound, everything that was in the lab is in it, and nothing else.
    /// `again` is run between two looks.
    #[track_caller]
    pub(super) fn assert_as_before(&self, again: impl Fn()) {
        let mut now = Vec::new();
        let start = Instant::now();
        while start.elapsed() < BOUND {
            now = self.leftovers();
            if now == self.before {
                break;
            }
            again();
        }
        assert_eq!(now, self.before, "something is left, or missing");
    }

    #[track_caller]
    fn leftovers(&self) -> Vec<String> {
        let networks = std::iter::once(&self.network).chain(&self.others);
        networks.flat_map(|own| self.lab.leftovers(own)).collect()
    }
}
