//! The network files as they were before adoption, kept beside the present ones:
//! `<network config dir>/berth-backup/<name>.json`.
//!
//! The directory is where the network files are, so it survives a reboot and belongs to the
//! same Podman. Podman does not take a directory for a network (`loadNetworks`, 5.4).

use std::path::{Path, PathBuf};

use berth::protocol::Network;
use berth::rules::network_config::{Form, take_over};

use crate::error::Error;
use crate::file::FileError;
use crate::network_file::{NetworkFile, Staged, remove};

/// The name of the directory.
pub(crate) const DIRECTORY: &str = "berth-backup";

/// Returns where a network's original file is kept.
pub(crate) fn path(file: &NetworkFile) -> PathBuf {
    let directory = file.path.parent().unwrap_or(Path::new("."));
    let name = file.path.file_name().unwrap_or_default();
    directory.join(DIRECTORY).join(name)
}

/// Keeps a file as it is, and replaces what an earlier network of the same name left. On
/// return it is durable.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn keep(file: &NetworkFile) -> Result<(), FileError> {
    if file.is_there() {
        return Ok(Staged::new(&path(file), &file.bytes, file.owner())?.put()?);
    }
    // Podman has this network in memory only. If an earlier file stayed here, a rollback would
    // bring that back.
    let path = path(file);
    if path.exists() { remove(&path) } else { Ok(()) }
}

/// Returns the file that was kept, if the present one is exactly what adoption makes of
/// it. If not, the network was made again or changed since.
///
/// # Errors
/// If a file was kept and cannot be read.
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
    // It does no harm if the directory stays: other files may still be kept in it.
    if let Some(directory) = path.parent() {
        let _ = std::fs::remove_dir(directory);
    }
    Ok(())
}

/// Returns whether adoption turns one network into the other.
pub(crate) fn becomes(before: &Network, after: &Network) -> bool {
    // It does not matter whether the parent interface exists now.
    let links = before.network_interface.iter().cloned().collect();
    let form = if after.is_plain() {
        Form::Plain
    } else {
        Form::Plugin
    };
    take_over(before.clone(), links, form).is_ok_and(|taken| taken == *after)
}
