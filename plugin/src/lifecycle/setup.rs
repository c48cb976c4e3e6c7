//! A container gets its addresses and its interface.

use std::path::Path;

use serde_json::Value;

use super::contest::{self, ContestError};
use super::recover::recover;
use super::{Context, LOCK_PATIENCE, LifecycleError, introduction};
use crate::delegate::{self, Plan};
use crate::lifecycle::reclaim;
use crate::podman::Caller;
use crate::podman::state_directory;
use crate::protocol::PluginExec;
use crate::rules::allocator::{self, Refusal, Request};
use crate::rules::lease::{Kind, Namespace, Phase, Tenancy, Tenant};
use crate::rules::options::{self, Options};
use crate::rules::pool::Pool;
use crate::sight::{self, PathFact};
use crate::store::{LockFile, Store};
use crate::upkeep::collect;

/// What a setup has come to.
#[derive(Debug)]
pub struct Done {
    /// netavark's status block for the network.
    pub status: Value,
    /// Whether nobody has collected for long: see [`collect::start`].
    pub collection_due: bool,
}

/// Leases addresses for a container, has netavark set the interface up, and
/// returns netavark's status block.
///
/// Asking again for the same container, network and interface gives the same
/// addresses; the interface is made anew. On return the lease is durable and
/// the store closed.
///
/// # Errors
/// If the request is bad, an address is held by a container not known to be
/// gone, or netavark or the store fails. What was done is undone then; what
/// cannot be undone stays on record for reclaim.
pub fn setup(exec: &PluginExec, netns: &Path, caller: &Caller) -> Result<Done, LifecycleError> {
    let network = exec.network.name.as_str();
    let options = Options::parse(&exec.network).map_err(|source| LifecycleError::Options {
        network: network.into(),
        source,
    })?;
    let pools = options::pools(&exec.network, &options).map_err(|source| LifecycleError::Pool {
        network: network.into(),
        source,
    })?;
    if pools.is_empty() {
        return Err(LifecycleError::NoSubnet(network.into()));
    }
    let context = Context::of(caller)?;
    let wanted = Tenant {
        tenancy: Tenancy::from(exec),
        network_name: network.into(),
        container_name: exec.container_name.as_str().into(),
        phase: Phase::Offered,
        leased: Vec::new(),
        namespace: namespace(netns)?,
        pid_namespace: sight::pid_namespace()?,
        starter: caller.starter,
        boot_id: context.boot_id.clone(),
        created: context.now,
        renewed: context.now,
        expires: context.now.after(options.ttl),
        mac_address: None,
        request: exec.clone(),
        delegation: caller.delegation.clone(),
    };

    let directory = state_directory(&caller.delegation.config)?;
    let mut lock = LockFile::open(&directory)?;
    let guard = lock.acquire(LOCK_PATIENCE, &introduction("setup", exec))?;
    if guard.follows_a_kill() {
        delegate::await_orphans(&caller.delegation);
    }
    let store = Store::open(&directory, guard, &context.boot_id, context.now)?;

    recover(&store, exec, netns, caller, &context)?;

    if let Some(earlier) = store.begin().tenant(&wanted.tenancy)? {
        reclaim::clear_away(context.netavark, &earlier)?;
        if earlier.namespace != wanted.namespace {
            reclaim::remove_abandoned(&earlier, &context.boot_id);
        }
    }
    let tenant = offer(&store, wanted, &pools, &options, &context)?;
    let addresses = tenant.addresses();
    let plan = Plan {
        exec,
        plumbing: options.plumbing,
        addresses: &addresses,
    };
    let bound = delegate::setup(context.netavark, &tenant.delegation, &plan, netns)
        .map_err(LifecycleError::from)
        .and_then(|status| bind(&store, &tenant, &status, &context).map(|()| status));
    let status = bound.map_err(|failure| undo(&store, &tenant, failure, &context))?;
    Ok(Done {
        status,
        collection_due: collect::is_due(&store, context.now),
    })
}

