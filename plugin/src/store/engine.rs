//! sled 0.34.7, tamed: everything that touches `leases.sled/` is here.
//!
//! What sled does not promise in a short-lived process, and how it is made good:
//!
//! - Creation can be killed half-way: a store is made in `leases.sled.new` and
//!   renamed. What is left of a killed creation is removed before the next.
//! - Opening with parts missing makes them anew and loses the rest: the parts are
//!   looked for first, and the format is read from a file of its own, so that a
//!   store we must not touch is not touched.
//! - A kill while it writes a snapshot leaves `snap.*.generating`, and every
//!   later opening fails (spacejam/sled#1527): they are deleted first, under the
//!   lock.
//! - Opening and closing may hang or panic where threads are scarce, anything may
//!   panic on damaged files: time is bounded, panics are caught.
//! - After the last handle is dropped, sled's threads may still have the file
//!   open, and locked: closing waits for them, or the next opening would fail.
//! - A log cut short is taken for an unfinished write: the `witness` remembers
//!   how far the log was flushed, and a store that has gone back is damaged.

use std::cell::{Cell, OnceCell};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::codec::Table;
use super::error::StoreError;
use super::overlay::{Entry, Ordered};
use super::{FORMAT, STORE};

/// The format's file in the store's directory: a decimal number and a newline.
const FORMAT_FILE: &str = "format";

/// How far the store was flushed, in the store's directory.
const WITNESS_FILE: &str = "witness";

/// Name of a store that is being made, in its state directory.
pub const UNFINISHED: &str = "leases.sled.new";

/// What sled keeps in memory. Its default of 1 GiB is an error in small cgroups.
const CACHE_BYTES: u64 = 8 << 20;

/// How often sled flushes and collects by itself. Never `None`: then nothing is
/// collected at all, and the files grow without bound.
const FLUSH_EVERY_MS: u64 = 500;

/// How long opening or closing may take: a thousand times what it does take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long sled's threads may keep the file after the store is closed.
const LINGER: Duration = Duration::from_secs(5);

/// Changes to apply: a value to put, or `None` to delete.
pub(super) type Writes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An open sled store.
pub(super) struct Engine {
    dir: PathBuf,
    path: PathBuf,
    witness: OnceCell<File>,
    /// Set by a failed write: what sled shows then may differ from the disk.
    broken: Cell<bool>,
    db: Option<sled::Db>,
}

