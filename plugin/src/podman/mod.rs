//! The Podman a command serves: where its networks, its netavark and our store
//! are, and the lock it takes before any of its network work.
//!
//! A plugin call learns all this from the netavark above it. An operator's command
//! has nobody above, and uses what Podman uses by default, or what it is told.

mod caller;
mod command_line;
mod conf;
mod environment;
mod host;
mod lock;
mod network_dir;
mod networks;
mod rootless;

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use caller::{Caller, NETAVARK_VARIABLE, caller, uncalled, with_netavark};
pub use command_line::CommandLine;
pub use conf::{ConfError, ContainersConf};
pub use environment::Environment;
pub use host::{HostError, callers, gather};
pub use lock::{NetworkLock, NetworkLockError};
pub use network_dir::network_config_dir;
pub use networks::default_network;
pub use rootless::{EnterError, INTO_USER_NAMESPACE, enter_if_needed, storage_options};

use crate::sight::survey::Place;

/// Overrides where the store lives.
pub const STATE_VARIABLE: &str = "BERTH_STATE_DIR";

/// Where root's Podman has its network lock, whatever its directories
/// (containers/common `network.go`, `defaultRootLockPath`).
const ROOT_LOCK: &str = "/run/lock/netavark.lock";

/// Failure to find out which Podman to serve.
#[derive(Debug, Error)]
pub enum PodmanError {
    /// containers.conf.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// The network configurations.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no netavark.
    #[error(
        "found no netavark in {}; install it, or name it in the environment variable {NETAVARK_VARIABLE}",
        list(directories)
    )]
    NoNetavark {
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// A rootless Podman's namespaces.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The state directory would depend on where the command is run.
    #[error(
        "environment variable {STATE_VARIABLE} is {}, which is no absolute path; every podman \
         must be given the same one",
        .0.display()
    )]
    StateDirectory(PathBuf),
    /// A directory that was named is none.
    #[error(
        "found no directory {}; name the one that podman is told, or none for the podman \
         without options",
        .0.display()
    )]
    NoDirectory(PathBuf, #[source] io::Error),
}

/// A Podman installation, of root or of one user.
#[derive(Clone, Debug)]
pub struct Podman {
    /// The netavark to run, and how; its `config` is the network run directory.
    pub caller: Caller,
    /// The lease store's directory.
    pub state_directory: PathBuf,
    /// The directory with one JSON file per network; it need not exist.
    pub network_config_dir: PathBuf,
    /// Its network lock.
    pub lock: PathBuf,
    /// Where it keeps the files of containers' network namespaces
    /// (containers/common `pkg/netns`, `GetNSRunDir`).
    pub namespace_directory: PathBuf,
}

impl Podman {
    /// Finds the Podman of this user: by default the one without options, else
    /// the one with this network run directory (netavark's `--config`) or
    /// network configuration directory (Podman's `--network-config-dir`).
    ///
    /// # Errors
    /// If containers.conf cannot be read, or there is no netavark.
    pub fn find(
        run_directory: Option<&Path>,
        network_config_dir: Option<&Path>,
    ) -> Result<Self, PodmanError> {
        let environment = Environment::of_this_process();
        let conf = ContainersConf::load(&environment)?;
        let caller = uncalled(&environment, &conf)?;
        Self::of(
            caller,
            &environment,
            &conf,
            run_directory,
            network_config_dir,
        )
    }

    /// As [`Podman::find`], with what is known already.
    ///
    /// # Errors
    /// If its directories cannot be told.
    pub fn of(
        mut caller: Caller,
        environment: &Environment,
        conf: &ContainersConf,
        run_directory: Option<&Path>,
        network_config_dir: Option<&Path>,
    ) -> Result<Self, PodmanError> {
        let told = || rootless::run_directory_of(environment);
        let told = told().filter(|_| caller.delegation.rootless);
        if let Some(directory) = run_directory.map(Path::to_owned).or(told) {
            caller.delegation.config = directory;
        }
        let network_config_dir = match network_config_dir {
            Some(directory) => directory.to_owned(),
            None => network_dir::network_config_dir(environment, conf, &[])?,
        };
        let lock = if caller.delegation.rootless {
            network_config_dir.join("netavark.lock")
        } else {
            ROOT_LOCK.into()
        };
        let runtime = environment.path("XDG_RUNTIME_DIR");
        let runtime = runtime.filter(|_| caller.delegation.rootless);
        Ok(Self {
            namespace_directory: runtime.unwrap_or_else(|| "/run".into()).join("netns"),
            state_directory: state_directory(&caller.delegation.config)?,
            caller,
            network_config_dir,
            lock,
        })
    }

    /// Returns where to look for what is on its networks.
    pub fn place(&self) -> Place<'_> {
        Place {
            network_config_dir: &self.network_config_dir,
            run_directory: &self.caller.delegation.config,
            namespace_directory: &self.namespace_directory,
            asked: None,
        }
    }
}

/// Returns the store's directory: `berth` in the network run directory, so that
/// rootful, rootless and a custom runroot each have their own.
///
/// # Errors
/// If [`STATE_VARIABLE`] is set to a path that is not absolute.
pub fn state_directory(run_directory: &Path) -> Result<PathBuf, PodmanError> {
    match env::var_os(STATE_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
    {
        None => Ok(run_directory.join("berth")),
        Some(named) if named.is_absolute() => Ok(named),
        Some(named) => Err(PodmanError::StateDirectory(named)),
    }
}

/// Returns directories as one text, for messages.
pub(crate) fn list(directories: &[PathBuf]) -> String {
    let texts = directories.iter().map(|dir| dir.display().to_string());
    let texts: Vec<_> = texts.collect();
    texts.join(", ")
}
