//! A lease store made anew from what runs, in the place of one that is damaged.

use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use crate::lifecycle::LOCK_PATIENCE;
use crate::lifecycle::adopt::{AdoptError, adopt};
use crate::podman::{NetworkLock, NetworkLockError, Podman};
use crate::sight::survey::{Survey, SurveyError};
use crate::sight::{self, ClockError};
use crate::store::{LockFile, Store, StoreError};
use crate::upkeep::collect::Party;

/// Failure to rebuild.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The store is not damaged.
    #[error(
        "lease store {} is sound, so it is left as it is; a new one would know nothing of \
         reservations and cooldowns (--force makes one all the same)",
        .0.display()
    )]
    Sound(PathBuf),
    /// Podman's lock.
    #[error(transparent)]
    Networks(#[from] NetworkLockError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host cannot be looked at.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// What runs cannot be adopted; the new store is there and will be, at the next
    /// command.
    #[error("the new lease store cannot adopt what runs yet; until then it leases nothing")]
    Adopt(#[from] AdoptError),
    /// The time or boot could not be told.
    #[error(transparent)]
    Clock(#[from] ClockError),
}

/// What a rebuilding has done.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    /// Why it was needed; nothing if it was forced, or there was no store.
    pub damage: Option<String>,
    /// Where the old store is kept.
    pub kept: Option<PathBuf>,
    /// Containers whose addresses the new store has adopted.
    pub adopted: Vec<Party>,
}

/// Moves a damaged store aside and makes a new one, with leases for all that the
/// namespaces of this host hold. On return both are durable. Killed half-way, it
/// leaves no store, and the next command makes one in the same way.
///
/// # Errors
/// [`RebuildError::Sound`] if the store is not damaged, unless `force`d. Before
/// anything is moved, if the host cannot be looked at.
pub fn rebuild(podman: &Podman, force: bool) -> Result<Rebuilt, RebuildError> {
    let directory = &podman.state_directory;
    let _networks = NetworkLock::acquire(&podman.lock, LOCK_PATIENCE)?;
    let (boot_id, now) = (sight::boot_id()?, sight::now()?);
    let mut lock = LockFile::open(directory)?;
    let introduction = "rebuilding the lease store";

    let damage = if Store::exists(directory) {
        let guard = lock.acquire(LOCK_PATIENCE, introduction)?;
        let checked = Store::open(directory, guard, &boot_id, now).and_then(|store| store.check());
        let damage = match checked {
            Ok(violations) => violations.first().map(ToString::to_string),
            Err(error @ (StoreError::Damaged { .. } | StoreError::Panicked { .. })) => {
                Some(crate::chain(&error))
            }
            Err(error) => return Err(error.into()),
        };
        if damage.is_none() && !force {
            return Err(RebuildError::Sound(directory.clone()));
        }
        damage
    } else {
        None
    };
    let survey = Survey::take(&podman.place(), &[], &boot_id, now)?;
    if let Some(doubt) = survey.doubt {
        return Err(SurveyError::Incomplete(doubt).into());
    }
    let guard = lock.acquire(LOCK_PATIENCE, introduction)?;
    let kept = Store::set_aside(directory, &guard, now)?;
    let store = Store::open(directory, guard, &boot_id, now)?;
    let adoptions = adopt(&store, &survey, &podman.caller.delegation, now)?;
    let tenants = store.begin().all_tenants()?;
    debug_assert_eq!(adoptions.len(), tenants.len());
    let adopted = tenants.iter();
    Ok(Rebuilt {
        damage,
        kept,
        adopted: adopted
            .map(|tenant| Party::new(tenant, "its namespace holds it"))
            .collect(),
    })
}
