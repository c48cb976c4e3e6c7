//! Replaces a network's file by another: durably, and whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

/// The prefix of the names of staged files. Podman takes a file for a network only if its name
/// ends in `.json`.
const STAGED: &str = ".berth-migrate-";

/// Failure to replace a file.
#[derive(Debug, Error)]
#[error("failed to {action} {}", path.display())]
pub struct StageError {
    /// What was tried.
    pub action: &'static str,
    /// The file or directory that it was tried with.
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StageError + use<> {
    let path = path.to_owned();
    move |source| StageError {
        action,
        path,
        source,
    }
}

/// Removes what a killed command staged in a directory. The caller has Podman's network lock,
/// so that nothing else stages files now.
pub fn sweep(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(STAGED))
            && let Err(error) = fs::remove_file(&path)
        {
            log::debug!("{} stays: {error}", path.display());
        }
    }
}

/// A file beside the one that it will replace.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes a file beside `path`, durable except for its name, with this mode, user and
    /// group. Makes the directory if there is none. Unless it is put in its place, the file is
    /// removed on drop.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it then.
    pub fn new(
        path: &Path,
        bytes: &[u8],
        owner: Option<(u32, u32, u32)>,
    ) -> Result<Self, StageError> {
        let directory = directory(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed("create", directory))?;
        let mut file = tempfile::Builder::new()
            .prefix(STAGED)
            .tempfile_in(directory)
            .map_err(failed("create a file in", directory))?;
        let (mode, user, group) = owner.map_or((0o644, None, None), |(mode, user, group)| {
            (mode, Some(user), Some(group))
        });
        file.write_all(bytes)
            .and_then(|()| fchown(file.as_file(), user, group))
            .and_then(|()| {
                let mode = fs::Permissions::from_mode(mode);
                file.as_file().set_permissions(mode)
            })
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed("write a file beside", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Puts the file in its place, durably.
    ///
    /// # Errors
    /// If the file system refuses. Either the old or the new file may then be in its place.
    pub fn put(self) -> Result<(), StageError> {
        let placed = self.file.persist(&self.path);
        placed.map_err(|error| failed("replace", &self.path)(error.error))?;
        let directory = directory(&self.path);
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", directory))
    }
}

/// Returns the directory that a file is in.
fn directory(path: &Path) -> &Path {
    let parent = path.parent().filter(|path| *path != Path::new(""));
    parent.unwrap_or(Path::new("."))
}
