//! A lease store made anew from what runs, in the place of one that is damaged.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use super::collect::Party;
use crate::lifecycle::session::{Locked, SessionError, with_lock};
use crate::podman::{NetworkLockError, Podman};
use crate::rules::lease::{Kind, Tenancy};
use crate::sight::survey::SurveyError;
use crate::store::{Store, StoreError};

/// Failure to rebuild.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The store is not damaged.
    #[error(
        "lease store {} is sound, so it is left as it is; a new one would not know which \
         leases are static (--force makes one all the same)",
        .0.display()
    )]
    Sound(PathBuf),
    #[error(transparent)]
    NetworkLock(#[from] NetworkLockError),
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The new store is there, and the next command adopts.
    #[error("the new lease store cannot adopt what runs yet; until then it leases nothing")]
    Adopt(#[source] SessionError),
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

/// What a rebuilding has done.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    /// Why it was needed; nothing if it was forced, or there was no store.
    pub damage: Option<String>,
    /// Where the old store is kept.
    pub kept: Option<PathBuf>,
    /// How many reservations of the old store are in the new one.
    pub reservations: usize,
    /// Containers whose addresses the new store has adopted.
    pub adopted: Vec<Party>,
}

/// Moves a damaged store aside and makes a new one, with leases for all that the
/// namespaces of this host hold, and the reservations that can still be read. On
/// return both are durable. Killed half-way, it leaves no store, and the next command
/// makes one from what runs.
///
/// # Errors
/// [`RebuildError::Sound`] if the store is not damaged, unless `force`d. Before
/// anything is moved, if the host cannot be looked at.
pub fn rebuild(podman: &Podman, force: bool) -> Result<Rebuilt, RebuildError> {
    let _networks = podman.lock_networks(podman.settings.lock_wait())?;
    with_lock(
        podman,
        "rebuilding the lease store",
        podman.settings.lock_wait(),
        |locked| {
            let damage = if Store::exists(&podman.state_directory) {
                damage(locked)?
            } else {
                None
            };
            if damage.is_none() && !force && Store::exists(&podman.state_directory) {
                return Err(RebuildError::Sound(podman.state_directory.clone()));
            }
            let survey = locked.survey(&[])?;
            if let Some(doubt) = survey.doubt() {
                return Err(SessionError::from(SurveyError::Incomplete(doubt)).into());
            }
            let salvage = locked.salvage();
            // B1
            let kept = locked.set_aside()?;
            // B2
            let session = locked.open()?;
            let mut transaction = session.store.begin();
            let dynamic = |_: &Tenancy, _: IpAddr| Kind::Dynamic;
            let adopted = session.stage_adoption(&mut transaction, &survey, &dynamic);
            adopted.map_err(RebuildError::Adopt)?;
            // After the leases: what is leased again is not reserved any more.
            let reservations = transaction.restore(&salvage, session.now)?;
            transaction.commit(session.now)?;
            let tenants = session.store.begin().all_tenants()?;
            let adopted = tenants.iter();
            Ok(Rebuilt {
                damage,
                kept,
                reservations,
                adopted: adopted
                    .map(|tenant| Party::new(tenant, "its namespace holds it"))
                    .collect(),
            })
        },
    )
}

/// Returns what is wrong with the store, if anything is.
fn damage(locked: &Locked<'_>) -> Result<Option<String>, RebuildError> {
    let checked = locked.open().and_then(|session| Ok(session.store.check()?));
    match checked {
        Ok(violations) => Ok(violations.first().map(ToString::to_string)),
        Err(SessionError::Store(
            error @ (StoreError::Damaged { .. } | StoreError::Panicked { .. }),
        )) => Ok(Some(crate::chain(&error))),
        Err(error) => Err(error.into()),
    }
}
