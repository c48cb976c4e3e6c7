//! Is the holder of a lease alive? A pure function of the lease and the evidence.
//!
//! The rows are tried in order; see `ARCHITECTURE.md`, "Who is gone". An error is never read as
//! absence: what could not be read leads to [`Verdict::Unknown`], which keeps the lease until
//! its TTL has run out.

use std::fmt;
use std::time::Duration;

use super::evidence::{Evidence, Link, NamespaceKey, PathFact, ProcessFact};
use super::lease::{Moment, Namespace, Tenant};
use super::roster::Roster;

/// How long a container may take from its lease to its first process, while the podman that
/// started it runs and serves others as well, so that its end says nothing.
pub const START_GRACE: Duration = Duration::from_secs(5 * 60);

/// How long a conmon may still take to appear after its podman was killed. A verdict that rests
/// on the starter's absence is checked again after this time.
pub const STARTER_GRACE: Duration = Duration::from_secs(2);

/// Whether a tenancy's holder is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is alive, or may be at any moment.
    Live(Sign),
    /// It is gone, so its addresses can be taken back.
    Dead(Cause),
    /// berth cannot tell, for this reason.
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
    /// A conmon, podman or netavark is at work for it.
    AtWork {
        /// The process.
        pid: i32,
        /// Its name.
        name: String,
    },
    /// A process in another namespace has its address on its network: the interface was moved.
    Moved {
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
    /// Its namespace is gone.
    NamespaceGone,
    /// Its namespace's path shows something else.
    NamespaceReplaced,
    /// Its namespace is there, but no process is in it and nothing is starting the container.
    Abandoned,
    /// There are processes in its namespace, but neither its interface nor its addresses.
    InterfaceGone,
    /// berth could not tell until the lease's TTL ran out, and no namespace of this host
    /// holds any of its addresses.
    Expired,
}

impl Verdict {
    /// Returns what the verdict rests on, in words: the sign, the cause or the doubt.
    pub fn reason(&self) -> String {
        match self {
            Self::Live(sign) => sign.to_string(),
            Self::Dead(cause) => cause.to_string(),
            Self::Unknown(doubt) => doubt.clone(),
        }
    }
}

impl Cause {
    /// Returns whether the verdict rests on nothing being at work at one moment, and so is
    /// worth a second look after [`STARTER_GRACE`].
    pub const fn is_hasty(self) -> bool {
        match self {
            Self::Abandoned | Self::InterfaceGone | Self::NamespaceReplaced => true,
            Self::Rebooted | Self::NamespaceGone | Self::Expired => false,
        }
    }
}

/// Judges tenants by one look's evidence.
#[derive(Debug)]
pub struct Judge<'e> {
    evidence: &'e Evidence,
    /// The processes of the look.
    pub roster: Roster<'e>,
}

impl<'e> Judge<'e> {
    /// Returns a judge that decides by this evidence.
    pub fn by(evidence: &'e Evidence) -> Self {
        Self {
            evidence,
            roster: Roster::of(&evidence.processes),
        }
    }

    /// Judges one tenant.
    pub fn judge(&self, tenant: &Tenant) -> Verdict {
        judge(tenant, self.evidence, &self.roster)
    }
}

