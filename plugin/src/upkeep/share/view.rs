//! The state of a share, and who takes part in it, for people.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use berth_share::operator::{Host, Picture};
use berth_share::{Claim, Holder, HostId, Refusal, ShareName};
use serde::Serialize;

use crate::podman::Podman;
use crate::rules::share::Configuration;
use crate::sharing::{self, Seen, SharingError};

/// The state of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareState {
    /// Hosts may claim.
    Open,
    /// No host has joined yet.
    Unused,
    /// etcd was restored from a backup; no host may claim.
    Suspended,
    /// This host was evicted; others may claim.
    Evicted,
    /// This host's identity is another's; others may claim.
    Refused,
    /// etcd does not answer, or this host does not understand what is in it.
    Unreachable,
}

impl fmt::Display for ShareState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Unused => "unused",
            Self::Suspended => "suspended",
            Self::Evicted => "evicted",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        })
    }
}

/// A share, as this host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareView {
    pub share: String,
    pub state: ShareState,
    /// What is wrong, and what to do about it.
    pub trouble: Option<String>,
    pub subnets: Vec<String>,
    /// How many hosts take part, and how many of them have been heard from lately.
    pub hosts: usize,
    pub live: usize,
    /// How many addresses are claimed, by all hosts and by this one.
    pub addresses: usize,
    pub own_addresses: usize,
    /// This host's identity there, if it has ever taken part.
    pub host: Option<String>,
}

impl ShareView {
    fn new(share: &ShareName, state: ShareState) -> Self {
        Self {
            share: share.to_string(),
            state,
            trouble: None,
            subnets: Vec::new(),
            hosts: 0,
            live: 0,
            addresses: 0,
            own_addresses: 0,
            host: None,
        }
    }

    fn of(share: &ShareName, seen: &Seen) -> Self {
        let refused = match (seen.refusal, &seen.host) {
            (Some(refusal @ (Refusal::Copied | Refusal::OtherMachine)), Some(host)) => {
                Some((ShareState::Refused, refusal.of(host).to_string()))
            }
            _ => None,
        };
        let Some(picture) = &seen.picture else {
            let (state, trouble) = refused.unzip();
            return Self {
                trouble,
                ..Self::new(share, state.unwrap_or(ShareState::Unused))
            };
        };
        let hosts = &picture.hosts;
        let own = seen.host.as_ref();
        let own = hosts.iter().find(|host| Some(&host.record.host) == own);
        let missing: Vec<_> = hosts
            .iter()
            .filter(|host| host.is_incomplete)
            .map(|host| host.record.name.as_str())
            .collect();
        let (state, trouble) = if let Some((state, why)) = refused {
            (state, Some(why))
        } else if picture.meta.epoch.suspended {
            let what = match missing[..] {
                [] => "every host has put its leases back; run `berth share accept`".to_owned(),
                _ => format!(
                    "these hosts have not put their leases back: {}; run `berth gc` there, then \
                     `berth share accept`",
                    missing.join(", ")
                ),
            };
            let why = format!("etcd was restored from a backup, and {what}");
            (ShareState::Suspended, Some(why))
        } else if seen.refusal == Some(Refusal::Evicted) {
            let why = "this host was evicted; run `berth share rejoin`".to_owned();
            (ShareState::Evicted, Some(why))
        } else {
            (ShareState::Open, None)
        };
        let subnets = picture.meta.terms.subnets.iter();
        let claimed: usize = hosts.iter().map(|host| host.addresses.len()).sum();
        Self {
            trouble,
            subnets: subnets.map(|subnet| subnet.subnet.clone()).collect(),
            hosts: hosts.len(),
            live: hosts.iter().filter(|host| host.live).count(),
            addresses: claimed + picture.unrecorded.len(),
            own_addresses: own.map_or(0, |own| own.addresses.len()),
            host: own.map(|own| own.record.host.to_string()),
            ..Self::new(share, state)
        }
    }
}

/// Looks at a share. Failures are part of the answer.
pub fn view(podman: &Podman, share: &ShareName) -> ShareView {
    match see(podman, share) {
        Ok(seen) => ShareView::of(share, &seen),
        Err(error) => ShareView {
            trouble: Some(crate::chain(&error)),
            ..ShareView::new(share, ShareState::Unreachable)
        },
    }
}

fn see(podman: &Podman, share: &ShareName) -> Result<Seen, SharingError> {
    let total = Configuration::of(&podman.settings, share)?.times.total;
    sharing::see(podman, share, total)
}

/// The state of a host in a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It has been heard from lately.
    Live,
    /// It has not been heard from lately; it keeps what it has.
    Silent,
    /// etcd was restored, and the host has not put its leases back.
    Behind,
    /// Its addresses were given to others; it claims nothing until it joins again.
    Evicted,
    /// There are addresses of this host but nothing else about it, as after a restore.
    Unrecorded,
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Evicted => "evicted",
            Self::Unrecorded => "unrecorded",
        })
    }
}

/// A host of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostView {
    pub id: String,
    pub name: String,
    pub state: HostState,
    /// Whether it is this host.
    pub own: bool,
    /// What it has claimed, sorted.
    pub addresses: Vec<IpAddr>,
}

impl HostView {
    fn new(host: &HostId, (name, state): (&str, HostState), claims: &[Claim]) -> Self {
        let mut addresses: Vec<_> = claims.iter().map(|claim| claim.address).collect();
        addresses.sort_unstable();
        Self {
            id: host.to_string(),
            name: name.to_owned(),
            state,
            own: false,
            addresses,
        }
    }

    fn of(host: &Host) -> Self {
        let state = match host {
            host if host.record.evicted => HostState::Evicted,
            Host {
                is_incomplete: true,
                ..
            } => HostState::Behind,
            Host { live: true, .. } => HostState::Live,
            Host { .. } => HostState::Silent,
        };
        let record = &host.record;
        Self::new(&record.host, (&record.name, state), &host.addresses)
    }

    /// Returns the hosts of a share by their names.
    fn all(picture: &Picture, own: Option<&HostId>) -> Vec<Self> {
        let mut unrecorded: BTreeMap<HostId, Vec<Claim>> = BTreeMap::new();
        for claim in &picture.unrecorded {
            if let Ok(holder) = Holder::decode(claim.value.as_bytes()) {
                unrecorded
                    .entry(holder.host)
                    .or_default()
                    .push(claim.clone());
            }
        }
        let unrecorded = unrecorded.iter();
        let unrecorded =
            unrecorded.map(|(host, claims)| Self::new(host, ("", HostState::Unrecorded), claims));
        let mut all: Vec<_> = picture
            .hosts
            .iter()
            .map(Self::of)
            .chain(unrecorded)
            .collect();
        for host in &mut all {
            host.own = own.is_some_and(|own| own.as_str() == host.id);
        }
        all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        all
    }
}

/// Returns the hosts of a share by their names.
///
/// # Errors
/// If the share is not configured, or etcd does not answer.
pub fn hosts(podman: &Podman, share: &ShareName) -> Result<Vec<HostView>, SharingError> {
    let Seen { picture, host, .. } = see(podman, share)?;
    let hosts = picture.map(|picture| HostView::all(&picture, host.as_ref()));
    Ok(hosts.unwrap_or_default())
}

#[cfg(test)]
mod tests;
