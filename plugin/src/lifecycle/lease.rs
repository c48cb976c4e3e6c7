//! The first step of a setup: addresses for a container on each of its networks, durable
//! before anything is plumbed.

use std::net::IpAddr;

use super::LifecycleError;
use super::contest;
use super::session::Session;
use crate::podman::Podman;
use crate::rules::allocator::{self, Decision, Refusal, Request};
use crate::rules::attachment::Attachment;
use crate::rules::lease::{Kind, Namespace, Phase, Tenant};
use crate::rules::options::{self, Options};
use crate::rules::pool::Pool;
use crate::rules::settings::Settings;
use crate::sight;
use crate::store::Transaction;

/// A container on one network that wants addresses there.
pub(super) struct Applicant {
    pub(super) attachment: Attachment,
    options: Options,
    pools: Vec<Pool>,
}

impl Applicant {
    /// Checks what a container asks for against the network's options and subnets, with
    /// what the settings make of them.
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

/// Leases addresses to all applicants in one transaction, durably; reclaims from the dead
/// where they are in the way. Returns the tenants in the applicants' order.
pub(super) fn lease(
    session: &Session<'_>,
    applicants: &[Applicant],
    namespace: &Namespace,
) -> Result<Vec<Tenant>, LifecycleError> {
    loop {
        let mut transaction = session.store.begin();
        let mut tenants = Vec::new();
        let mut refused = None;
        for applicant in applicants {
            let wanted = applicant.tenant(session, namespace)?;
            match offer(session, &mut transaction, applicant, wanted)? {
                Ok(tenant) => tenants.push(tenant),
                Err(refusal) => {
                    refused = Some((applicant, refusal));
                    break;
                }
            }
        }
        let Some((applicant, refusal)) = refused else {
            // C4
            transaction.commit(session.now)?;
            return Ok(tenants);
        };
        // C3
        settle(session, &transaction, applicant, refusal)?;
    }
}

/// Stages the leases of one applicant.
fn offer(
    session: &Session<'_>,
    transaction: &mut Transaction<'_>,
    applicant: &Applicant,
    wanted: Tenant,
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
    let choice = match allocator::choose(&transaction.shelf(&network_id), pools, &request)? {
        Decision::Lease(choice) => choice,
        Decision::Refused(refusal) => return Ok(Err(refusal)),
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
            let pool = applicant.pools.iter().find(|pool| pool.subnet() == subnet);
            let pool = pool.expect("the refusal names one of these pools");
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
