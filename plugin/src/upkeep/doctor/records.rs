//! The store's word on itself: failures to open it, and contradictions in it.

use super::finding::Finding;
use super::unconfigured;
use crate::lifecycle::session::SessionError;
use crate::store::{Repair, StoreError, Violation};

/// Tells why the store cannot be looked into.
pub(super) fn failure(error: &StoreError) -> Finding {
    let repair = match error {
        StoreError::Damaged { dir, what } => {
            let what = format!("the lease store in {} is damaged: {what}", dir.display());
            return Finding::problem("store", what)
                .because("its files were changed or cut short; it is left as it is")
                .repair("berth rebuild");
        }
        StoreError::LockTimeout { .. } => {
            return Finding::problem("store-lock", error.to_string())
                .because("whoever holds it keeps containers from starting, too");
        }
        StoreError::NewerFormat { .. } => "no older one touches it",
        StoreError::Panicked { .. } | StoreError::Hung { .. } | StoreError::Engine { .. } => {
            "if that does not help, berth rebuild"
        }
        StoreError::Io { .. } => {
            "no container can start meanwhile: make room or make it writable, and run this again"
        }
        StoreError::Broken { .. }
        | StoreError::Overtaken
        | StoreError::Name { .. }
        | StoreError::Leased { .. }
        | StoreError::Repeated { .. }
        | StoreError::Changed { .. }
        | StoreError::Unprepared { .. }
        | StoreError::InUse { .. } => "run this again",
    };
    Finding::problem("store", crate::chain(error)).repair(repair)
}

impl From<SessionError> for Finding {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Store(error) => failure(&error),
            error => unconfigured(&error),
        }
    }
}

/// Tells of what was found by a check without a repair.
pub(super) fn found(violations: &[Violation]) -> Vec<Finding> {
    let tell = |violation| finding(violation).repair("berth doctor --repair");
    violations.iter().map(tell).collect()
}

/// Tells of what a repair did and what it left.
pub(super) fn mended(repair: &Repair) -> Vec<Finding> {
    let repaired = repair
        .repaired
        .iter()
        .map(|violation| finding(violation).repaired(true));
    let left = repair
        .left
        .iter()
        .map(|violation| finding(violation).repair(remedy(violation)));
    repaired.chain(left).collect()
}

fn finding(violation: &Violation) -> Finding {
    Finding::problem(violation.name(), violation.to_string()).because(cause(violation))
}

/// Returns how a contradiction comes about, and what comes of it.
const fn cause(violation: &Violation) -> &'static str {
    match violation {
        Violation::LeaseWithoutTenant { .. } => {
            "the holder's record is lost, so that nothing takes the lease back"
        }
        Violation::LeaseNotListed { .. } => {
            "lease and record were not written together, so that the lease is never released"
        }
        Violation::HoldingWithoutLease { .. } => {
            "the lease is lost, or two containers were given one address"
        }
        Violation::HoldingTwice { .. } | Violation::TenantMisfiled { .. } => {
            "a record was written that no setup writes"
        }
        Violation::TenantWithoutHolding { .. } => "its addresses were lost from its record",
        Violation::LeasedAndHeld { .. } => "the hold should have ended with the lease",
        Violation::GenerationAhead { .. } | Violation::GenerationTwice { .. } => {
            "the counter went back, so that a late release may name another's lease"
        }
        Violation::FreeInError { .. } => {
            "what is derived from the leases was not kept up, so that an address may be given twice"
        }
        Violation::ExtentsNotApart { .. }
        | Violation::FreeMissing { .. }
        | Violation::FreeWithoutPool { .. }
        | Violation::HoldNotIndexed { .. }
        | Violation::IndexWithoutHold { .. } => {
            "what is derived from leases and holds was not kept up with them"
        }
    }
}

/// Returns what to do about a contradiction that a repair has left.
const fn remedy(violation: &Violation) -> &'static str {
    match violation {
        Violation::LeaseWithoutTenant { .. } | Violation::TenantWithoutHolding { .. } => {
            "somebody may hold the address, so it is kept: berth rebuild finds out who"
        }
        Violation::LeaseNotListed { .. } | Violation::HoldingWithoutLease { .. } => {
            "two containers claim the address and both may be alive: stop one of them, \
             then berth doctor --repair"
        }
        Violation::HoldingTwice { .. }
        | Violation::TenantMisfiled { .. }
        | Violation::LeasedAndHeld { .. }
        | Violation::GenerationAhead { .. }
        | Violation::GenerationTwice { .. }
        | Violation::ExtentsNotApart { .. }
        | Violation::FreeInError { .. }
        | Violation::FreeMissing { .. }
        | Violation::FreeWithoutPool { .. }
        | Violation::HoldNotIndexed { .. }
        | Violation::IndexWithoutHold { .. } => "this should have been repaired: berth rebuild",
    }
}