impl Engine {
    /// Opens the store in the state directory `dir`; where there is none, makes
    /// one that holds `first`. The caller has the lock.
    pub(super) fn open(dir: &Path, first: &Writes) -> Result<Self, StoreError> {
        let path = dir.join(STORE);
        match fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir, first)?,
            Err(source) => return Err(failed("examine", &path, source)),
        }
        inspect(dir, &path)?;
        remove_unfinished_snapshots(&path)?;
        let db = start(dir, &path)?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            witness: OnceCell::new(),
            broken: Cell::new(false),
            db: Some(db),
        })
    }

    /// Returns the error for a damaged store.
    pub(super) fn damaged(&self, what: impl Into<String>) -> StoreError {
        damaged(&self.dir, what)
    }

    /// Returns the error for a value that cannot be read.
    pub(super) fn damaged_value(&self, key: &[u8]) -> StoreError {
        self.damaged(format!("cannot read {}", Table::describe(key)))
    }

    /// Applies all changes or none. They survive the death of this process when
    /// this returns; a crash of the machine only once the store is closed. If it
    /// fails, every later call does.
    pub(super) fn apply(&self, writes: &Writes) -> Result<(), StoreError> {
        let result = self.guarded("write", |db| apply(db, writes));
        self.broken.set(result.is_err());
        result
    }

    /// Returns all entries whose key begins with the prefix, in key order.
    pub(super) fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        self.guarded("read", |db| {
            db.scan_prefix(prefix)
                .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
                .collect()
        })
    }

    /// Returns the entry with the highest key below this one.
    pub(super) fn strictly_below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let entry = self.guarded("read", |db| db.range(..key).next_back().transpose())?;
        Ok(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    /// Runs one call of sled, catching its panics.
    fn guarded<T>(
        &self,
        action: &'static str,
        call: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        let Some(db) = self.db.as_ref().filter(|_| !self.broken.get()) else {
            return Err(StoreError::Broken {
                path: self.path.clone(),
            });
        };
        match catch_unwind(AssertUnwindSafe(|| call(db))) {
            Ok(result) => result.map_err(|error| refused(action, &self.dir, &self.path, error)),
            Err(panic) => Err(StoreError::Panicked {
                action,
                dir: self.dir.clone(),
                message: message(&*panic),
            }),
        }
    }

    /// Returns how many commits in this boot were flushed, at least, or `None` if
    /// nothing is known of this boot. An unreadable witness knows nothing: what
    /// it guards against is rarer than its own damage in a power failure.
    pub(super) fn witnessed(&self, boot_id: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(WITNESS_FILE)).ok()?;
        let (sum, rest) = text.trim_end().split_once(' ')?;
        let (commits, boot) = rest.split_once(' ')?;
        let known = sum == format!("{:08x}", crc32fast::hash(rest.as_bytes()));
        (known && boot == boot_id)
            .then(|| commits.parse().ok())
            .flatten()
    }

    /// Notes that so many commits were flushed. Written after the flush: a kill
    /// in between leaves a witness that is behind, which is no damage.
    pub(super) fn witness(&self, boot_id: &str, commits: u64) -> Result<(), StoreError> {
        let path = self.path.join(WITNESS_FILE);
        // One length for all numbers, so that it is overwritten in place.
        let rest = format!("{commits:020} {boot_id}");
        let text = format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()));
        let write = |file: &File| {
            file.write_all_at(text.as_bytes(), 0)?;
            file.set_len(text.len() as u64)
        };
        if let Some(file) = self.witness.get() {
            return write(file).map_err(|source| failed("write", &path, source));
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        let result = write(&file).map_err(|source| failed("write", &path, source));
        self.witness.get_or_init(|| file);
        result
    }
}

impl Ordered for Engine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.guarded("read", |db| db.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let entry = self.guarded("read", |db| db.range(key..).next().transpose())?;
        Ok(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn at_or_below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let entry = self.guarded("read", |db| db.range(..=key).next_back().transpose())?;
        Ok(entry.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn damaged(&self, key: &[u8]) -> StoreError {
        self.damaged_value(key)
    }
}

impl Drop for Engine {
    /// Closes the store: only now does sled call fsync(2). The last handle goes
    /// in a thread, because sled waits for its own threads without a limit.
    fn drop(&mut self) {
        if let Some(db) = self.db.take()
            && let Err(error) = in_thread("close", &self.dir, &self.path, move || drop(db))
        {
            log::error!("{error}");
        }
        wait_until_unlocked(&self.path);
    }
}

/// Returns sled's configuration for a store.
fn config(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .mode(sled::Mode::LowSpace)
        .use_compression(false)
}

/// Opens sled on a directory, in bounded time.
fn start(dir: &Path, path: &Path) -> Result<sled::Db, StoreError> {
    // Waits for a process that closed the store but did not see it through.
    wait_until_unlocked(path);
    let config = config(path);
    in_thread("open", dir, path, move || config.open())?
        .map_err(|error| refused("open", dir, path, error))
}

/// Waits until nobody has sled's own lock, for as long as its threads may
/// linger. Whoever keeps it longer is reported by the next opening.
fn wait_until_unlocked(path: &Path) {
    let Ok(file) = File::open(path.join("db")) else {
        return;
    };
    let mut lock = fd_lock::RwLock::new(file);
    let deadline = Instant::now() + LINGER;
    while lock.try_write().is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_micros(100));
    }
}

/// Applies and flushes all changes or none.
fn apply(db: &sled::Db, writes: &Writes) -> sled::Result<()> {
    let mut batch = sled::Batch::default();
    for (key, value) in writes {
        match value {
            Some(value) => batch.insert(key.as_slice(), value.as_slice()),
            None => batch.remove(key.as_slice()),
        }
    }
    db.apply_batch(batch)?;
    db.flush()?;
    Ok(())
}

