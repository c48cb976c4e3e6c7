//! A network's configuration file. Reading keeps every byte, a change touches single fields
//! only, and a replacement is durable.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth::podman::{self, Fault};
pub(crate) use berth::podman::{Staged, sweep};
use berth::protocol::{self, Network};

use crate::error::Error;
use crate::file::{FileError, failed, sync_directory};

/// A network's configuration file.
#[derive(Clone, Debug)]
pub(crate) struct NetworkFile {
    pub(crate) path: PathBuf,
    /// The file's text, byte for byte.
    pub(crate) bytes: Vec<u8>,
    pub(crate) network: Network,
    /// The file's mode, user and group; `None` for a file that does not exist yet.
    owner: Option<(u32, u32, u32)>,
}

impl NetworkFile {
    /// Reads a file; `None` if there is none, or Podman does not take it for a network.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let file = podman::NetworkFile::read(path.to_owned());
        file.map_or(Ok(None), Self::of)
    }

    /// Reads all files of a directory, sorted by the networks' names. The directory need not
    /// exist.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn read_all(directory: &Path) -> Result<Vec<Self>, Error> {
        let mut files = Vec::new();
        for file in podman::read_networks(directory)? {
            files.extend(Self::of(file)?);
        }
        // They come sorted by path, where `a-b.json` is before `a.json`.
        files.sort_by(|one, other| one.network.name.cmp(&other.network.name));
        Ok(files)
    }

    fn of(file: podman::NetworkFile) -> Result<Option<Self>, Error> {
        let (path, owner) = (file.path, file.metadata);
        match file.network {
            Ok(network) => Ok(Some(Self {
                path,
                bytes: file.bytes,
                network,
                owner: owner.map(|own| (own.mode() & 0o7777, own.uid(), own.gid())),
            })),
            Err(Fault::Malformed(why)) => {
                log::warn!("Podman ignores {}: {why}", path.display());
                Ok(None)
            }
            Err(Fault::Unreadable(source)) => Err(failed("read", &path)(source).into()),
        }
    }

    /// Returns a file for a network that has none.
    pub(crate) fn of_memory(directory: &Path, network: Network) -> Self {
        Self {
            path: directory.join(format!("{}.json", network.name)),
            bytes: protocol::written(&network),
            network,
            owner: None,
        }
    }

    /// Returns the file's mode, user and group, if it exists.
    pub(crate) const fn owner(&self) -> Option<(u32, u32, u32)> {
        self.owner
    }

    /// Returns whether the file exists.
    pub(crate) fn is_there(&self) -> bool {
        self.owner.is_some()
    }

    /// Returns the file's text with another network in it. Changes only the fields that
    /// differ.
    pub(crate) fn rewritten(&self, network: &Network) -> Vec<u8> {
        protocol::rewritten(&self.bytes, &self.network, network)
    }

    /// Writes the file's replacement beside it, so that only the renaming can still fail.
    /// Makes the directory if there is none.
    ///
    /// # Errors
    /// If it cannot be written; nothing of it is then left.
    pub(crate) fn stage(&self, bytes: &[u8]) -> Result<Staged, FileError> {
        Ok(Staged::new(&self.path, bytes, self.owner)?)
    }

    /// Like [`NetworkFile::stage`], with this file's text, mode and owner as the
    /// replacement of another file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn stage_as(&self, other: &Self) -> Result<Staged, FileError> {
        Ok(Staged::new(&other.path, &self.bytes, self.owner)?)
    }

    /// Removes the file, durably; it is no error if it is gone already.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        remove(&self.path)
    }
}

/// Removes a file, durably; it is no error if it is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => sync_directory(path),
    }
}

#[cfg(test)]
mod tests;
