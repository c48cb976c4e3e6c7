//! An ordered table, and an overlay that shows staged changes over another table.
//!
//! We have the store to ourselves, so reads go to the engine below, while changes gather here
//! and are applied in one go. This way no engine has to read what it has not yet written.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::engine::{Engine, Entry, Writes};
use super::error::StoreError;
use super::tables::Table;

/// Reads of a table ordered by key. Every call costs O(log n).
pub(super) trait Ordered {
    /// Returns the value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the entry with the lowest key at or above this one.
    fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Returns the entry with the highest key at or below this one.
    fn at_or_below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Returns the error for a value that cannot be read.
    fn damaged(&self, key: &[u8]) -> StoreError;
}

/// Changes to a table.
pub(super) trait OrderedMut: Ordered {
    /// Puts a value, replacing the key's old one.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);

    /// Deletes a key that may be absent.
    fn delete(&mut self, key: Vec<u8>);
}

/// Staged changes over the store.
pub(super) struct Overlay<'s> {
    below: &'s dyn Engine,
    staged: Writes,
}

impl<'s> Overlay<'s> {
    /// Returns an overlay without changes.
    pub(super) const fn new(below: &'s dyn Engine) -> Self {
        Self {
            below,
            staged: BTreeMap::new(),
        }
    }

    /// Returns what would be written.
    pub(super) const fn staged(&self) -> &Writes {
        &self.staged
    }

    /// Drops staged changes that change nothing.
    pub(super) fn keep_only_changes(&mut self) -> Result<(), StoreError> {
        let mut changes = Writes::new();
        for (key, change) in std::mem::take(&mut self.staged) {
            if self.below.get(&key)? != change {
                changes.insert(key, change);
            }
        }
        self.staged = changes;
        Ok(())
    }

    /// Returns all entries whose key begins with the prefix, in key order.
    pub(super) fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        self.visit(prefix, |key, value| {
            found.push((key.to_vec(), value.to_vec()));
        })?;
        Ok(found)
    }

    /// Shows all entries whose key begins with the prefix, in key order, without keeping them
    /// in memory. On failure, some entries may have been shown.
    pub(super) fn visit(
        &self,
        prefix: &[u8],
        mut show: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        let mut changes = self
            .staged
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .peekable();
        self.below.scan(prefix, &mut |key, value| {
            while let Some((new, change)) = changes.next_if(|(new, _)| new.as_slice() < key) {
                change.iter().for_each(|value| show(new, value));
            }
            match changes.next_if(|(changed, _)| changed.as_slice() == key) {
                Some((_, change)) => change.iter().for_each(|value| show(key, value)),
                None => show(key, value),
            }
        })?;
        for (new, change) in changes {
            change.iter().for_each(|value| show(new, value));
        }
        Ok(())
    }
}

impl Ordered for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.staged.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.below.get(key),
        }
    }

    fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let mut changes = self
            .staged
            .range::<[u8], _>((Bound::Included(key), Bound::Unbounded))
            .peekable();
        let mut stored = self.below.at_or_above(key)?;
        loop {
            match (changes.peek(), &stored) {
                (Some((key, change)), Some((other, _))) if *key == other => {
                    // Changed or deleted: what is stored no longer counts.
                    let after = successor(key);
                    if let Some(value) = change {
                        return Ok(Some(((*key).clone(), value.clone())));
                    }
                    changes.next();
                    stored = self.below.at_or_above(&after)?;
                }
                (Some((key, change)), other)
                    if other.as_ref().is_none_or(|(other, _)| *key < other) =>
                {
                    if let Some(value) = change {
                        return Ok(Some(((*key).clone(), value.clone())));
                    }
                    changes.next();
                }
                (_, _) => return Ok(stored),
            }
        }
    }

    fn at_or_below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let mut changes = self
            .staged
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
            .rev()
            .peekable();
        let mut stored = match self.below.get(key)? {
            Some(value) => Some((key.to_vec(), value)),
            None => self.below.below(key)?,
        };
        loop {
            match (changes.peek(), &stored) {
                (Some((key, change)), Some((other, _))) if *key == other => {
                    if let Some(value) = change {
                        return Ok(Some(((*key).clone(), value.clone())));
                    }
                    let gone = (*key).clone();
                    changes.next();
                    stored = self.below.below(&gone)?;
                }
                (Some((key, change)), other)
                    if other.as_ref().is_none_or(|(other, _)| *key > other) =>
                {
                    if let Some(value) = change {
                        return Ok(Some(((*key).clone(), value.clone())));
                    }
                    changes.next();
                }
                (_, _) => return Ok(stored),
            }
        }
    }

    fn damaged(&self, key: &[u8]) -> StoreError {
        unreadable(self.below, key)
    }
}

impl OrderedMut for Overlay<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.staged.insert(key, Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.staged.insert(key, None);
    }
}

/// Returns the error for a value that cannot be read.
pub(super) fn unreadable(engine: &dyn Engine, key: &[u8]) -> StoreError {
    let what = format!("cannot read {}", Table::describe(key));
    StoreError::damaged(engine.path(), what)
}

/// Returns the lowest key above this one.
pub(super) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
