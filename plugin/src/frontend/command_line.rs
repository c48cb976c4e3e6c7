//! berth's command line. The help, the man page and the completions are made from it.

use std::ffi::OsString;
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

impl CommandLine {
    /// Parses exactly the words that netavark writes, and nothing else. Building the options of
    /// all commands would add half of the time that everything else takes before anything is
    /// leased.
    pub fn of_netavark(arguments: impl IntoIterator<Item = OsString>) -> Option<Verb> {
        let words: Vec<_> = arguments.into_iter().collect();
        let [_, verb, netns] = &words[..] else {
            return None;
        };
        if netns.is_empty() || netns.as_encoded_bytes().starts_with(b"-") {
            return None;
        }
        let netns = netns.into();
        match verb.to_str()? {
            "setup" => Some(Verb::Setup { netns }),
            "teardown" => Some(Verb::Teardown { netns }),
            _ => None,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str) {
        let words = || line.split(' ').map(OsString::from);
        let short = CommandLine::of_netavark(words()).map(|verb| format!("{verb:?}"));
        let whole = CommandLine::try_parse_from(words()).ok();
        let whole = whole.and_then(|line| line.verb);
        let whole = whole.filter(|verb| matches!(verb, Verb::Setup { .. } | Verb::Teardown { .. }));
        let whole = whole.map(|verb| format!("{verb:?}"));
        assert_eq!(short, whole, "{line}");
    }

    #[test]
    fn netavarks_words_mean_what_they_mean_to_everybody() {
        for line in [
            "berth setup /run/netns/n",
            "berth teardown /proc/7/fd/3",
            "berth teardown n",
            "berth setup ",
            "berth setup -h",
            "berth setup --help",
            "berth setup --version",
            "berth teardown --",
            "berth setup",
            "berth setup a b",
            "berth info /run/netns/n",
            "berth gc",
        ] {
            check(line);
        }
    }
}
