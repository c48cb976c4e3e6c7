//! What this host shows of our networks, whatever the store says: who is on them, and what
//! the dead have left there.
//!
//! [`Survey::take`] only looks. [`Survey::sightings`], [`adoption`] and [`leftover`] decide
//! what follows from it, without I/O.

mod adoption;
mod elsewhere;
mod identity;
mod leftover;
mod lost;
mod names;
mod records;
mod sighting;
mod storage;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use adoption::{Adoption, adoptions};
use elsewhere::mounted_elsewhere;
pub use leftover::{Leftover, leftovers};
pub use lost::{Lost, lost_networks};
pub use names::NameFile;
use records::merged;
pub use records::{Record, name_records, port_records, records};
pub use sighting::{Sighting, hangs_on, may_be_port_of};
use storage::RunRoots;

use crate::protocol::Network;
use crate::rules::doubt::{doubt_about, hidden};
use crate::rules::lease::{ContainerId, Moment, NetworkId, Tenant};
use crate::rules::roster::Roster;
use crate::sight::{self, Doubt, Evidence, Link, NamespaceFact, NamespaceKey, View};

/// Failure to look at what is there. Nothing may be concluded from what was seen before.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// A file or directory cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The host's own interfaces cannot be listed.
    #[error("failed to list the host's interfaces")]
    Links(#[source] io::Error),
    /// A namespace cannot be looked into.
    #[error("failed to look into every network namespace: {0}")]
    Incomplete(String),
}

impl SurveyError {
    /// Returns how to report that a path cannot be read.
    fn reading(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read {
            path: path.clone(),
            source,
        }
    }
}

/// Where to look.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Our networks that have a configuration file.
    pub networks: &'a [Network],
    /// The names of all networks that exist, by their ids; `None` if there may be others.
    pub known: Option<&'a BTreeMap<String, String>>,
    /// netavark's run directory.
    pub run_directory: &'a Path,
    /// A directory of namespace files, in addition to the tenants' directories.
    pub namespace_directory: &'a Path,
}

/// Everything seen in one look.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Processes and namespace files.
    pub evidence: Evidence,
    /// Our networks: those with a configuration, those of tenants, and the lost.
    pub networks: Vec<Network>,
    /// Those that only netavark remembers.
    pub lost: Vec<Lost>,
    /// Ids of those with a configuration.
    pub configured: BTreeSet<String>,
    /// What netavark remembers of each network's containers, by network id.
    pub records: HashMap<String, Vec<Record>>,
    /// The host's interfaces.
    pub links: Vec<Link>,
    /// The host's own namespace. All namespaces are on its device.
    pub own: NamespaceKey,
    /// All other namespaces, with their interfaces.
    pub namespaces: Vec<NamespaceFact>,
    /// The container of each namespace's first process, as far as it shows.
    pub containers: HashMap<NamespaceKey, ContainerId>,
    /// The namespaces that could not be looked into.
    pub doubts: Vec<Doubt>,
    /// The same of namespaces that can be no container of Podman's, which has a file, a conmon or
    /// Podman's files in its mounts.
    pub strange: Vec<String>,
    /// The host's interfaces that lead into a namespace that was not seen.
    pub hidden: Vec<Link>,
    /// The files without a namespace on them here, on which another mount namespace has one.
    pub mounted_elsewhere: HashSet<PathBuf>,
}

impl Survey {
    /// Looks at everything. The tenants must have been read before.
    ///
    /// # Errors
    /// If something is there and cannot be read. A namespace that cannot be looked into
    /// is no error, but one of the `doubts`.
    pub fn take(
        place: &Place<'_>,
        tenants: &[Tenant],
        boot_id: &str,
        at: Moment,
    ) -> Result<Self, SurveyError> {
        let directories = (place.namespace_directory, place.run_directory);
        let mut survey = Self::of_host(directories, tenants, boot_id, at)?;
        let configured = place.networks.iter();
        survey.configured = configured.map(|network| network.id.clone()).collect();
        let networks = with_those_of(tenants, place.networks);
        if let Some(known) = place.known {
            let mut known = known.clone();
            let own = networks.iter();
            known.extend(own.map(|network| (network.id.clone(), network.name.clone())));
            survey.lost = lost_networks(place.run_directory, &known, &survey.links)?;
        }
        let mut ports = HashMap::<NetworkId, Vec<Record>>::new();
        for (network, record) in port_records(place.run_directory, None)? {
            ports.entry(network).or_default().push(record);
        }
        for network in networks {
            let names = name_records(place.run_directory, &network)?;
            let ports = ports.remove(&network.id.as_str().into());
            survey.remember(network, merged(names, ports.unwrap_or_default()));
        }
        for lost in survey.lost.clone() {
            survey.records.insert(lost.network.id.clone(), lost.records);
            survey.networks.push(lost.network);
        }
        Ok(survey)
    }

