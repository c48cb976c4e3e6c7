//! The file `ipam.db` itself: how it is locked, backed up and changed in place.
//!
//! Podman opens the file only while it holds its network lock
//! ([`berth::podman::NetworkLock`]), and bbolt tries the file's own lock (flock(2)) every
//! 50 ms, for ever (bbolt `bolt_unix.go`). So a process that changes the file takes
//! Podman's lock first, then berth's store lock if it needs that one, and this one last,
//! for milliseconds. The file is never replaced by a rename: a process that waits for the
//! old inode's lock would then write to a file that nothing reads.

mod copy;
mod lock;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth::podman::StageError;
use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::bolt::{self, Bucket, CommitError, Damage, Salvaged};

/// Failure to read or change the file.
#[derive(Debug, Error)]
pub enum FileError {
    /// The file system.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process keeps it locked.
    #[error(
        "timed out after {} waiting for {}, locked by {holder}; try again, or end that process",
        humantime::format_duration(*wait),
        path.display()
    )]
    Locked {
        /// Which file.
        path: PathBuf,
        /// How long we waited.
        wait: Duration,
        /// `pid <pid> (<its command>)`, or `an unknown process`.
        holder: String,
    },
    /// It is larger than any file that Podman makes.
    #[error("{} has {size} bytes, more than any file of Podman's; is it the right one?", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// Its content is damaged.
    #[error(
        "{} is damaged: {damage}; `berth-migrate dump --salvage` prints what can be read, and \
         `berth-migrate sanitise --salvage --output FILE` writes it into a new file",
        path.display()
    )]
    Damaged { path: PathBuf, damage: Damage },
    /// The commit failed.
    #[error("failed to change {}", path.display())]
    Commit {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CommitError,
    },
    /// What was read back is not what was written.
    #[error(
        "{} does not read back as it was written: another program writes to it without its lock; see what \
         `berth-migrate inspect` says, and keep the backup beside it",
        path.display()
    )]
    Differs {
        /// Which file.
        path: PathBuf,
    },
}

impl From<StageError> for FileError {
    fn from(error: StageError) -> Self {
        let StageError {
            action,
            path,
            source,
        } = error;
        Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Returns all bytes of a file, read under its shared lock. Waits for the lock no longer
/// than `wait`, and releases it before returning.
///
/// # Errors
/// If the file cannot be read, is too large for a file of Podman's, or another process keeps
/// it locked.
pub fn read(path: &Path, wait: Duration) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(failed("open", path))?;
    lock::take(&file, path, FlockOperation::NonBlockingLockShared, wait)?;
    all(&file, path)
}

/// The file, locked against every other process until this is dropped (`flock`, as bbolt
/// locks it). Podman opens it only with its network lock held: take that one first.
#[derive(Debug)]
pub struct IpamFile {
    path: PathBuf,
    file: File,
}

impl IpamFile {
    /// Opens and locks the file for a change, waiting no longer than `wait`.
    /// Returns `None` if there is no file: Podman has never leased an address by itself.
    ///
    /// # Errors
    /// If another process keeps it locked (the error names it), or it cannot be opened.
    pub fn open(path: &Path, wait: Duration) -> Result<Option<Self>, FileError> {
        loop {
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(source) => return Err(failed("open", path)(source)),
            };
            lock::take(&file, path, FlockOperation::NonBlockingLockExclusive, wait)?;
            // Podman never replaces the file, but a person may have put another in its place
            // while we waited.
            if is_at(&file, path)? {
                let path = path.to_owned();
                return Ok(Some(Self { path, file }));
            }
        }
    }

    /// Creates the file as Podman does, if it is not there, and locks it.
    ///
    /// # Errors
    /// As [`IpamFile::open`].
    pub fn open_or_create(path: &Path, wait: Duration) -> Result<Self, FileError> {
        loop {
            if let Some(file) = Self::open(path, wait)? {
                return Ok(file);
            }
            // The new file appears whole or not at all, and never replaces one that has appeared
            // meanwhile.
            let mut new = beside(path)?;
            write_all(&mut new, &bolt::image(&Bucket::default()), path)?;
            persist(new, path)?;
        }
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns all its bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, FileError> {
        all(&self.file, &self.path)
    }

    /// Returns the whole content. If Podman is killed while it makes the file, it leaves an
    /// empty one, which bbolt takes for a new one.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn content(&self) -> Result<Bucket, FileError> {
        content(&self.bytes()?, &self.path)
    }

