//! Why a share refuses or fails, and what to do about it.

use std::io;
use std::net::IpAddr;

use thiserror::Error;

use crate::key::HostId;
use crate::meta::Difference;
use crate::registry::RegistryError;

/// A refusal or a failure. None of them changes the addresses of running containers.
#[derive(Debug, Error)]
pub enum ShareError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("failed to {0} this host's identity: {1}")]
    Identity(&'static str, #[source] io::Error),
    #[error("{what} in the share is unreadable: {reason}")]
    Unreadable { what: String, reason: String },
    #[error("the share has format {0}, and this berth knows 1: a newer berth is needed here")]
    Newer(u32),
    #[error("the network and the share differ in {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Differs(Vec<Difference>),
    #[error(
        "this host's identity {} is in use elsewhere, or its disk was rolled back: run \
         `berth share rejoin` on the copy, `berth share rejoin --original` on the original", .0.short()
    )]
    Copied(HostId),
    #[error(
        "this host's identity {} was made for another machine: if it is a copy, run \
         `berth share rejoin`; if it is the original on new hardware, \
         `berth share rejoin --original`", .0.short()
    )]
    OtherMachine(HostId),
    #[error("this host was evicted from the share: run `berth share rejoin` to take part again")]
    Evicted,
    #[error(
        "this host has not joined the share yet: it joins when a container first starts on one of \
         the share's networks"
    )]
    NotJoined,
    #[error(
        "etcd was restored from a backup, and not every host has put its leases back: see \
         `berth share hosts`, then run `berth share accept`"
    )]
    Suspended,
    #[error("the address {address} is {}", describe(.holder.as_deref()))]
    Taken {
        address: IpAddr,
        holder: Option<Box<Taker>>,
    },
    #[error("all addresses from {first} to {last} are taken")]
    Full { first: IpAddr, last: IpAddr },
    #[error("{0}")]
    Operator(String),
}

/// Why a share refuses a host, until a person lets the host join again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Evicted,
    Copied,
    OtherMachine,
}

impl Refusal {
    /// Returns the error of a host that is refused.
    pub fn of(self, host: &HostId) -> ShareError {
        match self {
            Self::Evicted => ShareError::Evicted,
            Self::Copied => ShareError::Copied(host.clone()),
            Self::OtherMachine => ShareError::OtherMachine(host.clone()),
        }
    }
}

/// Who already has an address that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taker {
    /// The host's name, if it has a record.
    pub host: String,
    pub container: String,
    pub name: String,
}

fn describe(holder: Option<&Taker>) -> String {
    match holder {
        Some(taker) => {
            let short: String = taker.container.chars().take(12).collect();
            let Taker { host, name, .. } = taker;
            format!("already allocated to container {short} ({name}) on host {host}")
        }
        None => "taken by an entry in the share that berth cannot read".to_owned(),
    }
}
