//! Is an address that a container claims in use? A pure function of the claim and the
//! evidence.
//!
//! The rules are tried in order. An error never counts as absence: if something could not be
//! seen, the verdict is [`Verdict::Unknown`], which keeps the lease.

use berth::rules::lease::short_id;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use berth::protocol::Network;
use berth::sight::ProcessFact;

use crate::evidence::{Evidence, Holder, Inhabitant, State, Word};
use crate::ipam::claim::Claim;

/// Whether an address that a container claims is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in use, or may be at any moment.
    Live(Sign),
    /// The container does not run, and Podman has not cleaned up after it yet. Podman would
    /// complain later if the lease were gone.
    Pending { status: String },
    /// It is not in use: the lease can be removed.
    Dead(Cause),
    /// berth cannot tell, for this reason.
    Unknown(String),
}

/// What shows that an address is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A namespace in which a process lives has it.
    Held {
        pid: i32,
        name: String,
    },
    Host,
    /// A conmon or podman is at work for the container.
    AtWork {
        pid: i32,
        name: String,
    },
    /// Podman says that the container is up.
    Podman {
        status: String,
    },
}

/// What shows that an address is not in use by the container that claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Podman does not know the container, and no namespace with a process has the
    /// address.
    NotKnown,
    /// Podman knows the container as not running and without a namespace.
    NotRunning { status: String },
    /// Podman was not asked, and no namespace with a process has the address.
    NotHeld,
    /// The namespace of another container has it, and that container claims it too.
    Others { container: String },
    /// Only one of the two indexes has it; the container has another address of this
    /// subnet on record and in its namespace, and no namespace has this one.
    Superseded { by: std::net::IpAddr },
}

/// The parts of the file and the configuration that matter for one claim.
#[derive(Clone, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) claim: &'a Claim,
    /// Its network, if its configuration is known.
    pub(crate) network: Option<&'a Network>,
    /// All containers that claim the same address on the same network.
    pub(crate) rivals: BTreeSet<&'a str>,
    /// Whether it is its network's gateway, which the bridge, and so the host, has.
    pub(crate) gateway: bool,
    /// Other addresses of the same subnet that the same container claims, on record
    /// in both indexes.
    pub(crate) others: Vec<std::net::IpAddr>,
}

/// Judges one claim by the evidence.
pub(crate) fn judge(case: &Case<'_>, evidence: &Evidence) -> Verdict {
    let (key, kernel) = (&case.claim.key, &evidence.kernel);
    let holders = kernel.holders(key.address, case.network);
    if let Some(sign) = holders.iter().find_map(|holder| case.sign(holder)) {
        return Verdict::Live(sign);
    }
    // The kernel shows which of the claimants has it.
    if let Some(container) = holders.iter().find_map(|holder| case.rival_in(holder)) {
        return Verdict::Dead(Cause::Others { container });
    }
    if let Some(by) = case.superseded(evidence) {
        return Verdict::Dead(Cause::Superseded { by });
    }
    let works = |fact: &&ProcessFact| fact.works_for(&key.container);
    if let Some(fact) = kernel.processes.iter().find(works) {
        return Verdict::Live(Sign::AtWork {
            pid: fact.process.pid,
            name: fact.name.clone(),
        });
    }
    let known = evidence.word.of(&key.container);
    if let Some(known) = known.filter(|known| known.state == State::Up) {
        let status = known.status.clone();
        return Verdict::Live(Sign::Podman { status });
    }
    if let Word::None(reason) = &evidence.word {
        return Verdict::Unknown(format!("Podman gave no answer: {reason}"));
    }
    let asked = matches!(evidence.word, Word::Given(_));
    let elsewhere = || kernel.elsewhere.clone().filter(|_| !asked);
    if let Some(doubt) = kernel.doubt_about(case.network).or_else(elsewhere) {
        return Verdict::Unknown(doubt);
    }
    if asked && !evidence.asked_about.contains(key) {
        return Verdict::Unknown("it was leased while Podman was asked".to_owned());
    }
    if let Some(known) = known {
        match known.state {
            State::Up | State::Down => {}
            State::Unclear => {
                let text = format!(
                    "its container is changing; Podman calls it {}",
                    known.status
                );
                return Verdict::Unknown(text);
            }
            State::Pending(_) => {
                let status = known.status.clone();
                return Verdict::Pending { status };
            }
        }
    }
    // The container may be on its way: netavark is done, and its first process has not started.
    let on_its_way = holders.iter().find_map(|holder| match holder.inhabitant {
        Inhabitant::Nobody { since } => Some((holder, evidence.maker(&holder.path, since)?)),
        Inhabitant::Process { .. } | Inhabitant::Host => None,
    });
    if let Some((holder, (maker, left))) = on_its_way {
        return Verdict::Unknown(format!(
            "{} has the address but no process yet, and process {} ({}) may be starting a \
             container; this clears when that process ends, or in {}",
            holder.path.display(),
            maker.process.pid,
            maker.name,
            humantime::format_duration(Duration::from_secs(left.as_secs() + 1))
        ));
    }
    Verdict::Dead(match known {
        Some(known) => Cause::NotRunning {
            status: known.status.clone(),
        },
        None if asked => Cause::NotKnown,
        None => Cause::NotHeld,
    })
}

