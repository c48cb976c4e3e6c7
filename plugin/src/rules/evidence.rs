//! The evidence from one look at the host: facts, without a verdict. No I/O.
//!
//! [`crate::sight`] gathers it; [`super::verdict`] judges by it.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::lease::{Moment, Process};

/// Device and inode of a namespace: its identity while it lives.
pub type NamespaceKey = (u64, u64);

/// What is found at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathFact {
    /// Nothing is there.
    Missing,
    /// A file with this device and inode.
    There(NamespaceKey),
    /// It could not be examined, for this reason.
    Unreadable(String),
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFact {
    /// Its identity.
    pub process: Process,
    /// Its parent's pid.
    pub parent: i32,
    /// The kernel's name for it, at most fifteen bytes.
    pub name: String,
    /// Its arguments; empty for kernel threads and zombies.
    pub arguments: Vec<String>,
    /// The network namespace it lives in; `None` for a zombie, or if unreadable.
    pub namespace: Option<NamespaceKey>,
}

impl ProcessFact {
    /// Returns a path of the network namespace it lives in, valid while it lives.
    pub fn namespace_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.process.pid))
    }

    /// Returns whether one of the arguments is exactly this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.arguments.iter().any(|argument| argument == text)
    }
}

/// Returns whether the kernel assigns such an address to an interface by itself.
pub(super) fn is_given_by_kernel(address: &IpAddr) -> bool {
    address.is_loopback() || matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace, from 1.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Other names that the kernel finds it by (`ip link property`, `altname`).
    pub other_names: Vec<String>,
    /// Its kind, such as `veth`; empty for hardware and `lo`.
    pub kind: String,
    /// The bridge it is a port of.
    pub master: Option<u32>,
    /// The interface it is attached to: a veth's other end, a macvlan's parent.
    pub peer: Option<Peer>,
    /// Whether it is up.
    pub up: bool,
    /// Its hardware address, if it has one of six bytes.
    pub hardware_address: Option<[u8; 6]>,
    /// Its addresses, including those that the kernel assigned by itself.
    pub addresses: Vec<IpAddr>,
}

impl Link {
    /// Returns whether the kernel finds the interface by this name.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.other_names.iter().any(|other| other == name)
    }

    /// Returns its kind as a readable word.
    pub fn kind_or_hardware(&self) -> &str {
        match self.kind.as_str() {
            "" => "hardware",
            kind => kind,
        }
    }

    /// Returns whether the kernel assigned all its addresses by itself.
    pub fn is_bare(&self) -> bool {
        self.addresses.iter().all(is_given_by_kernel)
    }
}

/// Where another interface is, and its number there. Numbers repeat between namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// In the same namespace.
    Here(u32),
    /// In the namespace of the process that looks.
    Host(u32),
    /// In another namespace, given by its id as the first namespace numbers it.
    Elsewhere(i32, u32),
}

/// A network namespace other than our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFact {
    /// Its identity while it lives.
    pub key: NamespaceKey,
    /// A path by which it can be opened: its file, or a process that lives in it.
    pub path: PathBuf,
    /// Whether that path is the namespace's own file, which keeps it alive without processes.
    pub named: bool,
    /// Its interfaces.
    pub links: Vec<Link>,
}

/// A namespace with processes that berth could not look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What could not be read, and the error.
    pub why: String,
    /// What can nevertheless be seen of the namespace.
    pub view: Option<View>,
}

/// The interfaces and addresses of a namespace, without saying which has which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The names of its interfaces.
    pub interfaces: BTreeSet<Vec<u8>>,
    /// All its addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// The facts at one moment.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// When the pass began.
    pub at: Moment,
    /// The current boot.
    pub boot_id: String,
    /// The pid namespace whose processes are seen.
    pub pid_namespace: u64,
    /// Every process seen, except this one.
    pub processes: Vec<ProcessFact>,
    /// Why there may be processes that were not seen, or why it is unknown what a process is at
    /// work for.
    pub unreadable: Option<String>,
    /// The namespaces of processes that do not show which namespace they live in.
    pub doubts: Vec<Doubt>,
    /// Why there may be processes that were not seen, if none of these can be in a namespace
    /// whose file is seen at its path.
    pub elsewhere: Option<String>,
    /// What is found at the tenants' namespace paths.
    pub paths: HashMap<PathBuf, PathFact>,
    /// The files beside those paths, by the namespaces that they show.
    pub named: HashMap<NamespaceKey, PathBuf>,
    /// The same files, each with the namespace that it shows.
    pub files: HashMap<PathBuf, NamespaceKey>,
    /// The interfaces in those of the tenants' namespaces that have processes; one that berth
    /// could not look into is missing.
    pub inside: HashMap<NamespaceKey, Vec<Link>>,
}

impl Evidence {
    /// Returns whether exactly this process still runs.
    pub fn runs(&self, process: Process) -> bool {
        self.processes.iter().any(|fact| fact.process == process)
    }

    /// Returns whether a process lives in a namespace.
    pub fn is_inhabited(&self, key: NamespaceKey) -> bool {
        self.processes
            .iter()
            .any(|fact| fact.namespace == Some(key))
    }
}

/// Returns whether a path is one of Podman's namespace files
/// (containers/common `pkg/netns`: `netns-<uuid>` in a directory `netns`).
pub fn is_namespace_file(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let directory = path.parent().and_then(|parent| parent.file_name());
    name.starts_with("netns-") && directory.is_some_and(|directory| directory == "netns")
}
