//! The lease store: the durable record of which tenant holds which address.
//!
//! ```text
//! <network run dir>/berth/
//!   lock               its holder has everything else to itself
//!   leases.<engine>/   the store; see `engine`
//!   leases.<engine>.damaged-<ms since 1970>/    kept by `berth rebuild`
//! ```
//!
//! It keeps records of tenants, leases and reservations, and data derived from them so that
//! nothing ever has to be searched for: free extents, and indexes of the reservations. A
//! transaction changes all of it at once or not at all. [`Store::check`] lists where the parts
//! disagree, and [`Store::repair`] rebuilds the derived data.
//!
//! Layers, from the bottom up: `engine` (ordered bytes), `overlay` (staged changes), `tables`
//! and `codec` (keys and values), `transaction`, a module for each table (`pools`,
//! `reservations`, `leases`), and modules that span several tables (`networks`, `tenants`,
//! `shelf`, `check`, `repair`, `salvage`).
//!
//! Never unlink the lock, write before the lock is held, replace or repair a store that cannot
//! be read, or report an error as an absence.

mod check;
mod codec;
mod engine;
mod error;
mod extents;
mod history;
mod leases;
mod lock;
mod meta;
mod networks;
mod overlay;
mod pools;
mod repair;
mod reservations;
mod salvage;
mod shelf;
mod tables;
mod tenants;
#[cfg(test)]
mod tests;
mod transaction;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

pub use check::Violation;
pub use engine::{EngineKind, Name};
pub use error::StoreError;
pub use history::{History, Mark, Recorded, Snapshot};
pub use lock::{LOCK, LockFile, LockGuard};
pub use meta::{Collection, EmptyNamespace};
pub use repair::Repair;
pub use salvage::Salvage;
pub use shelf::NetworkShelf;
pub use transaction::Transaction;

use codec::{seal_record, unseal_record};
use engine::{Engine, FORMAT, Witness, Writes};
use meta::Meta;
use tables::Table;

use crate::rules::lease::{Moment, Tenant};

/// The open lease store. Dropping it closes it, and only then is it safe from a crash of the
/// machine; `std::process::exit` skips that.
pub struct Store<'lock> {
    // Fields drop in this order: the store is closed before it is unlocked.
    engine: Box<dyn Engine>,
    kind: EngineKind,
    witness: Witness,
    meta: RefCell<Meta>,
    _guard: &'lock LockGuard<'lock>,
}

impl<'lock> Store<'lock> {
    /// Opens the store in the state directory `dir`, whatever its engine. If there is none, one
    /// is made with `engine`. If there are two, the one that replaces the other is opened: see
    /// [`change_engine`](Self::change_engine). `guard` must be of the lock in the same
    /// directory.
    ///
    /// If `boot_id` differs from that of the last commit, the reservations move to the new
    /// boot's clock, which reads `now`: each keeps the time that it had left at the last
    /// commit. Leases stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if there is a store that cannot be read,
    /// [`StoreError::NewerFormat`] if a newer berth wrote it; either way it is left as it is.
    /// [`StoreError::Io`] if the file system refuses, [`StoreError::Hung`] and
    /// [`StoreError::Panicked`] mostly where processes or memory are short.
    pub fn open(
        dir: &Path,
        guard: &'lock LockGuard<'_>,
        engine: EngineKind,
        boot_id: &str,
        now: Moment,
    ) -> Result<Self, StoreError> {
        if let Err(error) = engine::finish(dir) {
            log::warn!("failed to remove the old lease store: {error}");
        }
        let kind = match engine::find(dir)? {
            Some(kind) => kind,
            None => {
                let key = Table::Meta.prefix();
                let meta = seal_record(&key, &Meta::new(boot_id, now));
                engine::create(dir, engine, &Writes::from([(key, Some(meta))]))?;
                engine
            }
        };
        let store = Self::open_as_it_is(dir, guard, kind, boot_id)?;
        let mut transaction = store.begin();
        if transaction.stage_boot(boot_id, now)? {
            transaction.commit(now)?;
        }
        Ok(store)
    }

    /// Calls `act` with the contents of the store in the state directory `dir`, as
    /// [`open`](Self::open) would show them, without changing the store. `None` if there is no
    /// store.
    ///
    /// # Errors
    /// As [`open`](Self::open), and any that `act` returns.
    pub fn read<T, E: From<StoreError>>(
        dir: &Path,
        guard: &LockGuard<'_>,
        boot_id: &str,
        now: Moment,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let Some(kind) = engine::find(dir)? else {
            return Ok(None);
        };
        let store = Store::open_as_it_is(dir, guard, kind, boot_id)?;
        let mut transaction = store.begin();
        transaction.stage_boot(boot_id, now)?;
        act(&transaction).map(Some)
    }

