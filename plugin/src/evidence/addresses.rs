//! Interfaces and addresses inside network namespaces.
//!
//! Joining a namespace changes one thread for good, so each look is a
//! short-lived thread of its own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::SockaddrStorage;
use thiserror::Error;

use super::sight::Sight;
use super::{Evidence, NamespaceKey, PathFact, examine};

/// Failure to look into a namespace.
#[derive(Debug, Error)]
pub enum AddressesError {
    /// The file cannot be opened.
    #[error("failed to open namespace {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace cannot be joined.
    #[error("failed to join namespace {}", path.display())]
    Join {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// Some namespaces are not known.
    #[error("failed to find every namespace: {0}")]
    Incomplete(String),
    /// The thread could not be started.
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
    /// The addresses cannot be listed.
    #[error("failed to list interfaces")]
    List(#[source] nix::Error),
}

impl AddressesError {
    /// Returns whether the kernel lets us not join the namespace (setns(2)).
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Join { source, .. } if *source == nix::Error::EPERM)
    }
}

/// Returns the addresses that some namespace of this host holds, each with a
/// process or file that shows the namespace. Without root it is those of this
/// user's containers: what we may not join is the host's own namespace, or was made
/// in an earlier user namespace of ours, whose containers are on bridges out of reach.
///
/// # Errors
/// If one of the namespaces cannot be looked into: then nothing can be said of
/// any address that was not found.
pub fn on_this_host(evidence: &Evidence) -> Result<HashMap<IpAddr, PathBuf>, AddressesError> {
    if let Some(doubt) = &evidence.unreadable {
        return Err(AddressesError::Incomplete(doubt.clone()));
    }
    // All namespaces are on one device; other files are where one was mounted. Our
    // own namespace tells which: there may be no process to be seen but us.
    let own = PathBuf::from("/proc/self/ns/net");
    let PathFact::There(own_key) = examine(&own) else {
        return Err(AddressesError::Incomplete(format!(
            "cannot examine {}",
            own.display()
        )));
    };
    let sight = Sight::of_this_process();
    let mut seen: HashSet<NamespaceKey> = HashSet::new();
    let of_processes = evidence
        .processes
        .iter()
        .filter_map(|fact| Some((fact.namespace?, fact.namespace_path())));
    let mounted = evidence.named.iter().filter(|(key, _)| key.0 == own_key.0);
    let of_files = mounted.map(|(key, path)| (*key, path.clone()));
    let mut found = HashMap::new();
    for (key, path) in [(own_key, own)]
        .into_iter()
        .chain(of_processes)
        .chain(of_files)
    {
        if seen.insert(key) {
            let looked = match interfaces(&path) {
                Err(error) if error.is_refusal() && sight.excludes_unjoinable() => continue,
                looked => looked?,
            };
            let addresses = looked.into_iter().filter_map(|interface| interface.address);
            found.extend(addresses.map(|address| (address, path.clone())));
        }
    }
    Ok(found)
}

/// An interface, once for each of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// One of its addresses, if it has any.
    pub address: Option<IpAddr>,
}

/// Returns every interface of a namespace, once for each of its addresses.
///
/// # Errors
/// If the namespace cannot be joined or listed: that is not an answer.
pub fn interfaces(path: &Path) -> Result<Vec<Interface>, AddressesError> {
    let namespace = File::open(path).map_err(|source| AddressesError::Open {
        path: path.to_owned(),
        source,
    })?;
    let look = move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        let list = |entry: InterfaceAddress| Interface {
            name: entry.interface_name,
            address: entry.address.and_then(ip),
        };
        Ok(getifaddrs().map(|entries| entries.map(list).collect()))
    };
    let looked = thread::scope(|scope| {
        let handle = thread::Builder::new().spawn_scoped(scope, look);
        handle.map(|handle| handle.join().unwrap_or(Err(nix::Error::EIO)))
    });
    looked
        .map_err(AddressesError::Thread)?
        .map_err(|source| AddressesError::Join {
            path: path.to_owned(),
            source,
        })?
        .map_err(AddressesError::List)
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}
