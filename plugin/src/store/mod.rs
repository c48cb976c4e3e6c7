//! The lease store: who holds which address, durable.
//!
//! ```text
//! <network run dir>/berth/
//!   lock               whoever holds it is alone with all the rest
//!   leases.sled.new/   a store being made; of no account once its maker is dead
//!   leases.sled/
//!     format           format version, a decimal number and a newline
//!     witness          how many commits this boot were flushed, at least
//!     conf, db, blobs/, snap.*    sled's own
//!   leases.sled.damaged-<ms since 1970>/    kept by `berth rebuild`
//! ```
//!
//! One sled tree holds all tables (`codec` lists them): records of tenants,
//! leases and holds, and what is derived from them so that nothing is ever
//! searched: free extents, indexes of the holds. A transaction changes all of it
//! at once or not at all; [`Store::check`] lists where the parts disagree, and
//! [`Store::repair`] makes them agree again.
//!
//! Never: unlink the lock, write before the lock is held, replace or repair a
//! store that cannot be read, or return an error as an absence.

mod check;
mod codec;
mod engine;
mod error;
mod extents;
mod leases;
mod lock;
mod meta;
mod overlay;
mod pools;
mod repair;
mod reservations;
mod shelf;
#[cfg(test)]
mod tests;
mod transaction;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

pub use check::Violation;
pub use engine::UNFINISHED;
pub use error::StoreError;
pub use lock::{LOCK, LockFile, LockGuard};
pub use meta::{Collection, EmptyNamespace};
pub use repair::{Lookout, Repair};
pub use shelf::NetworkShelf;
pub use transaction::Transaction;

use codec::{Table, seal_record, unseal_record};
use engine::{Engine, Writes};
use meta::Meta;
use overlay::Ordered;

use crate::rules::lease::Moment;

/// Name of the store in its state directory.
pub const STORE: &str = "leases.sled";

/// Version of everything in this module. Formats so far: 1.
const FORMAT: u32 = 1;

/// The open lease store. It is closed, and only then safe from a crash of the
/// machine, when it is dropped; `std::process::exit` skips that.
pub struct Store<'lock> {
    // In the order they are dropped: the store is closed before it is unlocked.
    engine: Engine,
    meta: RefCell<Meta>,
    _guard: &'lock LockGuard<'lock>,
}

impl<'lock> Store<'lock> {
    /// Opens the store in the state directory `dir`, making it if there is none.
    /// `guard` must be of the lock in the same directory.
    ///
    /// If `boot_id` is not that of the last commit, the holds move to the new
    /// boot's clock, on which `now` is: what was left of each at the last commit
    /// is left of it from now on. Leases stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if there is a store that cannot be read,
    /// [`StoreError::NewerFormat`] if a newer berth wrote it: it is left as it is.
    /// [`StoreError::Io`] if the file system refuses, [`StoreError::Hung`] and
    /// [`StoreError::Panicked`] mostly where processes or memory are short.
    pub fn open(
        dir: &Path,
        guard: &'lock LockGuard<'_>,
        boot_id: &str,
        now: Moment,
    ) -> Result<Self, StoreError> {
        let key = Table::Meta.prefix();
        let first = Meta::new(boot_id, now);
        let value = seal_record(&key, &first);
        let engine = Engine::open(dir, &Writes::from([(key.clone(), Some(value))]))?;
        let Some(value) = engine.get(&key)? else {
            return Err(engine.damaged("it has no record of itself"));
        };
        let meta: Meta = unseal_record(&key, &value).ok_or_else(|| engine.damaged_value(&key))?;
        if meta.format != FORMAT {
            return Err(engine.damaged(format!("it says to have format {}", meta.format)));
        }
        // After a power failure the witness may be ahead of what sled had synced,
        // and rightly so: it counts only within one boot.
        let witnessed = engine.witnessed(boot_id);
        if meta.boot_id == boot_id && witnessed.is_some_and(|commits| commits > meta.commits) {
            return Err(engine.damaged("its last commits are missing"));
        }
        let store = Self {
            engine,
            meta: RefCell::new(meta),
            _guard: guard,
        };
        if store.meta.borrow().boot_id != boot_id {
            let mut transaction = store.begin();
            transaction.rebase_reservations(now)?;
            transaction.set_boot(boot_id, now);
            transaction.commit(now)?;
        }
        Ok(store)
    }

    /// Returns whether there is a store in the state directory, sound or not.
    pub fn exists(dir: &Path) -> bool {
        dir.join(STORE).exists()
    }

    /// Moves the store in the state directory aside, durably, and returns where it
    /// is then; `None` if there is none. Its name says when this was.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file system refuses; it is where it was then.
    pub fn set_aside(
        dir: &Path,
        _guard: &LockGuard<'_>,
        now: Moment,
    ) -> Result<Option<PathBuf>, StoreError> {
        if !Self::exists(dir) {
            return Ok(None);
        }
        let aside = dir.join(format!("{STORE}.damaged-{}", now.wall_ms));
        fs::rename(dir.join(STORE), &aside)
            .and_then(|()| fs::File::open(dir)?.sync_all())
            .map_err(|source| StoreError::Io {
                action: "move aside",
                path: dir.join(STORE),
                source,
            })?;
        Ok(Some(aside))
    }

    /// Returns whether what the host's namespaces hold has been adopted since the
    /// store was made, or the machine booted: until then no address may be leased.
    pub fn is_surveyed(&self) -> bool {
        self.meta.borrow().surveyed
    }

    /// Returns when the store was made, or first opened after a boot.
    pub fn since(&self) -> Moment {
        self.meta.borrow().since
    }

    /// Returns the last collection of this boot, if there was one.
    pub fn last_collection(&self) -> Option<Collection> {
        self.meta.borrow().collection.clone()
    }

    /// Begins a transaction. Of several, only the first to commit can.
    pub fn begin(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Returns everything in the store that contradicts itself; nothing if it is
    /// sound. Reads all of it: for doctors and tests.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a part cannot be read.
    pub fn check(&self) -> Result<Vec<Violation>, StoreError> {
        check::check(&self.begin())
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn meta(&self) -> Meta {
        self.meta.borrow().clone()
    }

    fn commits(&self) -> u64 {
        self.meta.borrow().commits
    }

    /// Applies a transaction's changes; `meta` is what they make of the record.
    fn write(&self, writes: &Writes, meta: Meta) -> Result<(), StoreError> {
        self.engine.apply(writes)?;
        if let Err(error) = self.engine.witness(&meta.boot_id, meta.commits) {
            // The commit is durable; only a guard against damage is behind.
            log::debug!("{error}");
        }
        *self.meta.borrow_mut() = meta;
        Ok(())
    }
}
