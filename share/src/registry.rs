//! What the protocol needs of etcd: transactions that check, and then write if the checks hold and
//! read if not.
//!
//! Every transaction of the protocol may be repeated, or arrive late, without harm (I3). So an
//! implementation may send a transaction to the next endpoint when the first does not answer.

use std::time::Duration;

use thiserror::Error;

use crate::key::Span;

/// Something that must be true for a transaction to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Absent(Vec<u8>),
    Is(Vec<u8>, Vec<u8>),
}

/// A change that a transaction makes if all its checks hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(Vec<u8>, Vec<u8>),
    /// A key that expires with the etcd lease: a hint, never a proof.
    PutLeased(Vec<u8>, Vec<u8>, LeaseId),
    Delete(Vec<u8>),
}

/// Something to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Key(Vec<u8>),
    /// At most `limit` keys of a span, in order, without their values.
    Names(Span, usize),
    /// At most `limit` keys of a span, in order.
    Span(Span, usize),
}

/// Checks, and what to do if they hold or fail: all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub checks: Vec<Check>,
    /// Done if all checks hold. No key appears twice.
    pub writes: Vec<Write>,
    /// Read in the same instant if one fails.
    pub otherwise: Vec<Read>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A check failed. Holds the answer to each of `otherwise`, in order.
    Refused(Vec<Found>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Vec<u8>,
    /// Empty where only names were asked for.
    pub value: Vec<u8>,
}

/// The answer to one [`Read`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub entries: Vec<Entry>,
    /// Whether the limit has cut something off.
    pub more: bool,
}

impl Found {
    /// Returns the value of the one key that was asked for.
    pub fn value(&self) -> Option<&[u8]> {
        self.entries.first().map(|entry| entry.value.as_slice())
    }
}

/// An etcd lease.
pub type LeaseId = i64;

/// Failure of a registry.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RegistryError {
    /// Nothing answered in time. What was asked for may have been done, or be done later.
    #[error("{0}")]
    Unreachable(String),
    /// It answered with a refusal that another try would not change.
    #[error("etcd refuses: {0}")]
    Refused(String),
}

/// What the protocol needs of etcd.
pub trait Registry {
    /// Carries out a transaction. `Done` and `Refused` are the answer of a quorum.
    ///
    /// # Errors
    /// If nothing answers in time (the outcome is then unknown), or etcd refuses.
    fn commit(&mut self, transaction: &Transaction) -> Result<Outcome, RegistryError>;

    /// Looks up, in one instant, what a quorum agrees on.
    ///
    /// # Errors
    /// If nothing answers in time, or etcd refuses.
    fn read(&mut self, reads: &[Read]) -> Result<Vec<Found>, RegistryError>;

    /// Makes an etcd lease that expires after `ttl`.
    ///
    /// # Errors
    /// If nothing answers in time, or etcd refuses.
    fn grant(&mut self, ttl: Duration) -> Result<LeaseId, RegistryError>;
}
