//! The file format of bbolt, version 2 (Go: `go.etcd.io/bbolt`): pages, a tree of
//! buckets, two meta pages. Nothing here knows what the keys and values mean.

mod commit;
#[cfg(test)]
mod damage_tests;
mod freelist;
mod image;
mod layout;
mod meta;
mod node;
mod notes;
mod page;
mod salvage;
mod space;
#[cfg(test)]
mod tests;
mod tree;
mod usage;

use std::collections::BTreeMap;
use std::fs::File;

use thiserror::Error;

/// The longest file that is read. Podman's files have a few megabytes.
pub const MAX_SIZE: u64 = 1 << 30;

/// A bucket: keys in order, each with a value or a bucket of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// The counter that bbolt keeps for its users. Podman uses none.
    pub sequence: u64,
    /// What is in it.
    pub items: BTreeMap<Vec<u8>, Item>,
}

/// What a key of a bucket leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A value.
    Value(Vec<u8>),
    /// A bucket within this one.
    Bucket(Bucket),
}

/// What is wrong with a file, and on which page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("page {page}: {problem}")]
pub struct Damage {
    /// The page's number.
    pub page: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// What could be read of a damaged file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The root bucket.
    pub root: Bucket,
    /// What was left out, and why; empty if the file is sound.
    pub skipped: Vec<Damage>,
}

/// Reads a whole file.
///
/// # Errors
/// At the first damage.
pub fn read(bytes: &[u8]) -> Result<Bucket, Damage> {
    let meta = meta::Metas::read(bytes)?.current;
    tree::Reader::new(bytes, &meta, notes::Notes::Refuse)?.root(&meta)
}

/// Reads what can be read of a file.
///
/// # Errors
/// If there is no valid meta page to begin with.
pub fn salvage(bytes: &[u8]) -> Result<Salvaged, Damage> {
    salvage::salvage(bytes)
}

/// Failure to commit.
#[derive(Debug, Error)]
pub enum CommitError {
    /// The file is damaged: nothing was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// Reading or writing failed: by bbolt's rules, the file has its old content.
    #[error("failed to {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file does not read back as written: it has its old content.
    #[error("what was written does not read back correctly; the old content is kept")]
    ReadBack(#[source] Damage),
    /// The very last write failed, and so did taking it back.
    #[error(
        "failed to write its meta page, and failed to restore it: the file has the old content or \
         the new"
    )]
    Unknown {
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Replaces a file's content in place, as bbolt commits. The new tree goes into pages that
/// neither meta page references, and is synced and read back; only then does the other meta
/// page name it. On return the content is durable; at any moment before, a reader finds either
/// the old content or the new, whole.
///
/// The caller holds the file's exclusive lock. No key may be empty or longer than
/// 32 KiB: bbolt refuses such keys, and so does reading back.
///
/// # Errors
/// If the file is damaged, or cannot be written.
pub fn commit(file: &File, root: &Bucket) -> Result<(), CommitError> {
    commit::commit(file, root)
}

/// Returns the bytes of a new file with this content. No key may be empty or longer
/// than 32 KiB.
pub fn image(root: &Bucket) -> Vec<u8> {
    image::image(root)
}
