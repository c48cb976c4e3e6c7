//! The Podman that a command serves: where its networks, its netavark and our store are, and
//! the lock that it takes before any network work.
//!
//! A plugin call learns all this from the netavark above it. An operator's command has no
//! netavark above it, and uses Podman's defaults, or what the user names.

mod caller;
mod command_line;
mod conf;
mod default_network;
mod environment;
mod host;
mod lasting_directory;
mod layers;
mod lock;
mod network_dir;
mod networks;
mod rootless;
mod settings;
mod staged;
mod state_directory;
mod user_database;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub use caller::{NETAVARK_VARIABLE, NetavarkLine, netavark};
pub use command_line::CommandLine;
pub use conf::{ConfError, ContainersConf};
pub use default_network::default_network;
pub use environment::Environment;
pub use host::{HostError, callers, gather};
use lasting_directory::{history_file, lasting_directory};
pub use lock::{NetworkLock, NetworkLockError};
pub use network_dir::network_config_dir;
use networks::networks_of;
pub use networks::{Fault, NetworkFile, known_networks, read_networks, warn_of_ignored};
pub use rootless::{EnterError, enter_if_needed, storage_options};
pub use settings::settings;
pub use staged::{StageError, Staged, sweep};
pub use state_directory::{STATE_VARIABLE, state_directory};

use crate::protocol::Network;
use crate::rules::lease::{Delegation, Process};
use crate::rules::settings::{Mistake, Settings};
use crate::sight;

/// The network lock of root's Podman, whatever its directories (containers/common `network.go`,
/// `defaultRootLockPath`).
const ROOT_LOCK: &str = "/run/lock/netavark.lock";

