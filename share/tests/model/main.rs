//! The protocol against everything that can happen: hosts that claim and release, kills at
//! every call, partitions, messages that are lost, late or repeated, copies, evictions and
//! restores. After each step no address is in use twice, and each invariant is checked where
//! it could be broken (I1 in `world`, I2 and I3 in `etcd`); at the end nothing is taken.
//!
//! `BERTH_SEED=N` gives other worlds, `PROPTEST_CASES=N` more of them.
#![allow(clippy::unwrap_used)]

mod etcd;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use world::{Command, Fault, World, wind_up};

const HOSTS: usize = 3;

fn seed() -> u64 {
    std::env::var("BERTH_SEED").map_or(14, |seed| seed.parse().unwrap())
}

fn command(with_restores: bool) -> BoxedStrategy<Command> {
    let usual = prop_oneof![
        6 => Just(Command::StartDynamic),
        4 => (1..=world::ADDRESSES).prop_map(Command::StartStatic),
        5 => (0..4usize).prop_map(Command::Stop),
        2 => (0..4usize).prop_map(Command::Die),
        4 => Just(Command::Collect),
        1 => Just(Command::Reboot),
        2 => any::<bool>().prop_map(Command::Cut),
        1 => Just(Command::Expire),
        2 => (0..HOSTS).prop_map(Command::Evict),
        1 => Just(Command::Rejoin),
        4 => (0..8usize).prop_map(Command::Deliver),
        1 => (0..HOSTS).prop_map(Command::CopiedTo),
    ];
    if with_restores {
        prop_oneof![
            12 => usual,
            1 => Just(Command::Backup),
            1 => Just(Command::Restore),
            2 => Just(Command::Accept),
        ]
        .boxed()
    } else {
        usual.boxed()
    }
}

fn fault(with_restores: bool) -> impl Strategy<Value = Fault> {
    prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::LoseRequest),
        2 => Just(Fault::LoseAnswer),
        2 => Just(Fault::Late),
        1 => Just(Fault::Twice),
        1 => Just(Fault::Repeat),
        1 => Just(Fault::KillBefore),
        1 => Just(Fault::KillAfter),
        3 => (0..HOSTS, command(with_restores)).prop_map(|(host, command)| {
            // A whole cluster is not restored within one call.
            let command = match command {
                Command::Restore | Command::Backup => Command::StartDynamic,
                command => command,
            };
            Fault::Inside(host, Box::new(command))
        }),
    ]
}

type Step = (usize, Command, Vec<Fault>);

fn steps(with_restores: bool) -> impl Strategy<Value = Vec<Step>> {
    let faults = prop_oneof![
        2 => Just(Vec::new()),
        1 => proptest::collection::vec(fault(with_restores), 0..12),
    ];
    proptest::collection::vec((0..HOSTS, command(with_restores), faults), 1..60)
}

fn explore(cases: u32, with_restores: bool) {
    let mut config = Config {
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let cases = config.cases as usize;
    let started = std::cell::Cell::new(0);
    let ran = TestRunner::new(config).run(&steps(with_restores), |steps| {
        let world = World::new(HOSTS);
        for (host, command, faults) in &steps {
            world.borrow_mut().faults.clone_from(faults);
            World::run(&world, *host, command);
        }
        wind_up(&world);
        prop_assert_eq!(world.borrow().taken(), 0, "addresses have leaked");
        started.set(started.get() + world.borrow().started);
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        started.get() > cases,
        "only {} containers started",
        started.get()
    );
}

#[test]
fn no_address_is_given_twice_and_none_leaks() {
    explore(2000, false);
}

#[test]
fn a_restored_etcd_gives_no_address_twice() {
    explore(2000, true);
}
