//! What adoption and rollback share: which Podman, what was asked before the locks, the
//! locks themselves, what is reported.
//!
//! The locks are taken in the order in which Podman reaches them: its network lock, then
//! the lease store's, then the one of ipam.db, which only whoever has the first ever
//! waits for. While the first is held no container gets or gives back an address.

pub mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use berth::lifecycle::session::{LOCK_PATIENCE, Session, SessionError, with_session};
use berth::podman::ContainersConf;
use berth::podman::{NetworkLock, NetworkLockError, Podman, PodmanError};
use berth::protocol::Network;
use berth::rules::network_config::TakeOverError;
use berth::sight::survey::Survey;
use berth::store::StoreError;
use berth::upkeep::doctor::Finding;
use thiserror::Error;

use crate::evidence::{Asking, Known, State, Statics, Word};
use crate::file::{self, FileError};
use crate::ipam::claim::ClaimKey;
use crate::ipam::content::Content;
use crate::network_file::{NetworkFile, NetworkFileError};
use crate::selection::{self, SelectionError};

/// Failure to move a network. Nothing is changed, unless it says otherwise.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// Which networks there are.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A network's file.
    #[error(transparent)]
    NetworkFile(#[from] NetworkFileError),
    /// Podman's lock.
    #[error(transparent)]
    NetworkLock(#[from] NetworkLockError),
    /// ipam.db.
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It is no network that can be moved.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// No container could start any more.
    #[error("{}{}; to repair that: {}", .0.what, because(.0), .0.repair)]
    Plugin(Box<Finding>),
    /// What was done could not be undone.
    #[error("{failure}; and then {undoing}. Run this again when that is repaired")]
    Undone {
        /// What failed first.
        failure: String,
        /// What failed then.
        undoing: String,
    },
}

fn because(finding: &Finding) -> String {
    if finding.cause.is_empty() {
        String::new()
    } else {
        format!(": {}", finding.cause)
    }
}

impl From<StoreError> for MigrationError {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<PodmanError> for MigrationError {
    fn from(error: PodmanError) -> Self {
        SessionError::from(error).into()
    }
}

/// What Podman was asked, before any lock was taken.
#[derive(Debug, Default)]
pub struct Asked {
    /// What it says of the containers.
    pub word: Word,
    /// The claims it was asked about.
    pub about: BTreeSet<ClaimKey>,
    /// The addresses that containers were given by name.
    pub statics: Statics,
}

/// The Podman whose networks are moved.
#[derive(Debug)]
pub struct Site {
    /// Its directories and lock.
    pub podman: Podman,
    /// Its configuration.
    pub conf: ContainersConf,
}

/// The open store, together with what it serves.
pub(crate) struct Locked<'a, 's> {
    pub(crate) site: &'a Site,
    pub(crate) session: &'a Session<'s>,
}

impl Site {
    /// Returns the path of ipam.db.
    pub fn ipam_db(&self) -> PathBuf {
        self.podman.delegation.config.join("ipam.db")
    }

    /// Returns the directory of network configurations.
    ///
    /// # Errors
    /// If Podman's configuration cannot be read.
    pub fn directory(&self) -> Result<&Path, PodmanError> {
        self.podman.network_config_dir()
    }

    /// Reads what ipam.db says, waiting for nobody but its own lock.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn content(&self) -> Result<Content, FileError> {
        let path = self.ipam_db();
        if !path.exists() {
            return Ok(Content::default());
        }
        let bytes = file::read(&path, LOCK_PATIENCE)?;
        Ok(Content::parse(&file::content(&bytes, &path)?))
    }

    /// Asks Podman about whoever has an address of these networks. No lock may be held.
    ///
    /// # Errors
    /// If ipam.db is there and cannot be read.
    pub fn ask(&self, asking: &Asking, networks: &[String]) -> Result<Asked, MigrationError> {
        let mut claims = self.content()?.claims();
        claims.retain(|claim| networks.contains(&claim.key.network));
        let about: BTreeSet<ClaimKey> = claims.into_iter().map(|claim| claim.key).collect();
        if about.is_empty() {
            return Ok(Asked::default());
        }
        let ids: BTreeSet<&str> = about.iter().map(|key| key.container.as_str()).collect();
        let word = asking.ask(&ids);
        let is_up = |id: &&str| {
            let known = word.of(id);
            known.is_some_and(|known: &Known| known.state == State::Up)
        };
        let up: Vec<&str> = ids.into_iter().filter(is_up).collect();
        let statics = asking.statics(&up);
        Ok(Asked {
            word,
            about,
            statics,
        })
    }

    /// Takes Podman's network lock, waiting 30 seconds. Until it is dropped, no container
    /// of this Podman starts, stops or changes its networks.
    ///
    /// # Errors
    /// With the holder's name.
    pub(crate) fn lock(&self) -> Result<NetworkLock, MigrationError> {
        Ok(self.podman.lock_networks(LOCK_PATIENCE)?)
    }

    /// Opens the store, waiting 30 seconds for its lock, calls `act` with it, and closes
    /// it.
    ///
    /// # Errors
    /// If the lock is not to be had, or the store cannot be opened; what `act` says.
    pub(crate) fn with_store<T>(
        &self,
        _networks: &NetworkLock,
        introduction: &str,
        act: impl FnOnce(&Locked<'_, '_>) -> Result<T, MigrationError>,
    ) -> Result<T, MigrationError> {
        with_session(&self.podman, introduction, |session| {
            act(&Locked {
                site: self,
                session,
            })
        })
    }

    /// Returns all networks: see [`selection::all`].
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    pub fn networks(&self) -> Result<Vec<NetworkFile>, MigrationError> {
        Ok(selection::all(self.directory()?, &self.conf)?)
    }

    /// Returns one network.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn network(&self, name: &str) -> Result<NetworkFile, MigrationError> {
        let mut files = self.networks()?.into_iter();
        let own = files.find(|file| file.network.name == name);
        match own {
            Some(own) => Ok(own),
            None => Err(SelectionError::NotFound {
                name: name.to_owned(),
                directory: self.directory()?.display().to_string(),
            }
            .into()),
        }
    }
}

impl Locked<'_, '_> {
    /// Looks at everything, with a network that is ours whatever its file says.
    pub(crate) fn survey(&self, asked: &Network) -> Result<Survey, MigrationError> {
        Ok(self.session.survey(Some(asked))?)
    }
}
