//! The steps of an eviction. Between them the caller probes the link, which takes a while: no lock
//! is held, and no answer from etcd is awaited, meanwhile.

use std::net::IpAddr;

use super::{Host, Picture, find, picture};
use crate::ShareError;
use crate::evict::{self, Doubt, Evidence, Standing};
use crate::holding::Claim;
use crate::host::HostRecord;
use crate::key::{HostId, Keys};
use crate::registry::{Check, Outcome, Read, Registry, Transaction, Write};

/// An eviction that has begun: probe the link for the host's addresses, then
/// [`fence`](Self::fence) the host off. Nothing has been taken from it yet.
#[derive(Debug)]
pub struct Eviction {
    target: Host,
    picture: Picture,
}

impl Eviction {
    /// Begins to evict the host that `called` names ([`find`]). `own` is the host that evicts.
    ///
    /// # Errors
    /// If there is no such host, or the share speaks against the eviction; if nothing answers.
    pub fn begin(
        registry: &mut dyn Registry,
        keys: &Keys,
        own: Option<&HostId>,
        called: &str,
    ) -> Result<Self, ShareError> {
        let (target, picture) = look(registry, keys, called)?;
        if Some(&target.record.host) == own {
            return Err(ShareError::Operator("a host cannot evict itself".into()));
        }
        standing(&target)
            .decide()
            .map_err(|doubt| refused(&target, &doubt))?;
        Ok(Self { target, picture })
    }

    /// Returns the host that is evicted.
    pub fn target(&self) -> &Host {
        &self.target
    }

    /// Returns the share as it was when the eviction began.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Returns the addresses that the link must be probed for.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.target.claimed()
    }

    /// Keeps the host from claiming anything, if the evidence allows it. `nonce` is random.
    ///
    /// # Errors
    /// If the evidence speaks against the eviction, or the host has sent a beat; if nothing
    /// answers.
    pub fn fence(
        self,
        registry: &mut dyn Registry,
        keys: &Keys,
        evidence: Evidence,
        nonce: u128,
    ) -> Result<Fenced, ShareError> {
        judge(&self.target, evidence)?;
        let HostRecord { host, name, .. } = &self.target.record;
        let key = keys.host(host);
        let mut fenced = self.target.record.clone();
        if !fenced.evicted {
            fenced.evicted = true;
            fenced.seq += 1;
            fenced.nonce = format!("{nonce:032x}");
            let outcome = registry.commit(&Transaction {
                checks: vec![
                    Check::Is(key.clone(), self.target.record.encode()),
                    Check::Absent(keys.live(host)),
                ],
                writes: vec![Write::Put(key.clone(), fenced.encode())],
                otherwise: vec![Read::Key(key)],
            })?;
            if let Outcome::Refused(found) = outcome
                && found.first().and_then(|found| found.value()) != Some(&fenced.encode())
            {
                return Err(ShareError::Operator(format!(
                    "host {name} has just reported in, so it is not gone"
                )));
            }
        }
        // Looks again, so that what it claimed at the last moment is probed, too.
        let (target, _) = look(registry, keys, host.as_str())?;
        Ok(Fenced { fenced, target })
    }
}

/// An eviction of a host that can no longer claim anything: probe the link for its addresses once
/// more, then [`free`](Self::free) them.
#[derive(Debug)]
pub struct Fenced {
    fenced: HostRecord,
    target: Host,
}

impl Fenced {
    /// Returns the addresses that the link must be probed for.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.target.claimed()
    }

    /// Deletes the keys of the host's addresses, if the evidence allows it, and returns those
    /// that were deleted.
    ///
    /// # Errors
    /// As [`Eviction::fence`]. What was deleted stays deleted.
    pub fn free(
        self,
        registry: &mut dyn Registry,
        keys: &Keys,
        evidence: Evidence,
    ) -> Result<Vec<Claim>, ShareError> {
        let standing = standing(&self.target).decide();
        standing.map_err(|doubt| refused(&self.target, &doubt))?;
        judge(&self.target, evidence)?;
        let key = keys.host(&self.fenced.host);
        let mut freed = Vec::new();
        for claim in self.target.addresses {
            let address = keys.address(claim.address);
            let outcome = registry.commit(&Transaction {
                checks: vec![
                    Check::Is(key.clone(), self.fenced.encode()),
                    Check::Is(address.clone(), claim.value.clone().into()),
                ],
                writes: vec![Write::Delete(address)],
                otherwise: Vec::new(),
            })?;
            if outcome == Outcome::Done {
                freed.push(claim);
            }
        }
        Ok(freed)
    }
}

fn look(
    registry: &mut dyn Registry,
    keys: &Keys,
    called: &str,
) -> Result<(Host, Picture), ShareError> {
    let picture = picture(registry, keys)?;
    let picture =
        picture.ok_or_else(|| ShareError::Operator("no host has joined the share yet".into()))?;
    Ok((find(&picture, called)?.clone(), picture))
}

fn standing(target: &Host) -> Standing {
    Standing {
        beats: target.live,
        is_incomplete: target.is_incomplete,
    }
}

fn refused(target: &Host, doubt: &Doubt) -> ShareError {
    let name = &target.record.name;
    ShareError::Operator(format!("host {name} is not evicted: {doubt}"))
}

/// Judges by the evidence. An address of the host that the evidence lacks counts as not probed.
fn judge(target: &Host, mut evidence: Evidence) -> Result<(), ShareError> {
    for claim in &target.addresses {
        let address = claim.address;
        if !evidence.addresses.iter().any(|one| one.address == address) {
            let not_probed = evict::Probed {
                address,
                probes: 0,
                answered: false,
            };
            evidence.addresses.push(not_probed);
        }
    }
    evict::decide(&evidence).map_err(|doubt| refused(target, &doubt))
}
