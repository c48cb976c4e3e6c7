//! The protocol against everything that can happen: hosts that claim and release, kills at
//! every call, partitions, messages that are lost, late or repeated, copies, evictions and
//! restores. After each step no address is in use twice, and each invariant is checked where
//! it could be broken (I1 in `world`, I2 and I3 in `etcd`); at the end nothing is taken.
//!
//! `BERTH_SEED=N` gives other worlds, `PROPTEST_CASES=N` more of them.
#![allow(clippy::unwrap_used)]

mod actor;
mod etcd;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use world::{Command, Fault, World, wind_up};

const HOSTS: usize = 3;

fn seed() -> u64 {
    std::env::var("BERTH_SEED").map_or(14, |seed| seed.parse().unwrap())
}

/// What may happen besides crashes and what a network does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Nothing,
    /// Copies and evictions.
    Operators,
    /// And restores.
    Restores,
}

fn command(fate: Fate) -> BoxedStrategy<Command> {
    let usual = prop_oneof![
        6 => Just(Command::StartDynamic),
        4 => (1..=world::ADDRESSES).prop_map(Command::StartStatic),
        5 => (0..4usize).prop_map(Command::Stop),
        2 => (0..4usize).prop_map(Command::Die),
        4 => Just(Command::Collect),
        1 => Just(Command::Reboot),
        2 => any::<bool>().prop_map(Command::Cut),
        1 => Just(Command::Expire),
        4 => (0..8usize).prop_map(Command::Deliver),
    ];
    let operators = prop_oneof![
        2 => (0..HOSTS).prop_map(Command::Evict),
        1 => Just(Command::Rejoin),
        1 => (0..HOSTS).prop_map(Command::CopiedTo),
        1 => (0..HOSTS).prop_map(Command::Twin),
    ];
    match fate {
        Fate::Nothing => usual.boxed(),
        Fate::Operators => prop_oneof![6 => usual, 1 => operators].boxed(),
        Fate::Restores => prop_oneof![
            18 => usual,
            3 => operators,
            2 => Just(Command::Backup),
            2 => Just(Command::Restore),
            1 => Just(Command::Accept),
            3 => Just(Command::Recover),
        ]
        .boxed(),
    }
}

fn fault(fate: Fate) -> impl Strategy<Value = Fault> {
    prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::LoseRequest),
        2 => Just(Fault::LoseAnswer),
        2 => Just(Fault::Late),
        1 => Just(Fault::Twice),
        1 => Just(Fault::Repeat),
        1 => Just(Fault::KillBefore),
        1 => Just(Fault::KillAfter),
        3 => (0..HOSTS, command(fate)).prop_map(|(host, command)| {
            // A whole cluster is not restored within one call.
            let command = match command {
                Command::Restore | Command::Backup | Command::Recover => Command::StartDynamic,
                command => command,
            };
            Fault::Inside(host, Box::new(command))
        }),
    ]
}

type Step = (usize, Command, Vec<Fault>);

fn steps(fate: Fate) -> impl Strategy<Value = Vec<Step>> {
    let faults = prop_oneof![
        2 => Just(Vec::new()),
        1 => proptest::collection::vec(fault(fate), 0..12),
    ];
    proptest::collection::vec((0..HOSTS, command(fate), faults), 1..60)
}

fn explore(cases: u32, fate: Fate) {
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
    let ran = TestRunner::new(config).run(&steps(fate), |steps| {
        let world = World::new(HOSTS);
        for (host, command, faults) in &steps {
            world.borrow_mut().faults.clone_from(faults);
            World::run(&world, *host, command);
        }
        wind_up(&world);
        prop_assert_eq!(world.borrow().taken(), 0, "addresses have leaked");
        if fate == Fate::Nothing {
            prop_assert_eq!(world.borrow().refused, 0, "a host was refused");
        }
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
    explore(1200, Fate::Operators);
}

#[test]
fn a_restored_etcd_gives_no_address_twice() {
    explore(1200, Fate::Restores);
}

#[test]
fn a_host_that_was_never_copied_nor_evicted_is_never_refused() {
    explore(1200, Fate::Nothing);
}

#[test]
fn an_evicted_host_claims_nothing_until_it_joins_anew() {
    let world = World::new(2);
    let run = |host, command| World::run(&world, host, &command);
    for host in [0, 1] {
        run(host, Command::StartDynamic);
    }
    run(1, Command::Die(0));
    run(0, Command::Evict(1));
    assert_eq!(world.borrow().taken(), 2, "it reported in lately");
    run(1, Command::Expire);
    run(0, Command::Evict(1));
    assert_eq!(world.borrow().taken(), 1);
    run(1, Command::StartDynamic);
    assert_eq!(world.borrow().taken(), 1, "an evicted host has claimed");
    run(1, Command::Rejoin);
    run(1, Command::StartDynamic);
    assert_eq!(world.borrow().taken(), 2);
}

/// The client asks the next endpoint when the first does not answer, and both carry it out.
#[test]
fn a_claim_that_arrives_twice_is_one_claim() {
    let world = World::new(1);
    world.borrow_mut().faults = vec![Fault::Repeat; 40];
    World::run(&world, 0, &Command::StartDynamic);
    assert_eq!(world.borrow().hosts[0].running.len(), 1);
    assert_eq!(world.borrow().taken(), 1);
}
