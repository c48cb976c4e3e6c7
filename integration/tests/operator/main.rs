//! What an operator asks berth and does by hand on a network with several containers, of which one
//! is dead and one static and stopped.

mod by_hand;
mod inspect;
mod tables;

use berth_integration::{Cmd, Driver, Lab, Network};
use serde_json::Value;

const STATE: &str = "/run/containers/networks/berth";

/// Returns a lab with the network `n`: `one` and `two` are alive, `ghost` was killed with
/// its conmon, `stopped` has a static address and is not running.
fn scene() -> (Lab, Network) {
    let lab = Lab::start();
    populate(lab)
}

fn populate(lab: Lab) -> (Lab, Network) {
    let options = [
        "--subnet=10.77.0.0/24",
        "--opt=ipam_exclude=10.77.0.200-10.77.0.220",
    ];
    let network = lab.network(Driver::Berth, "n", &options);
    lab.container("one", &["n"]).start();
    lab.container("two", &["n"]).ip("10.77.0.20").start();
    lab.container("stopped", &["n"]).ip("10.77.0.50").start();
    lab.podman(["stop", "--time=0", "stopped"]).ok();
    lab.container("ghost", &["n"]).ip("10.77.0.99").start();
    lab.kill_with_conmon("ghost");
    (lab, network)
}

/// Returns a berth command.
fn berth<'l>(lab: &'l Lab, words: &[&str]) -> Cmd<'l> {
    lab.cmd("berth").args(words)
}

/// Returns what a berth command prints as JSON.
#[track_caller]
fn json(lab: &Lab, words: &[&str]) -> Value {
    let text = berth(lab, words).ok();
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
}

/// Asserts that a command is refused with this one line, and this exit code.
#[track_caller]
fn refused(lab: &Lab, words: &[&str], code: i32, message: &str) {
    let outcome = berth(lab, words).run();
    assert_eq!(outcome.status.code(), Some(code), "{outcome}");
    assert_eq!(outcome.stderr.trim_end(), format!("Error: {message}"));
    assert_eq!(outcome.stdout, "");
}

/// Returns some columns of a table, each line's joined by a space.
fn columns(table: &str, wanted: &[usize]) -> Vec<String> {
    let columns = |line: &str| {
        let all: Vec<_> = line.split("  ").filter(|cell| !cell.is_empty()).collect();
        let some = wanted.iter().map(|at| all[*at].trim());
        some.collect::<Vec<_>>().join(" ")
    };
    table.lines().map(columns).collect()
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    refused(
        &lab,
        &["list", "--filter", "name=web"],
        2,
        "invalid filter \"name=web\": the keys are network, container, address and state",
    );
    let template = ["list", "--format", "{{range .}}"];
    refused(
        &lab,
        &template,
        2,
        "invalid format: berth does not know {{range .}}; it knows {{.Field}}, {{json .}} and \
         {{json .Field}}",
    );
    let release = |address: &str, message: &str| {
        refused(&lab, &["release", address, "--network", "n"], 1, message);
    };
    release(
        "10.77.0.9",
        "10.77.0.9 on network n is not leased: the next container may get it",
    );
    release(
        "10.77.0.1",
        "10.77.0.1 on network n is not leased: it is the gateway of 10.77.0.0/24",
    );
    release(
        "10.78.0.9",
        "network n does not cover 10.78.0.9; it has 10.77.0.0/24",
    );
    let reserve = |address: &str, comment: &str, code: i32, message: &str| {
        let words = ["reserve", address, "--network=n", "--comment", comment];
        refused(&lab, &words, code, message);
    };
    reserve(
        "10.77.0.9",
        "a;b",
        2,
        "invalid comment: it may have 200 characters, none of them ; or a control character",
    );
    let outside = "network n: invalid option ipam_reserve: 10.78.0.9 is not within a subnet of \
                   the network (10.77.0.0/24)";
    reserve("10.78.0.9", "x", 1, outside);
    let gateway = "network n: invalid option ipam_reserve: 10.77.0.1 cannot be reserved: it is \
                   the gateway of 10.77.0.0/24";
    reserve("10.77.0.1", "x", 1, gateway);
    lab.network(Driver::Bridge, "own", &[]);
    refused(
        &lab,
        &["reserve", "10.89.0.9", "--network=own", "--for=web"],
        1,
        "Podman itself leases the addresses of network own; `berth-migrate adopt own` moves it \
         to berth",
    );
    refused(
        &lab,
        &["map", "m"],
        1,
        "berth leases no addresses for a network \"m\"; `podman network ls` lists the networks",
    );
    refused(
        &lab,
        &["list", "--network", "m"],
        1,
        "berth leases no addresses for a network \"m\"; `podman network ls` lists the networks",
    );
}

#[test]
fn reading_makes_no_store() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    assert_eq!(berth(&lab, &["list", "--noheading"]).ok(), "");
    assert_eq!(json(&lab, &["list", "--json"]), Value::Array(vec![]));
    json(&lab, &["inspect", "n"]);
    json(&lab, &["map", "--format", "json", "n"]);
    berth(&lab, &["release", "10.77.0.9", "--network=n"]).fails("is not leased");
    lab.cmd("test").args(["!", "-e", STATE]).ok();
}

#[test]
fn a_user_sees_their_own() {
    let root = Lab::start();
    let (lab, _) = populate(root.user());
    let table = berth(&lab, &["list", "--noheading"]).ok();
    assert_eq!(
        columns(&table, &[0, 3, 5]),
        [
            "10.77.0.2 one live",
            "10.77.0.20 two live",
            "10.77.0.99 ghost dead"
        ]
    );
    assert_eq!(
        json(&lab, &["inspect", "ghost"])[0]["leases"][0]["state"],
        "dead"
    );
    assert_eq!(berth(&root, &["list", "--quiet"]).ok(), "");
    berth(&lab, &["release", "10.77.0.99", "--network=n"]).ok();
    berth(&lab, &["reserve", "10.77.0.99", "--network=n", "--for=web"]).ok();
    let other = lab.container("other", &["n"]).ip("10.77.0.99");
    other.fails("is reserved on network n for container web");
    lab.remove("other");
    assert_eq!(
        berth(&lab, &["list", "--quiet"]).ok(),
        "10.77.0.2\n10.77.0.20"
    );
}
