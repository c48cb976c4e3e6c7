//! The network files as they were before adoption, kept beside the present ones:
//! `<network config dir>/berth-backup/<name>.json`.
//!
//! The directory is where the networks are, so it survives a boot and belongs to the
//! same Podman, which takes no directory for a network (`loadNetworks`, 5.4).

use std::path::{Path, PathBuf};

use berth::protocol::Network;
use berth::rules::network_config::{Form, take_over};

use crate::error::Error;
use crate::file::FileError;
use crate::network_file::{NetworkFile, Staged, remove};

/// Name of the directory.
pub(crate) const DIRECTORY: &str = "berth-backup";

/// Returns where a network's original file is kept.
pub(crate) fn path(file: &NetworkFile) -> PathBuf {
    let directory = file.path.parent().unwrap_or(Path::new("."));
    let name = file.path.file_name().unwrap_or_default();
    directory.join(DIRECTORY).join(name)
}

/// Keeps a file as it is, in place of what an earlier network of its name has left. On
/// return it is durable.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn keep(file: &NetworkFile) -> Result<(), FileError> {
    if file.is_there() {
        return Ok(Staged::new(&path(file), &file.bytes, file.owner())?.put()?);
    }
    // Podman has it in memory only. If an earlier file stayed here, a rollback would
    // bring it back.
    let path = path(file);
    if path.exists() { remove(&path) } else { Ok(()) }
}

/// Returns the file that was kept, if the present one is exactly what adoption makes of
/// it. If not, the network was made again or changed since.
///
/// # Errors
/// If it is there and cannot be read.
pub(crate) fn original(file: &NetworkFile) -> Result<Option<NetworkFile>, Error> {
    let kept = NetworkFile::read(&path(file))?;
    Ok(kept.filter(|kept| becomes(&kept.network, &file.network)))
}

/// Forgets the file that was kept.
///
/// # Errors
/// If it cannot be removed.
pub(crate) fn forget(file: &NetworkFile) -> Result<(), FileError> {
    let path = path(file);
    if path.exists() {
        remove(&path)?;
    }
    // Nothing is lost if it stays: others may still be kept in it.
    if let Some(directory) = path.parent() {
        let _ = std::fs::remove_dir(directory);
    }
    Ok(())
}

/// Returns whether adoption turns one network into the other.
pub(crate) fn becomes(before: &Network, after: &Network) -> bool {
    // Whether its parent is there now does not matter.
    let links = before.network_interface.iter().cloned().collect();
    let form = if after.is_plain() {
        Form::Plain
    } else {
        Form::Plugin
    };
    take_over(before.clone(), links, form).is_ok_and(|taken| taken == *after)
}