/// Makes a store and gives it its name once it is complete.
fn create(dir: &Path, first: &Writes) -> Result<(), StoreError> {
    let unfinished = dir.join(UNFINISHED);
    match fs::remove_dir_all(&unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(failed("remove", &unfinished, source)),
    }
    fs::create_dir(&unfinished).map_err(|source| failed("create", &unfinished, source))?;
    let format = unfinished.join(FORMAT_FILE);
    fs::write(&format, format!("{FORMAT}\n"))
        .and_then(|()| File::open(&format)?.sync_all())
        .map_err(|source| failed("write", &format, source))?;
    let engine = Engine {
        dir: dir.to_owned(),
        path: unfinished.clone(),
        witness: OnceCell::new(),
        broken: Cell::new(false),
        db: Some(start(dir, &unfinished)?),
    };
    engine.apply(first)?;
    // Closed, so that sled's files are whole before they get their name.
    drop(engine);
    let path = dir.join(STORE);
    File::open(&unfinished)
        .and_then(|directory| directory.sync_all())
        .and_then(|()| fs::rename(&unfinished, &path))
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|source| failed("create", &path, source))
}

/// Looks at an existing store without writing, and refuses it if sled would not
/// do it justice.
fn inspect(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let read = |name: &str, most: u64| {
        let file = path.join(name);
        let mut bytes = Vec::new();
        match File::open(&file).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(damaged(dir, format!("{} is missing", file.display())))
            }
            Err(source) => Err(failed("read", &file, source)),
        }
    };
    let unreadable =
        |name: &str| damaged(dir, format!("cannot read {}", path.join(name).display()));
    let format = read(FORMAT_FILE, 16)?;
    let found: u32 = std::str::from_utf8(&format)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| unreadable(FORMAT_FILE))?;
    if found > FORMAT {
        return Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    if found < FORMAT {
        return Err(unreadable(FORMAT_FILE));
    }
    // sled warns of a wrong checksum and goes on.
    let conf = read("conf", 4096)?;
    let (settings, sum) = conf.split_at(conf.len().saturating_sub(4));
    if settings.is_empty() || sum != crc32fast::hash(settings).to_le_bytes() {
        return Err(unreadable("conf"));
    }
    if read("db", 1)?.is_empty() {
        return Err(unreadable("db"));
    }
    if !path.join("blobs").is_dir() {
        return Err(damaged(
            dir,
            format!("{} is missing", path.join("blobs").display()),
        ));
    }
    Ok(())
}

/// Deletes `snap.*.generating`: copies of what the log says, never needed.
fn remove_unfinished_snapshots(path: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(path).map_err(|source| failed("list", path, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| failed("list", path, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())
                .map_err(|source| failed("remove", &entry.path(), source))?;
            log::info!(
                "removed {}, left by a killed process",
                entry.path().display()
            );
        }
    }
    Ok(())
}

/// Runs a call of sled in a thread of its own, for as long as our patience
/// lasts. A call that hangs keeps its thread until the process ends.
fn in_thread<T: Send + 'static>(
    action: &'static str,
    dir: &Path,
    path: &Path,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, receiver) = sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("berth-{action}"))
        .spawn(move || {
            // The receiver is gone only if we have lost patience.
            let _ = sender.send(call());
        })
        .map_err(|source| failed("start a thread for", path, source))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => Ok(result),
        Err(RecvTimeoutError::Timeout) => Err(StoreError::Hung {
            action,
            path: path.to_owned(),
            wait: PATIENCE,
        }),
        Err(RecvTimeoutError::Disconnected) => Err(StoreError::Panicked {
            action,
            dir: dir.to_owned(),
            message: thread
                .join()
                .err()
                .map_or_else(String::new, |panic| message(&*panic)),
        }),
    }
}

/// Returns a panic's message in one line.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Sorts an error of sled into ours.
fn refused(action: &'static str, dir: &Path, path: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => failed(action, path, source),
        sled::Error::Corruption { .. } => {
            let said = error.to_string();
            let said = said.trim_end_matches(" backtrace ()");
            damaged(dir, format!("sled cannot {action} it: {said}"))
        }
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => StoreError::Engine {
            action,
            path: path.to_owned(),
            source: error,
        },
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn damaged(dir: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        dir: dir.to_owned(),
        what: what.into(),
    }
}
