//! How long an operator waits for `berth list`, `berth map` and `berth metrics`.
//!
//!     make bench
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a benchmark is for"
)]

use std::process::ExitCode;

use berth_integration::{Benchmark, Driver, Lab, median};

/// Runs of each command, of which the median counts.
const ROUNDS: usize = 21;

/// A filled network, and the commands with the milliseconds each may take.
struct Scene {
    leases: usize,
    state: &'static str,
    commands: &'static [(&'static str, Option<f64>)],
}

const FEW: &[(&str, Option<f64>)] = &[
    ("list", Some(30.0)),
    ("map n", Some(30.0)),
    ("metrics", None),
];
const MANY: &[(&str, Option<f64>)] = &[
    ("list", Some(150.0)),
    ("list --quiet", None),
    ("map n", Some(150.0)),
    ("metrics", None),
];

const SCENES: [Scene; 3] = [
    Scene {
        leases: 10,
        state: "live",
        commands: FEW,
    },
    Scene {
        leases: 10_000,
        state: "live",
        commands: MANY,
    },
    Scene {
        leases: 10_000,
        state: "dead",
        commands: MANY,
    },
];

/// Prints `WAITED CPU COMMAND` for each run, in milliseconds, timed in the lab itself, so
/// that entering it does not count. `live` holders are those whose starter runs: this shell.
const SCRIPT: &str = r#"
TIMEFORMAT='%3R %3U %3S'
rounds=$1 leases=$2 state=$3
shift 3
lab-store fill n "$leases" "$state" >/dev/null
state_of() { berth list --noheading | awk -v state="$state" '$6 == state' | wc -l; }
[ "$(state_of)" = "$leases" ] || { echo "not all are $state" >&2; exit 1; }
for command; do
  for ((round = 0; round < rounds; round++)); do
    { time berth $command >/dev/null; } 2>&1 | {
      read -r waited user system
      awk "BEGIN { print $waited * 1000, ($user + $system) * 1000, \"$command\" }"
    }
  done
done
"#;

fn main() -> ExitCode {
    let mut benchmark = Benchmark::begin();
    let rounds = benchmark.rounds(ROUNDS, 1);
    println!("a /16, medians of {rounds}, in ms");
    println!(
        "{:>8} {:<6} {:<14} {:>8} {:>8} {:>8}",
        "leases", "all", "berth", "CPU", "waited", "wanted"
    );
    for scene in SCENES {
        let lab = Lab::start().unrecorded();
        lab.network(Driver::Berth, "n", &["--subnet=10.50.0.0/16"]);
        let numbers = [rounds, scene.leases].map(|number| number.to_string());
        let measured = lab
            .cmd("bash")
            .args(["-euc", SCRIPT, "bash"])
            .args(&numbers)
            .arg(scene.state)
            .args(scene.commands.iter().map(|(command, _)| command))
            .within(std::time::Duration::from_secs(300))
            .ok();
        for (command, most) in scene.commands {
            let (took, cpu) = medians(&measured, command);
            let wanted = most.map_or(String::new(), |most| format!("{most:.0}"));
            println!(
                "{:>8} {:<6} {command:<14} {cpu:>8.0} {took:>8.0} {wanted:>8}",
                scene.leases, scene.state
            );
            if most.is_some_and(|most| took > most) {
                benchmark.miss(format!(
                    "{} {} leases: berth {command}",
                    scene.leases, scene.state
                ));
            }
        }
    }
    benchmark.end()
}

/// Returns the medians of what a command took: waiting, and of the processors.
fn medians(measured: &str, command: &str) -> (f64, f64) {
    let of_command = measured.lines().filter_map(|line| {
        let (waited, rest) = line.split_once(' ')?;
        let (cpu, of) = rest.split_once(' ')?;
        let times = (waited.parse::<f64>().ok()?, cpu.parse::<f64>().ok()?);
        (of == command).then_some(times)
    });
    let (waited, cpu): (Vec<_>, Vec<_>) = of_command.unzip();
    (median(waited), median(cpu))
}
