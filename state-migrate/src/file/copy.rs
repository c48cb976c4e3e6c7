//! Copies beside the file, of its content before a change.

use std::fs::{self, FileTimes};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::PathBuf;
use std::time::SystemTime;

use super::{FileError, IpamFile, beside, directory, failed, sync_directory, write_all};

/// How many of the newest copies are kept. They are on a tmpfs.
const KEPT: usize = 10;

impl IpamFile {
    /// Keeps a copy beside the file, with the file's times, mode and owner, and returns its
    /// path: `ipam.db.berth-2026-01-31T02-00-00Z`. No earlier copy is overwritten. On
    /// return the copy is durable.
    ///
    /// # Errors
    /// If it cannot be written; nothing of it is then left.
    pub fn back_up(&self) -> Result<PathBuf, FileError> {
        let io = |action| failed(action, &self.path);
        let before = self.file.metadata().map_err(io("examine"))?;
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let stem = format!("{}{}", self.stem(), now.replace(':', "-"));
        let mut copy = beside(&self.path)?;
        write_all(&mut copy, &self.bytes()?, &self.path)?;
        let mode = fs::Permissions::from_mode(before.mode() & 0o7777);
        let times = FileTimes::new()
            .set_accessed(before.accessed().map_err(io("examine"))?)
            .set_modified(before.modified().map_err(io("examine"))?);
        fchown(copy.as_file(), Some(before.uid()), Some(before.gid()))
            .and_then(|()| copy.as_file().set_permissions(mode))
            .and_then(|()| copy.as_file().set_times(times))
            .and_then(|()| copy.as_file().sync_all())
            .map_err(io("copy"))?;
        let mut path = PathBuf::from(&stem);
        for number in 2.. {
            match copy.persist_noclobber(&path) {
                Ok(_) => break,
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                    copy = error.file;
                    path = format!("{stem}-{number}").into();
                }
                Err(error) => return Err(failed("write", &path)(error.error)),
            }
        }
        sync_directory(&path)?;
        Ok(path)
    }

    /// Removes all copies of [`IpamFile::back_up`] but the newest ten, by the times in
    /// their names. A copy that cannot be removed stays, and does no harm.
    pub fn drop_old_copies(&self) {
        let entries = fs::read_dir(directory(&self.path));
        let paths = entries.into_iter().flatten().flatten();
        let mut copies: Vec<_> = paths
            .map(|entry| entry.path())
            .filter(|path| self.is_copy(path.to_string_lossy().as_ref()))
            .collect();
        copies.sort();
        let old = copies.len().saturating_sub(KEPT);
        for path in &copies[..old] {
            if let Err(error) = fs::remove_file(path) {
                log::debug!("{} stays: {error}", path.display());
            }
        }
    }

    /// Returns what all copies' paths begin with.
    fn stem(&self) -> String {
        format!("{}.berth-", self.path.display())
    }

    /// Returns whether a path is that of a copy, and not of a file to which a person gave a
    /// similar name.
    fn is_copy(&self, path: &str) -> bool {
        let name = path.strip_prefix(&self.stem());
        name.is_some_and(|name| {
            let (time, number) = name.split_at_checked(20).unwrap_or_default();
            let shape = |(at, byte): (usize, u8)| match at {
                4 | 7 | 13 | 16 => byte == b'-',
                10 => byte == b'T',
                19 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            };
            let is_number =
                |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let numbered = number.strip_prefix('-').is_some_and(is_number);
            time.len() == 20
                && time.bytes().enumerate().all(shape)
                && (number.is_empty() || numbered)
        })
    }
}
