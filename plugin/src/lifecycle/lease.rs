//! The first step of a setup: leases a container's addresses on each of its networks,
//! durably, before anything is plumbed.

use std::net::IpAddr;

use berth_share::ShareName;
use ipnetwork::IpNetwork;

use super::LifecycleError;
use super::claims::Claims;
use super::contest;
use super::session::Session;
use crate::podman::Podman;
use crate::rules::allocator::{self, Choice, Decision, Refusal, Request};
use crate::rules::attachment::Attachment;
use crate::rules::lease::{Kind, Namespace, Phase, Tenant};
use crate::rules::options::{self, Options};
use crate::rules::pledge::Pledge;
use crate::rules::pool::Pool;
use crate::rules::settings::Settings;
use crate::sight;
use crate::store::Transaction;

/// A container that wants addresses on one network.
pub(super) struct Applicant {
    pub(super) attachment: Attachment,
    options: Options,
    pools: Vec<Pool>,
}

impl Applicant {
    /// Checks what a container asks for against the network's options, with the settings
    /// applied to them, and against its subnets.
    pub(super) fn new(
        mut attachment: Attachment,
        settings: &Settings,
    ) -> Result<Self, LifecycleError> {
        settings.apply(&mut attachment.network)?;
        let network = &attachment.network;
        let name = || network.name.as_str().into();
        if attachment.options.interface.as_str() == "lo" {
            return Err(LifecycleError::Loopback(name()));
        }
        let options = Options::parse(network).map_err(|source| LifecycleError::Options {
            network: name(),
            source,
        })?;
        let pools = options::pools(network, &options).map_err(|source| LifecycleError::Pool {
            network: name(),
            source,
        })?;
        if pools.is_empty() {
            return Err(LifecycleError::NoSubnet(name()));
        }
        Ok(Self {
            attachment,
            options,
            pools,
        })
    }

    /// Returns the share that its addresses are claimed in, if its network is in one.
    pub(super) fn share(&self) -> Option<&ShareName> {
        self.options.share.as_ref()
    }

    /// Returns the pool whose subnet an address lies in.
    pub(super) fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.covers(address))
    }

    /// Returns the pool of the subnet that a refusal names.
    fn pool(&self, subnet: IpNetwork) -> &Pool {
        let pool = self.pools.iter().find(|pool| pool.subnet() == subnet);
        pool.expect("the refusal names one of these pools")
    }

    /// Returns the tenant it becomes, without addresses yet.
    fn tenant(
        &self,
        session: &Session<'_>,
        namespace: &Namespace,
    ) -> Result<Tenant, LifecycleError> {
        let Podman {
            starter,
            delegation,
            ..
        } = session.podman;
        Ok(Tenant {
            tenancy: self.attachment.tenancy(),
            network_name: self.attachment.network.name.as_str().into(),
            container_name: self.attachment.container_name.clone(),
            phase: Phase::Offered,
            leased: Vec::new(),
            namespace: namespace.clone(),
            pid_namespace: sight::pid_namespace()?,
            starter: *starter,
            boot_id: session.boot_id.clone(),
            created: session.now,
            renewed: session.now,
            expires: session.now.after(self.options.ttl),
            mac_address: None,
            request: self.attachment.clone(),
            delegation: delegation.clone().into(),
        })
    }
}

/// An address that this host alone would lease to an applicant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proposed {
    pub(super) address: IpAddr,
    pub(super) kind: Kind,
    /// The container must get this one and no other.
    pub(super) is_fixed: bool,
}

/// Returns what each applicant would be leased if no other host leased from the same
/// networks. Reclaims from the dead that are in the way. Leases nothing.
pub(super) fn propose(
    session: &Session<'_>,
    applicants: &[Applicant],
    namespace: &Namespace,
) -> Result<Vec<Vec<Proposed>>, LifecycleError> {
    let (_, tenants) = stage(session, applicants, namespace, |_| None)?;
    let before = session.store.begin();
    let proposals = applicants.iter().zip(tenants).map(|(applicant, tenant)| {
        let current = before.tenant(&tenant.tenancy)?;
        let pledges = &applicant.options.pledges;
        let is_its = |address: IpAddr| {
            let has = |current: &Tenant| current.has_leased(address);
            let is_for =
                |one: &Pledge| one.address == address && one.is_for(&tenant.container_name);
            current.as_ref().is_some_and(has) || pledges.iter().any(is_for)
        };
        let proposed = tenant.leased.iter().map(|leased| Proposed {
            address: leased.address,
            kind: leased.kind,
            is_fixed: leased.kind == Kind::Static || is_its(leased.address),
        });
        Ok(proposed.collect())
    });
    proposals.collect()
}

