//! The only reader of Podman's network files: `NAME.json` in the network configuration
//! directory.
//!
//! Podman skips a file that it cannot read or understand (`loadNetworks`, 5.4). What that means
//! differs from caller to caller, so every file is returned, either with its network or with
//! what is wrong with it.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use thiserror::Error;

use super::HostError;
use crate::protocol::Network;
use crate::rules::network_config::is_valid_name;
use crate::sight;

/// A file that is, or should be, a network.
#[derive(Debug)]
pub struct NetworkFile {
    pub path: PathBuf,
    /// Its contents; empty if it cannot be read.
    pub bytes: Vec<u8>,
    /// Its owner and mode; `None` if it cannot be opened.
    pub metadata: Option<Metadata>,
    pub network: Result<Network, Fault>,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum Fault {
    /// Nothing is known of this network, because Podman may be able to read the file.
    #[error("{0}")]
    Unreadable(#[source] io::Error),
    /// Podman does not take it for a network either.
    #[error("{0}")]
    Malformed(String),
}

/// Reads every network file of a directory, sorted by path. The directory need not exist. A
/// file that is removed meanwhile is left out.
///
/// # Errors
/// [`HostError::Read`] if the directory exists but cannot be listed.
pub fn read_networks(directory: &Path) -> Result<Vec<NetworkFile>, HostError> {
    let failed = |source| HostError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for path in sight::list(directory).map_err(failed)? {
        if path.extension().is_some_and(|end| end == "json") {
            files.extend(NetworkFile::read(path));
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// As [`read_networks`], without the files that Podman does not take for networks.
///
/// # Errors
/// As [`read_networks`], and if a file exists but cannot be read.
pub fn known_networks(directory: &Path) -> Result<Vec<Network>, HostError> {
    networks_of(read_networks(directory)?)
}

/// Returns the networks in these files, as [`known_networks`] does.
pub(super) fn networks_of(files: Vec<NetworkFile>) -> Result<Vec<Network>, HostError> {
    let mut networks = Vec::new();
    for file in files {
        match file.network {
            Ok(network) => networks.push(network),
            Err(Fault::Malformed(why)) => warn_of_ignored(&file.path, &why),
            Err(Fault::Unreadable(source)) => {
                let path = file.path;
                return Err(HostError::Read { path, source });
            }
        }
    }
    Ok(networks)
}

/// Warns of a file that Podman does not take for a network, but only once per process, because
/// a process may read the file many times.
pub fn warn_of_ignored(path: &Path, why: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = format!("Podman ignores {}: {why}", path.display());
    if TOLD.lock().is_ok_and(|mut told| told.insert(text.clone())) {
        log::warn!("{text}");
    }
}

impl NetworkFile {
    /// Reads one file; `None` if it does not exist.
    pub fn read(path: PathBuf) -> Option<Self> {
        let mut bytes = Vec::new();
        let opened = File::open(&path).and_then(|mut file| {
            let metadata = file.metadata()?;
            if metadata.is_file() {
                file.read_to_end(&mut bytes)?;
            }
            Ok(metadata)
        });
        let metadata = match opened {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                return Some(Self {
                    path,
                    bytes: Vec::new(),
                    metadata: None,
                    network: Err(Fault::Unreadable(error)),
                });
            }
        };
        Some(Self {
            network: parse(&path, &bytes).map_err(Fault::Malformed),
            metadata: Some(metadata),
            path,
            bytes,
        })
    }
}

/// Parses a file as strictly as Podman does, or returns why it is not a network.
fn parse(path: &Path, bytes: &[u8]) -> Result<Network, String> {
    let network: Network = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if path.file_stem().is_none_or(|stem| *stem != *network.name) {
        return Err(format!(
            "its name {:?} does not match the file name",
            network.name
        ));
    }
    if !is_valid_name(&network.name) {
        return Err(format!("invalid name {:?}", network.name));
    }
    if network.id.len() != 64 {
        return Err(format!("invalid network ID {:?}", network.id));
    }
    Ok(network)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(name: &str) -> String {
        let id = "a".repeat(64);
        format!(r#"{{"name":"{name}","id":"{id}","driver":"bridge","future":1}}"#)
    }

    #[test]
    fn every_file_is_returned_with_its_network_or_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("a.json", &text("a"));
        put("b.json", &text("other"));
        put("broken.json", "{");
        put(
            "short.json",
            r#"{"name":"short","id":"1","driver":"bridge"}"#,
        );
        put("-bad.json", &text("-bad"));
        put("not.conf", &text("not"));
        fs::create_dir(dir.path().join("directory.json")).unwrap();
        symlink("loop.json", dir.path().join("loop.json")).unwrap();
        let found = read_networks(dir.path()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|file| {
                let stem = file.path.file_stem().unwrap().to_str().unwrap();
                let what = match &file.network {
                    Ok(_) => "a network",
                    Err(Fault::Malformed(_)) => "malformed",
                    Err(Fault::Unreadable(_)) => "unreadable",
                };
                (stem, what)
            })
            .collect();
        assert_eq!(
            found,
            [
                ("-bad", "malformed"),
                ("a", "a network"),
                ("b", "malformed"),
                ("broken", "malformed"),
                ("loop", "unreadable"),
                ("short", "malformed"),
            ]
        );
        assert!(
            read_networks(Path::new("/nowhere/at/all"))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_hides_a_network_and_one_that_podman_ignores_does_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.json"), text("a")).unwrap();
        fs::write(dir.path().join("broken.json"), "{").unwrap();
        let names = known_networks(dir.path()).unwrap();
        let names: Vec<_> = names.iter().map(|network| &*network.name).collect();
        assert_eq!(names, ["a"]);
        symlink("loop.json", dir.path().join("loop.json")).unwrap();
        let error = known_networks(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("loop.json"), "{error}");
    }
}
