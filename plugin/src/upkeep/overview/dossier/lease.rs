//! What a container has leased on a network, and the evidence of whether it is alive.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::protocol::Shared;
use crate::rules::attachment::Attachment;
use crate::rules::lease::{Delegation, LeasedAddress, Phase, Process, Tenant};
use crate::rules::verdict::Verdict;
use crate::sight::{Evidence, PathFact, ProcessFact};
use crate::upkeep::overview::State;
use crate::upkeep::wall_time;

/// How many processes or interfaces of a namespace are listed: a container can have any
/// number.
const TOLD: usize = 32;

/// Everything known about what one container has leased on one network.
#[derive(Debug, Serialize)]
pub struct LeaseDossier {
    pub network: String,
    pub network_id: String,
    pub container_id: String,
    pub container_name: String,
    pub interface: String,
    pub mac_address: Option<String>,
    pub addresses: Vec<LeasedAddress>,
    pub state: State,
    /// The verdict in words.
    pub reason: String,
    pub phase: Phase,
    pub created: String,
    /// When it was last noted as alive.
    pub renewed: String,
    /// Until when it is kept if berth cannot tell whether it is alive.
    pub expires: String,
    pub evidence: EvidenceDossier,
    /// What the container asked for. berth needs this to take the plumbing down.
    pub request: Attachment,
    pub delegation: Shared<Delegation>,
}

/// What the verdict on a holder rests on.
#[derive(Debug, Serialize)]
pub struct EvidenceDossier {
    /// When the host was looked at.
    pub at: String,
    /// Whether the lease was made in this boot.
    pub same_boot: bool,
    pub namespace: NamespaceDossier,
    /// Processes in its namespace: 32 at most.
    pub inhabitants: Vec<ProcessDossier>,
    /// Processes elsewhere that are at work for it.
    pub workers: Vec<ProcessDossier>,
    /// The podman that asked for the lease, if that is known.
    pub starter: Option<StarterDossier>,
    /// The interfaces in its namespace, if there is a process in it: 32 at most.
    pub interfaces: Vec<InterfaceDossier>,
    /// What could not be seen, if anything.
    pub doubt: Option<String>,
}

/// The namespace that a container got its interface in.
#[derive(Debug, Serialize)]
pub struct NamespaceDossier {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    /// What is at its path now, in words.
    pub now: String,
}

/// A process.
#[derive(Debug, Serialize)]
pub struct ProcessDossier {
    pub pid: i32,
    pub name: String,
}

/// The process that asked for a lease.
#[derive(Debug, Serialize)]
pub struct StarterDossier {
    #[serde(flatten)]
    pub process: Process,
    pub runs: bool,
}

/// An interface in a container.
#[derive(Debug, Serialize)]
pub struct InterfaceDossier {
    pub name: String,
    pub up: bool,
    pub addresses: Vec<IpAddr>,
}

impl LeaseDossier {
    pub(super) fn new(tenant: &Tenant, verdict: &Verdict, evidence: &Evidence) -> Self {
        let tenancy = &tenant.tenancy;
        Self {
            network: tenant.network_name.to_string(),
            network_id: tenancy.network_id.to_string(),
            container_id: tenancy.container_id.to_string(),
            container_name: tenant.container_name.to_string(),
            interface: tenancy.interface.to_string(),
            mac_address: tenant.mac_address.clone(),
            addresses: tenant.leased.clone(),
            state: State::of(tenant.phase, verdict),
            reason: verdict.reason(),
            phase: tenant.phase,
            created: wall_time(tenant.created),
            renewed: wall_time(tenant.renewed),
            expires: wall_time(tenant.expires),
            evidence: EvidenceDossier::new(tenant, evidence),
            request: tenant.request.clone(),
            delegation: tenant.delegation.clone(),
        }
    }
}

impl EvidenceDossier {
    fn new(tenant: &Tenant, evidence: &Evidence) -> Self {
        let namespace = &tenant.namespace;
        let key = (namespace.device, namespace.inode);
        let container = tenant.tenancy.container_id.as_str();
        let tell = |fact: &ProcessFact| ProcessDossier {
            pid: fact.process.pid,
            name: fact.name.clone(),
        };
        let lives = |fact: &&ProcessFact| fact.namespace == Some(key);
        let works = |fact: &&ProcessFact| fact.works_for(container) || fact.plumbs(&namespace.path);
        let processes = || evidence.processes.iter();
        let links = evidence.inside.get(&key).into_iter().flatten();
        let mut doubts = evidence.doubts.iter();
        let hides_it = doubts.find(|doubt| doubt.may_hide(tenant));
        let hides_it = hides_it.map(|doubt| doubt.why.clone());
        Self {
            at: wall_time(evidence.at),
            same_boot: tenant.boot_id == evidence.boot_id,
            namespace: NamespaceDossier {
                path: namespace.path.clone(),
                device: namespace.device,
                inode: namespace.inode,
                now: match evidence.paths.get(&namespace.path) {
                    Some(PathFact::There(there)) if *there == key => "as it was".to_owned(),
                    Some(PathFact::There(_)) => "something else".to_owned(),
                    Some(PathFact::Unreadable(reason)) => reason.clone(),
                    Some(PathFact::Missing) | None => "gone".to_owned(),
                },
            },
            inhabitants: processes().filter(lives).take(TOLD).map(tell).collect(),
            workers: processes().filter(works).take(TOLD).map(tell).collect(),
            starter: tenant.starter.map(|process| StarterDossier {
                process,
                runs: evidence.runs(process),
            }),
            interfaces: links
                .take(TOLD)
                .map(|link| InterfaceDossier {
                    name: link.name.clone(),
                    up: link.up,
                    addresses: link.addresses.iter().take(TOLD).copied().collect(),
                })
                .collect(),
            doubt: evidence
                .unreadable
                .clone()
                .or(hides_it)
                .or(evidence.elsewhere.clone()),
        }
    }
}
