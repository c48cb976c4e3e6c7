//! Who called us: the netavark above and the podman above that.
//!
//! A plugin is told neither where netavark is nor how it was called. Both can be read from the
//! parent process' command line
//! (`--config RUNDIR --rootless=BOOL --aardvark-binary=PATH … setup NETNS`, Podman's
//! `execNetavark`).

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::PodmanError;
use crate::podman::{ContainersConf, Environment};
use crate::rules::lease::{Delegation, Process};
use crate::sight::{self, ProcessFact, front, hands};

/// Names the netavark executable to run, whatever called us.
pub const NETAVARK_VARIABLE: &str = "BERTH_NETAVARK";

/// netavark's own command line (netavark `main.rs`, `Opts`, 1.6 to 2.1).
#[derive(Clone, Debug, Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct NetavarkLine {
    #[arg(short, long)]
    config: PathBuf,
    #[arg(short, long, action = clap::ArgAction::Set, default_value = "false")]
    rootless: bool,
    #[arg(short, long)]
    aardvark_binary: Option<OsString>,
    #[arg(long)]
    firewall_driver: Option<String>,
    /// Where it finds plugins.
    #[arg(long = "plugin-directory")]
    pub plugin_directories: Vec<PathBuf>,
    /// Where it reads the request, instead of standard input.
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// The verb and its arguments.
    #[arg(required = true)]
    pub verb: Vec<OsString>,
}

impl NetavarkLine {
    /// Parses a command line that begins with the program's name; `None` if netavark would
    /// refuse it, or would do something other than work on networks.
    pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Option<Self> {
        Self::try_parse_from(arguments).ok()
    }

    /// Returns how to call another netavark for the same Podman.
    pub fn delegation(&self) -> Delegation {
        Delegation {
            config: self.config.clone(),
            rootless: self.rootless,
            aardvark_binary: self.aardvark_binary.clone().map(PathBuf::from),
            firewall_driver: self
                .firewall_driver
                .clone()
                .or_else(|| env::var("NETAVARK_FW").ok()),
            dns_port: env::var("NETAVARK_DNS_PORT").ok(),
        }
    }
}

/// Returns the netavark that called this process, how it was called, and the podman above it,
/// if that still runs; `None` if there is no netavark above.
///
/// # Errors
/// If another user can change that netavark.
pub(super) fn above() -> Result<Option<(PathBuf, Delegation, Option<Process>)>, PodmanError> {
    let parent = sight::process(nix::unistd::getppid().as_raw());
    let called = parent.and_then(|parent| Some((command_line(&parent)?, parent)));
    let Some((delegation, parent)) = called else {
        return Ok(None);
    };
    let netavark = own(named().unwrap_or_else(|| executable(&parent)))?;
    let starter = sight::parent_of(&parent).map(|fact| fact.process);
    Ok(Some((netavark, delegation, starter)))
}

/// Refuses a netavark that another user can change.
fn own(path: PathBuf) -> Result<PathBuf, PodmanError> {
    match hands::on_program(&path) {
        None => Ok(path),
        Some((place, reason)) => Err(PodmanError::ForeignNetavark {
            path,
            place,
            reason,
        }),
    }
}

