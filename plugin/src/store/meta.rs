//! The store's record of itself: plain data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::engine::FORMAT;
use crate::rules::lease::Moment;

/// The store's record of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// As in the `format` file.
    pub(super) format: u32,
    /// The boot of the last commit.
    pub(super) boot_id: String,
    /// That boot's clock at the last commit.
    pub(super) clock_ms: u64,
    /// Commits since the store was made.
    pub(super) commits: u64,
    /// The highest generation given out.
    pub(super) generation: u64,
    /// When the store was made, or first opened in this boot.
    pub(super) since: Moment,
    /// Whether the addresses held in the host's namespaces have been adopted since then.
    pub(super) surveyed: bool,
    /// The last collection since then.
    pub(super) collection: Option<Collection>,
}

impl Meta {
    /// Returns the record of a store that has no commits yet.
    pub(super) fn new(boot_id: &str, now: Moment) -> Self {
        Self {
            format: FORMAT,
            boot_id: boot_id.to_owned(),
            clock_ms: now.boot_ms,
            commits: 0,
            generation: 0,
            since: now,
            surveyed: false,
            collection: None,
        }
    }
}

/// What a collection did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// When it ended.
    pub at: Moment,
    /// How long it took, in milliseconds, waits included.
    pub took_ms: u64,
    /// How many tenants' leases it reclaimed.
    pub reclaimed: usize,
    /// How many things without a lease it cleared away.
    pub cleared: usize,
    /// What it failed to do, one line each.
    pub failures: Vec<String>,
    /// Namespaces in which nothing has been set up yet, waiting for their containers to start.
    pub empty: Vec<EmptyNamespace>,
}

/// A namespace that has a file but no processes, and in which nothing has been set up yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyNamespace {
    /// Its file.
    pub path: PathBuf,
    /// Device and inode of the namespace that the file shows.
    pub key: (u64, u64),
    /// When a collection first saw it.
    pub seen: Moment,
}
