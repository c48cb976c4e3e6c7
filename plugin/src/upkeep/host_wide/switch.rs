//! The link that puts berth in front of netavark: makes it, removes it, and reports on it.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::exemption::{end_all, exempt_all, gone};
use super::link;
use crate::podman::{
    self, ConfError, ContainersConf, Environment, NetworkLockError, Podman, PodmanError,
    known_networks,
};
use crate::sight::front::is_named_berth;

/// Where the link goes if no directory is searched before netavark's own.
const DIRECTORY: &str = "/usr/local/libexec/podman";

/// Makes Podman search [`DIRECTORY`] first if `helper_binaries_dir` is set otherwise.
const DROP_IN: &str = "/etc/containers/containers.conf.d/60-berth-host-wide.conf";

/// Failure to switch the mode, or to report its status. Unless the message says otherwise,
/// nothing was changed.
#[derive(Debug, Error)]
pub enum SwitchError {
    #[error(transparent)]
    Conf(#[from] ConfError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Lock(#[from] NetworkLockError),
    #[error("failed to write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("failed to remove {}", .0.display())]
    Remove(PathBuf, #[source] io::Error),
    #[error(
        "{} is not berth's, and Podman would run it in place of netavark: move it away first",
        .0.display()
    )]
    Occupied(PathBuf),
    #[error(
        "the link {} is there, but Podman does not search that directory first: look for \
         helper_binaries_dir in containers.conf",
        .0.display()
    )]
    NotFirst(PathBuf),
    #[error("berth is not in front of netavark; root turns that on with `berth host-wide on`")]
    NotRoot,
    #[error(
        "networks {} lease from berth and need it in front of netavark; run `berth host-wide off` \
         again, which moves them back",
        .0.join(", ")
    )]
    Needed(Vec<String>),
    #[error(
        "the networks are Podman's, but {} is a copy of berth, and not the link that `berth \
         host-wide on` makes: whoever put it there may remove it now",
        .0.display()
    )]
    Copy(PathBuf),
}

/// Puts berth in front of netavark, durably, and ends all exemptions of networks of `podman`.
/// Doing it twice changes nothing more. Without root, it fails unless root has put berth there.
///
/// # Errors
/// If Podman would not run the link; then there is none.
pub fn on(podman: &Podman) -> Result<(), SwitchError> {
    let environment = Environment::of_this_process();
    let conf = ContainersConf::load(&environment)?;
    if link(&conf).is_none() {
        if environment.rootless() {
            return Err(SwitchError::NotRoot);
        }
        put_in_front(&environment, &conf)?;
    }
    let directory = podman.network_config_dir()?;
    end_all(directory).map_err(|error| SwitchError::Remove(directory.to_owned(), error))
}

fn put_in_front(environment: &Environment, conf: &ContainersConf) -> Result<(), SwitchError> {
    let netavark = podman::netavark(conf)?;
    let directories = &conf.helper_binaries_dir;
    let mut before = directories
        .iter()
        .take_while(|directory| directory.join("netavark") != netavark);
    let directory = match before.next() {
        Some(directory) => directory.clone(),
        None => {
            write_drop_in(directories)?;
            DIRECTORY.into()
        }
    };
    let path = directory.join("netavark");
    let made = make(&path).and_then(|()| {
        let conf = ContainersConf::load(environment)?;
        match link(&conf) {
            Some(_) => Ok(()),
            None => Err(SwitchError::NotFirst(path.clone())),
        }
    });
    if made.is_err() {
        remove(&path)?;
        remove_drop_in()?;
    }
    made
}

/// Removes berth from in front of netavark, durably.
///
/// # Errors
/// [`SwitchError::Needed`] as long as a network of `podman` needs berth there, and any
/// error that keeps a network file from being read, because that network may need it.
/// [`SwitchError::Copy`] if what is in front is not a link of ours. Then all networks are
/// exempt, so that no collection moves one to berth before the copy is removed.
pub fn off(podman: &Podman) -> Result<(), SwitchError> {
    // An adoption looks for the link under this lock.
    let _networks = podman.lock_networks(podman.settings.lock_wait())?;
    let plain = Status::of(podman)?.plain;
    if !plain.is_empty() {
        return Err(SwitchError::Needed(plain));
    }
    let environment = Environment::of_this_process();
    let conf = ContainersConf::load(&environment)?;
    if environment.rootless() {
        return Err(SwitchError::NotRoot);
    }
    let there = link(&conf);
    if let Some(path) = &there {
        remove(path)?;
    }
    remove_drop_in()?;
    let directory = podman.network_config_dir()?;
    match there {
        Some(path) if path.exists() => {
            exempt_all(directory)
                .map_err(|error| SwitchError::Write(directory.to_owned(), error))?;
            Err(SwitchError::Copy(path))
        }
        _ => end_all(directory).map_err(|error| SwitchError::Remove(directory.to_owned(), error)),
    }
}

