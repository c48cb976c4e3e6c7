//! How long a container takes to start and to be removed: on one of Podman's own networks,
//! with berth as a plugin, and with berth in front of netavark, in turn in one lab. A plugin
//! that leases nothing shows what the plugin protocol costs, and a network that stays with
//! Podman behind the same front what merely standing there costs.
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

use berth_integration::{Benchmark, Driver, Lab, executable, median};

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
        rounds: 20,
        most: [1.07, 1.05],
    },
    Scenario {
        word: "eight",
        what: "one container on eight networks",
        rounds: 30,
        most: [1.08, 1.08],
    },
];

/// The kinds of networks, each with the name of its first, and what it is called. `None` is
/// the driver of a plugin that leases nothing.
const KINDS: [(Option<Driver>, &str, &str); 5] = [
    (Some(Driver::Bridge), "own", "Podman's own"),
    (None, "bare", "bare plugin"),
    (Some(Driver::Berth), "berth", "plugin"),
    (Some(Driver::HostWide), "plain", "host-wide"),
    (Some(Driver::Bridge), "left", "only passed on"),
];
/// Those that have a target.
const OURS: [&str; 2] = ["berth", "plain"];

/// All rounds of one.
const PATIENCE: Duration = Duration::from_secs(600);

/// Prints `NETWORK START REMOVE` a line, in microseconds. Timed in the lab itself, so that
/// entering it does not count. From round to round each kind moves up a place, and every
/// five rounds the order turns, so none has a better place than another. In `beside`, another
/// container stays on each network, and so does its bridge.
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
rounds=$1 scenario=$2 order=("${@:3}")
if [ "$scenario" = beside ]; then
  for network in "${order[@]}"; do
    podman run --detach --name "beside-$network" --network $network lab sleep 1000 >/dev/null
  done
fi
for network in "${order[@]}"; do one $network >/dev/null; done
kinds=${#order[@]}
for ((round = 0; round < rounds; round++)); do
  for ((place = 0; place < kinds; place++)); do
    at=$(((round + place) % kinds))
    ((round / kinds % 2)) && at=$((kinds - 1 - at))
    one "${order[at]}"
  done
done
"#;

fn main() -> ExitCode {
    let mut benchmark = Benchmark::begin();
    let bare = (
        executable("bare-plugin"),
        "/usr/libexec/netavark/bare".to_owned(),
    );
    let lab = Lab::start_beside(&[bare]).unrecorded();
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
            let made = match driver {
                None => lab.foreign_network("bare", &name, &options[..2]),
                Some(Driver::Bridge) => lab.network(Driver::Bridge, &name, &options),
                Some(driver) => lab.network(driver, &name, &options[..2]),
            };
            networks.push(made);
        }
    }
    for scenario in &SCENARIOS {
        if !benchmark.runs(scenario.what) {
            continue;
        }
        let rounds = benchmark.rounds(scenario.rounds, 2);
        let arguments = ["-euc", SCRIPT, "bash", &rounds.to_string(), scenario.word];
        let script = lab.cmd("bash").args(arguments);
        let measured = script.args(KINDS.map(|(_, name, _)| name)).within(PATIENCE);
        let measured = measured.ok();
        report(&measured, rounds, scenario, &mut benchmark);
        lab.remove_all();
    }
    // A collection in the background may have adopted a container of the bare plugin, which does not
    // give it back.
    lab.cmd("berth").args(["gc", "--now"]).ok();
    for network in &networks {
        lab.assert_clean(network);
    }
    benchmark.end()
}

/// Prints what was measured: the median of each kind, and of the ratios within each round.
fn report(measured: &str, rounds: usize, scenario: &Scenario, benchmark: &mut Benchmark) {
    println!("{}, medians of {rounds}, in ms", scenario.what);
    println!("{:<22} {:>8} {:>8} {:>8}", "", "start", "remove", "both");
    let times = KINDS.map(|(_, network, _)| times(measured, network, rounds));
    for ((_, _, name), times) in KINDS.iter().zip(&times) {
        let [start, remove, both] = medians(times);
        println!("{name:<22} {start:>8.1} {remove:>8.1} {both:>8.1}");
    }
    let [own, others @ ..] = &times;
    for ((_, network, name), these) in KINDS[1..].iter().zip(others) {
        let pairs = these.iter().zip(own);
        let ratios: Vec<_> = pairs
            .map(|(these, own)| [0, 1, 2].map(|at| these[at] / own[at]))
            .collect();
        let [start, remove, both] = medians(&ratios);
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

/// Returns one network's start, removal, and both together in each round, in milliseconds.
fn times(measured: &str, network: &str, rounds: usize) -> Vec<[f64; 3]> {
    let lines = measured
        .lines()
        .filter_map(|line| line.strip_prefix(network)?.strip_prefix(' '));
    let times = lines.map(|times| {
        let times = times.split(' ').filter_map(|time| time.parse().ok());
        let times: Vec<f64> = times.collect();
        [times[0], times[1], times[0] + times[1]].map(|micros| micros / 1000.0)
    });
    let times: Vec<_> = times.collect();
    assert_eq!(times.len(), rounds, "a line for each round:\n{measured}");
    times
}

/// Returns the median of each column.
fn medians(rows: &[[f64; 3]]) -> [f64; 3] {
    [0, 1, 2].map(|at| median(rows.iter().map(|row| row[at])))
}
