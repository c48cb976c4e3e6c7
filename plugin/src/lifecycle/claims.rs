//! Claims in shares: if other hosts lease from the same network, an address is claimed in etcd
//! before it is leased here.
//!
//! A setup holds the seat in each share from before it chooses an address until its leases are
//! bound. So a collection, which compares keys with leases, never finds one without the other.
//! The store's lock is never held while berth waits for etcd.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use berth_share::{Claim, Proof, ShareName, Terms, Want};

use super::LifecycleError;
use super::lease::{Applicant, Proposed, make_room};
use super::reconcile::reconcile;
use super::session::{SessionError, read_store, with_session};
use crate::podman::Podman;
use crate::rules::allocator::Choice;
use crate::rules::lease::{NetworkId, Tenant};
use crate::rules::pool::{Pool, Span};
use crate::rules::share;
use crate::sharing::{Seat, SharingError};
use crate::store::StoreError;

/// How long a removal waits for etcd. The next collection gives back what it does not.
const RELEASE: Duration = Duration::from_millis(500);

/// Which of this host's addresses a new claim does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spared {
    /// Those that are leased or reserved.
    Reserved,
    Leased,
}

/// The claims of one setup, with the seats in their shares.
pub(super) struct Claims<'p> {
    podman: &'p Podman,
    shares: Vec<Share>,
    /// What is claimed for each applicant; `None` if its network is in no share.
    choices: Vec<Option<Choice>>,
}

struct Share {
    seat: Seat,
    /// The terms of each of this host's networks that is in it.
    terms: Vec<Terms>,
    /// The applicants on networks of this share.
    applicants: Vec<usize>,
    claims: Vec<Claim>,
}

/// One address that an applicant asks the share for.
struct Asked<'a> {
    /// The applicant, and its index among all applicants.
    applicant: &'a Applicant,
    at: usize,
    proposed: Proposed,
    /// What others on this host have of its network: read only if the proposed address is
    /// taken.
    taken: OnceCell<HashSet<IpAddr>>,
}

impl<'a> Asked<'a> {
    fn new(at: usize, applicant: &'a Applicant, proposed: Proposed) -> Self {
        Self {
            applicant,
            at,
            proposed,
            taken: OnceCell::new(),
        }
    }

    /// Returns whether this host allows an address.
    fn is_usable(&self, podman: &Podman, spared: Spared, address: IpAddr) -> bool {
        let is_offered = || {
            let pool = self.applicant.pool_of(address);
            pool.is_some_and(|pool| pool.offers(address))
        };
        let taken = || {
            self.taken
                .get_or_init(|| taken_here(podman, self.applicant, spared))
        };
        address == self.proposed.address || (is_offered() && !taken().contains(&address))
    }

    fn want<'u>(&self, usable: &'u dyn Fn(IpAddr) -> bool) -> Want<'u> {
        let Proposed {
            address, is_fixed, ..
        } = self.proposed;
        match self.applicant.pool_of(address).and_then(range) {
            Some(range) if !is_fixed => Want::Dynamic {
                range,
                start: address,
                usable,
            },
            _ => Want::Static(address),
        }
    }
}

impl<'p> Claims<'p> {
    /// Takes the seat in each share that the applicants' networks are in; mostly, there is
    /// none.
    ///
    /// # Errors
    /// If a share is not configured, or another command has the seat.
    pub(super) fn open(
        podman: &'p Podman,
        applicants: &[Applicant],
    ) -> Result<Self, LifecycleError> {
        let mut names: Vec<_> = applicants.iter().filter_map(Applicant::share).collect();
        // In the order of their names, so that two commands never deadlock.
        names.sort_unstable();
        names.dedup();
        let wait = podman.settings.lock_wait();
        let shares = names.into_iter().map(|name| {
            let on_it = |at: &usize| applicants[*at].share() == Some(name);
            let on_it: Vec<_> = (0..applicants.len()).filter(on_it).collect();
            let terms = on_it.iter().map(|at| {
                let network = &applicants[*at].attachment.network;
                share::terms(network).map_err(|source| LifecycleError::Pool {
                    network: network.name.as_str().into(),
                    source,
                })
            });
            Ok(Share {
                terms: terms.collect::<Result<_, _>>()?,
                seat: Seat::take(podman, name, wait)?,
                applicants: on_it,
                claims: Vec::new(),
            })
        });
        Ok(Self {
            podman,
            shares: shares.collect::<Result<_, LifecycleError>>()?,
            choices: vec![None; applicants.len()],
        })
    }