/// Leases addresses durably, reclaiming from the dead where they are in the way.
fn offer(
    store: &Store<'_>,
    wanted: Tenant,
    pools: &[Pool],
    options: &Options,
    context: &Context<'_>,
) -> Result<Tenant, LifecycleError> {
    let network_id = wanted.tenancy.network_id.clone();
    let network = wanted.network_name.clone();
    loop {
        let mut transaction = store.begin();
        transaction.prepare(&network_id, pools, context.now)?;
        let current = transaction.tenant(&wanted.tenancy)?;
        let request = Request {
            tenancy: &wanted.tenancy,
            container_name: &wanted.container_name,
            static_ips: &wanted.request.network_options.static_ips,
            current: current.as_ref(),
            order: options.order,
            random: fastrand::u128(..),
        };
        let refusal = match allocator::choose(&transaction.shelf(&network_id), pools, &request)? {
            Ok(choice) => {
                let tenant = transaction.lease_to(wanted, &choice)?;
                for (pool, address) in dynamic(pools, &choice) {
                    transaction.set_cursor(&network_id, pool.subnet(), address)?;
                }
                transaction.commit(context.now)?;
                return Ok(tenant);
            }
            Err(refusal) => refusal,
        };
        let settled = match refusal {
            Refusal::Outside(address) => {
                return Err(LifecycleError::Outside { address, network });
            }
            Refusal::Unleasable(address, reason) => {
                return Err(LifecycleError::Unleasable {
                    address,
                    network,
                    reason,
                });
            }
            Refusal::Leased(address, holder) => {
                contest::for_address(store, address, transaction.holder(&holder)?, context)
            }
            Refusal::Full(subnet) => {
                let pool = pools.iter().find(|pool| pool.subnet() == subnet);
                let pool = pool.expect("the refusal names one of these pools");
                let others = transaction.tenants(&network_id)?;
                let held = transaction.reservations(&network_id)?;
                let held = held
                    .iter()
                    .filter(|(address, _)| pool.offers(*address))
                    .count();
                let others = others
                    .into_iter()
                    .filter(|t| t.tenancy != wanted.tenancy)
                    .collect();
                contest::for_pool(store, pool, others, held, context)
            }
        };
        settled.map_err(|error| match error {
            ContestError::Contest(contest) => LifecycleError::Contested(contest),
            ContestError::Reclaim(error) => LifecycleError::Reclaim(error),
            ContestError::Store(error) => LifecycleError::Store(error),
        })?;
    }
}

/// Returns the dynamic addresses of a choice, each with its pool.
fn dynamic<'a>(
    pools: &'a [Pool],
    choice: &'a allocator::Choice,
) -> impl Iterator<Item = (&'a Pool, std::net::IpAddr)> {
    let dynamic = choice.iter().filter(|(_, kind)| *kind == Kind::Dynamic);
    dynamic.filter_map(|(address, _)| {
        Some((pools.iter().find(|pool| pool.covers(*address))?, *address))
    })
}

/// Marks a tenant's leases as bound, durably.
fn bind(
    store: &Store<'_>,
    tenant: &Tenant,
    status: &Value,
    context: &Context<'_>,
) -> Result<(), LifecycleError> {
    let interface = &status["interfaces"][tenant.tenancy.interface.as_str()];
    let bound = Tenant {
        phase: Phase::Bound,
        mac_address: interface["mac_address"].as_str().map(str::to_owned),
        ..tenant.clone()
    };
    let mut transaction = store.begin();
    transaction.update(&bound)?;
    Ok(transaction.commit(context.now)?)
}

/// Undoes a setup that failed: netavark calls no teardown for it. The addresses
/// stay held for the container, which will try again. Returns the failure, with
/// what the clean-up could not do.
fn undo(
    store: &Store<'_>,
    tenant: &Tenant,
    failure: LifecycleError,
    context: &Context<'_>,
) -> LifecycleError {
    let cleaned = reclaim::clear_away(context.netavark, tenant)
        .and_then(|()| Ok(reclaim::release(store, tenant, context.now)?));
    match cleaned {
        Ok(()) => failure,
        Err(cleanup) => LifecycleError::Undo {
            failure: crate::chain(&failure),
            cleanup: crate::chain(&cleanup),
        },
    }
}

/// Returns what the container's namespace is.
pub(super) fn namespace(path: &Path) -> Result<Namespace, LifecycleError> {
    let unreadable = |reason| LifecycleError::Namespace {
        path: path.to_owned(),
        reason,
    };
    match sight::examine(path) {
        PathFact::There((device, inode)) => Ok(Namespace {
            path: path.to_owned(),
            device,
            inode,
        }),
        PathFact::Missing => Err(unreadable("there is none".to_owned())),
        PathFact::Unreadable(reason) => Err(unreadable(reason)),
    }
}
