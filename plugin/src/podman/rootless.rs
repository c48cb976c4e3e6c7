//! Rootless Podman: the namespaces that its networks are in.
//!
//! They are a user and a mount namespace, which Podman's pause process keeps, and for its
//! bridges a network namespace behind pasta, with a mount namespace for each call, in which
//! `/run` is private. netavark, and so the plugin, is started inside all of them; an operator's
//! command is not. `podman unshare --rootless-netns` leads there. While the command runs, it
//! releases Podman's network lock and counts the command as a user of the network namespace
//! (containers/common `rootlessnetns` `Netns.Run`). So the command can take that lock, and
//! nothing removes the namespace beneath it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;
use thiserror::Error;

use super::STATE_VARIABLE;
use crate::podman::Environment;
use crate::rules::process::INTO_USER_NAMESPACE;

/// Set for a command that was started again, so that this happens only once.
const ENTERED: &str = "BERTH_ENTERED";

/// Failure to enter the namespaces of a rootless Podman.
#[derive(Debug, Error)]
pub enum EnterError {
    #[error(
        "failed to run podman, which leads to the networks of a user other than root; install it, \
         put it into PATH, or run this as root for root's containers"
    )]
    Podman(#[source] io::Error),
    #[error("failed to find out which program this is, to start it in Podman's namespaces")]
    Executable(#[source] io::Error),
    #[error(
        "`podman unshare --rootless-netns` has started this program outside of a user namespace; \
         `podman` in PATH may be a wrapper: put the real one before it"
    )]
    Outside,
}

/// Starts this same command line again in the namespaces of a rootless Podman, in place of this
/// process. Does nothing if we are there already, if we serve root's Podman, or if this user's
/// Podman has not run since the user logged in. Standard streams and exit code are those of the
/// new command.
///
/// Call it before locking or writing anything. The directories are those that the user named
/// (Podman's network run directory and network configuration directory).
///
/// # Errors
/// If Podman cannot be run. Otherwise it returns only if there is nothing to enter.
pub fn enter_if_needed(
    run_directory: Option<&Path>,
    network_config_dir: Option<&Path>,
) -> Result<(), EnterError> {
    let environment = Environment::of_this_process();
    if !environment.rootless() {
        return Ok(());
    }
    let named = run_directory.map(Path::to_owned);
    let namespace = named
        .or_else(|| run_directory_of(&environment))
        .map(|directory| directory.join("rootless-netns/rootless-netns"));
    let entered = env::var_os(ENTERED).is_some();
    if entered && !Uid::effective().is_root() {
        return Err(EnterError::Outside);
    }
    if entered
        || namespace.as_deref().is_some_and(is_ours)
        || has_no_podman(&environment, run_directory)
    {
        return Ok(());
    }
    let own = env::current_exe().map_err(EnterError::Executable)?;
    let mut podman = Command::new("podman");
    podman.args(storage_options(run_directory, network_config_dir));
    podman.args(INTO_USER_NAMESPACE);
    podman.arg(own).args(env::args_os().skip(1));
    podman.env(ENTERED, "1");
    // A podman that is a client of another host has no `unshare`.
    podman
        .env_remove("CONTAINER_HOST")
        .env_remove("CONTAINER_CONNECTION");
    Err(EnterError::Podman(podman.exec()))
}

/// Returns the options of a custom rootless Podman, derived from its directories:
/// `RUNROOT/networks`, `ROOT/networks`.
pub fn storage_options(
    run_directory: Option<&Path>,
    network_config_dir: Option<&Path>,
) -> Vec<OsString> {
    let named = [("--runroot", run_directory), ("--root", network_config_dir)];
    let mut options = Vec::new();
    for (option, directory) in named {
        let networks = directory.filter(|directory| directory.ends_with("networks"));
        if let Some(storage) = networks.and_then(Path::parent) {
            options.extend([option.into(), storage.into()]);
        }
    }
    options
}

/// Returns the network run directory of a rootless Podman (containers/common `NetworkBackend`:
/// in the runroot), as far as it can be told from here.
pub(super) fn run_directory_of(environment: &Environment) -> Option<PathBuf> {
    let run_root = environment.told_run_root().or_else(|| {
        let runtime = environment.path("XDG_RUNTIME_DIR")?;
        Some(runtime.join("containers"))
    });
    Some(run_root?.join("networks"))
}

/// Returns whether our network namespace is the one at this path (from Podman 5.0 on; an older
/// one has it elsewhere, and is entered once more).
fn is_ours(path: &Path) -> bool {
    let key = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let own = key(Path::new("/proc/self/ns/net"));
    matches!((key(path), own), (Ok(there), Ok(own)) if there == own)
}

/// Returns whether this user's Podman has left nothing in the runtime directory. It then has no
/// containers, and nothing is leased.
fn has_no_podman(environment: &Environment, run_directory: Option<&Path>) -> bool {
    let traces = |runtime: PathBuf| ["libpod", "containers"].map(|name| runtime.join(name));
    environment.path(STATE_VARIABLE).is_none()
        && run_directory.is_none()
        && environment
            .path("XDG_RUNTIME_DIR")
            .map(traces)
            .is_some_and(|paths| !paths.iter().any(|path| path.exists()))
}
