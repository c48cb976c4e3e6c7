//! Is the holder of a lease alive? A pure function of the lease and the evidence.
//!
//! The rows are tried in order; see `ARCHITECTURE.md`, "Who is gone". An error
//! is never read as absence: what could not be read ends in [`Verdict::Unknown`],
//! which keeps the lease until its TTL has run out.

use std::fmt;
use std::time::Duration;

use crate::evidence::{Evidence, PathFact, ProcessFact};
use crate::lease::{Moment, Namespace, Tenant};

/// How long a container may take from its lease to its first process while the
/// podman that started it runs.
pub const START_GRACE: Duration = Duration::from_secs(5 * 60);

/// How long a conmon may still be on its way after its podman was killed: a
/// verdict that rests on the starter's absence is looked at again after this.
pub const STARTER_GRACE: Duration = Duration::from_secs(2);

/// Whether a tenancy's holder is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, or may be at any moment.
    Live(Sign),
    /// It is gone: its addresses can be taken back.
    Dead(Cause),
    /// It could not be told; the reason.
    Unknown(String),
}

/// What shows that a holder is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A process lives in its namespace.
    Inhabited {
        /// The process.
        pid: i32,
        /// Its name.
        name: String,
    },
    /// A process has the container's id or its namespace's path in its arguments.
    AtWork {
        /// The process.
        pid: i32,
        /// Its name.
        name: String,
    },
    /// The podman that asked is still starting it.
    Starting {
        /// That podman.
        pid: i32,
    },
}

/// What shows that a holder is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The lease is of an earlier boot.
    Rebooted,
    /// Its namespace is gone, or the path shows another one.
    NamespaceGone,
    /// Its namespace is there, nobody is in it, and nobody is starting it.
    Abandoned,
    /// It could not be told until the lease's TTL ran out, and no namespace of
    /// this host holds any of its addresses.
    Expired,
}

impl Cause {
    /// Returns whether the verdict rests on the starter's absence alone, and so
    /// is worth a second look after [`STARTER_GRACE`].
    pub const fn is_hasty(self) -> bool {
        match self {
            Self::Abandoned => true,
            Self::Rebooted | Self::NamespaceGone | Self::Expired => false,
        }
    }
}

/// Judges one tenant by the evidence.
pub fn judge(tenant: &Tenant, evidence: &Evidence) -> Verdict {
    if tenant.boot_id != evidence.boot_id {
        return Verdict::Dead(Cause::Rebooted);
    }
    let namespace = &tenant.namespace;
    let path = evidence
        .paths
        .get(&namespace.path)
        .unwrap_or(&PathFact::Missing);
    let unchanged = *path == PathFact::There((namespace.device, namespace.inode));
    if let Some(inhabitant) = inhabitant(namespace, unchanged, evidence) {
        let (pid, name) = label(inhabitant);
        return Verdict::Live(Sign::Inhabited { pid, name });
    }
    if let Some(worker) = evidence
        .processes
        .iter()
        .find(|fact| works_for(fact, tenant))
    {
        let (pid, name) = label(worker);
        return Verdict::Live(Sign::AtWork { pid, name });
    }
    if let Some(starter) = tenant.starter
        && unchanged
        && evidence.at.since(&tenant.created) < START_GRACE
        && evidence.runs(starter)
    {
        return Verdict::Live(Sign::Starting { pid: starter.pid });
    }
    if let Some(doubt) = &evidence.unreadable {
        return Verdict::Unknown(doubt.clone());
    }
    match path {
        PathFact::Unreadable(reason) => Verdict::Unknown(reason.clone()),
        PathFact::There(_) if unchanged => Verdict::Dead(Cause::Abandoned),
        PathFact::There(_) | PathFact::Missing => Verdict::Dead(Cause::NamespaceGone),
    }
}

/// Returns a process that lives in the tenant's namespace.
///
/// The inode alone does not identify a namespace that is gone from its path:
/// the kernel gives the number out again. If another file shows it, it is
/// another container's.
fn inhabitant<'a>(
    namespace: &Namespace,
    unchanged: bool,
    evidence: &'a Evidence,
) -> Option<&'a ProcessFact> {
    let key = (namespace.device, namespace.inode);
    if !unchanged && evidence.named.contains_key(&key) {
        return None;
    }
    evidence
        .processes
        .iter()
        .find(|process| process.namespace == Some(key))
}

/// Returns whether a process is at work for a tenant: conmon, the OCI runtime or
/// podman with the container's id, or a netavark with its namespace.
fn works_for(process: &ProcessFact, tenant: &Tenant) -> bool {
    let path = tenant.namespace.path.to_str();
    process.mentions(tenant.tenancy.container_id.as_str())
        || path.is_some_and(|path| process.mentions(path))
}

fn label(fact: &ProcessFact) -> (i32, String) {
    (fact.process.pid, fact.name.clone())
}

/// Returns whether the TTL of a lease has run out.
pub fn has_expired(tenant: &Tenant, now: &Moment) -> bool {
    now.boot_ms >= tenant.expires.boot_ms
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inhabited { pid, name } => {
                write!(f, "process {pid} ({name}) lives in its namespace")
            }
            Self::AtWork { pid, name } => write!(f, "process {pid} ({name}) is at work for it"),
            Self::Starting { pid } => write!(f, "process {pid} is starting it"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rebooted => "its lease is of an earlier boot",
            Self::NamespaceGone => "its namespace is gone",
            Self::Abandoned => "nobody lives in its namespace and nobody is starting it",
            Self::Expired => "its TTL ran out and nothing on this host holds its address",
        })
    }
}

#[cfg(test)]
mod tests;
