//! A change of engine. At every moment exactly one store is current, and holds everything:
//!
//! - X1 `leases.<new>.new/` is made, with all entries and a file `replaces` that names the old
//!   engine.
//! - X2 It is renamed to `leases.<new>/`. From now on it is the current store: of two stores,
//!   the one that replaces the other.
//! - X3 The old store is renamed to `leases.<old>.new/`, which makes it worthless, and removed.
//! - X4 `replaces` is removed.
//!
//! The next process that opens the store does what is left of X3 and X4.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::directory::{self, is_there, rename, sync};
use super::{Engine, EngineKind, Entry, Writes, make, start};
use crate::store::error::StoreError;
use crate::store::overlay::successor;

/// Names the engine of the store that this one replaces.
const REPLACES: &str = "replaces";

/// How many entries are copied per transaction.
const MANY: usize = 1000;

/// Moves everything from a store to another engine's, durably. The caller has the lock. On
/// failure, the old store stays current, and as it was.
pub(in crate::store) fn change(
    dir: &Path,
    old: Box<dyn Engine>,
    from: EngineKind,
    to: EngineKind,
) -> Result<(), StoreError> {
    let unfinished = to.unfinished_in(dir);
    let copied = directory::create(&unfinished, &to.store_in(dir), |path| {
        let new = make(to, path)?;
        copy(&*old, &*new)?;
        drop(new);
        compare(&*old, &*start(to, path)?)?;
        let mark = path.join(REPLACES);
        fs::write(&mark, from.name())
            .and_then(|()| File::open(&mark)?.sync_all())
            .map_err(|source| StoreError::io("write", &mark, source))
    });
    drop(old);
    if copied.is_err() {
        // It may have filled the disk.
        directory::remove(&unfinished)?;
    }
    copied
}

/// Finishes a change of engine that a killed process left unfinished. The caller has the lock.
pub(in crate::store) fn finish(dir: &Path) -> Result<(), StoreError> {
    for kind in EngineKind::ALL {
        let store = kind.store_in(dir);
        let Some(old) = replaced(kind, dir) else {
            continue;
        };
        let (gone, worthless) = (old.store_in(dir), old.unfinished_in(dir));
        directory::remove(&worthless)?;
        if is_there(&gone)? {
            rename(&gone, &worthless)?;
            directory::remove(&worthless)?;
        }
        let mark = store.join(REPLACES);
        match fs::remove_file(&mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &mark, error));
            }
            Ok(()) | Err(_) => sync(&store)?,
        }
    }
    Ok(())
}

/// Returns the engine whose store this engine's store replaces. If `replaces` cannot be read,
/// it replaces none: if there are two stores, neither is current then.
pub(super) fn replaced(kind: EngineKind, dir: &Path) -> Option<EngineKind> {
    let name = fs::read_to_string(kind.store_in(dir).join(REPLACES)).ok()?;
    EngineKind::named(&name).filter(|old| *old != kind)
}

fn copy(old: &dyn Engine, new: &dyn Engine) -> Result<(), StoreError> {
    let mut writes = Writes::new();
    for entry in entries(old) {
        let (key, value) = entry?;
        writes.insert(key, Some(value));
        if writes.len() == MANY {
            new.apply(&std::mem::take(&mut writes))?;
        }
    }
    new.apply(&writes)
}

fn compare(old: &dyn Engine, new: &dyn Engine) -> Result<(), StoreError> {
    let mut copied = entries(new);
    for entry in entries(old).map(Some).chain([None]) {
        if entry.transpose()? != copied.next().transpose()? {
            return Err(StoreError::damaged(
                new.path(),
                "it differs from the store that it was copied from",
            ));
        }
    }
    Ok(())
}

/// Returns all entries, in order.
fn entries(engine: &dyn Engine) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
    let mut next = Some(Vec::new());
    std::iter::from_fn(move || {
        let found = engine.at_or_above(&next.take()?).transpose()?;
        next = found.as_ref().ok().map(|(key, _)| successor(key));
        Some(found)
    })
}
