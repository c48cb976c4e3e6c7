//! Rebuilds the data derived from the records.
//!
//! Free extents and indexes follow from leases, reservations and pools. If the records
//! themselves contradict each other, nothing is changed: data derived from them could free an
//! address that is in use. Then `berth rebuild` makes a new store from what runs.

use super::tables::Table;
use super::transaction::Transaction;
use super::{Store, StoreError, Violation};
use crate::rules::lease::Moment;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// What was wrong and has been repaired.
    pub repaired: Vec<Violation>,
    /// What is still wrong.
    pub left: Vec<Violation>,
}

impl Store<'_> {
    /// Rebuilds free extents and indexes, durably, in one transaction. Changes nothing if they
    /// are right, or if the records contradict each other.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a part cannot be read; nothing is changed then.
    pub fn repair(&self, now: Moment) -> Result<Repair, StoreError> {
        let found = self.check()?;
        if found.is_empty() || !found.iter().all(Violation::is_derived) {
            return Ok(Repair {
                repaired: Vec::new(),
                left: found,
            });
        }
        let mut transaction = self.begin();
        derive(&mut transaction)?;
        transaction.commit(now)?;
        let left = self.check()?;
        let repaired = found.into_iter().filter(|known| !left.contains(known));
        Ok(Repair {
            repaired: repaired.collect(),
            left,
        })
    }
}

fn derive(transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    for table in Table::DERIVED {
        transaction.delete_all(&table.prefix())?;
    }
    for (network, address, reservation) in transaction.all_reservations()? {
        transaction.put_reservation(&network, address, &reservation)?;
    }
    for (network, pool) in transaction.all_pools()? {
        transaction.build_pool(&network, &pool)?;
    }
    transaction.overlay.keep_only_changes()
}
