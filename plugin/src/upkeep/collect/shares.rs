//! The end of a collection: makes the shares' keys agree with what is leased here. Only
//! each share's own lock is held meanwhile.

use berth_share::{Reconciled, ShareName};

use super::{Collector, remembered};
use crate::lifecycle::LifecycleError;
use crate::lifecycle::reconcile::{describe, leases, reconcile};
use crate::lifecycle::session::{SessionError, with_session};
use crate::rules::share;
use crate::sharing::{self, Seat};
use crate::store::Collection;

impl Collector<'_> {
    /// Makes the keys in all shares agree with the leases. Failures go into the report: the
    /// next collection tries again.
    pub(super) fn reconcile_shares(&mut self) {
        if self.wish.dry_run {
            return;
        }
        for name in sharing::configured(self.podman) {
            match self.reconcile_share(&name) {
                Ok(done) => self.tell(&name, done),
                Err(error) => self.report.failures.push(crate::chain(&error)),
            }
        }
    }

    /// Adds what failed in the shares to what the store remembers of this collection, unless
    /// another has been noted since. The store was not locked meanwhile.
    pub(super) fn note_shares(&mut self) {
        let failures = remembered(&self.report.failures);
        let what = "outcome of a collection in shares";
        let noted = with_session(self.podman, what, |session| {
            let mut transaction = session.store.begin();
            let last = transaction.last_collection();
            if let Some(own) = last.filter(|last| Some(last.at) == self.noted).cloned() {
                transaction.set_collection(Collection { failures, ..own });
                // G5
                transaction.commit(session.now)?;
            }
            Ok::<_, SessionError>(())
        });
        if let Err(error) = noted {
            self.report.failures.push(crate::chain(&error));
        }
    }

    fn reconcile_share(&self, name: &ShareName) -> Result<Reconciled, LifecycleError> {
        let podman = self.podman;
        if !self.is_wanted(name)? {
            return Ok(Reconciled::default());
        }
        let here = leases(podman, name)?;
        if here.leases.is_empty() && here.terms.is_none() && sharing::host(podman, name)?.is_none()
        {
            return Ok(Reconciled::default());
        }
        let mut seat = Seat::take(podman, name, podman.settings.lock_wait())?;
        let total = seat.configuration.times.total;
        reconcile(podman, &mut seat, here.terms.as_ref(), total)
    }

    /// Returns whether the collection covers all networks, or one that is in this share.
    fn is_wanted(&self, name: &ShareName) -> Result<bool, SessionError> {
        let Some(wanted) = &self.wish.network else {
            return Ok(true);
        };
        let networks = self.podman.networks()?;
        let mut networks = networks.iter();
        Ok(networks.any(|network| {
            network.answers_to(wanted) && share::of_network(network).as_ref() == Some(name)
        }))
    }

    fn tell(&mut self, name: &ShareName, done: Reconciled) {
        let report = &mut self.report;
        report.given_back.extend(done.deleted.iter().map(|claim| {
            let address = claim.address;
            format!("{address} in share {name}, which no container here has leased")
        }));
        report.claimed.extend(done.claimed.iter().map(|claim| {
            let address = claim.address;
            format!("{address} in share {name}, where this host's claim was missing")
        }));
        let conflicts = done.conflicts.iter();
        report
            .failures
            .extend(conflicts.map(|conflict| describe(name, conflict)));
    }
}
