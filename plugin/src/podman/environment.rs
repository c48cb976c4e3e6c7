//! The environment of this process: variables, user, and the root of the file system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Once;

use nix::unistd::Uid;

use super::user_database;
use crate::sight::hands;

/// Set by Podman in the processes that it starts in its own user namespace
/// (`unshare.UsernsEnvName`).
const USERNS_CONFIGURED: &str = "_CONTAINERS_USERNS_CONFIGURED";
/// The user id outside that namespace (`unshare.GetRootlessUID`).
const ROOTLESS_UID: &str = "_CONTAINERS_ROOTLESS_UID";

/// The environment of one process; in tests, of an imagined one.
#[derive(Clone, Debug)]
pub struct Environment {
    root: PathBuf,
    variables: BTreeMap<OsString, OsString>,
    uid: u32,
    confined: bool,
}

impl Environment {
    /// Returns the environment of this process.
    pub fn of_this_process() -> Self {
        let own = Self {
            confined: confined(),
            ..Self::imagined("/", Uid::effective().as_raw(), std::env::vars_os())
        };
        if own.rootless() {
            own
        } else {
            own.without_homes()
        }
    }

    /// Leaves out another user's directories, which `su`, and often `sudo`, leave in root's
    /// environment: it was not root who set what is configured there.
    fn without_homes(mut self) -> Self {
        static SAID: Once = Once::new();
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            let Some(path) = self.path(name) else {
                continue;
            };
            if let Some((place, reason)) = hands::on_program(&path) {
                let (path, place) = (path.display(), place.display());
                SAID.call_once(|| {
                    log::warn!("ignoring {name}={path}, because {place} {reason}");
                });
                self.variables.remove(&OsString::from(name));
            }
        }
        self
    }

    /// Returns a made-up environment: all system files are below `root`, and the process is its
    /// user's first, not in a user namespace.
    pub fn imagined<N, V>(
        root: impl Into<PathBuf>,
        uid: u32,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        Self {
            root: root.into(),
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            uid,
            confined: false,
        }
    }

    /// Returns the directory below which system files are looked up.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a path from a variable that is set and not empty.
    pub fn path(&self, variable: &str) -> Option<PathBuf> {
        self.variables
            .get(&OsString::from(variable))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// Returns the id of the user who called Podman, outside any namespace of Podman's.
    pub fn uid(&self) -> u32 {
        self.variables
            .get(&OsString::from(ROOTLESS_UID))
            .and_then(|value| value.to_str()?.parse().ok())
            .unwrap_or(self.uid)
    }

    /// Returns whether Podman counts this process as rootless (`unshare.IsRootless`). It also
    /// counts root as such if it lacks `CAP_SYS_ADMIN` or is in a user namespace that does not
    /// map all ids.
    pub fn rootless(&self) -> bool {
        self.uid() != 0 || self.path(USERNS_CONFIGURED).is_some() || self.confined
    }

    /// Returns the graph root that Podman passes to a command that it starts in its user
    /// namespace (`podman unshare`, `unshareEnv`).
    pub fn told_graph_root(&self) -> Option<PathBuf> {
        self.told("CONTAINERS_GRAPHROOT")
    }

    /// Returns the run root that Podman passes to such a command.
    pub fn told_run_root(&self) -> Option<PathBuf> {
        self.told("CONTAINERS_RUNROOT")
    }

    fn told(&self, variable: &str) -> Option<PathBuf> {
        self.path(USERNS_CONFIGURED)?;
        self.path(variable)
    }

    /// Returns the user's home directory, from `$HOME` or the user database.
    pub fn home(&self) -> Option<PathBuf> {
        let known = || user_database::home(&self.root, self.uid());
        self.path("HOME").or_else(known)
    }

    /// Returns `$XDG_CONFIG_HOME`, or `.config` in the home directory.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.path("XDG_CONFIG_HOME")
            .or_else(|| Some(self.home()?.join(".config")))
    }

    /// Returns `$XDG_DATA_HOME`, or `.local/share` in the home directory.
    pub fn data_home(&self) -> Option<PathBuf> {
        self.path("XDG_DATA_HOME")
            .or_else(|| Some(self.home()?.join(".local/share")))
    }

    /// Returns `$XDG_STATE_HOME`, or `.local/state` in the home directory.
    pub fn state_home(&self) -> Option<PathBuf> {
        self.path("XDG_STATE_HOME")
            .or_else(|| Some(self.home()?.join(".local/state")))
    }
}

/// Returns whether this process lacks what makes a user root: `CAP_SYS_ADMIN` (bit 21 of
/// `CapEff`, proc(5)) and a user namespace with all ids. What cannot be read counts as present,
/// as in Podman.
fn confined() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capable = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_none_or(|mask| mask & (1 << 21) != 0);
    let mapped_in_part = std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.split_whitespace().any(|word| word == "4294967295"));
    !capable || mapped_in_part
}