/// Returns the netavark that the environment names.
fn named() -> Option<PathBuf> {
    // Another berth has already run the netavark that is named, which may have called us.
    if front::is_behind_another() {
        return None;
    }
    let value = env::var_os(NETAVARK_VARIABLE).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// Returns how the parent was called, or `None` if it is not a netavark.
fn command_line(parent: &ProcessFact) -> Option<Delegation> {
    Some(NetavarkLine::parse(&parent.arguments)?.delegation())
}

/// Returns the netavark that Podman would run if berth were not in front of it.
///
/// # Errors
/// [`PodmanError::NoNetavark`] if there is none, or only one that another user can change;
/// [`PodmanError::ForeignNetavark`] if the environment names such a one.
pub fn netavark(conf: &ContainersConf) -> Result<PathBuf, PodmanError> {
    if let Some(path) = named() {
        return own(path);
    }
    let found = front::real_netavark(&conf.helper_binaries_dir);
    found.ok_or_else(|| PodmanError::NoNetavark {
        directories: conf.helper_binaries_dir.clone(),
    })
}

/// Returns how Podman calls netavark by default: for root with the fixed run directory,
/// otherwise with the one below `XDG_RUNTIME_DIR` (Podman's `networkRunDir`).
pub(super) fn default_delegation(environment: &Environment, conf: &ContainersConf) -> Delegation {
    let rootless = environment.rootless();
    let runtime = runtime_directory(environment, rootless);
    let firewall = env::var("NETAVARK_FW").ok();
    Delegation {
        config: default_run_directory(&runtime),
        rootless,
        aardvark_binary: helper(conf, "aardvark-dns"),
        firewall_driver: firewall.or_else(|| conf.firewall_driver.clone()),
        dns_port: env::var("NETAVARK_DNS_PORT").ok(),
    }
}

/// Returns the directory in which a Podman keeps what need not survive a reboot.
pub(super) fn runtime_directory(environment: &Environment, rootless: bool) -> PathBuf {
    let runtime = environment.path("XDG_RUNTIME_DIR").filter(|_| rootless);
    runtime.unwrap_or_else(|| "/run".into())
}

/// Returns the network run directory of a podman without options.
pub(super) fn default_run_directory(runtime: &Path) -> PathBuf {
    runtime.join("containers/networks")
}

/// Returns the helper binary of this name that Podman would take.
fn helper(conf: &ContainersConf, name: &str) -> Option<PathBuf> {
    let mut paths = conf.helper_binaries_dir.iter().map(|dir| dir.join(name));
    paths.find(|path| path.is_file() && hands::on_program(path).is_none())
}

/// Returns the executable of a process. If its file has been replaced since, as by an upgrade,
/// the link below `/proc` still leads to the old one.
fn executable(fact: &ProcessFact) -> PathBuf {
    let link = PathBuf::from(format!("/proc/{}/exe", fact.process.pid));
    link.read_link()
        .ok()
        .filter(|path| path.is_file())
        .unwrap_or(link)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn process(arguments: &[&str]) -> ProcessFact {
        ProcessFact {
            process: Process {
                pid: 7,
                start_time: 1,
            },
            parent: 6,
            name: "netavark".into(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            namespace: None,
        }
    }

    #[test]
    fn podmans_command_line_is_understood() {
        let line = command_line(&process(&[
            "/usr/lib/podman/netavark",
            "--config",
            "/run/containers/networks",
            "--rootless=false",
            "--aardvark-binary=/usr/lib/podman/aardvark-dns",
            "--plugin-directory",
            "/a",
            "--plugin-directory",
            "/b",
            "setup",
            "/run/netns/netns-1",
        ]))
        .expect("a netavark");
        assert_eq!(line.config, Path::new("/run/containers/networks"));
        assert_eq!(
            line.aardvark_binary,
            Some("/usr/lib/podman/aardvark-dns".into())
        );
        assert!(!line.rootless);
    }

    #[test]
    fn an_unset_aardvark_binary_is_passed_on_as_it_came() {
        let line = command_line(&process(&[
            "netavark",
            "--config",
            "/r",
            "--rootless=true",
            "--aardvark-binary=",
            "--firewall-driver",
            "none",
            "teardown",
            "/n",
        ]))
        .expect("a netavark");
        assert_eq!(line.aardvark_binary, Some(PathBuf::new()));
        assert_eq!(line.firewall_driver.as_deref(), Some("none"));
        assert!(line.rootless);
    }

    #[test]
    fn a_shell_is_no_netavark() {
        assert_eq!(
            command_line(&process(&["bash", "-c", "berth setup /n"])),
            None
        );
        assert_eq!(command_line(&process(&[])), None);
    }
}
