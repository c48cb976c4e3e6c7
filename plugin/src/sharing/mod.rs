//! The shares in which this host takes part: leases that several hosts share through etcd. The
//! crate `berth_share` is the protocol; this room is the host's seat in it, with its lock and
//! its client of etcd.

mod error;
pub mod probe;
mod seen;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use berth_share::etcd::Etcd;
use berth_share::files::{Breaker, Folder};
use berth_share::operator::{self, Picture};
use berth_share::{Facts, HostId, Identity, Keys, Member, Registry, ShareError, ShareName, Terms};
use ring::digest::{SHA256, digest};

pub use error::SharingError;
pub use seen::{Seen, see};

use crate::podman::Podman;
use crate::rules::share::Configuration;
use crate::sight;

/// Identifies the operating system's installation (machine-id(5)). It must not be told to
/// others.
const MACHINE_ID: &str = "/etc/machine-id";
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// This host's seat in a share. As long as it is taken, no other command of this host speaks
/// for the host there.
///
/// Take it before the store's lock, which must not be held while berth waits for etcd, and
/// after Podman's lock.
pub struct Seat {
    pub configuration: Configuration,
    facts: Facts,
    folder: Folder,
    etcd: Etcd,
}

impl Seat {
    /// Takes the seat, waiting no longer than `wait` for the command that has it. This asks
    /// etcd nothing yet.
    ///
    /// # Errors
    /// If the share is not configured, or the seat is not free in time.
    pub fn take(podman: &Podman, name: &ShareName, wait: Duration) -> Result<Self, SharingError> {
        let configuration = Configuration::of(&podman.settings, name)?;
        let failed = |cause| SharingError::Folder {
            share: name.clone(),
            path: folder(podman, name),
            cause,
        };
        let folder = Folder::lock(&folder(podman, name), wait).map_err(failed)?;
        Ok(Self {
            facts: facts(podman, &configuration)?,
            etcd: client(&configuration, folder.breaker())?,
            folder,
            configuration,
        })
    }

    /// Returns the name of the share.
    pub fn share(&self) -> &ShareName {
        &self.configuration.name
    }

    /// Speaks for this host in the share, and first joins it with these terms if the host has
    /// not joined yet. etcd has `total` for all its answers together.
    ///
    /// # Errors
    /// What `act` returns, and whatever keeps the host from taking part.
    pub fn speak<T>(
        &mut self,
        terms: Option<&Terms>,
        total: Duration,
        act: impl FnOnce(&mut Member<'_>) -> Result<T, ShareError>,
    ) -> Result<T, SharingError> {
        self.etcd.begin(total);
        let (keys, facts) = (&self.configuration.keys, &self.facts);
        let mut random = || fastrand::u128(..);
        let (etcd, folder) = (&mut self.etcd, &mut self.folder);
        let done = Member::open(keys, facts, etcd, folder, &mut random).and_then(|mut member| {
            terms.map_or(Ok(()), |terms| member.join(terms))?;
            act(&mut member)
        });
        done.map_err(|source| SharingError::of(self.share(), source))
    }

    /// As [`speak`](Self::speak), for the one thing a host may still do when everything else
    /// is refused: [`operator::rejoin`].
    ///
    /// # Errors
    /// What `rejoin` returns.
    pub fn rejoin(&mut self, how: operator::Rejoin) -> Result<HostId, SharingError> {
        self.etcd.begin(self.configuration.times.total);
        let own = (&self.configuration.keys, &self.facts);
        let mut random = || fastrand::u128(..);
        let (etcd, folder) = (&mut self.etcd, &mut self.folder);
        let done = operator::rejoin(own, etcd, folder, &mut random, how);
        done.map_err(|source| SharingError::of(self.share(), source))
    }
}

/// Looks at a share without taking part: `None` if no host has joined it yet. etcd has `total`
/// for all its answers together.
///
/// # Errors
/// If the share is not configured, or etcd does not answer.
pub fn look(
    podman: &Podman,
    name: &ShareName,
    total: Duration,
) -> Result<Option<Picture>, SharingError> {
    ask(podman, name, total, operator::picture)
}

/// Asks a share's etcd without taking part. etcd has `total` for all its answers together.
///
/// # Errors
/// If the share is not configured, or etcd does not answer.
pub fn ask<T>(
    podman: &Podman,
    name: &ShareName,
    total: Duration,
    act: impl FnOnce(&mut dyn Registry, &Keys) -> Result<T, ShareError>,
) -> Result<T, SharingError> {
    let configuration = Configuration::of(&podman.settings, name)?;
    let mut etcd = client(&configuration, Breaker::of(&folder(podman, name)))?;
    etcd.begin(total);
    act(&mut etcd, &configuration.keys).map_err(|source| SharingError::of(name, source))
}

/// Returns this host's identity in a share; `None` if it has never taken part.
///
/// # Errors
/// If the identity is there and cannot be read.
pub fn host(podman: &Podman, name: &ShareName) -> Result<Option<HostId>, SharingError> {
    Ok(identity(podman, name)?.map(|identity| identity.host))
}

fn identity(podman: &Podman, name: &ShareName) -> Result<Option<Identity>, SharingError> {
    Folder::peek(&folder(podman, name)).map_err(|cause| SharingError::Folder {
        share: name.clone(),
        path: folder(podman, name),
        cause,
    })
}

/// Returns the name by which other hosts know this one.
pub fn host_name(configuration: &Configuration) -> String {
    let name = || fs::read_to_string(HOST_NAME).unwrap_or_default();
    let set = configuration.host.clone();
    set.unwrap_or_else(|| name().trim().to_owned())
}

/// Returns what tells this store's own keys from those of the host's other stores.
pub fn store(podman: &Podman) -> String {
    podman.state_directory.display().to_string()
}

/// Returns the shares that berth.conf names, sorted.
pub fn configured(podman: &Podman) -> Vec<ShareName> {
    let names = podman.settings.shares.keys();
    names.filter_map(|name| name.parse().ok()).collect()
}

fn folder(podman: &Podman, name: &ShareName) -> PathBuf {
    podman.share_directory.join(name.as_str())
}

fn client(configuration: &Configuration, breaker: Breaker) -> Result<Etcd, SharingError> {
    let Configuration {
        name,
        endpoints,
        certificates,
        times,
        ..
    } = configuration;
    let client = Etcd::new(
        endpoints.clone(),
        certificates.as_ref(),
        *times,
        Some(breaker),
        0,
    );
    client.map_err(|cause| SharingError::Client {
        share: name.clone(),
        cause,
    })
}

/// Returns what tells this machine from a copy of it, hashed.
fn machine() -> String {
    // Without a machine id, a copy of the host is still found out at its second beat.
    let machine = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    let machine = digest(
        &SHA256,
        format!("berth share {}", machine.trim()).as_bytes(),
    );
    let hex = |byte: &u8| format!("{byte:02x}");
    machine.as_ref().iter().map(hex).collect()
}

fn facts(podman: &Podman, configuration: &Configuration) -> Result<Facts, SharingError> {
    Ok(Facts {
        name: host_name(configuration),
        machine: machine(),
        boot: sight::boot_id()?,
        uptime: sight::now()?.boot_ms / 1000,
        store: store(podman),
        ttl: configuration.lease,
    })
}
