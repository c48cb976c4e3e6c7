//! A guard against a store that has gone back to an earlier state.
//!
//! An engine mistakes a file that was cut short for an unfinished write, and opens its earlier
//! state. The witness remembers how far the store was flushed.

use std::cell::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file beside the engine's own.
pub(in crate::store) struct Witness {
    path: PathBuf,
    file: OnceCell<File>,
}

impl Witness {
    /// Returns the witness of the store at a path.
    pub(in crate::store) fn of(store: &Path) -> Self {
        Self {
            path: store.join("witness"),
            file: OnceCell::new(),
        }
    }

    /// Returns how many commits of this boot were flushed, at least, or `None` if nothing is
    /// known of this boot. An unreadable witness also gives `None`: the damage it guards
    /// against is rarer than its own damage in a power failure.
    pub(in crate::store) fn commits(&self, boot_id: &str) -> Option<u64> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (sum, rest) = text.trim_end().split_once(' ')?;
        let (commits, boot) = rest.split_once(' ')?;
        let known = sum == format!("{:08x}", crc32fast::hash(rest.as_bytes()));
        (known && boot == boot_id)
            .then(|| commits.parse().ok())
            .flatten()
    }

    /// Notes that this many commits were flushed. Call it after the flush: a kill in between
    /// leaves the witness behind, which does no harm.
    pub(in crate::store) fn note(&self, boot_id: &str, commits: u64) -> io::Result<()> {
        // All numbers have one length, so that the text is overwritten in place.
        let rest = format!("{commits:020} {boot_id}");
        let text = format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()));
        if self.file.get().is_none() {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&self.path)?;
            let _ = self.file.set(file);
        }
        if let Some(file) = self.file.get() {
            file.write_all_at(text.as_bytes(), 0)?;
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }
}
