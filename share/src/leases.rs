//! What a member does with addresses: it claims them, checks whether they are still its own, gives
//! them back, and makes the share and its leases agree.

use std::net::IpAddr;

use crate::ShareError;
use crate::claim::{self, Obstacles, Wanted};
use crate::error::Taker;
use crate::holding::{Claim, Holder, Lease};
use crate::host::HostRecord;
use crate::member::{Member, TRIES};
use crate::reconcile;
use crate::registry::{Outcome, Read, Write};
use crate::search::{Searches, Want};

/// Whether claims are still in the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Held,
    /// Certainly not: the address, and the value of its key now, if there is one.
    Lost(IpAddr, Option<Vec<u8>>),
}

/// What a reconciliation has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Keys of ours that no lease mentioned, now deleted.
    pub deleted: Vec<Claim>,
    /// Leases that were put back.
    pub claimed: Vec<Claim>,
    pub conflicts: Vec<Conflict>,
}

/// A lease whose address another holder has in the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub lease: Lease,
    /// Who has it; `None` if the key cannot be read.
    pub taker: Option<Taker>,
}

impl Member<'_> {
    /// Claims addresses for a container, all or none, in the order of `wants`. On return they
    /// belong to this store, which must lease them durably before anything is plumbed (I1). A
    /// claim replaces this store's earlier claim for the same address: the caller holds the
    /// share's lock and knows that no other container has leased the address.
    ///
    /// # Errors
    /// If an address is taken, or a range is full; if the host may not speak for itself; if
    /// nothing answers: a later [`reconcile`](Self::reconcile) then takes back what may have been
    /// claimed.
    pub fn claim(
        &mut self,
        container: &str,
        name: &str,
        wants: &[Want<'_>],
    ) -> Result<Vec<Claim>, ShareError> {
        // A separate beat is needed only to learn the outcome of an earlier one, or whether a
        // suspension is over. Usually the beat is part of the claim's transaction.
        let first = self.identity.former.is_some();
        if first || self.identity.pending.is_some() || self.meta()?.epoch.suspended {
            if self.beat()?.epoch.suspended {
                return Err(ShareError::Suspended);
            }
        } else {
            self.renew_live()?;
            self.prepare(None)?;
        }
        let holder = self.holder(container, name);
        let mut searches = Searches::new(wants)?;
        let mut earlier: Vec<Option<Vec<u8>>> = vec![None; wants.len()];
        for _ in 0..TRIES {
            let pairs = searches.choice.iter().zip(&earlier);
            let wanted: Vec<_> = pairs
                .map(|(address, over)| Wanted {
                    claim: holder.claim(*address),
                    over: over.clone(),
                })
                .collect();
            let claims = || wanted.iter().map(|one| one.claim.clone()).collect();
            let windows = searches.windows();
            let mut sent = claim::transaction(self.keys, &self.identity, &wanted, &windows);
            if let Some(beat) = &self.identity.pending {
                let key = self.keys.host(&self.identity.host);
                sent.writes.push(Write::Put(key, beat.clone().into()));
            }
            let found = match self.registry.commit(&sent)? {
                Outcome::Done => {
                    self.confirm()?;
                    return Ok(claims());
                }
                Outcome::Refused(found) => found,
            };
            let obstacles = Obstacles::read(self.keys, &found, wanted.len());
            if obstacles.is_mine(&wanted) {
                self.confirm()?;
                return Ok(claims());
            }
            if !self.stands(&obstacles) {
                // The beat finds out why, or that all is well again.
                if self.beat()?.epoch.suspended {
                    return Err(ShareError::Suspended);
                }
                continue;
            }
            for (at, want) in wants.iter().enumerate() {
                let present = obstacles.present[at];
                // The container's own earlier claim, or one left by a crash or by a release that
                // has not reached etcd.
                let own =
                    present.filter(|value| claim::is_own(&self.identity, &self.facts.store, value));
                earlier[at] = own.map(<[u8]>::to_vec);
                match (present, want) {
                    (None, _) => {}
                    (Some(_), _) if own.is_some() => {}
                    (Some(value), Want::Static(address)) => {
                        return Err(self.taken(*address, value));
                    }
                    (Some(_), Want::Dynamic { .. }) => searches.lose(at),
                }
            }
            searches.choose(self.keys, self.registry, &obstacles, self.random)?;
        }
        Err(self.changing())
    }

    /// Checks whether claims are still in the share.
    ///
    /// # Errors
    /// If nothing answers: nothing is then known.
    pub fn verify(&mut self, claims: &[Claim]) -> Result<Proof, ShareError> {
        let reads = claims
            .iter()
            .map(|one| Read::Key(self.keys.address(one.address)));
        let reads: Vec<_> = reads.collect();
        let found = self.registry.read(&reads)?;
        for (claim, found) in claims.iter().zip(&found) {
            if found.value() != Some(claim.value.as_bytes()) {
                let now = found.value().map(<[u8]>::to_vec);
                return Ok(Proof::Lost(claim.address, now));
            }
        }
        Ok(Proof::Held)
    }

    /// Gives an address back. Returns `true` if the key certainly no longer has this claim;
    /// `false` if this host may not delete it at present. A claim of this host's former identity
    /// may belong to the original that this host is a copy of: it stays until that is evicted.
    ///
    /// # Errors
    /// If nothing answers.
    pub fn give_back(&mut self, claim: &Claim) -> Result<bool, ShareError> {
        if !claim::is_own(&self.identity, &self.facts.store, claim.value.as_bytes()) {
            return Ok(true);
        }
        let sent = claim::release(self.keys, &self.identity, claim);
        Ok(match self.registry.commit(&sent)? {
            Outcome::Done => true,
            Outcome::Refused(found) => {
                let now = found.first().and_then(|found| found.value());
                now != Some(claim.value.as_bytes())
            }
        })
    }

    /// Gives back the address that a container had. The caller holds the share's lock, and has
    /// seen since taking it that the store does not lease the address. Returns `true` if the
    /// container certainly no longer has it; `false` as in [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// If nothing answers.
    pub fn release(&mut self, address: IpAddr, container: &str) -> Result<bool, ShareError> {
        let found = self
            .registry
            .read(&[Read::Key(self.keys.address(address))])?;
        let value = found.first().and_then(|found| found.value());
        match value.map(Holder::decode) {
            Some(Ok(holder)) if holder.container == container => self.give_back(&Claim {
                address,
                value: String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
            }),
            Some(_) | None => Ok(true),
        }
    }

    /// Makes the share's keys and a store's leases agree: see [`reconcile::plan`]. The caller
    /// has read the leases since it took the share's lock. `is_complete` says whether these
    /// are certainly all that containers have. If not, no key is deleted, and after a restore the
    /// host does not yet count as having put its leases back.
    ///
    /// # Errors
    /// If the host may not speak for itself, or nothing answers. What was done stays done, and
    /// doing it again does no harm.
    pub fn reconcile(
        &mut self,
        leases: &[Lease],
        is_complete: bool,
    ) -> Result<Reconciled, ShareError> {
        let meta = self.beat()?;
        let keys = self.addresses()?;
        let plan = reconcile::plan(&self.identity, &self.facts.store, leases, &keys);
        let mut done = Reconciled::default();
        for (lease, value) in plan.conflicts {
            let taker = self.taker(&value);
            done.conflicts.push(Conflict { lease, taker });
        }
        for orphan in plan.delete.into_iter().filter(|_| is_complete) {
            if self.give_back(&orphan)? {
                done.deleted.push(orphan);
            }
        }
        for lease in plan.claim {
            let claim = self
                .holder(&lease.container, &lease.name)
                .claim(lease.address);
            let wanted = [Wanted { claim, over: None }];
            let sent = claim::transaction(self.keys, &self.identity, &wanted, &[]);
            let found = match self.registry.commit(&sent)? {
                Outcome::Done => None,
                Outcome::Refused(found) => Some(found),
            };
            let obstacles = found
                .as_ref()
                .map(|found| Obstacles::read(self.keys, found, 1));
            match obstacles {
                Some(obstacles) if !obstacles.is_mine(&wanted) => match obstacles.present[0] {
                    Some(value) => {
                        let taker = self.taker(value);
                        done.conflicts.push(Conflict { lease, taker });
                    }
                    // The epoch has changed meanwhile.
                    None => return Err(self.changing()),
                },
                Some(_) | None => done.claimed.extend(wanted.map(|one| one.claim)),
            }
        }
        let record = self.identity.record.as_deref().unwrap_or_default();
        let settled = HostRecord::decode(record.as_bytes())?.stores;
        // What stands in a lease's way may be an old claim that the backup brought back and that
        // its owner has yet to delete. Until the lease has its key again, no host may claim.
        let is_new = settled.get(&self.facts.store) != Some(&meta.epoch.number);
        if is_complete && is_new && done.conflicts.is_empty() {
            let now = self.beat_settling(Some(meta.epoch.number))?;
            if now.epoch != meta.epoch {
                return Err(self.changing());
            }
        }
        Ok(done)
    }

    fn stands(&self, obstacles: &Obstacles<'_>) -> bool {
        let is =
            |now: Option<&[u8]>, known: &Option<String>| now == known.as_deref().map(str::as_bytes);
        is(obstacles.meta, &self.identity.meta) && is(obstacles.record, &self.identity.record)
    }

    fn holder(&mut self, container: &str, name: &str) -> Holder {
        Holder {
            host: self.identity.host.clone(),
            store: self.facts.store.clone(),
            container: container.to_owned(),
            name: name.to_owned(),
            nonce: format!("{:032x}", (self.random)()),
        }
    }

    fn taken(&mut self, address: IpAddr, value: &[u8]) -> ShareError {
        let holder = self.taker(value).map(Box::new);
        ShareError::Taken { address, holder }
    }

    /// Returns who has an address, by the value of its key.
    fn taker(&mut self, value: &[u8]) -> Option<Taker> {
        let holder = Holder::decode(value).ok()?;
        let key = Read::Key(self.keys.host(&holder.host));
        let record = self.registry.read(&[key]).ok();
        let record = record.as_ref().and_then(|found| found.first()?.value());
        let record = record.and_then(|value| HostRecord::decode(value).ok());
        Some(Taker {
            host: record.map_or_else(|| holder.host.short().to_owned(), |one| one.name),
            container: holder.container,
            name: holder.name,
        })
    }
}
