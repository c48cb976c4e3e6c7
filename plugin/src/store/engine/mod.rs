//! Durable, ordered bytes: what the tables are kept in.
//!
//! ```text
//! leases.<engine>.new/   a store being made; worthless once its maker is dead
//! leases.<engine>/
//!   format               format version, a decimal number and a newline
//!   witness              how many commits of this boot were flushed, at least
//!   replaces             the name of the engine whose store this one is replacing, while
//!                        that lasts
//!   …                    the engine's own files
//! ```
//!
//! An engine knows nothing of tables, leases or checksums.

mod bounded;
mod changeover;
mod directory;
mod kind;
mod redb;
mod sled;
mod witness;

use std::collections::BTreeMap;
use std::path::Path;

pub(super) use changeover::{change, finish};
pub(super) use directory::{FORMAT, rename};
pub use kind::{EngineKind, Name};
pub(super) use witness::Witness;

use super::error::StoreError;

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// A callback that takes a key and its value.
pub(super) type Show<'a> = dyn FnMut(&[u8], &[u8]) + 'a;

/// Changes to apply: a value to put, or `None` to delete.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An open store, closed when it is dropped. Every read costs O(log n).
pub(super) trait Engine {
    /// Returns the directory of the store.
    fn path(&self) -> &Path;

    /// Returns the value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the entry with the lowest key at or above this one.
    fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Returns the entry with the highest key below this one.
    fn below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Shows all entries whose key begins with the prefix, in key order. On failure, some may
    /// have been shown. `show` must not use the engine.
    fn scan(&self, prefix: &[u8], show: &mut Show<'_>) -> Result<(), StoreError>;

    /// Applies all changes or none. Once this returns, they survive the death of this process;
    /// they survive a crash of the machine only once the store is closed. If it fails, every
    /// later call fails.
    fn apply(&self, writes: &Writes) -> Result<(), StoreError>;
}

/// Returns the engines that have a store in a state directory, sound or not.
pub(super) fn all_in(dir: &Path) -> Result<Vec<EngineKind>, StoreError> {
    let mut found = Vec::new();
    for kind in EngineKind::ALL {
        if directory::is_there(&kind.store_in(dir))? {
            found.push(kind);
        }
    }
    Ok(found)
}

/// Returns the engine of the current store in a state directory, sound or not.
pub(super) fn find(dir: &Path) -> Result<Option<EngineKind>, StoreError> {
    let found = all_in(dir)?;
    let [one, other, ..] = found[..] else {
        return Ok(found.first().copied());
    };
    let mut found = found.into_iter();
    let newer = found.find(|kind| changeover::replaced(*kind, dir).is_some());
    newer.map(Some).ok_or_else(|| {
        let what = format!("{} is beside it", other.store_in(dir).display());
        StoreError::damaged(&one.store_in(dir), what)
    })
}

/// Opens the store of an engine in a state directory. The caller has the lock.
pub(super) fn open(dir: &Path, kind: EngineKind) -> Result<Box<dyn Engine>, StoreError> {
    let path = kind.store_in(dir);
    directory::check_format(&path)?;
    start(kind, &path)
}

fn start(kind: EngineKind, path: &Path) -> Result<Box<dyn Engine>, StoreError> {
    match kind {
        EngineKind::Redb => Ok(Box::new(redb::Redb::open(path)?)),
        EngineKind::Sled => Ok(Box::new(sled::Sled::open(path)?)),
    }
}

/// Makes a store with these entries in a state directory. The caller has the lock. Removes what
/// a killed creation left behind.
pub(super) fn create(dir: &Path, kind: EngineKind, first: &Writes) -> Result<(), StoreError> {
    directory::create(&kind.unfinished_in(dir), &kind.store_in(dir), |path| {
        make(kind, path)?.apply(first)
    })
}

fn make(kind: EngineKind, path: &Path) -> Result<Box<dyn Engine>, StoreError> {
    match kind {
        EngineKind::Redb => Ok(Box::new(redb::Redb::create(path)?)),
        EngineKind::Sled => Ok(Box::new(sled::Sled::create(path)?)),
    }
}

/// Removes unfinished stores that killed processes left behind. The caller has the lock.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
    let mut unfinished = EngineKind::ALL
        .map(|kind| kind.unfinished_in(dir))
        .into_iter();
    unfinished.try_for_each(|path| directory::remove(&path))
}
