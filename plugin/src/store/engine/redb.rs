//! redb 4.6: everything that touches `leases.redb/` is here.
//!
//! redb starts no threads, and syncs every commit. What it does not promise, and how we make up
//! for it:
//!
//! - After a kill, it reads and checks the whole file, unless the last commit was made for a
//!   *quick repair*: every commit is.
//! - Any call may panic on damaged files: panics are caught.
//! - It does not verify the pages that it reads. The records have checksums of their own, and
//!   `check` compares the tables.
//! - A killed process may still have the file open, and locked, after it has let go of our own
//!   lock: opening retries for a while.
//! - It opens a file that is older than the last commit: see `witness`.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_share::poll;
use redb::{
    Builder, Database, DatabaseError, Error, ReadOnlyTable, ReadableDatabase, StorageError,
    TableDefinition,
};

use super::bounded::caught;
use super::directory::{read, unreadable};
use super::{Engine, Entry, Show, Writes};
use crate::store::error::StoreError;

/// redb's one file in the store's directory.
const FILE: &str = "db";

/// All our tables are in this one, because their keys say which is whose.
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("leases");

/// The most that redb keeps in memory; its default is 1 GiB. A command needs few pages more
/// than once: the upper ones of the tree. A larger cache makes a scan slower, because the
/// memory of a page is not used again while the processor still has it in its cache.
const CACHE_BYTES: usize = 1 << 20;

/// How long a killed process may keep the file open.
const LINGER: Duration = Duration::from_secs(5);

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// An open redb store.
pub(super) struct Redb {
    path: PathBuf,
    /// Set by a failed write: what redb shows then may differ from the disk.
    broken: Cell<bool>,
    /// The table as of the last commit, opened by the first read.
    table: RefCell<Option<Table>>,
    /// `None` only while the store is being closed.
    db: Option<Database>,
}

impl Redb {
    /// Opens the store at a path.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        if read(path, FILE, 1)?.is_empty() {
            return Err(unreadable(path, FILE));
        }
        let file = path.join(FILE);
        let open = || caught("open", path, || builder().open(&file));
        let opened = poll(LINGER, Duration::from_millis(1), || match open() {
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => None,
            done => Some(done),
        });
        let opened = opened.unwrap_or(Ok(Err(DatabaseError::DatabaseAlreadyOpen)))?;
        let store = Self::of(path, opened.map_err(|error| refused("open", path, error))?);
        // Is it one of ours?
        store.read(|_| Ok(()))?;
        Ok(store)
    }

    /// Makes redb's file in a directory.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = path.join(FILE);
        let db = caught("create", path, || builder().create(file))?
            .map_err(|error| refused("create", path, error))?;
        Ok(Self::of(path, db))
    }

    fn of(path: &Path, db: Database) -> Self {
        Self {
            path: path.to_owned(),
            broken: Cell::new(false),
            table: RefCell::default(),
            db: Some(db),
        }
    }

    fn db(&self) -> Result<&Database, StoreError> {
        let db = self.db.as_ref().filter(|_| !self.broken.get());
        db.ok_or_else(|| StoreError::Broken {
            path: self.path.clone(),
        })
    }

    fn read<T>(
        &self,
        call: impl FnOnce(&Table) -> Result<T, StorageError>,
    ) -> Result<T, StoreError> {
        let db = self.db()?;
        let call = || -> Result<T, Error> {
            let mut table = self.table.borrow_mut();
            let table = match &mut *table {
                Some(table) => table,
                none => none.insert(db.begin_read()?.open_table(TABLE)?),
            };
            Ok(call(table)?)
        };
        caught("read", &self.path, call)?.map_err(|error| refused("read", &self.path, error))
    }
}

impl Engine for Redb {
    fn path(&self) -> &Path {
        &self.path
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|table| Ok(table.get(key)?.map(|value| value.value().to_vec())))
    }

    fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.read(|table| table.range(key..)?.next().map(owned).transpose())
    }

    fn below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.read(|table| table.range(..key)?.next_back().map(owned).transpose())
    }

    fn scan(&self, prefix: &[u8], show: &mut Show<'_>) -> Result<(), StoreError> {
        self.read(|table| {
            for entry in table.range(prefix..)? {
                let (key, value) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                show(key.value(), value.value());
            }
            Ok(())
        })
    }

    fn apply(&self, writes: &Writes) -> Result<(), StoreError> {
        let db = self.db()?;
        // redb keeps what an open reader sees, which would make the file grow.
        self.table.take();
        // Reset once the write has succeeded.
        self.broken.set(true);
        let write = || -> Result<(), Error> {
            let mut transaction = db.begin_write()?;
            transaction.set_quick_repair(true);
            {
                let mut table = transaction.open_table(TABLE)?;
                for (key, value) in writes {
                    match value {
                        Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                        None => table.remove(key.as_slice())?,
                    };
                }
            }
            Ok(transaction.commit()?)
        };
        caught("write", &self.path, write)?.map_err(|error| refused("write", &self.path, error))?;
        self.broken.set(false);
        Ok(())
    }
}

impl Drop for Redb {
    /// Closes the store. If that fails, nothing is lost: every commit was synced, and the next
    /// opening repairs the store.
    fn drop(&mut self) {
        let (table, db) = (self.table.take(), self.db.take());
        let close = || {
            drop(table);
            db.map_or(Ok(()), Database::close)
        };
        let closed = caught("close", &self.path, close).and_then(|closed| {
            let broken = self.broken.get();
            let closed = closed.map_err(|error| refused("close", &self.path, error));
            // The failed write has already reported why.
            if broken { Ok(()) } else { closed }
        });
        if let Err(error) = closed {
            log::warn!("{}", crate::chain(&error));
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Returns an entry that outlives the table.
fn owned(entry: EntryOf<'_>) -> Result<Entry, StorageError> {
    let (key, value) = entry?;
    Ok((key.value().to_vec(), value.value().to_vec()))
}

type Guard<'a> = redb::AccessGuard<'a, &'static [u8]>;
type EntryOf<'a> = Result<(Guard<'a>, Guard<'a>), StorageError>;

/// Maps an error of redb to one of ours.
fn refused(action: &'static str, path: &Path, error: impl Into<Error>) -> StoreError {
    match error.into() {
        // This is how redb says that the file is not its own, or was cut short.
        Error::Io(source)
            if !matches!(
                source.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::io(action, path, source)
        }
        error @ (Error::Io(_)
        | Error::Corrupted(_)
        | Error::RepairAborted
        | Error::UpgradeRequired(_)
        | Error::TableDoesNotExist(_)
        | Error::TableTypeMismatch { .. }
        | Error::TableIsMultimap(_)
        | Error::TypeDefinitionChanged { .. }) => {
            StoreError::damaged(path, format!("redb cannot {action} it: {error}"))
        }
        error => StoreError::Engine {
            action,
            path: path.to_owned(),
            source: error.into(),
        },
    }
}
