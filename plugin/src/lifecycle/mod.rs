//! The life of a lease, step by step: it is made durable as `offered` before anything
//! is plumbed, becomes `bound` once netavark has succeeded, and leaves a reservation
//! when it is released.
//!
//! Front ends parse and print; this room does everything in between. `ARCHITECTURE.md`
//! lists the steps (C1, T1, R1, …) and what a kill at each of them leaves behind.

pub mod adopt;
mod bridge;
pub mod claims;
mod contest;
pub mod create;
mod error;
mod lease;
pub mod namespace_file;
mod predecessor;
pub mod reclaim;
pub mod reconcile;
pub mod session;
mod setup;
pub mod takedown;
mod teardown;

pub use error::LifecycleError;
pub use setup::{Done, setup};
pub use teardown::teardown;

use crate::podman::Podman;
use crate::rules::attachment::Attachment;
use crate::rules::history::{Line, Work};
use crate::sight;
use session::{Session, note};

/// Returns whether this store has not had a collection for a long time.
fn is_collection_due(session: &Session<'_>) -> bool {
    let store = &session.store;
    let last = store.last_collection().map(|last| last.at);
    session.now.since(&last.unwrap_or(store.since())) >= session.podman.settings.collection_wait()
}

/// Notes a failure in the history, and returns it.
fn noted(podman: &Podman, work: Work, error: LifecycleError) -> LifecycleError {
    let at = sight::now().unwrap_or_default().wall_ms;
    note(podman, &[Line::failed(work, at, &crate::chain(&error))]);
    error
}

/// Returns how a command introduces itself to others that wait for the store's lock.
fn introduction(verb: &str, attachments: &[Attachment]) -> String {
    let container = attachments
        .first()
        .map_or("", |one| one.container_id.short());
    let networks: Vec<_> = attachments.iter().map(|one| &*one.network.name).collect();
    let noun = if networks.len() == 1 {
        "network"
    } else {
        "networks"
    };
    format!(
        "{verb} of container {container} on {noun} {}",
        networks.join(", ")
    )
}
