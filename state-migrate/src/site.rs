//! A Podman of this host: where its files are, how to ask it, and the locks.
//!
//! The locks are taken in the order in which Podman reaches them: its network lock, then
//! the lease store's, then that of ipam.db. Only the holder of the network lock ever waits
//! for the last one. While the network lock is held, no container gets or gives back an
//! address.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use berth::frontend::operator::Place;
use berth::lifecycle::session::{Session, with_session};
use berth::podman::{ContainersConf, Environment, NetworkLock, Podman, PodmanError};

use crate::error::Error;
use crate::evidence::{Asking, Evidence, Word};
use crate::ipam::claim::{Claim, ClaimKey};

/// The Podman that a command serves.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) podman: Podman,
    pub(crate) conf: ContainersConf,
    /// The directory of network configurations.
    pub(crate) directory: PathBuf,
    /// How to ask it; `None` if the kernel's evidence must suffice.
    pub(crate) asking: Option<Asking>,
}

impl Site {
    /// Finds the Podman that is meant, in its namespaces. `commands` are the podman
    /// commands to ask, each with its options; if there are none, `podman` is asked.
    ///
    /// # Errors
    /// If it cannot be found.
    pub(crate) fn of(place: &Place, commands: &[String]) -> Result<Self, PodmanError> {
        let podman = place.podman()?;
        let (run, config) = (place.run_dir.as_deref(), place.config_dir.as_deref());
        Ok(Self {
            conf: ContainersConf::load(&Environment::of_this_process())?,
            asking: Some(Asking::new(&podman, commands, run, config)),
            directory: podman.network_config_dir()?.to_owned(),
            podman,
        })
    }

    /// Returns the path of ipam.db.
    pub(crate) fn ipam_db(&self) -> PathBuf {
        self.podman.delegation.config.join("ipam.db")
    }

    /// Asks Podman about every container with these claims. No lock may be held. The
    /// evidence still lacks the kernel's part.
    pub(crate) fn ask(&self, claims: Vec<Claim>) -> Evidence {
        let about: BTreeSet<ClaimKey> = claims.into_iter().map(|claim| claim.key).collect();
        let ids: BTreeSet<&str> = about.iter().map(|key| key.container.as_str()).collect();
        let start = Instant::now();
        let word = match &self.asking {
            Some(asking) => asking.ask(&ids),
            None => Word::Waived,
        };
        Evidence {
            word,
            asked_about: about,
            asked: Some(start),
            ..Evidence::default()
        }
    }

    /// Takes Podman's network lock, waiting 30 seconds. Until it is dropped, no container
    /// of this Podman starts, stops or changes its networks.
    ///
    /// # Errors
    /// If another process keeps it; the error names that process.
    pub(crate) fn lock(&self) -> Result<NetworkLock, Error> {
        Ok(self
            .podman
            .lock_networks(self.podman.settings.lock_wait())?)
    }

    /// Opens the lease store, waiting 30 seconds for its lock, calls `act` with it, and
    /// closes it.
    ///
    /// # Errors
    /// If another process keeps the lock, the store cannot be opened, or `act` fails.
    pub(crate) fn with_store<T>(
        &self,
        _networks: &NetworkLock,
        who: &str,
        act: impl FnOnce(&Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        with_session(&self.podman, who, act)
    }
}
