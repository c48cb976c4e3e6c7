//! What the kernel shows: which processes run, and which namespaces have the addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use berth::delegate;
use berth::lifecycle::namespace_file;
use berth::podman::Podman;
use berth::protocol::Network;
use berth::rules::doubt::{doubt_about, hides};
use berth::rules::lease::Moment;
use berth::sight::survey::{Survey, hangs_on, may_be_port_of};
use berth::sight::{self, Doubt, Evidence, Link, NamespaceKey, Peer, ProcessFact};

/// How long to wait for a netavark whose podman was killed. Usually it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the kernel shows at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) at: Moment,
    /// All processes that can be seen.
    pub(crate) processes: Vec<ProcessFact>,
    pub(crate) holders: BTreeMap<IpAddr, Vec<Holder>>,
    /// The namespaces that have a file but no process.
    pub(crate) empty: Vec<Empty>,
    /// The host's interfaces.
    pub(crate) host: Vec<Link>,
    /// The host's interfaces that lead into namespaces that cannot be seen.
    pub(crate) hidden: Vec<Link>,
    /// The namespaces that could not be looked into.
    pub(crate) doubts: Vec<Doubt>,
    /// Why an address that no holder has may be in use, on any network.
    pub(crate) doubt: Option<String>,
    /// The same, but only for containers that Podman would know about.
    pub(crate) elsewhere: Option<String>,
}

/// A network namespace that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The interface that has it.
    pub(crate) link: Link,
    pub(crate) namespace: NamespaceKey,
    /// A path by which it can be opened.
    pub(crate) path: PathBuf,
    pub(crate) inhabitant: Inhabitant,
    /// The container that the namespace was made for, as far as its first process shows.
    pub(crate) container: Option<String>,
}

/// A namespace without a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Empty {
    pub(crate) namespace: NamespaceKey,
    pub(crate) path: PathBuf,
    /// How long the file has been there; `None` if that cannot be told.
    pub(crate) since: Option<Duration>,
    pub(crate) links: Vec<Link>,
}

/// Who lives in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inhabitant {
    /// Processes; this is the first of them.
    Process { pid: i32, name: String },
    /// No process: a file keeps the namespace alive.
    Nobody {
        /// How long the file has been there; `None` if that cannot be told.
        since: Option<Duration>,
    },
    /// It is the namespace of this host's bridges.
    Host,
}

impl Kernel {
    /// Looks at the host, once no netavark is at work any more. Call it after reading the
    /// claims.
    pub(crate) fn observe(podman: &Podman) -> Self {
        Self::await_netavark(podman);
        let survey = sight::boot_id().and_then(|boot_id| Ok((boot_id, sight::now()?)));
        let survey = survey.map_err(|error| berth::chain(&error));
        let survey = survey.and_then(|(boot_id, now)| {
            let directories = (&*podman.namespace_directory, &*podman.delegation.config);
            Survey::of_host(directories, &[], &boot_id, now).map_err(|error| berth::chain(&error))
        });
        match survey {
            Ok(survey) => Self::of(&survey, podman),
            Err(doubt) => Self {
                doubt: Some(doubt),
                ..Self::default()
            },
        }
    }

    /// Waits until no netavark is at work with a Podman's directories. The caller holds
    /// Podman's network lock, so the podman of any such netavark must have been killed.
    pub(crate) fn await_netavark(podman: &Podman) {
        let config = &podman.delegation.config;
        delegate::wait_until(PATIENCE, || {
            at_work(&sight::processes_named(&["netavark"]), config).is_none()
        });
    }

