//! How long a container takes to start and to be removed: on one of Podman's own networks,
//! with berth as a plugin, and with berth in front of netavark, in turn in one lab. A network
//! that stays with Podman behind the same front shows what merely standing there costs.
//!
//!     make bench
//!
//! Fails if a target is missed. Words on the command line choose among the scenarios, as in
//! `cargo bench -p berth-integration --bench containers -- eight`.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a benchmark is for"
)]

use std::process::ExitCode;
use std::time::Duration;

use berth_integration::{Benchmark, Driver, Lab};

/// What is measured, on each kind of network in turn.
struct Scenario {
    /// Its name in [`SCRIPT`].
    word: &'static str,
    what: &'static str,
    /// Without the first, which is for warming up.
    rounds: usize,
    /// How many times longer than with Podman's own driver it may take: see [`OURS`].
    most: [f64; 2],
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        word: "alone",
        what: "one container, the only one on its network",
        rounds: 60,
        most: [1.05, 1.05],
    },
    Scenario {
        word: "beside",
        what: "one container, beside another",
        rounds: 60,
        most: [1.05, 1.05],
    },
    Scenario {
        word: "twenty",
        what: "twenty containers at once",
        rounds: 24,
        most: [1.07, 1.05],
    },
    Scenario {
        word: "eight",
        what: "one container on eight networks",
        rounds: 30,
        most: [1.08, 1.08],
    },
];

/// The kinds of networks, each with the name of its first, and what it is called.
const KINDS: [(Driver, &str, &str); 4] = [
    (Driver::Bridge, "own", "Podman's own"),
    (Driver::Berth, "berth", "plugin"),
    (Driver::HostWide, "plain", "host-wide"),
    (Driver::Bridge, "left", "only passed on"),
];
/// Those that have a target.
const OURS: [&str; 2] = ["berth", "plain"];

/// All rounds of one.
const PATIENCE: Duration = Duration::from_secs(600);

/// Prints `NETWORK START REMOVE` a line, in microseconds. Timed in the lab itself,
/// so that entering it does not count; the driver that goes first changes. In
/// `beside`, another container stays on each network, and so does its bridge.
const SCRIPT: &str = r#"
now() { echo "${EPOCHREALTIME/[.,]/}"; }
one() {
  local begun started removed at networks=$1 names=("$1") pids=()
  # Past the link, unless it is what is measured.
  case $1 in
    plain | left) unset CONTAINERS_HELPER_BINARY_DIR ;;
    *) export CONTAINERS_HELPER_BINARY_DIR=/usr/lib/podman ;;
  esac
  case $scenario in
    twenty) names=("$1"-{1..20}) ;;
    eight) networks=$(printf ",$1%s" '' {2..8}) ;;
  esac
  begun=$(now)
  for at in "${names[@]}"; do
    podman run --detach --name "$at" --network "${networks#,}" lab sleep 1000 >/dev/null &
    pids+=($!)
  done
  for at in "${pids[@]}"; do wait "$at"; done
  started=$(now)
  podman rm --force --time 0 "${names[@]}" >/dev/null
  removed=$(now)
  echo "$1 $((started - begun)) $((removed - started))"
}
scenario=$2
if [ "$scenario" = beside ]; then
  for network in own berth plain left; do
    podman run --detach --name "beside-$network" --network $network lab sleep 1000 >/dev/null
  done
fi
for network in own berth plain left; do one $network >/dev/null; done
for ((round = 0; round < $1; round += 2)); do
  for network in own berth plain left left plain berth own; do one $network; done
done
"#;

fn main() -> ExitCode {
    let mut benchmark = Benchmark::begin();
    let lab = Lab::start().unrecorded();
    let mut networks = Vec::new();
    for (at, (driver, name, _)) in KINDS.into_iter().enumerate() {
        for nth in 1..=8 {
            // The first is the one of all scenarios but one.
            let name = if nth == 1 {
                name.to_owned()
            } else {
                format!("{name}{nth}")
            };
            let subnet = format!("10.{}.{nth}.0/24", 77 + at);
            let options = ["--subnet", &subnet, "--label", "berth.adopt=off"];
            let options = if driver == Driver::Bridge {
                &options[..]
            } else {
                &options[..2]
            };
            networks.push(lab.network(driver, &name, options));
        }
    }
    for scenario in &SCENARIOS {
        if !benchmark.runs(scenario.what) {
            continue;
        }
        let rounds = benchmark.rounds(scenario.rounds, 2);
        let script =
            ["-euc", SCRIPT, "bash", &rounds.to_string(), scenario.word].map(str::to_owned);
        let measured = lab.cmd("bash").args(script).within(PATIENCE).ok();
        report(&measured, rounds, scenario, &mut benchmark);
        lab.remove_all();
    }
    for network in &networks {
        lab.assert_clean(network);
    }
    benchmark.end()
}

/// Prints what was measured.
fn report(measured: &str, rounds: usize, scenario: &Scenario, benchmark: &mut Benchmark) {
    println!("{}, medians of {rounds}, in ms", scenario.what);
    println!("{:<22} {:>8} {:>8} {:>8}", "", "start", "remove", "both");
    let medians = KINDS.map(|(_, network, _)| medians(measured, network, rounds));
    for ((_, _, name), [start, remove, both]) in KINDS.iter().zip(medians) {
        println!("{name:<22} {start:>8.1} {remove:>8.1} {both:>8.1}");
    }
    let [own, others @ ..] = medians;
    for ((_, network, name), these) in KINDS[1..].iter().zip(others) {
        let [start, remove, both] = [0, 1, 2].map(|at| these[at] / own[at]);
        let ratio = format!("{name} / own");
        print!("{ratio:<22} {start:>8.2} {remove:>8.2} {both:>8.2}");
        if let Some(at) = OURS.iter().position(|ours| ours == network) {
            let most = scenario.most[at];
            print!("   wanted: at most {most:.2}");
            if both > most {
                benchmark.miss(format!("{name}, {}", scenario.what));
            }
        }
        println!();
    }
}

/// Returns the medians of one network's starts, removals, and both together.
fn medians(measured: &str, network: &str, rounds: usize) -> [f64; 3] {
    let lines = measured
        .lines()
        .filter_map(|line| line.strip_prefix(network)?.split_once(' '));
    let times = lines.map(|(_, times)| {
        let parsed: Vec<f64> = times
            .split(' ')
            .filter_map(|time| time.parse().ok())
            .collect();
        [parsed[0], parsed[1], parsed[0] + parsed[1]]
    });
    let times: Vec<_> = times.collect();
    assert_eq!(
        times.len(),
        rounds,
        "a line for each container:\n{measured}"
    );
    [0, 1, 2].map(|at| {
        let mut column: Vec<f64> = times.iter().map(|times| times[at] / 1000.0).collect();
        column.sort_by(f64::total_cmp);
        column[column.len() / 2]
    })
}
