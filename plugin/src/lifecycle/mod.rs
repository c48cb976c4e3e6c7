//! The life of a lease, step by step: `offered` durably before anything is
//! plumbed, `bound` once netavark has succeeded, released with a hold.
//!
//! Front ends parse and print; this is what they all do in between. The steps
//! and what a kill at each of them leaves are in `ARCHITECTURE.md`.

pub mod adopt;
mod contest;
pub mod create;
mod error;
pub mod reclaim;
mod recover;
mod setup;
mod teardown;

use std::path::Path;
use std::time::Duration;

pub use error::LifecycleError;
pub use recover::network_config_dir;
pub use setup::{Done, setup};
pub use teardown::teardown;

use crate::podman::Caller;
use crate::protocol::PluginExec;
use crate::rules::lease::{Moment, Tenancy};
use crate::sight::{self, ClockError};

/// How long a command waits for another one to let go of the store. Podman
/// serialises its own calls, so only an operator's command can be in the way.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// What a command runs with.
#[derive(Clone, Debug)]
struct Context<'a> {
    /// The current boot.
    boot_id: String,
    /// When the command began.
    now: Moment,
    /// The netavark to run.
    netavark: &'a Path,
}

impl<'a> Context<'a> {
    fn of(caller: &'a Caller) -> Result<Self, ClockError> {
        Ok(Self {
            boot_id: sight::boot_id()?,
            now: sight::now()?,
            netavark: &caller.netavark,
        })
    }
}

/// Returns how a command introduces itself to others that wait for the store.
fn introduction(verb: &str, exec: &PluginExec) -> String {
    let container = Tenancy::from(exec).container_id;
    format!(
        "{verb} of container {} on network {}",
        container.short(),
        exec.network.name
    )
}
