//! The only way to the lease store: the lock, the wait for whatever a killed berth left
//! running, the open store, and the look at the host that belongs to it.
//!
//! [`Locked`] is the right to the state directory, [`Session`] the right to change the
//! store. Nothing else gives out either, so no command can forget a step.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::delegate;
use crate::podman::{Podman, PodmanError};
use crate::protocol::Network;
use crate::rules::history::{End, Line};
use crate::rules::lease::{Moment, Tenant};
use crate::rules::settings::{self, Mistake};
use crate::rules::verdict::Verdict;
use crate::sight::survey::{Place, Survey, SurveyError};
use crate::sight::{self, ClockError, Evidence};
use crate::store::{
    EngineKind, History, LockFile, LockGuard, Salvage, Store, StoreError, Transaction,
};

/// How long a command waits for another one to release the store. Podman serialises its
/// own calls, so only an operator's command can be in the way.
pub const LOCK_PATIENCE: Duration = settings::LOCK_WAIT;

/// Why the store cannot be used, or the host not be surveyed for it.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A mistake in berth.conf hides where the store is.
    #[error(
        "{0}; `berth config` shows every mistake, and berth cannot tell where the leases are until \
         that is fixed"
    )]
    Settings(Mistake),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Survey(#[from] SurveyError),
}

/// The locked state directory of a Podman. No other berth command is at work there, and no
/// netavark that a killed one has left.
pub struct Locked<'l> {
    podman: &'l Podman,
    guard: &'l LockGuard<'l>,
    pub boot_id: String,
    /// When the lock was taken.
    pub now: Moment,
}

