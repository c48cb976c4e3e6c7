//! Reads and writes of records; writes are staged until they are committed together.
//!
//! The operations on each table are in that table's module: `pools`, `reservations`, `leases`.
//! Those that span several tables are in `networks` and `tenants`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::Store;
use super::codec::{StoredPool, seal_record, unseal_record};
use super::error::StoreError;
use super::meta::{Collection, Meta};
use super::overlay::{Ordered, OrderedMut, Overlay};
use super::tables::Table;
use crate::rules::lease::{Moment, NetworkId};

/// Reads, and writes that nothing else sees before [`commit`](Self::commit).
///
/// Reads see the writes staged so far. Dropping a transaction without a commit leaves the store
/// as it was. A write that fails has staged nothing, unless it failed to read the store: then
/// drop the transaction.
pub struct Transaction<'s> {
    store: &'s Store<'s>,
    began: u64,
    pub(super) meta: Meta,
    pub(super) overlay: Overlay<'s>,
    /// The pools read so far.
    pub(super) pools: RefCell<HashMap<NetworkId, Rc<[StoredPool]>>>,
}

impl<'s> Transaction<'s> {
    pub(super) fn new(store: &'s Store<'_>) -> Self {
        let meta = store.meta();
        Self {
            began: meta.commits,
            meta,
            overlay: Overlay::new(store.engine()),
            store,
            pools: RefCell::default(),
        }
    }

    /// Writes everything staged, or nothing. Once this returns, the writes survive the death of
    /// this process (SIGKILL too); once the store is closed, they also survive a crash of the
    /// machine. Writes nothing if nothing is staged.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if another transaction was committed since this one began.
    /// After any other error the store takes no more writes: reopen it to see whether these
    /// were made.
    pub fn commit(mut self, now: Moment) -> Result<(), StoreError> {
        if self.overlay.staged().is_empty() {
            return Ok(());
        }
        if self.began != self.store.meta().commits {
            return Err(StoreError::Overtaken);
        }
        self.meta.clock_ms = now.boot_ms;
        self.meta.commits += 1;
        let key = Table::Meta.prefix();
        let value = seal_record(&key, &self.meta);
        self.overlay.put(key, value);
        self.store.write(self.overlay.staged(), self.meta)
    }

    /// Returns whether the addresses held in the host's namespaces have been adopted in this
    /// boot.
    pub fn is_surveyed(&self) -> bool {
        self.meta.surveyed
    }

    /// Notes that the addresses held in the host's namespaces have been adopted.
    pub fn set_surveyed(&mut self) {
        self.meta.surveyed = true;
        self.stage_meta();
    }

    /// Notes what a collection did.
    pub fn set_collection(&mut self, collection: Collection) {
        self.meta.collection = Some(collection);
        self.stage_meta();
    }

    /// Returns a value that changes with every commit, and when the store is made anew: when
    /// the store was made, or first opened in this boot, and how many commits it has had.
    pub fn version(&self) -> (Moment, u64) {
        (self.meta.since, self.meta.commits)
    }

    /// Returns the last collection of this boot, if there was one.
    pub fn last_collection(&self) -> Option<&Collection> {
        self.meta.collection.as_ref()
    }

    /// Stages the change to another boot, and returns whether there is one.
    pub(super) fn stage_boot(&mut self, boot_id: &str, now: Moment) -> Result<bool, StoreError> {
        if self.meta.boot_id == boot_id {
            return Ok(false);
        }
        self.rebase_reservations(now)?;
        boot_id.clone_into(&mut self.meta.boot_id);
        self.meta.since = now;
        self.meta.surveyed = false;
        self.meta.collection = None;
        self.stage_meta();
        Ok(true)
    }

    /// Stages a placeholder, so that there is something to commit: every commit that has
    /// something staged writes the record itself.
    fn stage_meta(&mut self) {
        self.overlay.put(Table::Meta.prefix(), Vec::new());
    }

    /// Returns a record, or `None` if there is none.
    pub(super) fn record<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let Some(value) = self.overlay.get(key)? else {
            return Ok(None);
        };
        unseal_record(key, &value)
            .map(Some)
            .ok_or_else(|| self.overlay.damaged(key))
    }

    /// Deletes everything under a prefix.
    pub(super) fn delete_all(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        for (key, _) in self.overlay.scan(prefix)? {
            self.overlay.delete(key);
        }
        Ok(())
    }

    /// Deletes a key if it exists.
    pub(super) fn delete_if_there(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        if self.overlay.get(&key)?.is_some() {
            self.overlay.delete(key);
        }
        Ok(())
    }

    /// Passes the entries under a prefix to `read`, in key order, and returns its results.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read, or if `read` finds an entry damaged
    /// and returns `None`.
    pub(super) fn read_all<T>(
        &self,
        prefix: &[u8],
        mut read: impl FnMut(&[u8], &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        let mut damaged = None;
        self.overlay.visit(prefix, |key, value| {
            if damaged.is_none() {
                match read(key, value) {
                    Some(entry) => all.push(entry),
                    None => damaged = Some(key.to_vec()),
                }
            }
        })?;
        match damaged {
            None => Ok(all),
            Some(key) => Err(self.overlay.damaged(&key)),
        }
    }
}
