//! One look at the file, and at every process and namespace that may have its addresses.
//!
//! The order is that of [`crate::evidence`]: the file, Podman's answer, the locks, the file
//! again, the kernel.

use berth::rules::lease::short_id;
use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use berth::podman::NetworkLock;
use serde::Serialize;

use crate::bolt::{Bucket, Damage};
use crate::error::Error;
use crate::evidence::{Evidence, Kernel, Word};
use crate::file::{self, FileError};
use crate::flaw::{Flaw, unleased};
use crate::ipam::content::Content;
use crate::judgement::{Judgement, Judgements, judge_all};
use crate::networks::Networks;
use crate::site::Site;
use crate::verdict::Verdict;

/// How long to wait for the file's lock: while we hold Podman's lock, only another command of
/// ours takes it, for milliseconds.
pub(crate) const FILE_WAIT: Duration = Duration::from_secs(10);

/// How to read a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Do not read it at all.
    Whole,
    /// Read what can be read of it.
    Salvage,
}

impl Reading {
    pub(crate) const fn of(salvage: bool) -> Self {
        if salvage { Self::Salvage } else { Self::Whole }
    }
}

/// What was seen, all at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// The file's bytes; none if there is no file.
    pub(crate) bytes: Vec<u8>,
    /// The bytes as a tree of buckets.
    pub(crate) root: Bucket,
    /// What could not be read of a damaged file.
    pub(crate) skipped: Vec<Damage>,
    pub(crate) content: Content,
    pub(crate) networks: Networks,
    pub(crate) evidence: Evidence,
    pub(crate) judgements: Judgements,
    /// Addresses in use that are not leased.
    pub(crate) unleased: Vec<Flaw>,
}

/// A claim for people and programs, with the reason for its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lease {
    pub(crate) network: String,
    pub(crate) address: IpAddr,
    /// The full id.
    pub(crate) container: String,
    /// `None` if Podman does not know the container.
    pub(crate) name: Option<String>,
    pub(crate) why: String,
}

impl Site {
    /// Looks without any lock but the file's own, which is held only while reading. What a
    /// podman does at the same time may show only in part.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged.
    pub(crate) fn glance(&self, reading: Reading) -> Result<Look, Error> {
        let look = Look::at(&self.ipam_db(), reading)?;
        let evidence = self.ask(look.content.claims());
        let mut look = self.judged(look, evidence);
        if !look.unleased.is_empty() {
            // Leave out those that were leased after the file was read.
            let now = Look::at(&self.ipam_db(), reading)?.content;
            look.unleased = unleased(&now, &look.networks, &look.evidence.kernel);
        }
        Ok(look)
    }

    /// Looks, and keeps Podman's network lock. What was seen stays true until the lock is
    /// dropped, except that containers may end.
    ///
    /// # Errors
    /// If another process keeps the lock (the error names it); if the file cannot be read, or is
    /// damaged.
    pub(crate) fn look(&self, reading: Reading) -> Result<(NetworkLock, Look), Error> {
        let before = Look::at(&self.ipam_db(), reading)?;
        let evidence = self.ask(before.content.claims());
        let lock = self.lock()?;
        let look = Look::at(&self.ipam_db(), reading)?;
        Ok((lock, self.judged(look, evidence)))
    }

    fn judged(&self, mut look: Look, evidence: Evidence) -> Look {
        look.evidence = evidence;
        look.networks = Networks::read(self);
        look.evidence.kernel = Kernel::observe(&self.podman);
        look.unleased = unleased(&look.content, &look.networks, &look.evidence.kernel);
        look.judge();
        look
    }
}

impl Look {
    /// Reads a file. A missing file counts as an empty one.
    pub(crate) fn at(path: &Path, reading: Reading) -> Result<Self, FileError> {
        let bytes = match file::read(path, FILE_WAIT) {
            Ok(bytes) => bytes,
            Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut look = Self::default();
        match reading {
            Reading::Whole => look.root = file::content(&bytes, path)?,
            Reading::Salvage => {
                let salvaged = file::salvage(&bytes, path)?;
                (look.root, look.skipped) = (salvaged.root, salvaged.skipped);
            }
        }
        look.content = Content::parse(&look.root);
        look.bytes = bytes;
        Ok(look)
    }

    /// Reads a file that no Podman of this host uses, such as a copy. Nothing then shows
    /// whether its containers are alive.
    ///
    /// # Errors
    /// If it does not exist, cannot be read, or is damaged.
    pub(crate) fn of_copy(
        path: &Path,
        networks: Networks,
        reading: Reading,
    ) -> Result<Self, FileError> {
        const ELSEWHERE: &str = "liveness is unknown here: this is a copy of a file";
        file::read(path, FILE_WAIT)?;
        let mut look = Self::at(path, reading)?;
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
    pub(crate) fn pending(&self, only: Option<&str>) -> BTreeSet<&str> {
        let pending = self.judgements.values().filter(|judgement| {
            matches!(judgement.verdict, Verdict::Pending { .. })
                && only.is_none_or(|only| only == judgement.claim.key.network)
        });
        pending
            .map(|judgement| judgement.claim.key.container.as_str())
            .collect()
    }

    /// Returns what to say about a claim.
    pub(crate) fn lease(&self, Judgement { claim, verdict }: &Judgement) -> Lease {
        let key = &claim.key;
        let known = self.evidence.word.of(&key.container);
        let why = match verdict {
            Verdict::Pending { .. } => {
                format!("{verdict}: `podman container cleanup {}`", key.container)
            }
            Verdict::Live(_) | Verdict::Dead(_) | Verdict::Unknown(_) => verdict.to_string(),
        };
        Lease {
            network: key.network.clone(),
            address: key.address,
            container: key.container.clone(),
            name: known.map(|known| known.name.clone()),
            why,
        }
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            network,
            address,
            container,
            name,
            why,
        } = self;
        write!(
            f,
            "{address} on {network}, container {}",
            short_id(container)
        )?;
        if let Some(name) = name {
            write!(f, " ({name})")?;
        }
        write!(f, ": {why}")
    }
}
