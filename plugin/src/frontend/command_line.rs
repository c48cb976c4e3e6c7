//! What `berth` understands on its command line. Its help, man page and completions are
//! made from this.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::operator;

/// IP address management for Podman that cannot leak
///
/// Podman and netavark start this program for networks created with
/// `podman network create -d berth`: create, setup, teardown and info read and
/// write JSON as netavark's plugin API 1.0.0 says; an error is {"error":"…"} on
/// standard output with exit code 1. The other commands are for people and timers.
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = ENVIRONMENT)]
pub struct CommandLine {
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

const ENVIRONMENT: &str = "\
Environment:
  BERTH_LOG        Log level (error, warn, info, debug, trace) or env_logger filter;
                   by default Podman's --log-level
  BERTH_STATE_DIR  Where the lease store lives; by default `berth` in netavark's
                   run directory (as root /run/containers/networks/berth)
  BERTH_CONF       The only berth.conf to read; see berth.conf(5)
  BERTH_NETAVARK   The netavark to run; by default the one that called";

/// What berth is asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
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
