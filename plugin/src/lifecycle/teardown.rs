//! A container gives its interface and its addresses back.

use std::net::IpAddr;
use std::path::Path;

use super::recover::recover;
use super::{Context, LOCK_PATIENCE, LifecycleError, introduction};
use crate::delegate::{self, Plan};
use crate::lifecycle::reclaim::{self, Left};
use crate::podman::Caller;
use crate::podman::state_directory;
use crate::protocol::PluginExec;
use crate::rules::lease::{Tenancy, Tenant};
use crate::rules::options::Plumbing;
use crate::rules::pool::normalise;
use crate::sight;
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
        // Whatever is wrong with the store, the interface can go. Whose the
        // addresses are that the caller names cannot be told now.
        failures.push(crate::chain(&error));
        failures.extend(take_down_unleased(exec, netns, caller, &[]).err());
    }
    if failures.is_empty() {
        return Ok(());
    }
    let (container, network) = (Tenancy::from(exec).container_id, exec.network.name.as_str());
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
    let directory = state_directory(&caller.delegation.config)?;
    let mut lock = LockFile::open(&directory)?;
    let guard = lock.acquire(LOCK_PATIENCE, &introduction("teardown", exec))?;
    if guard.follows_a_kill() {
        delegate::await_orphans(&caller.delegation);
    }
    let store = Store::open(&directory, guard, &context.boot_id, context.now)?;
    recover(&store, exec, netns, caller, &context)?;
    match store.begin().tenant(&Tenancy::from(exec))? {
        Some(tenant) if is_of(&tenant, netns) => {
            match reclaim::take_down(context.netavark, &tenant) {
                Err(Left::Interface(reason)) => {
                    failures.push(format!(
                        "its interface is still there, so its lease is kept: {reason}"
                    ));
                    return Ok(());
                }
                Err(Left::Rest(reason)) => failures.push(reason),
                Ok(()) => {}
            }
            reclaim::release(&store, &tenant, context.now)?;
        }
        Some(tenant) => log::info!(
            "container {} has been started again: leaving it alone",
            tenant.tenancy.container_id.short()
        ),
        None => {
            let said = not_leased(&store, exec)?;
            failures.extend(take_down_unleased(exec, netns, caller, &said).err());
        }
    }
    Ok(())
}

/// Returns whether a teardown of this namespace is meant for the tenant. A late
/// one, for the namespace of an earlier start, must not touch the present one.
fn is_of(tenant: &Tenant, netns: &Path) -> bool {
    netns == tenant.namespace.path || !reclaim::namespace_remains(&tenant.namespace)
}

/// Takes down plumbing without a lease, as far as it can be known: by the
/// interface's own addresses, else by those said to have been the container's.
fn take_down_unleased(
    exec: &PluginExec,
    netns: &Path,
    caller: &Caller,
    said: &[IpAddr],
) -> Result<(), String> {
    let links = sight::links_of(netns).unwrap_or_default();
    let name = &exec.network_options.interface_name;
    let named = links.into_iter().filter(|link| link.name == *name);
    let mut of_network: Vec<_> = named.flat_map(|link| link.addresses).collect();
    of_network.retain(|address| is_within(exec, *address));
    let in_place = !of_network.is_empty();
    let plan = Plan {
        exec,
        plumbing: Plumbing::of(&exec.network.options).unwrap_or_default(),
        addresses: if in_place { &of_network } else { said },
    };
    if in_place {
        delegate::teardown(&caller.netavark, &caller.delegation, &plan, netns)
    } else {
        delegate::teardown_in_stand_in(&caller.netavark, &caller.delegation, &plan)
    }
}

/// Returns whether an address lies in a subnet of the network.
fn is_within(exec: &PluginExec, address: IpAddr) -> bool {
    exec.network
        .subnets
        .iter()
        .any(|subnet| normalise(subnet.subnet).contains(address))
}

/// Returns the addresses the container is said to have that nobody has leased:
/// firewall rules of the others belong to their present holders.
fn not_leased(store: &Store<'_>, exec: &PluginExec) -> Result<Vec<IpAddr>, StoreError> {
    let transaction = store.begin();
    let network = Tenancy::from(exec).network_id;
    let mut free = Vec::new();
    for address in exec
        .network_options
        .static_ips
        .iter()
        .map(IpAddr::to_canonical)
    {
        if transaction.lease(&network, address)?.is_none() {
            free.push(address);
        }
    }
    Ok(free)
}
