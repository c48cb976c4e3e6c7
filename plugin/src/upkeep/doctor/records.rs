//! What the store says about itself: failures to open it, and contradictions in it.

use super::finding::Finding;
use super::unconfigured;
use crate::lifecycle::session::SessionError;
use crate::store::{Repair, StoreError, Violation};

/// Reports why the store cannot be examined.
pub(super) fn failure(error: &StoreError) -> Finding {
    let repair = match error {
        StoreError::Damaged { path, what } => {
            let what = format!("lease store {} is damaged: {what}", path.display());
            return Finding::problem("store", what)
                .because("its files were changed or cut short; it is left as it is")
                .repair("berth rebuild");
        }
        StoreError::LockTimeout { .. } => {
            return Finding::problem("store-lock", error.to_string())
                .because("while another process holds it, no container can start either");
        }
        StoreError::NewerFormat { .. } => {
            "nothing is lost: an older berth leaves the store as it is"
        }
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

/// Reports what a check without a repair has found.
pub(super) fn found(violations: &[Violation]) -> Vec<Finding> {
    let remedy = Violation::remedy(violations);
    let tell = |violation| finding(violation).repair(remedy);
    violations.iter().map(tell).collect()
}

/// Reports what a repair did and what it left.
pub(super) fn mended(repair: &Repair) -> Vec<Finding> {
    let repaired = repair.repaired.iter();
    let repaired = repaired.map(|violation| finding(violation).repaired(true));
    let left = repair.left.iter();
    let left = left.map(|violation| finding(violation).repair("berth rebuild"));
    repaired.chain(left).collect()
}

fn finding(violation: &Violation) -> Finding {
    Finding::problem(violation.name(), violation.to_string()).because(violation.cause())
}
