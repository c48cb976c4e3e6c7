//! What grows with the number of leases: a collection, `berth doctor`, the first setup on a
//! network, taking back from the dead, and `berth-migrate inspect`. How long each takes, and
//! its peak memory.
//!
//!     make bench
//!
//! Fails if a target is missed. Words on the command line choose among the rows, as in
//! `cargo bench -p berth-integration --bench scale -- doctor 10,000`.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what a benchmark is for"
)]

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use berth_integration::ipam_db::fixture;
use berth_integration::{Benchmark, Driver, Lab, median};

/// Runs of each command, of which the median counts.
const ROUNDS: usize = 11;

/// What is measured, and what is wanted of it.
struct Row {
    name: &'static str,
    /// Milliseconds.
    most: f64,
    /// MiB.
    room: Option<f64>,
    /// Makes the lab what it must be. Run by bash, as the others.
    prepare: &'static str,
    /// Prints a line for each of `$rounds` runs: see `lab-store time`.
    measure: &'static str,
    /// How many things are done in one run.
    things: f64,
}

const GC: &str = "repeat berth gc";
const DOCTOR: &str = "repeat berth doctor";
const LIVE_10_000: &str = "lab-store fill n 10000 live >/dev/null";
const LIVE_65_000: &str = "lab-store fill n 65000 live >/dev/null";

const ROWS: [Row; 8] = [
    Row {
        name: "gc, 10,000 live",
        most: 80.0,
        room: None,
        prepare: LIVE_10_000,
        measure: GC,
        things: 1.0,
    },
    Row {
        name: "gc, 65,000 live",
        most: 500.0,
        room: None,
        prepare: LIVE_65_000,
        measure: GC,
        things: 1.0,
    },
    Row {
        name: "gc, 10,000 live and 10,000 dead to judge, 1,000 conmons",
        most: 200.0,
        room: None,
        prepare: "
            lab-store fill n 10000 live >/dev/null
            lab-store fill m 10000 dead >/dev/null
            cp /bin/dash /tmp/conmon
            echo 'kill -STOP $$' >/tmp/stay
            for ((at = 0; at < 1000; at++)); do
              id=$(printf 'c%063d' $at)
              /tmp/conmon /tmp/stay -c $id -n name$at &
            done",
        measure: "repeat berth gc --now --dry-run",
        things: 1.0,
    },
    Row {
        name: "reclaim of 50 dead without a bridge, each",
        most: 60.0,
        room: None,
        prepare: "",
        measure: "
            for ((round = 0; round * 10 < rounds; round++)); do
              lab-store fill n 50 dead >/dev/null
              lab-store time berth gc --now
              [ \"$(berth list --noheading | wc -l)\" = 0 ]
            done",
        things: 50.0,
    },
    Row {
        name: "doctor, 10,000 live",
        most: 100.0,
        room: Some(40.0),
        prepare: LIVE_10_000,
        measure: DOCTOR,
        things: 1.0,
    },
    Row {
        name: "doctor, 65,000 live",
        most: 600.0,
        room: Some(150.0),
        prepare: LIVE_65_000,
        measure: DOCTOR,
        things: 1.0,
    },
    // What netavark does itself is left out: it is answered for.
    Row {
        name: "first setup on a network, among 65,000 tenants",
        most: 20.0,
        room: Some(10.0),
        prepare: "
            lab-store fill n 65000 live >/dev/null
            berth gc >/dev/null
            printf '#!/bin/sh\necho {}\n' >/tmp/netavark
            chmod +x /tmp/netavark",
        measure: "
            for ((round = 0; round < rounds; round++)); do
              subnet=10.60.$round
              podman network create -d berth --subnet=$subnet.0/24 k$round >/dev/null
              bridge=$(podman network inspect k$round --format '{{.NetworkInterface}}')
              ip link add $bridge type bridge
              ip address add $subnet.1/24 dev $bridge
              # A bridge that is down would be taken for half made.
              ip link set $bridge up
              ip netns add k$round
              network=$(</etc/containers/networks/k$round.json)
              echo '{\"container_id\": \"'k$round'\", \"container_name\": \"'k$round'\",
                \"port_mappings\": null, \"network\": '$network',
                \"network_options\": {\"interface_name\": \"eth0\", \"static_ips\": null}}' |
                BERTH_NETAVARK=/tmp/netavark lab-store time berth setup /run/netns/k$round
            done",
        things: 1.0,
    },
    Row {
        name: "berth-migrate inspect, 3,000 leases",
        most: 80.0,
        room: None,
        prepare: "mkdir -p /run/containers/networks
            cp /tmp/ipam.db /run/containers/networks/ipam.db",
        measure: "repeat berth-migrate inspect",
        things: 1.0,
    },
];

/// What the parts of each row use.
const PRELUDE: &str = r#"
rounds=$1
repeat() {
  for ((round = 0; round < rounds; round++)); do lab-store time "$@"; done
}
"#;

fn main() -> ExitCode {
    let mut benchmark = Benchmark::begin();
    let rounds = benchmark.rounds(ROUNDS, 1);
    println!("medians of {rounds}: ms waited, ms of the processors, MiB at the peak");
    println!(
        "{:<56} {:>8} {:>8} {:>8}   wanted",
        "", "waited", "CPU", "peak"
    );
    for row in &ROWS {
        if !benchmark.runs(row.name) {
            continue;
        }
        let [waited, cpu, peak] = row.measured(rounds);
        let room = row.room.map(|room| format!(", {room:.0} MiB"));
        println!(
            "{:<56} {waited:>8.1} {cpu:>8.1} {peak:>8.1}   {:.0} ms{}",
            row.name,
            row.most,
            room.unwrap_or_default()
        );
        if waited > row.most || row.room.is_some_and(|room| peak > room) {
            benchmark.miss(row.name);
        }
    }
    benchmark.end()
}

impl Row {
    /// Returns the medians: milliseconds waited, of the processors, and MiB.
    fn measured(&self, rounds: usize) -> [f64; 3] {
        let lab = Lab::start().unrecorded();
        lab.network(Driver::Berth, "n", &["--subnet=10.50.0.0/16"]);
        lab.network(Driver::Berth, "m", &["--subnet=10.51.0.0/16"]);
        let file = format!("/proc/{}/root/tmp/ipam.db", lab.init());
        fs::write(file, fixture("podman-6.0-large")).expect("it can be written");
        let script = [PRELUDE, self.prepare, "\n", self.measure].concat();
        let said = lab
            .cmd("bash")
            .args(["-euc", &script, "bash", &rounds.to_string()])
            .within(Duration::from_secs(600))
            .ok();
        let lists = serde_json::Deserializer::from_str(&said).into_iter::<[f64; 3]>();
        let runs: Vec<[f64; 3]> = lists.collect::<Result<_, _>>().expect("three numbers each");
        let [waited, cpu, peak] = [0, 1, 2].map(|nth| median(runs.iter().map(|run| run[nth])));
        [waited / self.things, cpu / self.things, peak / 1024.0]
    }
}
