//! The life of a lease, step by step: `offered` durably before anything is
//! plumbed, `bound` once netavark has succeeded, released with a hold.
//!
//! Front ends parse and print; this is what they all do in between. The steps
//! and what a kill at each of them leaves are in `ARCHITECTURE.md`.

mod contest;
mod error;
mod recover;
mod setup;
mod teardown;

use std::path::Path;
use std::time::Duration;

pub use error::LifecycleError;
pub use recover::network_config_dir;
pub use setup::{Done, setup};
pub use teardown::teardown;

use crate::delegate::Caller;
use crate::evidence::{self, ClockError};
use crate::lease::{Moment, Tenancy};
use crate::protocol::PluginExec;

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
            boot_id: evidence::boot_id()?,
            now: evidence::now()?,
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
