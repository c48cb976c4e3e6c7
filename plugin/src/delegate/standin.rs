//! A stand-in for a namespace that is gone.
//!
//! netavark opens the container's namespace before it removes firewall rules, and removes
//! an unused bridge only after it has removed the container's interface (netavark 1.14
//! `teardown.rs`, `bridge.rs` `remove_link`). So if the namespace, or the interface in
//! it, is gone, berth runs the teardown against an empty namespace of its own, with an
//! interface of that name. netavark also removes a network's firewall rules only together
//! with an unused bridge: if that is already gone, berth makes one for it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use thiserror::Error;

use super::links::add_veth;

/// Failure to make a stand-in.
#[derive(Debug, Error)]
pub enum StandInError {
    #[error("failed to make a network namespace")]
    Namespace(#[source] io::Error),
    #[error("failed to make the interface {interface} in a network namespace")]
    Interface {
        interface: String,
        #[source]
        source: io::Error,
    },
}

/// A namespace with one interface. It lives as long as this value.
#[derive(Debug)]
pub struct StandIn(File);

impl StandIn {
    /// Makes a namespace with an interface of this name.
    ///
    /// # Errors
    /// If the kernel refuses, as without `CAP_SYS_ADMIN` or with an interface
    /// name of more than fifteen bytes. Nothing is left behind.
    pub fn new(interface: &str) -> Result<Self, StandInError> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| StandInError::Namespace(errno.into()))?;
            add_veth(interface).map_err(|source| StandInError::Interface {
                interface: interface.to_owned(),
                source,
            })?;
            File::open("/proc/thread-self/ns/net")
                .map(Self)
                .map_err(StandInError::Namespace)
        };
        // A thread leaves its namespace for the rest of its life, so use a short-lived
        // one.
        thread::scope(|scope| {
            let handle = thread::Builder::new().spawn_scoped(scope, make);
            let handle = handle.map_err(StandInError::Namespace)?;
            let interrupted = || StandInError::Namespace(io::ErrorKind::Interrupted.into());
            handle.join().map_err(|_| interrupted())?
        })
    }

    /// Returns a path by which another process can open the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.0.as_raw_fd()
        ))
    }
}
