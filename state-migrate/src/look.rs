//! One look at the file and at whoever may have the addresses in it.
//!
//! The order is that of [`crate::evidence`]: the file, Podman's word, the locks, the file
//! again, the kernel.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth::podman::{NetworkLock, NetworkLockError, Podman};
use thiserror::Error;

use crate::bolt::{self, Bucket, Damage};
use crate::evidence::{Asking, Evidence, Kernel, Word};
use crate::file::{self, FileError};
use crate::ipam::content::Content;
use crate::judgement::{Judgements, judge_all};
use crate::networks::Networks;
use crate::verdict::Verdict;

/// How long Podman may keep its network lock, as when it starts a container.
const NETWORKS_WAIT: Duration = Duration::from_secs(30);

/// How long somebody may keep the file's lock: with Podman's lock in our hands, another
/// command of ours at most, for milliseconds.
pub const FILE_WAIT: Duration = Duration::from_secs(10);

/// Failure to look.
#[derive(Debug, Error)]
pub enum LookError {
    /// Podman's lock.
    #[error(transparent)]
    Networks(#[from] NetworkLockError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Whose file it is, and whom to ask.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The Podman.
    pub podman: &'a Podman,
    /// How to ask it; `None` if the kernel's evidence is to be enough.
    pub asking: Option<Asking>,
    /// Whether to read what can be read of a damaged file.
    pub salvage: bool,
}

/// What was seen, all of one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The file's bytes; none if there is no file.
    pub bytes: Vec<u8>,
    /// What they are.
    pub root: Bucket,
    /// What could not be read of them, of a damaged file.
    pub skipped: Vec<Damage>,
    /// What they mean.
    pub content: Content,
    /// The networks.
    pub networks: Networks,
    /// Who is alive.
    pub evidence: Evidence,
    /// And so, every claim's verdict.
    pub judgements: Judgements,
}

impl Subject<'_> {
    /// Returns the file's path.
    pub fn path(&self) -> PathBuf {
        self.podman.delegation.config.join("ipam.db")
    }

    /// Looks without any lock but the file's own, for the moment of reading. What a
    /// podman is just doing may show in part.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged.
    pub fn glance(&self) -> Result<Look, LookError> {
        let mut look = Look::at(&self.path(), self.salvage)?;
        look.evidence = self.ask(&look.content);
        look.networks = Networks::read(self.podman);
        look.evidence.kernel = Kernel::observe(self.podman);
        look.judge();
        Ok(look)
    }

    /// Looks, and keeps Podman's network lock: what was seen stays so until it is dropped,
    /// but for containers that end.
    ///
    /// # Errors
    /// If the lock is not to be had, with the holder's name; if the file cannot be read,
    /// or is damaged.
    pub fn look(&self) -> Result<(NetworkLock, Look), LookError> {
        let before = Look::at(&self.path(), self.salvage)?;
        let evidence = self.ask(&before.content);
        let lock = self.podman.lock_networks(NETWORKS_WAIT)?;
        let mut look = Look::at(&self.path(), self.salvage)?;
        look.evidence = evidence;
        look.networks = Networks::read(self.podman);
        look.evidence.kernel = Kernel::observe(self.podman);
        look.judge();
        Ok((lock, look))
    }

    /// Asks Podman about everybody in the file.
    fn ask(&self, content: &Content) -> Evidence {
        let claims = content.claims();
        let containers: BTreeSet<&str> = claims
            .iter()
            .map(|claim| claim.key.container.as_str())
            .collect();
        let word = match &self.asking {
            Some(asking) => asking.ask(&containers),
            None => Word::Waived,
        };
        Evidence {
            word,
            asked_about: claims.into_iter().map(|claim| claim.key).collect(),
            ..Evidence::default()
        }
    }
}

impl Look {
    /// Reads a file. One that is not there is an empty one.
    fn at(path: &Path, salvage: bool) -> Result<Self, FileError> {
        let bytes = match file::read(path, FILE_WAIT) {
            Ok(bytes) => bytes,
            Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut look = Self::default();
        if salvage && !bytes.is_empty() {
            let salvaged = bolt::salvage(&bytes).map_err(|source| FileError::Damaged {
                path: path.to_owned(),
                source,
            })?;
            (look.root, look.skipped) = (salvaged.root, salvaged.skipped);
        } else {
            look.root = file::content(&bytes, path)?;
        }
        look.content = Content::parse(&look.root);
        look.bytes = bytes;
        Ok(look)
    }

    /// Reads a file that is no Podman's of this host, as a copy: of nobody in it can be
    /// told whether it lives.
    ///
    /// # Errors
    /// If it is not there, cannot be read, or is damaged.
    pub fn of_copy(path: &Path, networks: Networks, salvage: bool) -> Result<Self, FileError> {
        const ELSEWHERE: &str = "liveness is unknown here: this is a copy";
        file::read(path, FILE_WAIT)?;
        let mut look = Self::at(path, salvage)?;
        look.networks = networks;
        look.evidence.word = Word::Waived;
        look.evidence.kernel.doubt = Some(ELSEWHERE.to_owned());
        look.judge();
        Ok(look)
    }

    fn judge(&mut self) {
        self.judgements = judge_all(&self.content, &self.networks, &self.evidence);
    }

    /// Returns the containers that wait for Podman to clean up after them.
    pub fn pending(&self, only: Option<&str>) -> BTreeSet<&str> {
        let pending = self.judgements.values().filter(|judgement| {
            matches!(judgement.verdict, Verdict::Pending { .. })
                && only.is_none_or(|only| only == judgement.claim.key.network)
        });
        pending
            .map(|judgement| judgement.claim.key.container.as_str())
            .collect()
    }
}