    /// Returns whether no network is in a share.
    pub(super) fn are_none(&self) -> bool {
        self.shares.is_empty()
    }

    /// Returns what is claimed for an applicant; `None` if its network is in no share.
    pub(super) fn choice(&self, applicant: usize) -> Option<&Choice> {
        self.choices[applicant].as_ref()
    }

    /// Claims what this host alone would lease to the applicants, as `propose` says, or
    /// whatever the other hosts have left that is most like it. If a share is full, berth
    /// claims addresses that are reserved here, and then reclaims from the dead.
    ///
    /// # Errors
    /// If an address is taken, a share is full, or etcd does not answer. What was claimed for
    /// the container is then given back.
    pub(super) fn claim(
        &mut self,
        applicants: &[Applicant],
        propose: &dyn Fn() -> Result<Vec<Vec<Proposed>>, LifecycleError>,
    ) -> Result<(), LifecycleError> {
        let mut last = Spared::Reserved;
        loop {
            let proposals = propose()?;
            let failed = match self.claim_all(applicants, &proposals, last) {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            self.give_back();
            let LifecycleError::Sharing(error) = &failed else {
                return Err(failed);
            };
            let SharingError::Full { share, first, .. } = &**error else {
                return Err(failed);
            };
            if last == Spared::Leased {
                match self.reclaim_one(applicants, share, *first) {
                    Err(LifecycleError::Contested(_)) => return Err(failed),
                    reclaimed => reclaimed?,
                }
            }
            last = Spared::Leased;
            // What a dead container had is still claimed.
            let mut shares = self.shares.iter_mut();
            if let Some(share) = shares.find(|one| one.seat.share() == share) {
                let total = share.seat.configuration.times.total;
                reconcile(self.podman, &mut share.seat, share.terms.first(), total)?;
            }
        }
    }

    /// Takes back what one dead container has of the pool that `first` lies in.
    fn reclaim_one(
        &self,
        applicants: &[Applicant],
        share: &ShareName,
        first: IpAddr,
    ) -> Result<(), LifecycleError> {
        let mut on_it = applicants.iter().filter(|one| one.share() == Some(share));
        let found = on_it.find_map(|one| Some((one, one.pool_of(first)?.subnet())));
        let (applicant, subnet) = found.expect("one of the applicants has asked for this pool");
        let who = "look for dead containers, because a share is full";
        with_session(self.podman, who, |session| {
            make_room(session, applicant, subnet)
        })
    }

    fn claim_all(
        &mut self,
        applicants: &[Applicant],
        proposals: &[Vec<Proposed>],
        spared: Spared,
    ) -> Result<(), LifecycleError> {
        self.choices.fill(None);
        let podman = self.podman;
        for share in &mut self.shares {
            let total = share.seat.configuration.times.total;
            let asked: Vec<_> = share
                .applicants
                .iter()
                .flat_map(|at| proposals[*at].iter().map(|proposed| (*at, *proposed)))
                .map(|(at, proposed)| Asked::new(at, &applicants[at], proposed))
                .collect();
            let usable: Vec<_> = asked
                .iter()
                .map(|one| move |address| one.is_usable(podman, spared, address))
                .collect();
            let pairs = asked.iter().zip(&usable);
            let wants: Vec<_> = pairs.map(|(one, usable)| one.want(usable)).collect();
            let container = &applicants[share.applicants[0]].attachment;
            let terms = &share.terms;
            let claimed = share.seat.speak(None, total, |member| {
                terms.iter().try_for_each(|terms| member.join(terms))?;
                let (id, name) = (&container.container_id, &container.container_name);
                member.claim(id.as_str(), name.as_str(), &wants)
            });
            share.claims = claimed?;
            for (one, claim) in asked.iter().zip(&share.claims) {
                let choice = self.choices[one.at].get_or_insert_default();
                choice.push((claim.address, one.proposed.kind));
            }
        }
        Ok(())
    }

    /// Checks that everything is still claimed, now that it is in use. Returns `Err` only if
    /// an address certainly is not: then the container must not have it.
    pub(super) fn verify(&mut self) -> Result<(), LifecycleError> {
        for share in &mut self.shares {
            let total = share.seat.configuration.times.attempt;
            let claims = &share.claims;
            let proof = share
                .seat
                .speak(None, total, |member| member.verify(claims));
            match proof {
                Ok(Proof::Held) => {}
                Ok(Proof::Lost(address, _)) => {
                    return Err(LifecycleError::Lost {
                        address,
                        share: share.seat.share().clone(),
                    });
                }
                // No answer is no loss: it was claimed a moment ago.
                Err(error) => log::warn!("{}", crate::chain(&error)),
            }
        }
        Ok(())
    }

    /// Gives back what is claimed and not leased. It never fails: the next collection gives
    /// back what this does not.
    pub(super) fn give_back(&mut self) {
        for share in &mut self.shares {
            let mut claims = std::mem::take(&mut share.claims);
            let leased = leased(self.podman, claims.iter().map(|claim| claim.address));
            match leased {
                Ok(leased) => claims.retain(|claim| !leased.contains(&claim.address)),
                Err(error) => {
                    log::warn!("{}", crate::chain(&error));
                    continue;
                }
            }
            if claims.is_empty() {
                continue;
            }
            let given = share.seat.speak(None, RELEASE, |member| {
                claims
                    .iter()
                    .try_for_each(|claim| member.give_back(claim).map(drop))
            });
            if let Err(error) = given {
                log::warn!(
                    "failed to give back what was claimed; the next collection does it: {}",
                    crate::chain(&error)
                );
            }
        }
    }
}

/// Gives back, in their shares, the addresses of tenants that the store has just released. It
/// never fails: the next collection gives back what this does not.
pub fn release(podman: &Podman, tenants: &[Tenant]) {
    let mut shared: Vec<(ShareName, IpAddr, &str)> = Vec::new();
    for tenant in tenants {
        let Some(share) = share::of_network(&tenant.request.network) else {
            continue;
        };
        let container = tenant.tenancy.container_id.as_str();
        let addresses = tenant.addresses().into_iter();
        shared.extend(addresses.map(|address| (share.clone(), address, container)));
    }
    shared.sort_unstable();
    for of_one in shared.chunk_by(|one, other| one.0 == other.0) {
        if let Err(error) = release_in(podman, of_one) {
            log::warn!(
                "failed to give back a container's addresses; the next collection does it: {}",
                crate::chain(&error)
            );
        }
    }
}

fn release_in(podman: &Podman, gone: &[(ShareName, IpAddr, &str)]) -> Result<(), LifecycleError> {
    let mut seat = Seat::take(podman, &gone[0].0, RELEASE)?;
    // Another container may have leased an address again before we had the seat.
    let leased = leased(podman, gone.iter().map(|(_, address, _)| *address))?;
    let free = gone
        .iter()
        .filter(|(_, address, _)| !leased.contains(address));
    seat.speak(None, RELEASE, |member| {
        for (_, address, container) in free {
            member.release(*address, container)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Returns which of these addresses the store leases, on any network.
fn leased(
    podman: &Podman,
    addresses: impl Iterator<Item = IpAddr>,
) -> Result<HashSet<IpAddr>, SessionError> {
    let addresses: Vec<_> = addresses.collect();
    let found = read_store(podman, "look at what is leased", |transaction| {
        let mut leased = HashSet::new();
        for network in transaction.networks()? {
            for address in &addresses {
                if transaction.lease(&network, *address)?.is_some() {
                    leased.insert(*address);
                }
            }
        }
        Ok(leased)
    })?;
    Ok(found.unwrap_or_default())
}

/// Returns the addresses that this host spares on an applicant's network. If the store cannot
/// be read, it returns none: leasing the address then fails.
fn taken_here(podman: &Podman, applicant: &Applicant, spared: Spared) -> HashSet<IpAddr> {
    let network = NetworkId::from(applicant.attachment.network.id.as_str());
    let read = read_store(podman, "look for free addresses", |transaction| {
        let mut taken = HashSet::new();
        if spared == Spared::Reserved {
            let reserved = transaction.reservations(&network)?.into_iter();
            taken.extend(reserved.map(|(address, _)| address));
        }
        for tenant in transaction.tenants(&network)? {
            taken.extend(tenant.addresses());
        }
        Ok::<_, StoreError>(taken)
    });
    read.unwrap_or_else(|error| {
        log::warn!("{}", crate::chain(&error));
        None
    })
    .unwrap_or_default()
}

/// Returns the part of a pool in which a free address is searched for.
fn range(pool: &Pool) -> Option<Span> {
    let (first, last) = (pool.spans().first()?, pool.spans().last()?);
    Span::new(first.first(), last.last())
}

impl From<SharingError> for LifecycleError {
    fn from(error: SharingError) -> Self {
        Self::Sharing(Box::new(error))
    }
}