fn write_drop_in(directories: &[PathBuf]) -> Result<(), SwitchError> {
    let first = std::iter::once(DIRECTORY.to_owned());
    let rest = directories.iter().map(|dir| dir.display().to_string());
    let all: Vec<_> = first.chain(rest).collect();
    let text = format!(
        "# Written by `berth host-wide on`, which `berth host-wide off` undoes: Podman finds\n\
         # berth under the name of netavark in the first of these directories.\n\
         [engine]\nhelper_binaries_dir = {all:?}\n"
    );
    let path = Path::new(DROP_IN);
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| SwitchError::Write(path.to_owned(), error))
}

fn remove_drop_in() -> Result<(), SwitchError> {
    gone(fs::remove_file(DROP_IN)).map_err(|error| SwitchError::Remove(DROP_IN.into(), error))
}

/// Makes the link. Replaces a link of ours that leads nowhere.
fn make(path: &Path) -> Result<(), SwitchError> {
    let failed = |error| SwitchError::Write(path.to_owned(), error);
    match fs::read_link(path) {
        Ok(target) if is_named_berth(&target) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Ok(_) | Err(_) => return Err(SwitchError::Occupied(path.to_owned())),
    }
    let own = fs::canonicalize("/proc/self/exe").map_err(failed)?;
    let directory = path.parent().unwrap_or(path);
    let new = directory.join(".netavark.berth");
    fs::create_dir_all(directory).map_err(failed)?;
    let _ = fs::remove_file(&new);
    symlink(own, &new).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    sync(directory).map_err(failed)
}

/// Removes the link, if it leads to berth.
fn remove(path: &Path) -> Result<(), SwitchError> {
    let leads = fs::read_link(path).ok();
    if !leads.is_some_and(|target| is_named_berth(&target)) {
        return Ok(());
    }
    fs::remove_file(path)
        .and_then(|()| sync(path.parent().unwrap_or(path)))
        .map_err(|error| SwitchError::Remove(path.to_owned(), error))
}

fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Who leases the addresses of a Podman's networks.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The link, or copy, by which Podman runs berth as its netavark.
    pub link: Option<PathBuf>,
    /// The real netavark.
    pub netavark: PathBuf,
    /// Networks that need berth in front of netavark, by name.
    pub plain: Vec<String>,
    /// Networks for which netavark runs berth as a plugin.
    pub plugin: Vec<String>,
    /// Networks whose addresses Podman leases.
    pub podman: Vec<String>,
}

impl Status {
    /// Reads the status.
    ///
    /// # Errors
    /// If Podman's configuration or a network file cannot be read: then it is not known
    /// who leases that network's addresses.
    pub fn of(podman: &Podman) -> Result<Self, SwitchError> {
        let conf = ContainersConf::load(&Environment::of_this_process())?;
        let mut status = Self {
            link: link(&conf),
            netavark: podman.netavark.clone(),
            plain: Vec::new(),
            plugin: Vec::new(),
            podman: Vec::new(),
        };
        let directory = podman.network_config_dir()?;
        let networks = known_networks(directory).map_err(PodmanError::from)?;
        if networks.iter().all(|own| own.name != conf.default_network) {
            status.podman.push(conf.default_network);
        }
        for network in networks {
            if network.is_plain() {
                status.plain.push(network.name);
            } else if network.is_ours() {
                status.plugin.push(network.name);
            } else if network.is_podmans() {
                status.podman.push(network.name);
            }
        }
        Ok(status)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Some(link) => writeln!(
                f,
                "on: {} is berth, {} does the plumbing",
                link.display(),
                self.netavark.display()
            )?,
            None => writeln!(f, "off: Podman runs {} itself", self.netavark.display())?,
        }
        let list = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        writeln!(f, "leased by berth, host-wide:  {}", list(&self.plain))?;
        writeln!(f, "leased by berth, as plugin:  {}", list(&self.plugin))?;
        write!(f, "leased by Podman:            {}", list(&self.podman))
    }
}
