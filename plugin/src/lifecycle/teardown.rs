//! A container gives its interface and its addresses back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::{Context, LOCK_PATIENCE, LifecycleError, introduction, state_directory, tenancy};
use crate::delegate::{self, Caller, Plan, StandIn};
use crate::evidence;
use crate::lease::Tenant;
use crate::options::Plumbing;
use crate::protocol::PluginExec;
use crate::reclaim;
use crate::store::{LockFile, Store, StoreError};

/// Has netavark take the interface down, then releases the container's leases
/// on this network, each with a hold.
///
/// Repeating it is no failure, nor is a namespace or lease that is gone. It
/// carries on past failures. On return the release is durable.
///
/// # Errors
/// All that failed. A lease whose interface is still there is kept: it is taken
/// back once its namespace is gone.
pub fn teardown(exec: &PluginExec, netns: &Path, caller: &Caller) -> Result<(), LifecycleError> {
    let mut failures = Vec::new();
    if let Err(error) = with_store(exec, netns, caller, &mut failures) {
        // Whatever is wrong with the store, the interface can go.
        failures.push(crate::chain(&error));
        let addresses = addresses_of(exec, netns);
        failures.extend(take_down_unleased(exec, netns, caller, &addresses).err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    let (container, network) = (tenancy(exec).container_id, exec.network.name.as_str());
    let container = container.short().to_owned();
    Err(LifecycleError::Teardown {
        container,
        network: network.into(),
        failures,
    })
}

/// Tears down by what the store knows. Errors are those of the store; failures
/// of the plumbing are collected.
fn with_store(
    exec: &PluginExec,
    netns: &Path,
    caller: &Caller,
    failures: &mut Vec<String>,
) -> Result<(), LifecycleError> {
    let context = Context::of(caller)?;
    let directory = state_directory(&caller.delegation.config);
    let mut lock = LockFile::open(&directory)?;
    let guard = lock.acquire(LOCK_PATIENCE, &introduction("teardown", exec))?;
    let store = Store::open(&directory, guard, &context.boot_id, context.now)?;
    match store.begin().tenant(&tenancy(exec))? {
        Some(tenant) if is_of(&tenant, netns) => {
            let failure = reclaim::take_down(context.netavark, &tenant).err();
            if failure.is_some() && reclaim::interface_remains(&tenant) {
                failures.push("its interface is still there, so its lease is kept".to_owned());
            } else {
                reclaim::release(&store, &tenant, context.now)?;
            }
            failures.extend(failure);
        }
        Some(_) | None => {
            let addresses = not_leased(&store, exec, addresses_of(exec, netns))?;
            failures.extend(take_down_unleased(exec, netns, caller, &addresses).err());
        }
    }
    Ok(())
}

/// Returns whether a teardown of this namespace is meant for the tenant. A late
/// one, for the namespace of an earlier start, must not touch the present one.
fn is_of(tenant: &Tenant, netns: &Path) -> bool {
    netns == tenant.namespace.path || !reclaim::namespace_remains(&tenant.namespace)
}

/// Takes down plumbing without a lease, as far as it can be known.
fn take_down_unleased(
    exec: &PluginExec,
    netns: &Path,
    caller: &Caller,
    addresses: &[IpAddr],
) -> Result<(), String> {
    let plumbing = Plumbing::of(&exec.network.options).unwrap_or_default();
    let plan = Plan {
        exec,
        plumbing,
        addresses,
    };
    let interface = &exec.network_options.interface_name;
    if evidence::interface_exists(netns, interface).unwrap_or(false) {
        return delegate::teardown(&caller.netavark, &caller.delegation, &plan, netns);
    }
    let stand_in = StandIn::new(interface).map_err(|error| crate::chain(&error))?;
    delegate::teardown(
        &caller.netavark,
        &caller.delegation,
        &plan,
        &stand_in.path(),
    )
}

/// Returns the addresses the container has or was said to have.
fn addresses_of(exec: &PluginExec, netns: &Path) -> Vec<IpAddr> {
    let seen = evidence::interface_addresses(netns, &exec.network_options.interface_name);
    let said = exec
        .network_options
        .static_ips
        .iter()
        .map(IpAddr::to_canonical);
    let all: BTreeSet<_> = seen.unwrap_or_default().into_iter().chain(said).collect();
    all.into_iter().collect()
}

/// Returns the addresses that nobody has leased: firewall rules of the others
/// belong to their present holders.
fn not_leased(
    store: &Store<'_>,
    exec: &PluginExec,
    addresses: Vec<IpAddr>,
) -> Result<Vec<IpAddr>, StoreError> {
    let transaction = store.begin();
    let network = tenancy(exec).network_id;
    let mut free = Vec::new();
    for address in addresses {
        if transaction.lease(&network, address)?.is_none() {
            free.push(address);
        }
    }
    Ok(free)
}