    /// Replaces the content in place, reads it back and compares. On return it is
    /// durable. A kill at any moment leaves either the old content or the new, whole.
    ///
    /// # Errors
    /// If it cannot be written; the file then has its old content.
    pub fn replace(&self, content: &Bucket) -> Result<(), FileError> {
        let io = |action| failed(action, &self.path);
        if self.file.metadata().map_err(io("examine"))?.len() == 0 {
            // bbolt begins a file in the same way, with one write. There is no old content to
            // keep.
            (&self.file)
                .write_all(&bolt::image(content))
                .and_then(|()| self.file.sync_all())
                .map_err(io("write"))?;
        } else {
            bolt::commit(&self.file, content).map_err(|source| FileError::Commit {
                path: self.path.clone(),
                source,
            })?;
        }
        if self.content()? == *content {
            return Ok(());
        }
        Err(FileError::Differs {
            path: self.path.clone(),
        })
    }
}

/// Returns the content of a file, given its bytes.
///
/// # Errors
/// If they are damaged.
pub fn content(bytes: &[u8], path: &Path) -> Result<Bucket, FileError> {
    if bytes.is_empty() {
        return Ok(Bucket::default());
    }
    bolt::read(bytes).map_err(|damage| FileError::Damaged {
        path: path.to_owned(),
        damage,
    })
}

/// Returns what can be read of a file, given its bytes, and what had to be skipped.
///
/// # Errors
/// If nothing of it can be read.
pub fn salvage(bytes: &[u8], path: &Path) -> Result<Salvaged, FileError> {
    if bytes.is_empty() {
        return Ok(Salvaged::default());
    }
    bolt::salvage(bytes).map_err(|damage| FileError::Damaged {
        path: path.to_owned(),
        damage,
    })
}

/// Writes a new file with this content, whole or not at all, with the mode of Podman's
/// file. On return it is durable.
///
/// # Errors
/// If a file is already there (Podman might use it), or it cannot be written.
pub fn write_new(path: &Path, content: &Bucket) -> Result<(), FileError> {
    let mut new = beside(path)?;
    write_all(&mut new, &bolt::image(content), path)?;
    match new.persist_noclobber(path) {
        Ok(_) => sync_directory(path),
        Err(error) => Err(failed("write", path)(error.error)),
    }
}

fn all(mut file: &File, path: &Path) -> Result<Vec<u8>, FileError> {
    let size = file.metadata().map_err(failed("examine", path))?.len();
    if size > bolt::MAX_SIZE {
        let path = path.to_owned();
        return Err(FileError::TooLarge { path, size });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.rewind()
        .and_then(|()| file.take(bolt::MAX_SIZE).read_to_end(&mut bytes))
        .map_err(failed("read", path))?;
    Ok(bytes)
}

/// Makes a temporary file in another file's directory.
fn beside(path: &Path) -> Result<NamedTempFile, FileError> {
    let directory = directory(path);
    let permissions = fs::Permissions::from_mode(0o600);
    tempfile::Builder::new()
        .prefix(".berth-migrate-")
        .permissions(permissions)
        .tempfile_in(directory)
        .map_err(failed("create a file in", directory))
}

fn write_all(file: &mut NamedTempFile, bytes: &[u8], path: &Path) -> Result<(), FileError> {
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed("write a file beside", path))
}

/// Gives a new file its name, unless another file has that name by now.
fn persist(new: NamedTempFile, path: &Path) -> Result<(), FileError> {
    match new.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("create", path)(error.error))
        }
        Ok(_) | Err(_) => sync_directory(path),
    }
}

/// Makes the name of a file durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), FileError> {
    let directory = directory(path);
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(failed("sync", directory))
}

/// Returns the directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    let parent = path.parent().filter(|path| *path != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// Returns whether an open file is the one at its path.
fn is_at(file: &File, path: &Path) -> Result<bool, FileError> {
    let key = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let own = file.metadata().map(key).map_err(failed("examine", path))?;
    match fs::metadata(path) {
        Ok(there) => Ok(key(there) == own),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(failed("examine", path)(source)),
    }
}

/// Returns a function that turns an I/O error into one that says what failed, on which path.
pub(crate) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