fn judge(tenant: &Tenant, evidence: &Evidence, roster: &Roster<'_>) -> Verdict {
    if tenant.boot_id != evidence.boot_id {
        return Verdict::Dead(Cause::Rebooted);
    }
    let namespace = &tenant.namespace;
    let path = evidence
        .paths
        .get(&namespace.path)
        .unwrap_or(&PathFact::Missing);
    let unchanged = *path == PathFact::There((namespace.device, namespace.inode));
    let inhabitant = inhabitant(tenant, unchanged, evidence, roster);
    let holds = may_hold_addresses(tenant, evidence);
    if let Some(fact) = inhabitant.filter(|_| holds) {
        let (pid, name) = label(fact);
        return Verdict::Live(Sign::Inhabited { pid, name });
    }
    // If the container runs without the interface, its conmon is no sign of a live holder.
    let container = Some(tenant.tenancy.container_id.as_str());
    let container = container.filter(|_| inhabitant.is_none());
    if let Some(worker) = roster.worker(&namespace.path, container) {
        let (pid, name) = label(worker);
        return Verdict::Live(Sign::AtWork { pid, name });
    }
    if tenant.pid_namespace != evidence.pid_namespace {
        return Verdict::Unknown("it was set up in another pid namespace".to_owned());
    }
    if let Some(starter) = tenant.starter.and_then(|starter| roster.same(starter))
        && *path != PathFact::Missing
        && (starter.ends_with_its_start() || evidence.at.since(&tenant.created) < START_GRACE)
    {
        let pid = starter.process.pid;
        return Verdict::Live(Sign::Starting { pid });
    }
    let mut doubts = evidence.doubts.iter();
    let hides_it = doubts.find(|doubt| doubt.may_hide(tenant));
    if let Some(doubt) = evidence
        .unreadable
        .as_ref()
        .or(hides_it.map(|doubt| &doubt.why))
    {
        return Verdict::Unknown(doubt.clone());
    }
    if let Some(doubt) = evidence.elsewhere.as_ref().filter(|_| !unchanged) {
        return Verdict::Unknown(doubt.clone());
    }
    match path {
        PathFact::Unreadable(reason) => Verdict::Unknown(reason.clone()),
        PathFact::There(_) if unchanged && inhabitant.is_some() => {
            Verdict::Dead(Cause::InterfaceGone)
        }
        PathFact::There(_) if unchanged => Verdict::Dead(Cause::Abandoned),
        PathFact::There(_) => Verdict::Dead(Cause::NamespaceReplaced),
        PathFact::Missing => Verdict::Dead(Cause::NamespaceGone),
    }
}

/// Returns a process that lives in the tenant's namespace.
///
/// The inode alone does not identify a namespace that is gone from its path, because the kernel
/// reuses the number. Such a namespace is the tenant's only if no other file shows it and, as
/// far as can be seen, the tenant's addresses are in it.
fn inhabitant<'e>(
    tenant: &Tenant,
    unchanged: bool,
    evidence: &Evidence,
    roster: &Roster<'e>,
) -> Option<&'e ProcessFact> {
    let key = key(&tenant.namespace);
    if !unchanged && (evidence.named.contains_key(&key) || !may_hold_addresses(tenant, evidence)) {
        return None;
    }
    roster.inhabitants(key).next()
}

/// Returns whether the tenant's interface is, or may be, in its namespace.
fn may_hold_addresses(tenant: &Tenant, evidence: &Evidence) -> bool {
    let links = evidence.inside.get(&key(&tenant.namespace));
    links.is_none_or(|links| is_among(tenant, links))
}

/// Returns whether a tenant's interface is among those of a namespace. It is one that has an
/// address of the tenant's, whatever its name is now, or one of the same name that has no
/// address yet. One of the same name with other addresses belongs to another network.
pub fn is_among(tenant: &Tenant, links: &[Link]) -> bool {
    let name = tenant.tenancy.interface.as_str();
    let holds = |link: &Link| link.addresses.iter().any(|held| tenant.has_leased(*held));
    let is_bare = |link: &Link| link.name == name && link.is_bare();
    links.iter().any(|link| holds(link) || is_bare(link))
}

fn key(namespace: &Namespace) -> NamespaceKey {
    (namespace.device, namespace.inode)
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
            Self::Moved { pid, name } => {
                write!(
                    f,
                    "process {pid} ({name}) has its address in another namespace"
                )
            }
            Self::Starting { pid } => write!(f, "process {pid} is starting it"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rebooted => "its lease is of an earlier boot",
            Self::NamespaceGone => "its namespace is gone",
            Self::NamespaceReplaced => "its namespace's path shows something else",
            Self::InterfaceGone => "its interface is gone from its namespace",
            Self::Abandoned => "no process is in its namespace and nothing is starting it",
            Self::Expired => "its TTL ran out and nothing on this host holds its address",
        })
    }
}

#[cfg(test)]
mod tests;
