//! A host's record in a share: written anew with each beat, never removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ShareError;
use crate::holding::{decode, encode};
use crate::key::HostId;

/// The value of the key `h/<host>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    pub host: HostId,
    /// For people; nothing is judged by it.
    pub name: String,
    /// What tells the machine from a copy of it, hashed.
    pub machine: String,
    pub boot: String,
    /// Grows with each beat. If it is lower than what the host last wrote, the record is from a
    /// backup.
    pub seq: u64,
    /// Random, new for each beat: tells apart two copies of a host that have reached the same
    /// `seq`.
    pub nonce: String,
    /// The epoch up to which each of the host's lease stores has put its leases back.
    pub stores: BTreeMap<String, u64>,
    /// An operator has freed the host's addresses for others: it must join again.
    #[serde(default)]
    pub evicted: bool,
}

impl HostRecord {
    /// Reads the value of a host's key.
    ///
    /// # Errors
    /// If it is not such a value.
    pub fn decode(value: &[u8]) -> Result<Self, ShareError> {
        decode("a host's record", value)
    }

    /// Returns the value of the key.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Returns whether all leases of the host's stores are in the share as of this epoch.
    pub fn is_settled(&self, epoch: u64) -> bool {
        self.evicted || self.stores.values().all(|settled| *settled >= epoch)
    }
}
