//! Where configuration files are: containers.conf and, by the same rules, berth.conf.
//!
//! Files are layered as in Podman 5.4 (`pkg/config/new.go`); later ones win:
//!
//! ```text
//! /usr/share/containers/containers.conf
//! /etc/containers/containers.conf
//! /etc/containers/containers.conf.d/*.conf
//! $XDG_CONFIG_HOME/containers/containers.conf      (~/.config if unset; root too)
//! $XDG_CONFIG_HOME/containers/containers.conf.d/*.conf
//! ```
//!
//! `$CONTAINERS_CONF` replaces them all, and `$CONTAINERS_CONF_OVERRIDE` comes last. berth also
//! reads the directories that Podman 6 has added (`storage/pkg/configfile`), which do not exist
//! with older versions: drop-ins beside the first file, and `containers.rootful.conf.d` or
//! `containers.rootless.conf.d` (and in it a directory per user id) after each
//! `containers.conf.d` of the system. Two more rules of Podman 6 are not followed, because
//! nothing says which Podman is calling: there, the first main file found hides the others, and
//! a drop-in hides one of the same name in an earlier directory.

use std::io;
use std::path::{Path, PathBuf};

use super::Environment;
use crate::sight;

/// How the files of a configuration are named.
pub(super) struct Family {
    /// The prefix of the names of its files.
    stem: &'static str,
    /// The variable that names the only file to read.
    replaced_by: &'static str,
    /// The variable that names the last file to read.
    overridden_by: &'static str,
}

/// Podman's own files.
pub(super) const CONTAINERS: Family = Family {
    stem: "containers",
    replaced_by: "CONTAINERS_CONF",
    overridden_by: "CONTAINERS_CONF_OVERRIDE",
};

/// berth's files.
pub(super) const BERTH: Family = Family {
    stem: "berth",
    replaced_by: "BERTH_CONF",
    overridden_by: "BERTH_CONF_OVERRIDE",
};

/// A directory that exists but cannot be listed.
#[derive(Debug)]
pub(super) struct Unlisted {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

/// A file, and the environment variable that names it, if one does.
type Named = (PathBuf, Option<&'static str>);

/// Returns the files to read, in order, each with the variable that names it.
///
/// # Errors
/// If a directory exists but cannot be listed.
pub(super) fn files(environment: &Environment, family: &Family) -> Result<Vec<Named>, Unlisted> {
    let mut files = Vec::new();
    let stem = family.stem;
    if let Some(path) = environment.path(family.replaced_by) {
        files.push((path, Some(family.replaced_by)));
    } else {
        for system in ["usr/share", "etc"] {
            let dir = environment.root().join(system).join("containers");
            files.push((dir.join(format!("{stem}.conf")), None));
            files.extend(drop_ins(&dir.join(format!("{stem}.conf.d")))?);
            if environment.uid() != 0 {
                let rootless = dir.join(format!("{stem}.rootless.conf.d"));
                files.extend(drop_ins(&rootless)?);
                files.extend(drop_ins(&rootless.join(environment.uid().to_string()))?);
            } else {
                files.extend(drop_ins(&dir.join(format!("{stem}.rootful.conf.d")))?);
            }
        }
        if let Some(home) = environment.config_home() {
            let dir = home.join("containers");
            files.push((dir.join(format!("{stem}.conf")), None));
            files.extend(drop_ins(&dir.join(format!("{stem}.conf.d")))?);
        }
    }
    if let Some(path) = environment.path(family.overridden_by) {
        files.push((path, Some(family.overridden_by)));
    }
    Ok(files)
}

/// Returns the `*.conf` files of a directory, sorted by name; none if it is absent.
fn drop_ins(dir: &Path) -> Result<Vec<Named>, Unlisted> {
    let failed = |source| Unlisted {
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for path in sight::list(dir).map_err(failed)? {
        if path.extension().is_some_and(|end| end == "conf") && !path.is_dir() {
            files.push((path, None));
        }
    }
    files.sort();
    Ok(files)
}