/// Leases addresses to all applicants in one transaction, durably: those that are claimed for
/// them, or else those that are free here. Reclaims from the dead that are in the way.
/// Returns the tenants in the applicants' order.
pub(super) fn lease(
    session: &Session<'_>,
    applicants: &[Applicant],
    namespace: &Namespace,
    claims: &Claims<'_>,
) -> Result<Vec<Tenant>, LifecycleError> {
    let choice = |at| claims.choice(at);
    let (transaction, tenants) = stage(session, applicants, namespace, choice)?;
    // C4
    transaction.commit(session.now)?;
    Ok(tenants)
}

/// Frees one address that a dead container of this host has on a network whose share is full.
pub(super) fn make_room(
    session: &Session<'_>,
    applicant: &Applicant,
    subnet: IpNetwork,
) -> Result<(), LifecycleError> {
    let full = Refusal::Full(subnet);
    settle(session, &session.store.begin(), applicant, full)
}

/// Stages the leases of all applicants; reclaims from the dead that are in the way. `choice`
/// returns what has already been chosen for an applicant.
fn stage<'s, 'c>(
    session: &'s Session<'_>,
    applicants: &[Applicant],
    namespace: &Namespace,
    choice: impl Fn(usize) -> Option<&'c Choice>,
) -> Result<(Transaction<'s>, Vec<Tenant>), LifecycleError> {
    loop {
        let mut transaction = session.store.begin();
        let mut tenants = Vec::new();
        let mut refused = None;
        for (at, applicant) in applicants.iter().enumerate() {
            let wanted = applicant.tenant(session, namespace)?;
            match offer(&mut transaction, session, applicant, wanted, choice(at))? {
                Ok(tenant) => tenants.push(tenant),
                Err(refusal) => {
                    refused = Some((applicant, refusal));
                    break;
                }
            }
        }
        let Some((applicant, refusal)) = refused else {
            return Ok((transaction, tenants));
        };
        // C3
        settle(session, &transaction, applicant, refusal)?;
    }
}

/// Stages the leases of one applicant.
fn offer(
    transaction: &mut Transaction<'_>,
    session: &Session<'_>,
    applicant: &Applicant,
    wanted: Tenant,
    chosen: Option<&Choice>,
) -> Result<Result<Tenant, Refusal>, LifecycleError> {
    let network_id = wanted.tenancy.network_id.clone();
    let pools = &applicant.pools;
    transaction.prepare(&network_id, pools, session.now)?;
    let current = transaction.tenant(&wanted.tenancy)?;
    let request = Request {
        tenancy: &wanted.tenancy,
        container_name: &wanted.container_name,
        static_ips: &wanted.request.options.static_ips,
        current: current.as_ref(),
        pledges: &applicant.options.pledges,
        order: applicant.options.order,
        random: fastrand::u128(..),
    };
    let choice = match chosen {
        Some(chosen) => chosen.clone(),
        None => match allocator::choose(&transaction.shelf(&network_id), pools, &request)? {
            Decision::Lease(choice) => choice,
            Decision::Refused(refusal) => return Ok(Err(refusal)),
        },
    };
    let tenant = transaction.lease_to(wanted, &choice)?;
    for (pool, address) in dynamic(pools, &choice) {
        transaction.set_cursor(&network_id, pool.subnet(), address)?;
    }
    Ok(Ok(tenant))
}

/// Removes one dead tenant that is in the way, or refuses.
fn settle(
    session: &Session<'_>,
    transaction: &Transaction<'_>,
    applicant: &Applicant,
    refusal: Refusal,
) -> Result<(), LifecycleError> {
    let tenancy = applicant.attachment.tenancy();
    let network = applicant.attachment.network.name.as_str().into();
    match refusal {
        Refusal::Outside(address) => Err(LifecycleError::Outside { address, network }),
        Refusal::Unleasable(address, reason) => Err(LifecycleError::Unleasable {
            address,
            network,
            reason,
        }),
        Refusal::Pledged(pledge) => Err(LifecycleError::Pledged { pledge, network }),
        Refusal::Leased(address, holder) => {
            contest::for_address(session, address, transaction.holder(&holder)?)
        }
        Refusal::Full(subnet) => {
            let pool = applicant.pool(subnet);
            let reserved = transaction.reservations(&tenancy.network_id)?;
            let reserved = reserved.iter().filter(|(address, _)| pool.offers(*address));
            let mut others = transaction.tenants(&tenancy.network_id)?;
            others.retain(|tenant| tenant.tenancy != tenancy);
            contest::for_pool(session, pool, others, reserved.count())
        }
    }
}

/// Returns the dynamic addresses of a choice, each with its pool.
fn dynamic<'a>(
    pools: &'a [Pool],
    choice: &'a allocator::Choice,
) -> impl Iterator<Item = (&'a Pool, IpAddr)> {
    let dynamic = choice.iter().filter(|(_, kind)| *kind == Kind::Dynamic);
    dynamic.filter_map(|(address, _)| {
        Some((pools.iter().find(|pool| pool.covers(*address))?, *address))
    })
}
