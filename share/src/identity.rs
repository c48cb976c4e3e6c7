//! What a host must remember on its disk about itself in a share.
//!
//! It is written and synced before a beat is sent. So even if the sender is killed, a later command
//! can tell what became of the beat.

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
    /// The number of the latest beat, sent or not.
    pub seq: u64,
    /// The value of the host's record that was confirmed last.
    pub record: Option<String>,
    /// A beat that was sent and not answered. There is at most one: it is repeated until its
    /// outcome is known, so no earlier beat can arrive after a later one.
    pub pending: Option<String>,
    /// The share's meta as seen last.
    pub meta: Option<String>,
    /// The identity that the host had before it joined anew, with the number of its record. It is
    /// kept until the first beat, so that the host does not forget what it knew of the share.
    #[serde(default)]
    pub former: Option<(HostId, u64)>,
    /// When `live` was last renewed: the boot's id, and the seconds since that boot.
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

    /// Returns the share's meta as this host last saw it.
    ///
    /// # Errors
    /// If the host has not joined the share, or its note cannot be read.
    pub fn known_meta(&self) -> Result<Meta, ShareError> {
        match &self.meta {
            Some(meta) => Meta::decode(meta.as_bytes()),
            None => Err(ShareError::NotJoined),
        }
    }

    /// Returns the identity with its pending beat confirmed.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        if let Some(value) = self.pending.take() {
            self.record = Some(value);
            self.former = None;
        }
        self
    }
}

/// Where the identity is kept. Whoever has it open holds the share's own lock on this host.
pub trait IdentityFile {
    /// Reads it; `None` if there is none.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    fn load(&mut self) -> io::Result<Option<Identity>>;

    /// Replaces it; durable on return.
    ///
    /// # Errors
    /// If it cannot be written; the file then holds the old identity or the new one.
    fn save(&mut self, identity: &Identity) -> io::Result<()>;

    /// Notes that the pending beat of the last saved identity is confirmed. A power cut may undo
    /// this; the beat is then repeated, and found to have arrived. So a beat waits for the disk
    /// once, not twice.
    ///
    /// # Errors
    /// If it cannot be written.
    fn confirm(&mut self) -> io::Result<()>;
}
