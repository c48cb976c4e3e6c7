//! How long a container takes to start and to be removed: on one of Podman's own networks,
//! with berth as a plugin, and with berth in front of netavark, in turn in one lab.
//!
//!     make bench
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a benchmark is for"
)]

use std::time::Duration;

use berth_integration::{Driver, Lab};

/// Containers on each network, a first one for warming up not counted.
const ROUNDS: usize = 60;

/// How many times longer than with Podman's own driver it may take, as a plugin and host-wide.
const MOST: [f64; 2] = [1.10, 1.05];

/// Both for all rounds.
const PATIENCE: Duration = Duration::from_secs(600);

/// Prints `NETWORK START REMOVE` a line, in microseconds. Timed in the lab itself,
/// so that entering it does not count; the driver that goes first changes. With `beside`,
/// another container stays on each network, so that its bridge does.
const SCRIPT: &str = r#"
now() { echo "${EPOCHREALTIME/[.,]/}"; }
one() {
  local begun started removed
  # Past the link, unless it is what is measured.
  if [ "$1" = plain ]; then
    unset CONTAINERS_HELPER_BINARY_DIR
  else
    export CONTAINERS_HELPER_BINARY_DIR=/usr/lib/podman
  fi
  begun=$(now)
  podman run --detach --name "$1" --network "$1" lab sleep 1000 >/dev/null
  started=$(now)
  podman rm --force --time 0 "$1" >/dev/null
  removed=$(now)
  echo "$1 $((started - begun)) $((removed - started))"
}
if [ "$2" = beside ]; then
  for network in own berth plain; do
    podman run --detach --name "beside-$network" --network $network lab sleep 1000 >/dev/null
  done
fi
one own >/dev/null; one berth >/dev/null; one plain >/dev/null
for ((round = 0; round < $1; round += 2)); do
  one own; one berth; one plain; one plain; one berth; one own
done
"#;

fn main() {
    // `cargo test --benches` runs this, too, to see that it does.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        ROUNDS
    } else {
        2
    };
    let lab = Lab::start().unrecorded();
    let off = ["--subnet", "10.77.0.0/24", "--label", "berth.adopt=off"];
    let bridge = lab.network(Driver::Bridge, "own", &off);
    let berth = lab.network(Driver::Berth, "berth", &["--subnet", "10.78.0.0/24"]);
    let plain = lab.network(Driver::HostWide, "plain", &["--subnet", "10.79.0.0/24"]);
    for (beside, what) in [
        ("alone", "the only one on its network"),
        ("beside", "beside another"),
    ] {
        let script = ["-euc", SCRIPT, "bash", &rounds.to_string(), beside].map(str::to_owned);
        let measured = lab.cmd("bash").args(script).within(PATIENCE).ok();
        report(&measured, rounds, what);
    }
    lab.remove_all();
    for network in [&bridge, &berth, &plain] {
        lab.assert_clean(network);
    }
}

/// Prints what was measured.
fn report(measured: &str, rounds: usize, what: &str) {
    let medians = ["own", "berth", "plain"].map(|network| medians(measured, network, rounds));
    println!("one container, {what}, medians of {rounds}, in ms");
    println!("{:<20} {:>8} {:>8} {:>8}", "", "start", "remove", "both");
    let names = ["Podman's own", "berth, plugin", "berth, host-wide"];
    for (name, [start, remove, both]) in names.iter().zip(medians) {
        println!("{name:<20} {start:>8.1} {remove:>8.1} {both:>8.1}");
    }
    let [own, plugin, plain] = medians;
    for ((name, ours), most) in [("plugin", plugin), ("host-wide", plain)].iter().zip(MOST) {
        let [start, remove, both] = [0, 1, 2].map(|at| ours[at] / own[at]);
        let name = format!("{name} / own");
        println!("{name:<20} {start:>8.2} {remove:>8.2} {both:>8.2}   wanted: at most {most:.2}");
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