/// Takes the lock of a Podman's lease store, calls `act`, and releases the lock. `who`
/// tells other commands what the lock is for, as in `setup of container 1f2e3d4c5b6a on
/// network web`.
///
/// A caller that also needs Podman's network lock takes that one first.
///
/// # Errors
/// If the lock is not free within `wait`, naming its holder; whatever `act` returns.
pub fn with_lock<T, E: From<SessionError>>(
    podman: &Podman,
    who: &str,
    wait: Duration,
    act: impl FnOnce(&Locked<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let settle = || delegate::await_orphans(&podman.delegation);
    locked(podman, (who, wait), settle, act)
}

/// As [`with_lock`], for a reader that would rather go without than wait: whatever a killed
/// berth left running may still be at work. The next command that takes the lock waits for
/// that.
///
/// # Errors
/// As [`with_lock`].
pub fn at_a_glance<T, E: From<SessionError>>(
    podman: &Podman,
    who: &str,
    wait: Duration,
    act: impl FnOnce(&Locked<'_>) -> Result<T, E>,
) -> Result<T, E> {
    locked(podman, (who, wait), || false, act)
}

fn locked<T, E: From<SessionError>>(
    podman: &Podman,
    (who, wait): (&str, Duration),
    settle: impl FnOnce() -> bool,
    act: impl FnOnce(&Locked<'_>) -> Result<T, E>,
) -> Result<T, E> {
    if let Some(mistake) = podman.state_mistake() {
        return Err(SessionError::Settings(mistake.clone()).into());
    }
    let mut lock = LockFile::open(&podman.state_directory).map_err(SessionError::from)?;
    let guard = lock
        .acquire(wait, who, settle)
        .map_err(SessionError::from)?;
    act(&Locked {
        podman,
        guard: &guard,
        boot_id: sight::boot_id().map_err(SessionError::from)?,
        now: sight::now().map_err(SessionError::from)?,
    })
}

/// As [`with_lock`], waiting as long as berth.conf says, with the store open.
///
/// # Errors
/// As [`with_lock`]; if the store cannot be opened.
pub fn with_session<T, E: From<SessionError>>(
    podman: &Podman,
    who: &str,
    act: impl FnOnce(&Session<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let wait = podman.settings.lock_wait();
    with_lock(podman, who, wait, |locked| act(&locked.open()?))
}

/// As [`with_session`], for callers that only read: see [`Store::read`].
///
/// # Errors
/// As [`with_lock`] and [`Store::read`].
pub fn read_store<T>(
    podman: &Podman,
    who: &str,
    act: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, SessionError> {
    let directory = &podman.state_directory;
    // Taking the lock would create the directory.
    if !Store::exists(directory) {
        return Ok(None);
    }
    with_lock(podman, who, podman.settings.lock_wait(), |locked| {
        locked.read(act)
    })
}

/// Returns the engine for a new lease store of this Podman.
pub fn engine(podman: &Podman) -> EngineKind {
    let named = podman.settings.engine().and_then(EngineKind::named);
    named.unwrap_or_default()
}

impl<'l> Locked<'l> {
    /// Reads the store as it is; `None` if there is none.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read<T>(
        &self,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, SessionError> {
        let directory = &self.podman.state_directory;
        Ok(Store::read(
            directory,
            self.guard,
            &self.boot_id,
            self.now,
            act,
        )?)
    }

    /// Opens the store; makes one where there is none.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(&self) -> Result<Session<'_>, SessionError> {
        self.open_or_make(engine(self.podman))
    }

    /// As [`open`](Self::open), with this engine if the store is new.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_or_make(&self, engine: EngineKind) -> Result<Session<'_>, SessionError> {
        let directory = &self.podman.state_directory;
        let store = Store::open(directory, self.guard, engine, &self.boot_id, self.now)?;
        Ok(Session {
            podman: self.podman,
            store,
            guard: self.guard,
            boot_id: self.boot_id.clone(),
            now: self.now,
        })
    }

    /// Reads what only the store knows, as far as it is readable: see [`Salvage`].
    pub fn salvage(&self) -> Salvage {
        let directory = &self.podman.state_directory;
        Salvage::read(directory, self.guard, &self.boot_id, self.now)
    }

    /// Moves the store aside: see [`Store::set_aside`].
    ///
    /// # Errors
    /// If the file system refuses. The store is then still where it was.
    pub fn set_aside(&self) -> Result<Vec<PathBuf>, StoreError> {
        Store::set_aside(&self.podman.state_directory, self.guard, self.now)
    }

    /// Looks at the host, for a store with these tenants.
    ///
    /// # Errors
    /// If something is there and cannot be read.
    pub fn survey(&self, tenants: &[Tenant]) -> Result<Survey, SessionError> {
        survey(self.podman, tenants, &self.boot_id, self.now)
    }
}

/// An open lease store, together with the Podman it serves.
pub struct Session<'l> {
    pub podman: &'l Podman,
    pub store: Store<'l>,
    guard: &'l LockGuard<'l>,
    pub boot_id: String,
    /// When the lock was taken.
    pub now: Moment,
}

impl Session<'_> {
    /// Looks at the host: see [`Locked::survey`]. The tenants must be all that the store
    /// knows of, and have been read before.
    ///
    /// # Errors
    /// As [`Locked::survey`].
    pub fn survey(&self, tenants: &[Tenant]) -> Result<Survey, SessionError> {
        survey(self.podman, tenants, &self.boot_id, self.now)
    }

    /// As [`Session::survey`], with a network that counts as one of berth's, whatever its
    /// file says.
    ///
    /// # Errors
    /// As [`Session::survey`].
    pub fn survey_including(
        &self,
        network: &Network,
        tenants: &[Tenant],
    ) -> Result<Survey, SessionError> {
        let run_directory = &self.podman.delegation.config;
        Ok(self.survey(tenants)?.including(network, run_directory)?)
    }

    /// Looks at the host for one network alone, whatever its file says. Only the tenants of
    /// that network are read.
    ///
    /// # Errors
    /// As [`Session::survey`].
    pub(super) fn survey_of(&self, network: &Network) -> Result<Survey, SessionError> {
        let tenants = self.store.begin();
        let tenants = tenants.tenants(&network.id.as_str().into())?;
        let run_directory = &self.podman.delegation.config;
        let directories = (&*self.podman.namespace_directory, &**run_directory);
        let survey = Survey::of_host(directories, &tenants, &self.boot_id, self.now)?;
        Ok(survey.including(network, run_directory)?)
    }

    /// Notes in the history that these tenants' leases have ended. Call it once the store
    /// says so. It never fails, because nothing depends on it.
    pub fn note_end(&self, tenants: &[&Tenant], end: End, reason: &str) {
        let at = sight::now().unwrap_or(self.now).wall_ms;
        let lines = tenants.iter();
        let lines: Vec<_> = lines
            .map(|tenant| Line::ended(tenant, at, end, reason))
            .collect();
        note(self.podman, &lines);
    }

    /// Rewrites the history without its oldest lines, if it is time for that.
    pub fn trim_history(&self) {
        let history = History::at(self.podman.history_file.clone());
        let trimmed = history.trim(self.guard, self.now.wall_ms, &self.boot_id);
        if let Err(error) = trimmed {
            let path = history.path().display();
            log::warn!("failed to shorten the history {path}: {error}");
        }
    }

    /// Judges tenants, in order, by evidence taken now.
    pub fn judge(&self, tenants: &[Tenant]) -> Vec<Verdict> {
        let at = sight::now().unwrap_or(self.now);
        sight::judge_all(tenants, &Evidence::gather(tenants, &self.boot_id, at))
    }
}

/// Adds lines to the history of a Podman's lease store. If that fails, berth only warns: no
/// container should wait for its history.
pub fn note(podman: &Podman, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    let history = History::at(podman.history_file.clone());
    if let Err(error) = history.add(lines) {
        let path = history.path().display();
        log::warn!("`berth history` will not show this; nothing else is affected: {path}: {error}");
    }
}

fn survey(
    podman: &Podman,
    tenants: &[Tenant],
    boot_id: &str,
    now: Moment,
) -> Result<Survey, SessionError> {
    let (networks, known) = podman.networks_and_names()?;
    let place = Place {
        networks: &networks,
        known: known.as_ref(),
        run_directory: &podman.delegation.config,
        namespace_directory: &podman.namespace_directory,
    };
    Ok(Survey::take(&place, tenants, boot_id, now)?)
}
