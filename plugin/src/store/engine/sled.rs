//! sled 0.34.7, tamed: everything that touches `leases.sled/` is here.
//!
//! What sled does not promise in a short-lived process, and how we make up for it:
//!
//! - If parts of a store are missing, opening makes them anew and loses the rest: we look for
//!   the parts first.
//! - A kill while it writes a snapshot leaves `snap.*.generating`, and every later opening
//!   fails (spacejam/sled#1527): we delete these first, under the lock.
//! - Opening and closing may hang or panic where threads are scarce. A flush never returns
//!   after ENOSPC at `sync_file_range`. Any call may panic on damaged files. So time is
//!   bounded, and panics are caught.
//! - After the last handle is dropped, sled's threads may still have the file open, and locked:
//!   closing waits for them, or else the next opening would fail.
//! - It mistakes a log that was cut short for an unfinished write: see `witness`.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_share::poll;

use super::bounded::{caught, in_thread};
use super::directory::{read, unreadable};
use super::{Engine, Entry, Show, Writes};
use crate::store::error::StoreError;

/// What sled keeps in memory. Its default of 1 GiB is an error in small cgroups.
const CACHE_BYTES: u64 = 8 << 20;

/// How often sled flushes and collects garbage by itself. Never `None`: then nothing is
/// collected at all, and the files grow without bound.
const FLUSH_EVERY_MS: u64 = 500;

/// How long sled's threads may keep the file after the store is closed.
const LINGER: Duration = Duration::from_secs(5);

/// An open sled store.
pub(super) struct Sled {
    path: PathBuf,
    /// Set by a failed write: what sled shows then may differ from the disk.
    broken: Cell<bool>,
    /// `None` once a call hangs: its thread keeps the store until the process ends.
    db: RefCell<Option<sled::Db>>,
}

impl Sled {
    /// Opens the store at a path.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        inspect(path)?;
        remove_unfinished_snapshots(path)?;
        Self::start(path)
    }

    /// Makes sled's files in a directory.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        Self::start(path)
    }

    fn start(path: &Path) -> Result<Self, StoreError> {
        // Waits for a process that began to close the store, but did not wait for sled's
        // threads.
        wait_until_unlocked(path);
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .mode(sled::Mode::LowSpace)
            .use_compression(false);
        let db = in_thread("open", path, move || config.open())?
            .map_err(|error| refused("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            broken: Cell::new(false),
            db: RefCell::new(Some(db)),
        })
    }

    /// Returns a handle, unless a write has failed.
    fn db(&self) -> Result<sled::Db, StoreError> {
        let db = self.db.borrow();
        let db = db.as_ref().filter(|_| !self.broken.get());
        db.cloned().ok_or_else(|| StoreError::Broken {
            path: self.path.clone(),
        })
    }

    fn read<T>(&self, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let db = self.db()?;
        caught("read", &self.path, || call(&db))?
            .map_err(|error| refused("read", &self.path, error))
    }
}

impl Engine for Sled {
    fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.read(|db| db.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let entry = self.read(|db| db.range(key..).next().transpose())?;
        Ok(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let entry = self.read(|db| db.range(..key).next_back().transpose())?;
        Ok(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn scan(&self, prefix: &[u8], show: &mut Show<'_>) -> Result<(), StoreError> {
        self.read(|db| {
            for entry in db.scan_prefix(prefix) {
                let (key, value) = entry?;
                show(&key, &value);
            }
            Ok(())
        })
    }

    fn apply(&self, writes: &Writes) -> Result<(), StoreError> {
        let db = self.db()?;
        // Reset once the write has succeeded.
        self.broken.set(true);
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        let write = move || {
            db.apply_batch(batch)?;
            db.flush().map(drop)
        };
        let result = in_thread("write", &self.path, write);
        if let Err(StoreError::Hung { .. }) = result {
            self.db.take();
        }
        result?.map_err(|error| refused("write", &self.path, error))?;
        self.broken.set(false);
        Ok(())
    }
}

impl Drop for Sled {
    /// Closes the store: only now does sled call fsync(2). The last handle is dropped in a
    /// thread, because sled waits for its own threads without a limit.
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            if let Err(error) = in_thread("close", &self.path, move || drop(db)) {
                log::error!("{error}");
            }
            wait_until_unlocked(&self.path);
        }
    }
}

/// Waits until nothing has sled's own lock, for as long as its threads may linger. If something
/// keeps it longer, the next opening reports it.
fn wait_until_unlocked(path: &Path) {
    let Ok(file) = File::open(path.join("db")) else {
        return;
    };
    let mut lock = fd_lock::RwLock::new(file);
    let pause = Duration::from_micros(100);
    poll(LINGER, pause, || lock.try_write().ok().map(drop));
}

/// Looks at an existing store without writing, and refuses it if sled would open it carelessly.
fn inspect(path: &Path) -> Result<(), StoreError> {
    // sled warns of a wrong checksum and goes on.
    let conf = read(path, "conf", 4096)?;
    let (settings, sum) = conf.split_at(conf.len().saturating_sub(4));
    if settings.is_empty() || sum != crc32fast::hash(settings).to_le_bytes() {
        return Err(unreadable(path, "conf"));
    }
    if read(path, "db", 1)?.is_empty() {
        return Err(unreadable(path, "db"));
    }
    let blobs = path.join("blobs");
    if !blobs.is_dir() {
        let what = format!("{} is missing", blobs.display());
        return Err(StoreError::damaged(path, what));
    }
    Ok(())
}

/// Deletes `snap.*.generating`: copies of what is in the log, which are never needed.
fn remove_unfinished_snapshots(path: &Path) -> Result<(), StoreError> {
    let unlisted = |source| StoreError::io("list", path, source);
    for entry in fs::read_dir(path).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let left = entry.path();
            fs::remove_file(&left).map_err(|source| StoreError::io("remove", &left, source))?;
            log::info!("removed {}, left by a killed process", left.display());
        }
    }
    Ok(())
}

/// Maps an error of sled to one of ours.
fn refused(action: &'static str, path: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => StoreError::io(action, path, source),
        sled::Error::Corruption { .. } => {
            let said = error.to_string();
            let said = said.trim_end_matches(" backtrace ()");
            StoreError::damaged(path, format!("sled cannot {action} it: {said}"))
        }
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => StoreError::Engine {
            action,
            path: path.to_owned(),
            source: error.into(),
        },
    }
}
