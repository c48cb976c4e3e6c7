//! Which networks a command is about.

use std::path::Path;
use std::time::SystemTime;

use berth::podman::ContainersConf;
use berth::podman::{self, HostError};
use serde_json::Value;
use thiserror::Error;

use crate::network_file::{NetworkFile, NetworkFileError};

/// Failure to find a network.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// A file.
    #[error(transparent)]
    File(#[from] NetworkFileError),
    /// The default network.
    #[error(transparent)]
    Default(#[from] HostError),
    /// There is no such network.
    #[error("found no network {name:?} in {directory}; `podman network ls` lists them")]
    NotFound {
        /// The name or id that was given.
        name: String,
        /// Where the networks are.
        directory: String,
    },
    /// The beginning of an id is that of several.
    #[error("several networks have an id that begins with {0:?}; give more of it, or the name")]
    Ambiguous(String),
}

/// Which networks are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that can be moved.
    All,
    /// These, by name, id or the beginning of an id.
    Named(Vec<String>),
}

/// Returns all networks, by name; the default one also where only Podman's memory has
/// it.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn all(directory: &Path, conf: &ContainersConf) -> Result<Vec<NetworkFile>, SelectionError> {
    let mut files = NetworkFile::read_all(directory)?;
    if files
        .iter()
        .all(|file| file.network.name != conf.default_network)
    {
        let mut network = podman::default_network(conf)?;
        let now = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
        network
            .rest
            .insert("created".to_owned(), Value::String(now));
        files.push(NetworkFile::of_memory(directory, network));
    }
    Ok(files)
}

/// Returns the names of those that are meant, each once, in the order given.
///
/// # Errors
/// If there is none of a name or id.
pub fn select(
    files: &[NetworkFile],
    wanted: &Wanted,
    directory: &Path,
) -> Result<Vec<String>, SelectionError> {
    let Wanted::Named(words) = wanted else {
        let all = files.iter().map(|file| file.network.name.clone());
        return Ok(all.collect());
    };
    let mut names: Vec<String> = Vec::new();
    for word in words {
        let name = find(files, word)?.ok_or_else(|| SelectionError::NotFound {
            name: word.clone(),
            directory: directory.display().to_string(),
        })?;
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Returns the name of the network that a word means, as Podman does (`getNetwork`).
fn find<'a>(files: &'a [NetworkFile], word: &str) -> Result<Option<&'a String>, SelectionError> {
    let named = |file: &&NetworkFile| file.network.name == word;
    if let Some(file) = files.iter().find(named) {
        return Ok(Some(&file.network.name));
    }
    let mut begun = files
        .iter()
        .filter(|file| !word.is_empty() && file.network.id.starts_with(word));
    let found = begun.next();
    if begun.next().is_some() {
        return Err(SelectionError::Ambiguous(word.to_owned()));
    }
    Ok(found.map(|file| &file.network.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(name: &str, id: &str) -> NetworkFile {
        let network = json!({"name": name, "id": id, "driver": "bridge"});
        let network = serde_json::from_value(network).unwrap();
        NetworkFile::of_memory(Path::new("/nets"), network)
    }

    #[test]
    fn a_network_is_meant_by_name_or_the_beginning_of_its_id() {
        let files = [file("web", "abc1"), file("abc", "abd2"), file("x", "abc3")];
        let check = |words: &[&str], expected: Result<&[&str], &str>| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            let found = select(&files, &Wanted::Named(words), Path::new("/nets"));
            match expected {
                Ok(names) => assert_eq!(found.unwrap(), names),
                Err(text) => assert_eq!(found.unwrap_err().to_string(), text),
            }
        };
        check(&["web", "abc1", "web"], Ok(&["web"]));
        check(&["abc", "abc3"], Ok(&["abc", "x"]));
        check(
            &["ab"],
            Err(
                "several networks have an id that begins with \"ab\"; give more of it, or the name",
            ),
        );
        check(
            &["no"],
            Err("found no network \"no\" in /nets; `podman network ls` lists them"),
        );
        check(
            &[""],
            Err("found no network \"\" in /nets; `podman network ls` lists them"),
        );
        let all = select(&files, &Wanted::All, Path::new("/nets")).unwrap();
        assert_eq!(all, ["web", "abc", "x"]);
    }

    #[test]
    fn the_default_network_is_there_without_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let conf = ContainersConf::default();
        let files = all(directory.path(), &conf).unwrap();
        let [file] = &files[..] else {
            panic!("{files:?}")
        };
        assert!(!file.is_there());
        assert_eq!(file.network.subnets[0].gateway, "10.88.0.1".parse().ok());
        file.stage(&file.bytes).unwrap().put().unwrap();
        let files = all(directory.path(), &conf).unwrap();
        assert!(files.len() == 1 && files[0].is_there());
    }
}
