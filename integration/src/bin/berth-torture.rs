//! Kills whatever can be killed, more often than the tests do, and prints the figures in
//! `docs/RELIABILITY.md`.
//!
//! Ends with an error if berth lost anything.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what this program is for"
)]

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use berth::store::EngineKind;
use berth_integration::lan::{self, Kind};
use berth_integration::storm::Storm;
use berth_integration::torture::{Outcome, Plan, Table};
use berth_integration::{Driver, campaign::Campaign, crash::Verb, new_seed};
use clap::{Parser, Subcommand};

const KILLS: usize = 200;
const STORM_SECS: u64 = 120;

/// Kill podman, conmon, netavark and berth again and again, and count what is lost
///
/// Without a command: all of them, one after the other.
#[derive(Debug, Parser)]
struct CommandLine {
    /// The seed; by default BERTH_SEED, or else a new one each time
    #[arg(long, global = true)]
    seed: Option<u64>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Podman and all it starts are killed: natively, with the plugin, and host-wide
    Kills {
        /// How many killed `podman run` of each kind
        #[arg(long, default_value_t = KILLS)]
        count: usize,
    },
    /// Eight workers, collections and a killer at the same time
    Storm {
        /// How long, in seconds
        #[arg(long, default_value_t = STORM_SECS)]
        seconds: u64,
    },
    /// Workers on three hosts that lease from one pool, collections, and killers of processes
    /// and of etcd
    Hosts {
        /// How long, in seconds
        #[arg(long, default_value_t = STORM_SECS)]
        seconds: u64,
    },
    /// berth and berth-migrate are killed, or refused, at every system call
    Calls {
        /// Try only this many points, spread over all
        #[arg(long)]
        sample: Option<usize>,
        /// Only this verb
        #[arg(long)]
        verb: Option<String>,
        /// Only system calls of this name
        #[arg(long)]
        call: Option<String>,
        /// What the lease stores are kept in
        #[arg(long, value_parser = EngineKind::ALL.map(EngineKind::name))]
        engine: Option<String>,
    },
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let seed = line.seed.unwrap_or_else(new_seed);
    println!("seed {seed}");
    let parts = line.part.map_or_else(every_part, |part| vec![part]);
    let mut failures = Vec::new();
    for part in parts {
        match part {
            Part::Kills { count } => failures.extend(kills(seed, count)),
            Part::Storm { seconds } => failures.extend(storm(seed, seconds)),
            Part::Hosts { seconds } => failures.extend(hosts(seed, seconds)),
            Part::Calls {
                sample,
                verb,
                call,
                engine,
            } => {
                let engine = engine.as_deref().and_then(EngineKind::named);
                let campaign = (engine.unwrap_or_default(), sample);
                failures.extend(calls(seed, campaign, verb.as_deref(), call.as_deref()));
            }
        }
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn every_part() -> Vec<Part> {
    let calls = |engine: EngineKind| Part::Calls {
        sample: None,
        verb: None,
        call: None,
        engine: Some(engine.name().to_owned()),
    };
    vec![
        Part::Kills { count: KILLS },
        Part::Storm {
            seconds: STORM_SECS,
        },
        Part::Hosts {
            seconds: STORM_SECS,
        },
        calls(EngineKind::Redb),
        calls(EngineKind::Sled),
    ]
}

/// Returns the promises of berth that were broken.
fn kills(seed: u64, count: usize) -> Vec<String> {
    let plan = Plan::new(count, seed);
    println!(
        "\n{} containers natively, with the plugin, and host-wide, killed at random moments\n",
        plan.rounds.len()
    );
    let outcomes = thread::scope(|scope| {
        let run = |driver| {
            scope.spawn({
                let plan = &plan;
                move || plan.carry_out(driver)
            })
        };
        [Driver::Bridge, Driver::Berth, Driver::HostWide]
            .map(run)
            .map(join)
    });
    println!("{}", Table(&outcomes));
    let [_, berths @ ..] = &outcomes;
    berths.iter().flat_map(Outcome::broken_promises).collect()
}

/// Returns the promises of berth that were broken.
fn storm(seed: u64, seconds: u64) -> Vec<String> {
    println!("\na storm of {seconds} s\n");
    let length = Duration::from_secs(seconds);
    let outcome = Storm { length, seed }.rage();
    println!("{outcome}");
    outcome.broken_promises()
}

/// Returns the promises of berth that were broken.
fn hosts(seed: u64, seconds: u64) -> Vec<String> {
    let mut broken = Vec::new();
    for kind in [Kind::Macvlan, Kind::Bridge] {
        println!("\na storm of {seconds} s on three hosts with one pool ({kind:?})\n");
        let length = Duration::from_secs(seconds);
        let outcome = lan::Storm { length, seed }.rage(kind);
        println!("{outcome}");
        broken.extend(outcome.broken_promises());
    }
    broken
}

fn join(thread: thread::ScopedJoinHandle<'_, Outcome>) -> Outcome {
    let joined = thread.join();
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Returns what was not recovered.
fn calls(
    seed: u64,
    (engine, sample): (EngineKind, Option<usize>),
    verb: Option<&str>,
    call: Option<&str>,
) -> Vec<String> {
    let name = engine.name();
    println!("\nberth, with {name}, killed, or refused, at every system call\n");
    let mut verbs = Verb::ALL.to_vec();
    verbs.retain(|own| verb.is_none_or(|verb| own.name() == verb));
    if verbs.is_empty() {
        return vec!["there is no such verb".to_owned()];
    }
    let mut campaign = Campaign::record(engine, &verbs);
    for (verb, calls) in &campaign.recorded {
        println!("{}: {calls} calls recorded", verb.name());
    }
    let is_wanted = |name: &str| call.is_none_or(|call| call == name);
    campaign.points.retain(|(_, point)| is_wanted(&point.name));
    if let Some(count) = sample {
        campaign = campaign.sample(count, &mut fastrand::Rng::with_seed(seed));
    }
    let report = campaign.run();
    println!("{report}");
    report.failures
}
