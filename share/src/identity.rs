//! What a host must remember of itself in a share, on its disk.
//!
//! It is written and synced before a beat is sent, so that the answer to a beat whose sender
//! was killed is understood later.

use std::io;

use serde::{Deserialize, Serialize};

use crate::ShareError;
use crate::key::HostId;
use crate::meta::Meta;

/// The host in one share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub host: HostId,
    /// The machine that this identity was made for.
    pub machine: String,
    /// Of the latest beat, sent or not.
    pub seq: u64,
    /// The value of the host's record that was confirmed last.
    pub record: Option<String>,
    /// A beat that was sent and not answered. There is one at most: it is repeated until
    /// its outcome is known, so that no earlier one can arrive after it.
    pub pending: Option<String>,
    /// The share's meta as seen last.
    pub meta: Option<String>,
    /// Who the host was before it joined anew, with that record's number, until the first beat:
    /// what it knew of the share must not be forgotten in between.
    #[serde(default)]
    pub former: Option<(HostId, u64)>,
    /// When `live` was renewed last, in seconds since the boot of that id.
    pub renewed: Option<(String, u64)>,
}

impl Identity {
    /// Makes an identity for a host that has none.
    pub fn new(machine: &str, random: u128) -> Self {
        Self {
            host: HostId::new(random),
            machine: machine.to_owned(),
            seq: 0,
            record: None,
            pending: None,
            meta: None,
            former: None,
            renewed: None,
        }
    }

    /// Returns the share's meta as this host has seen it last.
    ///
    /// # Errors
    /// If it has not joined the share, or cannot read what it noted.
    pub fn known_meta(&self) -> Result<Meta, ShareError> {
        match &self.meta {
            Some(meta) => Meta::decode(meta.as_bytes()),
            None => Err(ShareError::NotJoined),
        }
    }

    /// Returns it with the pending beat confirmed.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        if let Some(value) = self.pending.take() {
            self.record = Some(value);
            self.former = None;
        }
        self
    }
}

/// Where the identity is kept. Whoever has it open has the share's own lock on this host.
pub trait IdentityFile {
    /// Reads it; `None` if there is none.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    fn load(&mut self) -> io::Result<Option<Identity>>;

    /// Replaces it; durable on return.
    ///
    /// # Errors
    /// If it cannot be written; it is the old one or the new one then.
    fn save(&mut self, identity: &Identity) -> io::Result<()>;

    /// Notes that the pending beat of the identity saved last is confirmed. A power cut may
    /// undo this: then the beat is repeated, and found to have arrived. A beat so costs one
    /// wait for the disk and not two.
    ///
    /// # Errors
    /// If it cannot be written.
    fn confirm(&mut self) -> io::Result<()>;
}
