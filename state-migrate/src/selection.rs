//! Which networks a command is about.

use std::path::Path;
use std::time::SystemTime;

use berth::podman;
use berth::podman::ContainersConf;
use serde_json::Value;

use crate::error::Error;
use crate::network_file::NetworkFile;
use crate::site::Site;

/// Which networks are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// These, by name, id or the beginning of an id.
    Named(Vec<String>),
}

/// Returns all networks, sorted by name, and also the default one if it is only in Podman's
/// memory.
///
/// # Errors
/// If a file exists and cannot be read.
pub(crate) fn all(directory: &Path, conf: &ContainersConf) -> Result<Vec<NetworkFile>, Error> {
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

impl Site {
    /// Returns all networks: see [`all`].
    ///
    /// # Errors
    /// If a file exists and cannot be read.
    pub(crate) fn networks(&self) -> Result<Vec<NetworkFile>, Error> {
        all(&self.directory, &self.conf)
    }

    /// Returns one network.
    ///
    /// # Errors
    /// If it no longer exists.
    pub(crate) fn network(&self, name: &str) -> Result<NetworkFile, Error> {
        let mut files = self.networks()?.into_iter();
        let own = files.find(|file| file.network.name == name);
        own.ok_or_else(|| not_found(name, &self.directory))
    }
}

pub(crate) fn not_found(name: &str, directory: &Path) -> Error {
    Error::NoNetwork {
        name: name.to_owned(),
        directory: directory.display().to_string(),
    }
}

/// Returns the names of the selected networks, each once, in the order given.
///
/// # Errors
/// If there is no network of that name or id.
pub(crate) fn select(
    files: &[NetworkFile],
    wanted: &Wanted,
    directory: &Path,
) -> Result<Vec<String>, Error> {
    let Wanted::Named(words) = wanted else {
        let all = files.iter().map(|file| file.network.name.clone());
        return Ok(all.collect());
    };
    let mut names: Vec<String> = Vec::new();
    for word in words {
        let name = find(files, word)?.ok_or_else(|| not_found(word, directory))?;
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Returns the name of the network that a word refers to, by Podman's rules (`getNetwork`).
fn find<'a>(files: &'a [NetworkFile], word: &str) -> Result<Option<&'a String>, Error> {
    let named = |file: &&NetworkFile| file.network.name == word;
    if let Some(file) = files.iter().find(named) {
        return Ok(Some(&file.network.name));
    }
    let mut begun = files
        .iter()
        .filter(|file| !word.is_empty() && file.network.id.starts_with(word));
    let found = begun.next();
    if begun.next().is_some() {
        return Err(Error::Ambiguous(word.to_owned()));
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