/// Failure to find out which Podman to serve.
#[derive(Debug, Error)]
pub enum PodmanError {
    #[error(transparent)]
    Conf(#[from] ConfError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(
        "found no netavark in {}; install it, or name it in the environment variable {NETAVARK_VARIABLE}",
        list(directories)
    )]
    NoNetavark { directories: Vec<PathBuf> },
    /// Otherwise, another user could make us run anything.
    #[error(
        "refused to run {} as netavark: {} {reason}; install one that only you can change, or \
         name it in the environment variable {NETAVARK_VARIABLE}",
        path.display(),
        place.display()
    )]
    ForeignNetavark {
        path: PathBuf,
        place: PathBuf,
        /// As in "belongs to user 7".
        reason: String,
    },
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// Otherwise, the state directory would depend on where the command is run.
    #[error(
        "environment variable {STATE_VARIABLE} is {}, which is not an absolute path; every podman \
         must be given the same one",
        .0.display()
    )]
    StateDirectory(PathBuf),
    /// Otherwise, another user could put another store there.
    #[error(
        "environment variable {STATE_VARIABLE} is {}, but {} {reason}; choose a directory that \
         only you can write to",
        path.display(),
        place.display()
    )]
    OpenStateDirectory {
        path: PathBuf,
        place: PathBuf,
        /// As in "belongs to user 7".
        reason: String,
    },
    #[error(
        "found no directory {}; name the one that podman is given, or leave it out for a podman \
         without options",
        .0.display()
    )]
    NoDirectory(PathBuf, #[source] io::Error),
    #[error("failed to make {}", .0.display())]
    MakeDirectory(PathBuf, #[source] io::Error),
}

/// The names of networks by their ids.
pub type Names = BTreeMap<String, String>;

/// A Podman, of root or of one user, and how to call its netavark.
#[derive(Clone, Debug)]
pub struct Podman {
    pub netavark: PathBuf,
    /// How netavark is called; its `config` is the network run directory.
    pub delegation: Delegation,
    /// The podman process that asked, if there is one and it still runs.
    pub starter: Option<Process>,
    pub state_directory: PathBuf,
    /// The history file, which says who held which address: see [`history_file`].
    pub history_file: PathBuf,
    /// Where the host keeps its identity in each share; see [`crate::sharing`].
    pub share_directory: PathBuf,
    /// Where Podman keeps the files of containers' network namespaces (containers/common
    /// `pkg/netns`, `GetNSRunDir`).
    pub namespace_directory: PathBuf,
    /// What berth.conf says.
    pub settings: Settings,
    /// See [`Podman::network_config_dir`].
    network_config_dir: OnceCell<PathBuf>,
}

impl Podman {
    /// Finds the Podman of this user: by default the one without options, otherwise the one
    /// with this network run directory (netavark's `--config`) or network configuration
    /// directory (Podman's `--network-config-dir`).
    ///
    /// # Errors
    /// If containers.conf cannot be read, or there is no netavark.
    pub fn find(
        run_directory: Option<&Path>,
        network_config_dir: Option<&Path>,
    ) -> Result<Self, PodmanError> {
        let environment = Environment::of_this_process();
        let conf = ContainersConf::load(&environment)?;
        let netavark = caller::netavark(&conf)?;
        let directories = (run_directory, network_config_dir);
        Self::of(netavark, &environment, &conf, directories)
    }

    /// As [`Podman::find`], but with this netavark, whether or not it exists. The directories
    /// are the network run directory and the network configuration directory.
    ///
    /// # Errors
    /// If its directories cannot be determined.
    pub fn of(
        netavark: PathBuf,
        environment: &Environment,
        conf: &ContainersConf,
        (run_directory, network_config_dir): (Option<&Path>, Option<&Path>),
    ) -> Result<Self, PodmanError> {
        let mut delegation = caller::default_delegation(environment, conf);
        let told = || rootless::run_directory_of(environment);
        let told = told().filter(|_| delegation.rootless);
        if let Some(directory) = run_directory.map(Path::to_owned).or(told) {
            delegation.config = directory;
        }
        let network_config_dir = match network_config_dir {
            Some(directory) => directory.to_owned(),
            None => network_dir::network_config_dir(environment, conf, &[])?,
        };
        Ok(Self {
            network_config_dir: network_config_dir.into(),
            ..Self::with(netavark, delegation, environment)?
        })
    }

    /// Returns the Podman whose netavark called this process. If there is no netavark above, as
    /// when a person calls the plugin by hand, returns the Podman without options.
    ///
    /// # Errors
    /// If no netavark executable can be found, or another user can change it.
    pub fn calling() -> Result<Self, PodmanError> {
        let environment = Environment::of_this_process();
        if let Some((netavark, delegation, starter)) = caller::above()? {
            return Ok(Self {
                starter,
                ..Self::with(netavark, delegation, &environment)?
            });
        }
        let conf = ContainersConf::load(&environment).unwrap_or_else(|error| {
            log::warn!("using Podman's default directories: {error}");
            ContainersConf::default()
        });
        let delegation = caller::default_delegation(&environment, &conf);
        Self::with(caller::netavark(&conf)?, delegation, &environment)
    }

    /// Returns the Podman that called this process under the name `netavark`, with this command
    /// line. `netavark` is the real one. A call that needs the network files passes `conf`,
    /// which tells their directory.
    ///
    /// # Errors
    /// If the state directory that the environment names is not an absolute path.
    pub fn in_front(
        netavark: PathBuf,
        line: &NetavarkLine,
        environment: &Environment,
        conf: Option<&ContainersConf>,
    ) -> Result<Self, PodmanError> {
        let parent = sight::process(nix::unistd::getppid().as_raw());
        let found = |conf| network_dir::network_config_dir(environment, conf, &callers()).ok();
        let directory = conf.and_then(found);
        Ok(Self {
            starter: parent.map(|fact| fact.process),
            network_config_dir: directory.map_or_else(OnceCell::new, OnceCell::from),
            ..Self::with(netavark, line.delegation(), environment)?
        })
    }

    fn with(
        netavark: PathBuf,
        delegation: Delegation,
        environment: &Environment,
    ) -> Result<Self, PodmanError> {
        let runtime = caller::runtime_directory(environment, delegation.rootless);
        let settings = settings(environment);
        let is_default = delegation.config == caller::default_run_directory(&runtime);
        let set = settings.state_directory().filter(|_| is_default);
        let state_directory = state_directory(&delegation.config, set)?;
        let history = match set {
            Some(_) => state_directory.join("history"),
            None => history_file(&state_directory, delegation.rootless, environment),
        };
        Ok(Self {
            netavark,
            starter: None,
            history_file: history,
            share_directory: lasting_directory(delegation.rootless, environment).join("shares"),
            state_directory,
            namespace_directory: runtime.join("netns"),
            settings,
            network_config_dir: OnceCell::new(),
            delegation,
        })
    }

    /// Returns the directory with one JSON file per network; it need not exist. For a plugin
    /// call it is determined on first use, because most calls never need it.
    ///
    /// # Errors
    /// If containers.conf or storage.conf cannot be read.
    pub fn network_config_dir(&self) -> Result<&Path, PodmanError> {
        if let Some(known) = self.network_config_dir.get() {
            return Ok(known);
        }
        let environment = Environment::of_this_process();
        let conf = ContainersConf::load(&environment)?;
        let found = network_dir::network_config_dir(&environment, &conf, &callers())?;
        Ok(self.network_config_dir.get_or_init(|| found))
    }

    /// As [`Podman::network_config_dir`], but makes the directory if there is none. Podman
    /// makes it with the first network other than the default one, and a command that names a
    /// directory needs one that exists.
    ///
    /// # Errors
    /// As [`Podman::network_config_dir`], and if the directory cannot be made.
    pub fn make_network_config_dir(&self) -> Result<&Path, PodmanError> {
        let directory = self.network_config_dir()?;
        fs::create_dir_all(directory)
            .map_err(|error| PodmanError::MakeDirectory(directory.to_owned(), error))?;
        Ok(directory)
    }

    /// Puts the settings of berth.conf for a network into its options, as far as they can be
    /// understood. This suffices to look at a network, but not to lease from it.
    pub fn fill_in(&self, network: &mut Network) {
        if let Err(mistake) = self.settings.apply(network) {
            log::debug!("{mistake}");
        }
    }

    /// Returns the mistake in berth.conf that may hide where the leases are, if there is one.
    pub fn state_mistake(&self) -> Option<&Mistake> {
        let is_named = env::var_os(STATE_VARIABLE).is_some_and(|value| !value.is_empty());
        self.settings.blinding().filter(|_| !is_named)
    }

    /// Returns whether a network's file contradicts `is_ours`. If the file is missing or
    /// belongs to another network, it does not.
    pub fn denies(&self, network: &Network, is_ours: bool) -> bool {
        let file = |directory: &Path| {
            let path = directory.join(format!("{}.json", network.name));
            NetworkFile::read(path)?.network.ok()
        };
        let on_file = self.network_config_dir().ok().and_then(file);
        on_file.is_some_and(|own| own.id == network.id && own.is_ours() != is_ours)
    }

    /// Makes every Podman read the network files again, which it does when their directory has
    /// changed (`loadNetworks`, 5.4).
    pub fn touch_networks(&self) {
        let touched = self.network_config_dir().map(|directory| {
            let now = std::time::SystemTime::now();
            fs::File::open(directory).and_then(|directory| directory.set_modified(now))
        });
        if let Ok(Err(error)) = touched {
            log::warn!("failed to touch the directory of network files: {error}");
        }
    }

    /// Returns the path of Podman's network lock (containers/common `network.go`).
    ///
    /// # Errors
    /// As [`Podman::network_config_dir`].
    pub fn network_lock(&self) -> Result<PathBuf, PodmanError> {
        if self.delegation.rootless {
            return Ok(self.network_config_dir()?.join("netavark.lock"));
        }
        Ok(ROOT_LOCK.into())
    }

    /// Takes Podman's network lock, which Podman holds whenever it calls netavark, waiting no
    /// longer than `wait`. A caller that also needs the store's lock must take this one first.
    ///
    /// # Errors
    /// With the holder's name, if it is known.
    pub fn lock_networks(&self, wait: Duration) -> Result<NetworkLock, NetworkLockError> {
        NetworkLock::acquire(&self.network_lock()?, wait)
    }

    /// Returns the networks whose addresses berth leases, sorted by name, with the settings of
    /// berth.conf applied.
    ///
    /// # Errors
    /// If a network file exists but cannot be read.
    pub fn networks(&self) -> Result<Vec<Network>, PodmanError> {
        Ok(self.networks_and_names()?.0)
    }

    /// As [`Podman::networks`], together with the names of all networks by their ids, ours or
    /// not. The default network is included, even without a file. The names are `None` if a
    /// file cannot be understood, because there may then be others.
    ///
    /// # Errors
    /// As [`Podman::networks`].
    pub fn networks_and_names(&self) -> Result<(Vec<Network>, Option<Names>), PodmanError> {
        let files = read_networks(self.network_config_dir()?)?;
        let default = (default_network::ID.to_owned(), "podman".to_owned());
        let named = files.iter().map(|file| {
            let network = file.network.as_ref().ok()?;
            Some((network.id.clone(), network.name.clone()))
        });
        let names = [Some(default)].into_iter().chain(named).collect();
        let mut networks = networks_of(files)?;
        networks.retain(Network::is_ours);
        for network in &mut networks {
            self.fill_in(network);
        }
        Ok((networks, names))
    }
}

/// Returns directories as one text, for messages.
pub(crate) fn list(directories: &[PathBuf]) -> String {
    let texts = directories.iter().map(|dir| dir.display().to_string());
    let texts: Vec<_> = texts.collect();
    texts.join(", ")
}
