//! What a collection has done, for people and programs.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::rules::lease::Tenant;

/// What a collection has done, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub dry_run: bool,
    /// How many looks it rests on: two a grace apart, or one.
    pub looks: u8,
    /// Containers that were on a network without a lease, and have one now.
    pub adopted: Vec<Party>,
    /// Dead containers from which everything was taken back.
    pub reclaimed: Vec<Party>,
    /// Other things that were cleared away, because they belonged to no container.
    pub cleared: Vec<String>,
    /// Leased addresses that were put back into a share.
    pub claimed: Vec<String>,
    /// Addresses that a share had given this host, and that were not leased here.
    pub given_back: Vec<String>,
    /// Containers that may be alive or dead: berth cannot tell.
    pub unknown: Vec<Party>,
    pub live: usize,
    /// What could not be done, one line each.
    pub failures: Vec<String>,
    /// How long it took in milliseconds, waits included.
    pub took_ms: u64,
}

/// A container on a network.
#[derive(Clone, Debug, Serialize)]
pub struct Party {
    pub network: String,
    pub container_id: String,
    pub container_name: String,
    pub addresses: Vec<IpAddr>,
    pub reason: String,
}

impl Party {
    /// Returns a tenant as a party, with the reason for what happens to it.
    pub fn new(tenant: &Tenant, reason: impl fmt::Display) -> Self {
        Self {
            network: tenant.network_name.to_string(),
            container_id: tenant.tenancy.container_id.to_string(),
            container_name: tenant.container_name.to_string(),
            addresses: tenant.addresses(),
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        write!(
            f,
            "{} of container {} ({}) on network {}: {}",
            addresses.join(", "),
            self.container_id.get(..12).unwrap_or(&self.container_id),
            self.container_name,
            self.network,
            self.reason
        )
    }
}

impl fmt::Display for Report {
    /// Writes one line for each thing done, and a last one that sums up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = |past: &'static str, conditional: &'static str| {
            if self.dry_run { conditional } else { past }
        };
        for party in &self.adopted {
            writeln!(f, "{} {party}", done("adopted", "would adopt"))?;
        }
        for party in &self.reclaimed {
            writeln!(f, "{} {party}", done("reclaimed", "would reclaim"))?;
        }
        for thing in &self.cleared {
            writeln!(f, "{} {thing}", done("cleared away", "would clear away"))?;
        }
        for address in &self.claimed {
            writeln!(f, "claimed again {address}")?;
        }
        for address in &self.given_back {
            writeln!(f, "gave back {address}")?;
        }
        for party in &self.unknown {
            writeln!(f, "kept {party}")?;
        }
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        let would = done("", "would be ");
        write!(
            f,
            "{} live, {} unknown, {} {would}reclaimed, {} {would}cleared away, {} failed",
            self.live,
            self.unknown.len(),
            self.reclaimed.len(),
            self.cleared.len(),
            self.failures.len()
        )?;
        match self.looks {
            0 => f.write_str("; there are no networks of berth here"),
            1 if !(self.reclaimed.is_empty() && self.cleared.is_empty()) => f.write_str(
                "; by one look, which trusts that no container is just being started or stopped",
            ),
            _ => Ok(()),
        }
    }
}