    /// Opens an existing store, which may date from an earlier boot.
    fn open_as_it_is(
        dir: &Path,
        guard: &'lock LockGuard<'_>,
        kind: EngineKind,
        boot_id: &str,
    ) -> Result<Self, StoreError> {
        let engine = engine::open(dir, kind)?;
        let key = Table::Meta.prefix();
        let damaged = |what: String| StoreError::damaged(engine.path(), what);
        let Some(value) = engine.get(&key)? else {
            return Err(damaged("it has no record of itself".to_owned()));
        };
        let meta: Meta =
            unseal_record(&key, &value).ok_or_else(|| overlay::unreadable(&*engine, &key))?;
        if meta.format != FORMAT {
            return Err(damaged(format!("its record gives format {}", meta.format)));
        }
        // After a power failure the witness may rightly be ahead of what was synced, so it
        // counts only within one boot.
        let witness = Witness::of(engine.path());
        let witnessed = witness.commits(boot_id);
        if meta.boot_id == boot_id && witnessed.is_some_and(|commits| commits > meta.commits) {
            return Err(damaged("its last commits are missing".to_owned()));
        }
        Ok(Self {
            engine,
            kind,
            witness,
            meta: RefCell::new(meta),
            _guard: guard,
        })
    }

    /// Returns whether there is a store in the state directory, sound or not.
    pub fn exists(dir: &Path) -> bool {
        !matches!(engine::find(dir), Ok(None))
    }

    /// Moves the store in the state directory aside, durably, and returns its new path: none if
    /// there is no store, and two if it is unclear which of two stores is the current one. The
    /// new name says when this was.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file system refuses: the store is then where it was.
    pub fn set_aside(
        dir: &Path,
        _guard: &LockGuard<'_>,
        now: Moment,
    ) -> Result<Vec<PathBuf>, StoreError> {
        engine::finish(dir)?;
        let kinds = engine::all_in(dir)?.into_iter();
        kinds
            .map(|kind| {
                let aside = kind.aside_in(dir, now.wall_ms);
                engine::rename(&kind.store_in(dir), &aside)?;
                Ok(aside)
            })
            .collect()
    }

    /// Moves everything to a store of another engine in the same state directory, and closes
    /// this one. Once this returns, the new store is the current one, and durable; if the
    /// process is killed on the way, either the old or the new store is current. Does nothing
    /// if the engine is the same.
    ///
    /// # Errors
    /// As [`open`](Self::open), also if there is no room for two stores. The old store stays
    /// current then.
    pub fn change_engine(self, to: EngineKind) -> Result<(), StoreError> {
        if self.kind == to {
            return Ok(());
        }
        let path = self.engine.path().to_owned();
        let dir = path.parent().unwrap_or(&path);
        engine::change(dir, self.engine, self.kind, to)?;
        if let Err(error) = engine::finish(dir) {
            log::warn!("failed to remove the old lease store: {error}");
        }
        Ok(())
    }

    /// Removes unfinished stores that killed processes left behind. The caller has the lock.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file system refuses.
    pub fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
        engine::finish(dir)?;
        engine::remove_unfinished(dir)
    }

    /// Returns the store's engine.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// Returns whether the addresses held in the host's namespaces have been adopted since the
    /// store was made or the machine booted: until then no address may be leased.
    pub fn is_surveyed(&self) -> bool {
        self.meta.borrow().surveyed
    }

    /// Returns when the store was made, or first opened in this boot.
    pub fn since(&self) -> Moment {
        self.meta.borrow().since
    }

    /// Returns the last collection of this boot, if there was one.
    pub fn last_collection(&self) -> Option<Collection> {
        self.meta.borrow().collection.clone()
    }

    /// Begins a transaction. If several are open, only the first to commit succeeds.
    pub fn begin(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Returns every contradiction within the store, none if it is sound. Reads the whole
    /// store: for doctors and tests.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a part cannot be read.
    pub fn check(&self) -> Result<Vec<Violation>, StoreError> {
        Ok(self.examine()?.0)
    }

    /// As [`check`](Self::check), together with all tenants, which the check reads anyway.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn examine(&self) -> Result<(Vec<Violation>, Vec<Tenant>), StoreError> {
        check::check(&self.begin())
    }

    fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    fn meta(&self) -> Meta {
        self.meta.borrow().clone()
    }

    /// Applies a transaction's changes; `meta` is the store's record after them.
    fn write(&self, writes: &Writes, meta: Meta) -> Result<(), StoreError> {
        self.engine.apply(writes)?;
        if let Err(error) = self.witness.note(&meta.boot_id, meta.commits) {
            // The commit is durable; only a guard against damage is behind.
            log::debug!("cannot write the store's witness: {error}");
        }
        *self.meta.borrow_mut() = meta;
        Ok(())
    }
}
