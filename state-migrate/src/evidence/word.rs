//! What Podman itself says about its containers.
//!
//! Podman is asked before any lock is taken, because it may wait for one of them. A container
//! has its record in Podman's database from before its first address is leased until after its
//! last is released. While it is started or stopped, its lock is held, and Podman's answer
//! waits for that lock (podman `container_api.go`, `Container.Batch`). So if Podman does not
//! know a container, the container was gone when Podman was asked, and no podman was starting
//! it.

mod ask;
mod statics;

use std::collections::BTreeMap;

pub(crate) use ask::Asking;
pub(crate) use statics::Statics;

/// What Podman says.
#[derive(Clone, Debug, Default)]
pub(crate) enum Word {
    Given(BTreeMap<String, Known>),
    /// Nothing reliable, for this reason.
    None(String),
    /// Podman was not asked: the user says that the kernel's evidence is enough.
    #[default]
    Waived,
}

impl Word {
    /// Returns what Podman says about a container, if it knows it.
    pub(crate) fn of(&self, container: &str) -> Option<&Known> {
        match self {
            Self::Given(known) => known.get(container),
            Self::None(_) | Self::Waived => None,
        }
    }
}

/// A container that Podman knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// Its state in Podman's words: `running`, `exited`, …
    pub(crate) status: String,
    /// What that means for its addresses.
    pub(crate) state: State,
    /// When it was last started, in seconds since the Unix epoch.
    pub(crate) started: Option<i64>,
}

/// What Podman says about a container's networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has them: it runs, or is being started or stopped.
    Up,
    /// It does not run, and this namespace still has to be cleaned up.
    Pending(String),
    /// It does not run, and has no namespace.
    Down,
    /// It changed while Podman was asked, or its state is one that Podman cannot tell.
    Unclear,
}

impl State {
    /// Returns what Podman's name for a container's state means, together with the path of its
    /// namespace, which is empty if it has none (podman `define/containerstate.go`).
    pub(crate) fn of(status: &str, sandbox: &str) -> Self {
        match status {
            "running" | "paused" | "stopping" | "initialized" => Self::Up,
            "created" | "configured" | "exited" | "stopped" | "removing" if sandbox.is_empty() => {
                Self::Down
            }
            "created" | "configured" | "exited" | "stopped" | "removing" => {
                Self::Pending(sandbox.to_owned())
            }
            _ => Self::Unclear,
        }
    }
}
