//! Makes the lease store anew from what is running, in place of one that is damaged.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use super::collect::Party;
use crate::lifecycle::session::{self, Locked, SessionError, with_lock};
use crate::podman::{NetworkLockError, Podman};
use crate::rules::lease::{Kind, Tenancy};
use crate::sight::survey::SurveyError;
use crate::store::{EngineKind, Store, StoreError};

/// Why a store was not rebuilt.
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
    /// The new store is there, but could not adopt; the next command does.
    #[error(
        "the new lease store is made, but the running containers could not be adopted yet; until they are, it leases nothing"
    )]
    Adopt(#[source] SessionError),
}

impl From<StoreError> for RebuildError {
    fn from(error: StoreError) -> Self {
        SessionError::from(error).into()
    }
}

/// What a rebuild has done.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    /// Why it was needed; nothing if it was forced, or if there was no store.
    pub damage: Option<String>,
    /// Where the old store is kept; there may be two.
    pub kept: Vec<PathBuf>,
    /// How many reservations of the old store are in the new one.
    pub reservations: usize,
    /// Containers whose addresses the new store has adopted.
    pub adopted: Vec<Party>,
    /// The engine that the store is kept in now.
    pub engine: &'static str,
    /// The engine of a sound store that was moved to the new one with everything in it; the
    /// same as `engine` if there was nothing to do.
    pub was: Option<&'static str>,
}

/// Moves a damaged store aside and makes a new one, with leases for all that the namespaces
/// of this host hold, and the reservations that can still be read. On return both are
/// durable. If it is killed half-way, it leaves no store, and the next command makes one
/// from what is running.
///
/// If an `engine` is given, the store is kept in that one afterwards: a sound store in
/// another engine is moved with everything in it. If this is killed half-way, it leaves the
/// old store or the new one.
///
/// # Errors
/// [`RebuildError::Sound`] if the store is not damaged, unless `force` is set or an
/// `engine` is given. If the host cannot be looked at; nothing has been moved then.
pub fn rebuild(
    podman: &Podman,
    force: bool,
    engine: Option<EngineKind>,
) -> Result<Rebuilt, RebuildError> {
    let _networks = podman.lock_networks(podman.settings.lock_wait())?;
    with_lock(
        podman,
        "rebuilding the lease store",
        podman.settings.lock_wait(),
        |locked| {
            let damage = if Store::exists(&podman.state_directory) {
                damage(locked, engine.is_none())?
            } else {
                None
            };
            if damage.is_none() && !force && Store::exists(&podman.state_directory) {
                let sound = || RebuildError::Sound(podman.state_directory.clone());
                return change_engine(locked, engine.ok_or_else(sound)?);
            }
            let survey = locked.survey(&[])?;
            if let Some(doubt) = survey.doubt() {
                return Err(SessionError::from(SurveyError::Incomplete(doubt)).into());
            }
            let salvage = locked.salvage();
            // B1
            let kept = locked.set_aside()?;
            // B2
            let engine = engine.unwrap_or_else(|| session::engine(podman));
            let session = locked.open_or_make(engine)?;
            let mut transaction = session.store.begin();
            let dynamic = |_: &Tenancy, _: IpAddr| Kind::Dynamic;
            let adopted = session.stage_adoption(&mut transaction, &survey, &dynamic);
            adopted.map_err(RebuildError::Adopt)?;
            // After the leases, because an address that is leased again is not reserved any
            // more.
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
                engine: session.store.kind().name(),
                was: None,
            })
        },
    )
}

/// Moves a sound store to an engine.
fn change_engine(locked: &Locked<'_>, engine: EngineKind) -> Result<Rebuilt, RebuildError> {
    let store = locked.open()?.store;
    let was = store.kind();
    store.change_engine(engine)?;
    Ok(Rebuilt {
        damage: None,
        kept: Vec::new(),
        reservations: 0,
        adopted: Vec::new(),
        engine: engine.name(),
        was: Some(was.name()),
    })
}

/// Returns what is wrong with the store, if anything is. A panic of the engine may be due
/// to a lack of threads or memory, so it counts as damage only if `any_panic` is set.
fn damage(locked: &Locked<'_>, any_panic: bool) -> Result<Option<String>, RebuildError> {
    let checked = locked.open().and_then(|session| Ok(session.store.check()?));
    match checked {
        Ok(violations) => Ok(violations.first().map(ToString::to_string)),
        Err(SessionError::Store(error @ StoreError::Damaged { .. })) => {
            Ok(Some(crate::chain(&error)))
        }
        Err(SessionError::Store(error @ StoreError::Panicked { .. })) if any_panic => {
            Ok(Some(crate::chain(&error)))
        }
        Err(error) => Err(error.into()),
    }
}
