//! The value of an address's key: who has the address. Only its owner ever replaces it, and no two
//! claims have the same value, so a host that deletes by value deletes only its own claim.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ShareError;
use crate::key::HostId;

/// The longest value that is read. Hosts write a few hundred bytes.
const LONGEST_VALUE: usize = 64 << 10;

/// Who has an address, as the key says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub host: HostId,
    /// Which of the host's lease stores, by its state directory. Only that store judges the key.
    pub store: String,
    pub container: String,
    /// For people.
    pub name: String,
    /// Random, new for each claim.
    pub nonce: String,
}

/// An address with the exact value of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    pub address: IpAddr,
    pub value: String,
}

/// An address that a store has leased, with its container: what the share's key must say too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub address: IpAddr,
    pub container: String,
    /// For people.
    pub name: String,
}

impl Holder {
    /// Reads the value of an address's key.
    ///
    /// # Errors
    /// If it is not such a value.
    pub fn decode(value: &[u8]) -> Result<Self, ShareError> {
        decode("an address", value)
    }

    /// Returns the claim of an address by this holder.
    pub fn claim(&self, address: IpAddr) -> Claim {
        let value = String::from_utf8(encode(self)).expect("JSON is UTF-8");
        Claim { address, value }
    }
}

/// Reads a value that some host has written.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, value: &[u8]) -> Result<T, ShareError> {
    let unreadable = |reason: String| ShareError::Unreadable {
        what: what.to_owned(),
        reason,
    };
    if value.len() > LONGEST_VALUE {
        return Err(unreadable(format!("it has {} bytes", value.len())));
    }
    serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))
}

/// Returns a value to be written.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers can be written as JSON")
}
