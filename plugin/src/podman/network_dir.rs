//! Where Podman keeps network configurations.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{CommandLine, HostError};
use crate::podman::{ContainersConf, Environment};

/// Returns the directory with one JSON file per network, which need not exist. It is taken from
/// Podman's command line, or else from containers.conf, or else is the default: below `/etc`
/// for root, in the graph root for another user (`getDefaultNetavarkConfigDir`, 5.4).
///
/// # Errors
/// If storage.conf is damaged, or a rootless user has no home. Neither matters to root, or if
/// the directory is named.
pub fn network_config_dir(
    environment: &Environment,
    conf: &ContainersConf,
    callers: &[CommandLine],
) -> Result<PathBuf, HostError> {
    let option = |name| callers.iter().find_map(|caller| caller.option(name));
    if let Some(dir) = option("--network-config-dir").or_else(|| conf.network_config_dir.clone()) {
        return Ok(dir);
    }
    if !environment.rootless() {
        return Ok(environment.root().join("etc/containers/networks"));
    }
    let graph_root = option("--root").map_or_else(|| graph_root(environment), Ok)?;
    Ok(graph_root.join("networks"))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StorageConf {
    storage: Storage,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Storage {
    graphroot: String,
    rootless_storage_path: String,
}

/// Returns the graph root of a rootless Podman (`loadStoreOptionsFromConfFile`, 5.4). It is the
/// one that Podman has told us, or else the one in the storage.conf that
/// `CONTAINERS_STORAGE_CONF` names, or in the user's own; or else the one that the system's
/// file sets for all users; or else one below the data directory.
fn graph_root(environment: &Environment) -> Result<PathBuf, HostError> {
    if let Some(told) = environment.told_graph_root() {
        return Ok(told);
    }
    let own = environment
        .path("CONTAINERS_STORAGE_CONF")
        .or_else(|| Some(environment.config_home()?.join("containers/storage.conf")));
    if let Some(conf) = own.map_or_else(|| Ok(None), |path| read(&path))? {
        for path in [conf.graphroot, conf.rootless_storage_path] {
            if !path.is_empty() {
                return Ok(expand(&path, environment));
            }
        }
    } else {
        for dir in ["etc", "usr/share"] {
            let path = environment.root().join(dir).join("containers/storage.conf");
            // The system's graphroot is root's.
            if let Some(conf) = read(&path)? {
                let root_in_namespace = environment.uid() == 0 && !conf.graphroot.is_empty();
                if root_in_namespace {
                    return Ok(conf.graphroot.into());
                }
                if !conf.rootless_storage_path.is_empty() {
                    return Ok(expand(&conf.rootless_storage_path, environment));
                }
                break;
            }
        }
    }
    if environment.uid() == 0 {
        return Ok(environment.root().join("var/lib/containers/storage"));
    }
    let data = environment.data_home().ok_or(HostError::NoHome)?;
    Ok(data.join("containers/storage"))
}

fn read(path: &Path) -> Result<Option<Storage>, HostError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(HostError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let conf: StorageConf = toml::from_str(&text).map_err(|error| HostError::Storage {
        path: path.to_owned(),
        message: error.message().replace('\n', " "),
    })?;
    Ok(Some(conf.storage))
}

/// Expands the variables that storage.conf(5) knows: `$HOME`, `$UID` and `$USER`.
fn expand(path: &str, environment: &Environment) -> PathBuf {
    let home = environment.home().unwrap_or_default();
    let user = environment.path("USER").unwrap_or_default();
    path.replace("$UID", &environment.uid().to_string())
        .replace("$HOME", &home.to_string_lossy())
        .replace("$USER", &user.to_string_lossy())
        .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Files below `/r` of the imagined host are written into a temporary directory.
    fn check(
        uid: u32,
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
        callers: &[&str],
        expected: &str,
    ) {
        let root = tempfile::tempdir().unwrap();
        let real = |text: &str| text.replace("/r/", &format!("{}/", root.path().display()));
        for (path, text) in files {
            let path = PathBuf::from(real(path));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let variables = variables.iter().map(|(name, value)| (*name, real(value)));
        let environment = Environment::imagined(root.path(), uid, variables);
        let conf = ContainersConf::load(&environment).unwrap();
        let callers: Vec<CommandLine> = callers
            .iter()
            .map(|line| CommandLine(line.split(' ').map(Into::into).collect()))
            .collect();
        let found = network_config_dir(&environment, &conf, &callers).unwrap();
        assert_eq!(found, PathBuf::from(real(expected)));
    }

    const HOME: (&str, &str) = ("HOME", "/r/home");

    #[test]
    fn root_keeps_networks_in_etc_unless_told_otherwise() {
        let conf = (
            "/r/etc/containers/containers.conf",
            "[network]\nnetwork_config_dir='/c'",
        );
        check(0, &[], &[HOME], &["podman"], "/r/etc/containers/networks");
        check(
            0,
            &[],
            &[HOME],
            &["podman --root /x"],
            "/r/etc/containers/networks",
        );
        check(0, &[conf], &[HOME], &["podman"], "/c");
        check(
            0,
            &[conf],
            &[HOME],
            &["podman --network-config-dir=/d"],
            "/d",
        );
        check(
            0,
            &[],
            &[HOME],
            &[
                "netavark --config /run/x create",
                "podman --network-config-dir /d",
            ],
            "/d",
        );
    }

    #[test]
    fn rootless_networks_are_in_the_graph_root() {
        let own = "/r/home/.config/containers/storage.conf";
        let system = "/r/etc/containers/storage.conf";
        let graph = "[storage]\ngraphroot='/g/$UID'";
        let rootless = "[storage]\ngraphroot='/root'\nrootless_storage_path='/s/$USER'";
        let user = ("USER", "ann");
        check(
            7,
            &[],
            &[HOME],
            &[],
            "/r/home/.local/share/containers/storage/networks",
        );
        check(
            7,
            &[],
            &[HOME, ("XDG_DATA_HOME", "/r/data")],
            &[],
            "/r/data/containers/storage/networks",
        );
        check(7, &[(own, graph)], &[HOME], &[], "/g/7/networks");
        check(
            7,
            &[(system, rootless)],
            &[HOME, user],
            &[],
            "/s/ann/networks",
        );
        check(
            7,
            &[(own, graph), (system, rootless)],
            &[HOME],
            &[],
            "/g/7/networks",
        );
        check(
            7,
            &[(own, graph)],
            &[HOME],
            &["podman --root /x"],
            "/x/networks",
        );
        check(
            7,
            &[("/r/other.conf", "[storage]\ngraphroot='/o'"), (own, graph)],
            &[HOME, ("CONTAINERS_STORAGE_CONF", "/r/other.conf")],
            &[],
            "/o/networks",
        );
        check(
            0,
            &[(system, rootless)],
            &[HOME, ("_CONTAINERS_USERNS_CONFIGURED", "1")],
            &[],
            "/root/networks",
        );
        let told = [
            HOME,
            ("_CONTAINERS_USERNS_CONFIGURED", "done"),
            ("CONTAINERS_GRAPHROOT", "/told"),
        ];
        check(7, &[(own, graph)], &told, &[], "/told/networks");
        check(7, &[], &told, &["podman --root /x"], "/x/networks");
        check(7, &[(own, graph)], &[HOME, told[2]], &[], "/g/7/networks");
    }
}
