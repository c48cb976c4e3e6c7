//! The `berth` executable: from the command line to a front end.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use berth::frontend::{finish, netavark, operator, plugin, report};
use clap::{Parser, Subcommand};

/// IP address management for Podman that cannot leak
///
/// Podman and netavark start this program for networks created with
/// `podman network create -d berth`: create, setup, teardown and info read and
/// write JSON as netavark's plugin API 1.0.0 says; an error is {"error":"…"} on
/// standard output with exit code 1. The other commands are for people and timers.
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = ENVIRONMENT)]
struct CommandLine {
    #[command(subcommand)]
    verb: Option<Verb>,
}

const ENVIRONMENT: &str = "\
Environment:
  BERTH_LOG        Log level (error, warn, info, debug, trace) or env_logger filter;
                   by default Podman's --log-level
  BERTH_STATE_DIR  Where the lease store lives; by default `berth` in netavark's
                   run directory (as root /run/containers/networks/berth)
  BERTH_NETAVARK   The netavark to run; by default the one that called";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Complete and check the network configuration on standard input
    Create,
    /// Lease addresses for a container and set its interface up
    Setup {
        /// Path of the container's network namespace
        netns: PathBuf,
    },
    /// Take a container's interface down and release its addresses
    Teardown {
        /// Path of the container's network namespace
        netns: PathBuf,
    },
    /// Print the plugin's version (the default)
    Info,
    #[command(flatten)]
    Operator(operator::Command),
}

fn main() -> ExitCode {
    berth::logging::start();
    let mut arguments = env::args_os();
    if arguments
        .next()
        .is_some_and(|name| netavark::is_meant(&name))
    {
        return netavark::run(arguments.collect());
    }
    let verb = match CommandLine::try_parse() {
        Ok(line) => line.verb,
        Err(error) if error.use_stderr() && !is_for_people() => {
            report(&one_line(&error));
            return ExitCode::FAILURE;
        }
        Err(for_people) => for_people.exit(),
    };
    if let Some(Verb::Operator(command)) = verb {
        return operator::run(&command);
    }
    let act = || {
        match verb {
            Some(Verb::Create) => plugin::create(),
            Some(Verb::Setup { netns }) => plugin::setup(&netns),
            Some(Verb::Teardown { netns }) => plugin::teardown(&netns),
            Some(Verb::Info | Verb::Operator(_)) | None => plugin::info(),
        }
        .map(|()| ExitCode::SUCCESS)
    };
    finish("berth", act, report)
}

/// Returns whether a command line that cannot be understood is a person's: an
/// operator's command with a bad argument. Anything else may be netavark's.
fn is_for_people() -> bool {
    let named = env::args().nth(1);
    named.is_some_and(|name| operator::Command::has_subcommand(&name))
}

/// Returns what is wrong with the command line, for whoever reads the envelope.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.lines().take_while(|line| !line.is_empty());
    let said: Vec<_> = said.map(str::trim).collect();
    let said = said.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("{said}; see `berth --help`")
}
