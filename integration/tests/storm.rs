//! Podman is killed at any moment, again and again, as on a machine that runs out of memory. In
//! the end, containers can have every address of the network.
//!
//! With Podman's own allocator, 60 starts that were killed after 30 to 250 ms left 12
//! addresses, 11 names, 11 interfaces and 13 namespace files behind (Podman 5.4.2).

use std::collections::BTreeSet;
use std::time::Duration;

use berth_integration::{Driver, Lab, Network, seed, storm::Storm, with_driver};

with_driver!(
    only_berth,
    Berth,
    every_address_can_be_had_after_a_storm_of_killed_starts,
    every_address_can_be_had_after_a_storm_of_killed_removals,
);

/// How long the storm of everything at once lasts here; in `make torture` it lasts longer.
const LENGTH: Duration = Duration::from_secs(12);

const KILLS: u32 = 40;
/// How many addresses a /28 has besides network, gateway and broadcast address.
const POOL: usize = 13;
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/28"];

/// Returns delays from 20 to 200 ms, without repeating any.
fn delays() -> impl Iterator<Item = String> {
    (0..KILLS).map(|number| {
        let millis = 20 + (number * 73) % KILLS * 180 / KILLS;
        format!("{}", Duration::from_millis(millis.into()).as_secs_f32())
    })
}

/// Asserts that containers can have every address of the pool at once.
#[track_caller]
fn assert_all_can_be_had(lab: &Lab, network: &Network) {
    let names: Vec<_> = (0..POOL).map(|number| format!("after{number}")).collect();
    for name in &names {
        lab.container(name, &[&network.name]).start();
    }
    let addresses: BTreeSet<_> = names
        .iter()
        .flat_map(|name| lab.addresses(name, "eth0"))
        .collect();
    assert_eq!(addresses.len(), POOL);
    lab.remove_all();
    lab.remove_empty_namespaces();
    lab.assert_clean(network);
}

fn every_address_can_be_had_after_a_storm_of_killed_starts(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    for delay in delays() {
        let run = ["podman", "run", "--detach", "--network=n", "lab"];
        let killed = lab.cmd("timeout").args(["--signal=KILL", &delay]);
        killed.args(run).run();
        // Some containers live, most are half made.
        lab.remove_all();
    }
    assert_all_can_be_had(&lab, &network);
}

fn every_address_can_be_had_after_a_storm_of_killed_removals(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    for delay in delays() {
        lab.container("c", &["n"]).start();
        let remove = ["podman", "rm", "--force", "--time=0", "c"];
        let killed = lab.cmd("timeout").args(["--signal=KILL", &delay]);
        killed.args(remove).run();
        lab.remove_all();
    }
    assert_all_can_be_had(&lab, &network);
}

#[test]
fn no_address_is_given_twice_in_a_storm_of_workers_collections_and_kills() {
    let storm = Storm {
        length: LENGTH,
        seed: seed(),
    };
    let outcome = storm.rage();
    eprintln!("{outcome}");
    let broken = outcome.broken_promises();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(outcome.succeeded > 0 && outcome.kills > 0 && outcome.collected > 0);
    assert!(outcome.most > 0, "no sample has seen anybody");
}