impl Case<'_> {
    /// Returns the sign by which a namespace with the address shows that the claim is live.
    fn sign(&self, holder: &Holder) -> Option<Sign> {
        match &holder.inhabitant {
            Inhabitant::Process { pid, name } if self.rival_in(holder).is_none() => {
                Some(Sign::Held {
                    pid: *pid,
                    name: name.clone(),
                })
            }
            Inhabitant::Host if !self.gateway => Some(Sign::Host),
            Inhabitant::Process { .. } | Inhabitant::Host | Inhabitant::Nobody { .. } => None,
        }
    }

    /// Returns another container that claims the address, if this is its namespace.
    fn rival_in(&self, holder: &Holder) -> Option<String> {
        let container = holder.container.as_ref()?;
        let inhabited = matches!(holder.inhabitant, Inhabitant::Process { .. });
        let rival = *container != self.claim.key.container
            && self.rivals.contains(container.as_str())
            && inhabited;
        rival.then(|| container.clone())
    }

    /// Returns the address that the container has instead of one that is in only one index.
    /// That happens when the second of two setups overwrites the list of the first.
    fn superseded(&self, evidence: &Evidence) -> Option<std::net::IpAddr> {
        let kernel = &evidence.kernel;
        let holders = |address| kernel.holders(address, self.network).into_iter();
        let nobody = holders(self.claim.key.address).next().is_none();
        if self.claim.is_whole() || !nobody || kernel.doubt_about(self.network).is_some() {
            return None;
        }
        let container = Some(&self.claim.key.container);
        let has = |holder: &Holder| {
            holder.container.as_ref() == container
                && matches!(holder.inhabitant, Inhabitant::Process { .. })
        };
        let others = self.others.iter().copied();
        others.into_iter().find(|other| holders(*other).any(has))
    }
}

impl Verdict {
    /// Returns whether the lease must be kept.
    pub(crate) const fn keeps(&self) -> bool {
        match self {
            Self::Live(_) | Self::Pending { .. } | Self::Unknown(_) => true,
            Self::Dead(_) => false,
        }
    }

    /// Returns the verdict as one word.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Pending { .. } => "pending",
            Self::Dead(_) => "dead",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(sign) => sign.fmt(f),
            Self::Pending { status } => {
                write!(f, "{status}, but Podman has not cleaned up its network yet")
            }
            Self::Dead(cause) => cause.fmt(f),
            Self::Unknown(doubt) => f.write_str(doubt),
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { pid, name } => write!(f, "process {pid} ({name}) has the address"),
            Self::Host => f.write_str("this host itself has the address"),
            Self::AtWork { pid, name } => write!(f, "process {pid} ({name}) is at work for it"),
            Self::Podman { status } => write!(f, "Podman says it is {status}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKnown => f.write_str("no container of this id, and nobody has the address"),
            Self::NotRunning { status } => {
                write!(f, "Podman says it is {status}, and nobody has the address")
            }
            Self::NotHeld => f.write_str("nobody has the address; Podman was not asked"),
            Self::Others { container } => {
                write!(f, "container {} has the address", short_id(container))
            }
            Self::Superseded { by } => write!(f, "its container has {by} instead"),
        }
    }
}

/// How long after the first look the second one follows.
pub(crate) const SECOND_LOOK: Duration = berth::rules::verdict::STARTER_GRACE;

#[cfg(test)]
mod tests;