    /// Returns what a look at the host shows about everything that may have an address.
    pub(crate) fn of(survey: &Survey, podman: &Podman) -> Self {
        let seen = &survey.evidence;
        // Here an address that nobody was seen with is given back.
        let strange = survey.strange.iter().cloned().map(sight::unseen);
        let mut kernel = Self {
            elsewhere: seen.elsewhere.clone(),
            host: survey.links.clone(),
            hidden: survey.hidden.clone(),
            doubts: survey.doubts.iter().cloned().chain(strange).collect(),
            processes: seen.processes.clone(),
            at: seen.at,
            ..Self::default()
        };
        if let Some(netavark) = at_work(&seen.processes, &podman.delegation.config) {
            kernel.doubt = Some(format!("{} is still at work", label(netavark)));
        }
        kernel.note(&survey.links, |link| Holder {
            link: link.clone(),
            namespace: survey.own,
            path: "/proc/self/ns/net".into(),
            inhabitant: Inhabitant::Host,
            container: None,
        });
        for fact in &survey.namespaces {
            let inhabitant = inhabitant(seen, fact.key, &fact.path);
            let container = survey.containers.get(&fact.key);
            kernel.note(&fact.links, |link| Holder {
                link: link.clone(),
                namespace: fact.key,
                path: fact.path.clone(),
                inhabitant: inhabitant.clone(),
                container: container.map(ToString::to_string),
            });
            if let Inhabitant::Nobody { since } = inhabitant {
                kernel.empty.push(Empty {
                    namespace: fact.key,
                    path: fact.path.clone(),
                    since,
                    links: fact.links.clone(),
                });
            }
        }
        // Files on which a namespace is not yet, or no longer, mounted.
        let bare = seen.files.iter().filter(|(_, key)| key.0 != survey.own.0);
        kernel.empty.extend(bare.map(|(path, key)| Empty {
            namespace: *key,
            path: path.clone(),
            since: age(path),
            links: Vec::new(),
        }));
        kernel
    }

    fn note(&mut self, links: &[Link], holder: impl Fn(&Link) -> Holder) {
        for link in links {
            let addresses = link.addresses.iter();
            for address in addresses.filter(|address| !address.is_loopback()) {
                self.holders.entry(*address).or_default().push(holder(link));
            }
        }
    }

    /// Returns the namespaces that have an address on an interface attached to a network's
    /// bridge or parent, and this host itself if it has the address. An interface that is
    /// attached to nothing does not count, because any user can give it any address. If the
    /// network is not known, it is enough that the interface is attached to something of the
    /// host's.
    pub(crate) fn holders(&self, address: IpAddr, network: Option<&Network>) -> Vec<&Holder> {
        let is_on = |holder: &&Holder| {
            let link = &holder.link;
            holder.inhabitant == Inhabitant::Host
                || matches!(link.peer, Some(Peer::Host(_)))
                    && network.is_none_or(|network| hangs_on(link, network, &self.host))
        };
        let holders = self.holders.get(&address).into_iter().flatten();
        holders.filter(is_on).collect()
    }

    /// Returns why an address of a network may be in use although no holder has it.
    pub(crate) fn doubt_about(&self, network: Option<&Network>) -> Option<String> {
        let may_hide = |outer: &&Link| {
            network.is_none_or(|network| may_be_port_of(outer, network, &self.host))
        };
        let hidden = || self.hidden.iter().find(may_hide).map(hides);
        let unseen = || match network {
            Some(network) => doubt_about(network, &self.doubts, &self.host, &self.hidden),
            None => self.doubts.first().map(|doubt| doubt.why.clone()),
        };
        self.doubt.clone().or_else(unseen).or_else(hidden)
    }

    /// Returns the processes that may have made a namespace of this age: the podmans and
    /// buildahs that may start a container and were already running when it was made.
    pub(super) fn makers(&self, since: Duration) -> impl Iterator<Item = &ProcessFact> {
        let makers = self.processes.iter().filter(|fact| fact.is_maker());
        makers.filter(move |fact| !fact.process.is_younger_than(since, &self.at))
    }
}

fn inhabitant(seen: &Evidence, key: NamespaceKey, path: &Path) -> Inhabitant {
    let inside = seen
        .processes
        .iter()
        .filter(|fact| fact.namespace == Some(key));
    match inside.min_by_key(|fact| fact.process.start_time) {
        Some(fact) => Inhabitant::Process {
            pid: fact.process.pid,
            name: fact.name.clone(),
        },
        None => Inhabitant::Nobody { since: age(path) },
    }
}

/// Returns how long a namespace file has been there.
fn age(path: &Path) -> Option<Duration> {
    let made = namespace_file::file_made(path).ok()?;
    SystemTime::now().duration_since(made).ok()
}

/// Returns a netavark that changes what containers have on these networks.
fn at_work<'a>(processes: &'a [ProcessFact], config: &Path) -> Option<&'a ProcessFact> {
    processes.iter().find(|fact| fact.is_netavark_of(config))
}

fn label(fact: &ProcessFact) -> String {
    format!("process {} ({})", fact.process.pid, fact.name)
}
