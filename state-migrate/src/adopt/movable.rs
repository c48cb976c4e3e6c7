//! The steps of a network's move, M0 to M2, and how to undo them.

use berth::lifecycle::session::Session;
use berth::rules::allocator::Shelf;
use berth::rules::lease::{Kind, Tenancy};
use berth::rules::network_config::{CreateError, TakeOverError};
use berth::rules::options::{self, Options};
use berth::sight::survey::Survey;

use super::Asked;
use super::plan::{self, Plan, Target};
use crate::backup;
use crate::error::Error;
use crate::file::FileError;
use crate::moves::{NetworkReport, Outcome};
use crate::network_file::{NetworkFile, Staged};

/// A network that can be moved, and everything that the move needs.
pub(super) struct Movable {
    pub(super) target: Target,
    pub(super) plan: Plan,
    pub(super) survey: Survey,
    pub(super) on_record: bool,
}

impl Movable {
    /// M0 and M1: keeps the original file and puts the new one in its place.
    pub(super) fn rewrite(&self, file: &NetworkFile) -> Result<Undo, Error> {
        let Some(bytes) = &self.target.rewrite else {
            return Ok(Undo::Nothing);
        };
        // If a network is already ours and only changes its form, its file is not an original to go
        // back to.
        if !file.network.is_ours() {
            backup::keep(file)?;
        }
        // Written before anything is changed, so that undoing needs no disk space later.
        let undo = if file.is_there() {
            Undo::PutBack(file.stage(&file.bytes)?)
        } else {
            Undo::Remove(Box::new(file.clone()))
        };
        match file.stage(bytes)?.put() {
            Ok(()) => Ok(undo),
            Err(error) => Err(undo.after(error.into())),
        }
    }

    /// M2: adopts, in one transaction.
    pub(super) fn commit(&self, session: &Session<'_>, asked: &Asked) -> Result<(), Error> {
        let network = &self.target.network;
        let id = network.id.as_str().into();
        let options = Options::parse(network).map_err(refused)?;
        let pools = options::pools(network, &options).map_err(refused)?;
        let kind = |tenancy: &Tenancy, address| {
            if tenancy.network_id == id {
                plan::kind(&asked.statics, &network.name, tenancy, address)
            } else {
                Kind::Dynamic
            }
        };
        let mut transaction = session.store.begin();
        session.stage_adoption(&mut transaction, &self.survey, &kind)?;
        // A collection that adopted these addresses after a kill took them for dynamic ones.
        for tenant in transaction.tenants(&id)? {
            let leased = tenant.leased.iter();
            let wanted: Vec<_> = leased
                .map(|own| {
                    (
                        own.address,
                        own.kind.max(kind(&tenant.tenancy, own.address)),
                    )
                })
                .collect();
            let mut pairs = wanted.iter().zip(&tenant.leased);
            if pairs.any(|((_, kind), own)| *kind != own.kind) {
                transaction.lease_to(tenant.clone(), &wanted)?;
            }
        }
        transaction.prepare(&id, &pools, session.now)?;
        for pool in &pools {
            let mut cursors = self.plan.cursors.iter();
            let cursor = cursors.find(|(subnet, _)| *subnet == pool.subnet());
            if let Some((subnet, address)) = cursor
                && transaction.shelf(&id).cursor(pool)?.is_none()
            {
                transaction.set_cursor(&id, *subnet, *address)?;
            }
        }
        transaction.commit(session.now)?;
        Ok(())
    }

    /// Returns whether the store knows the network.
    pub(super) fn is_known(&self, session: &Session<'_>) -> Result<bool, Error> {
        let id = self.target.network.id.as_str().into();
        Ok(session.store.begin().networks()?.contains(&id))
    }

    pub(super) fn report(&self, file: &NetworkFile, outcome: Outcome) -> NetworkReport {
        let mut report = NetworkReport::of(&self.target.network, outcome);
        report.containers.clone_from(&self.plan.holders);
        report.left_behind.clone_from(&self.plan.left_behind);
        let path = file.path.display();
        let says = if self.target.network.is_plain() {
            format!("ipam driver berth, driver {}", report.driver)
        } else {
            format!("driver berth with option driver={}", report.driver)
        };
        if self.target.rewrite.is_some() {
            report.changes.push(if file.network.is_ours() {
                format!("rewrites {path}: {says}")
            } else if file.is_there() {
                let kept = backup::path(file);
                format!(
                    "rewrites {path}: {says}; the original is kept in {}",
                    kept.display()
                )
            } else {
                format!("writes {path}: {says}")
            });
        }
        if self.on_record {
            report
                .changes
                .push("removes its entries from ipam.db".to_owned());
        }
        report
    }
}

fn refused(error: impl Into<CreateError>) -> Error {
    TakeOverError::from(error.into()).into()
}

/// How to restore the network's file as it was.
pub(super) enum Undo {
    Nothing,
    Remove(Box<NetworkFile>),
    PutBack(Staged),
}

impl Undo {
    /// Undoes the change, and returns the error to report.
    pub(super) fn after(self, error: Error) -> Error {
        let undone = match self {
            Self::Nothing => Ok(()),
            Self::Remove(file) => file.remove(),
            Self::PutBack(staged) => staged.put().map_err(FileError::from),
        };
        match undone {
            Ok(()) => error,
            Err(undoing) => Error::Undone {
                failure: berth::chain(&error),
                undoing: berth::chain(&undoing),
            },
        }
    }
}