    /// As [`Survey::take`], without any network: which processes run, in which namespaces,
    /// with which addresses. The two directories are the one with the namespace files, and
    /// netavark's.
    ///
    /// # Errors
    /// If the host's own namespace or interfaces cannot be read.
    pub fn of_host(
        (namespace_directory, run_directory): (&Path, &Path),
        tenants: &[Tenant],
        boot_id: &str,
        at: Moment,
    ) -> Result<Self, SurveyError> {
        let mut evidence = Evidence::gather(tenants, boot_id, at);
        evidence.note_files(namespace_directory);
        let own = sight::own_namespace().map_err(|source| SurveyError::Read {
            path: "/proc/thread-self/ns/net".into(),
            source,
        })?;
        let sight::Seen {
            found: namespaces,
            mut doubts,
            unlisted,
        } = sight::namespaces(&evidence, own);
        let roots = RunRoots::of_host(run_directory, &evidence);
        let roster = Roster::of(&evidence.processes);
        let container = |fact: &NamespaceFact| identity::container(&roster, &roots, fact.key);
        let is_podmans = |key| identity::container(&roster, &roots, key).is_some();
        let (podmans, strange): (Vec<_>, Vec<_>) =
            unlisted.into_iter().partition(|(key, _)| is_podmans(*key));
        doubts.extend(podmans.into_iter().map(|(_, why)| sight::unseen(why)));
        let containers = namespaces
            .iter()
            .filter_map(|fact| Some((fact.key, container(fact)?)))
            .collect();
        let links = sight::links().map_err(SurveyError::Links)?;
        let bare = evidence.files.iter().filter(|(_, key)| key.0 != own.0);
        let bare = bare.map(|(path, _)| path.clone()).collect();
        Ok(Self {
            mounted_elsewhere: mounted_elsewhere(bare, &evidence.processes),
            hidden: hidden(&links, &namespaces),
            evidence,
            links,
            own,
            namespaces,
            containers,
            doubts,
            strange: strange.into_iter().map(|(_, why)| why).collect(),
            ..Self::default()
        })
    }

    /// Returns the same look with one more network that counts as one of ours, whatever its
    /// file says.
    ///
    /// # Errors
    /// If what netavark remembers of it cannot be read.
    pub fn including(
        mut self,
        network: &Network,
        run_directory: &Path,
    ) -> Result<Self, SurveyError> {
        if self.configured.insert(network.id.clone()) {
            self.networks.retain(|known| known.id != network.id);
            let found = records(run_directory, network)?;
            self.remember(network.clone(), found);
        }
        Ok(self)
    }

    /// Adds a network, with what netavark remembers of its containers.
    fn remember(&mut self, network: Network, found: Vec<Record>) {
        self.records.insert(network.id.clone(), found);
        self.networks.push(network);
    }

    /// Returns why there may be a container on a network although it was not seen.
    pub fn doubt_about(&self, network: &Network) -> Option<String> {
        // Nobody else's namespace is on a network of ours, except through a port of its bridge.
        let strange = self.strange.iter().cloned().map(|why| Doubt {
            why,
            view: Some(View::default()),
        });
        let doubts: Vec<_> = self.doubts.iter().cloned().chain(strange).collect();
        doubt_about(network, &doubts, &self.links, &self.hidden)
    }

    /// Returns such a doubt about the first of our networks that has one.
    pub fn doubt(&self) -> Option<String> {
        let mut networks = self.networks.iter();
        networks.find_map(|network| self.doubt_about(network))
    }

    /// Returns whether an interface of the host that may be on a network leads into a
    /// namespace that was not seen.
    pub fn is_anybody_hidden_on(&self, network: &Network) -> bool {
        let mut hidden = self.hidden.iter();
        hidden.any(|outer| may_be_port_of(outer, network, &self.links))
    }

    /// Returns what netavark remembers of a network's containers.
    fn records_of(&self, network: &Network) -> &[Record] {
        self.records.get(&network.id).map_or(&[], Vec::as_slice)
    }
}

/// Adds the networks of tenants that no longer have a configuration, as they were at the
/// tenant's setup.
fn with_those_of(tenants: &[Tenant], configured: &[Network]) -> Vec<Network> {
    let mut networks = configured.to_vec();
    let mut known: HashSet<_> = configured.iter().map(|network| &*network.id).collect();
    for tenant in tenants {
        let network = &tenant.request.network;
        if known.insert(&network.id) {
            networks.push(Network::clone(network));
        }
    }
    networks
}

#[cfg(test)]
mod tests;
