//! Which address a container gets, or why it gets none: a pure decision over what the store
//! shows. No I/O, no clock.
//!
//! The order is Podman's (`ipam.go`, `allocIPs`): one address per subnet, a static one if the
//! container asks for it, otherwise the next free one after the last dynamic lease, wrapping
//! round once. In addition:
//!
//! - a container that comes back gets the address that is still reserved for it;
//! - others get reserved addresses only when nothing else is free: first those of dynamic
//!   leases, and of these the one whose reservation ends soonest;
//! - a subnet may have several static addresses;
//! - an address that a person has reserved for a container goes to that container, whether or
//!   not it asks for it, and to no other.
//!
//! Each dynamic choice costs at most five look-ups in ordered indexes, however large or full
//! the pool is.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::rules::lease::{
    ContainerId, ContainerName, Kind, Lease, LeasedAddress, Reservation, Tenancy, Tenant,
};
use crate::rules::options::Order;
use crate::rules::pledge::Pledge;
use crate::rules::pool::{Family, Pool, Unleasable, number};

/// What the store shows of one network.
pub trait Shelf {
    /// Failure to read.
    type Error;

    /// Returns the lease of an address.
    fn lease(&self, address: IpAddr) -> Result<Option<Lease>, Self::Error>;

    /// Returns the reservation of an address.
    fn reservation(&self, address: IpAddr) -> Result<Option<Reservation>, Self::Error>;

    /// Returns the lowest address at or above `from` that the pool offers and that is neither
    /// leased nor reserved.
    fn first_free(&self, pool: &Pool, from: IpAddr) -> Result<Option<IpAddr>, Self::Error>;

    /// Returns the last address leased dynamically from the pool's subnet.
    fn cursor(&self, pool: &Pool) -> Result<Option<IpAddr>, Self::Error>;

    /// Returns the address in the pool's subnet that is reserved for this container, looked up
    /// by id and then by name, latest release first.
    fn reserved_for(
        &self,
        pool: &Pool,
        container_id: &ContainerId,
        container_name: &ContainerName,
    ) -> Result<Option<IpAddr>, Self::Error>;

    /// Returns the reserved address that the pool gives up next: dynamic ones before static
    /// ones, and among these the one whose reservation ends soonest.
    fn next_yield(&self, pool: &Pool) -> Result<Option<IpAddr>, Self::Error>;
}

/// What a container asks for on one network.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub tenancy: &'a Tenancy,
    pub container_name: &'a ContainerName,
    /// The addresses asked for, as the caller sent them.
    pub static_ips: &'a [IpAddr],
    /// The tenancy's record, if it asks again.
    pub current: Option<&'a Tenant>,
    /// The addresses reserved for good on this network. The pools do not offer them.
    pub pledges: &'a [Pledge],
    /// How to pick a dynamic address.
    pub order: Order,
    /// Any number; it decides under [`Order::Random`].
    pub random: u128,
}

/// Why a request cannot be met as things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address lies in no subnet of the network.
    Outside(IpAddr),
    /// The address can never be leased.
    Unleasable(IpAddr, Unleasable),
    /// A person has reserved the address, but not for this container.
    Pledged(Pledge),
    /// Another tenancy has leased the address.
    Leased(IpAddr, Tenancy),
    /// Every address that the subnet's pool offers is leased.
    Full(IpNetwork),
}

/// The chosen addresses, in the order of the network's subnets.
pub type Choice = Vec<(IpAddr, Kind)>;

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Lease(Choice),
    Refused(Refusal),
}

/// Chooses addresses for a request: at least one per pool, in the order of the pools. Asking
/// again for the same tenancy gives the same answer.
///
/// A refusal names the first obstacle met. Static addresses come before dynamic ones, so a full
/// pool is reported only when nothing else is wrong.
///
/// # Errors
/// Only the shelf's errors.
pub fn choose<S: Shelf>(
    shelf: &S,
    pools: &[Pool],
    request: &Request<'_>,
) -> Result<Decision, S::Error> {
    let refused = |refusal| Ok(Decision::Refused(refusal));
    let mut chosen: Vec<Choice> = vec![Vec::new(); pools.len()];
    for address in request.static_ips.iter().map(IpAddr::to_canonical) {
        let Some(index) = pools.iter().position(|pool| pool.covers(address)) else {
            return refused(Refusal::Outside(address));
        };
        if let Some(reason) = pools[index].unleasable(address) {
            return refused(Refusal::Unleasable(address, reason));
        }
        if let Some(pledge) = anothers(address, request) {
            return refused(Refusal::Pledged(pledge.clone()));
        }
        if let Some(lease) = shelf.lease(address)?
            && lease.tenancy != *request.tenancy
        {
            return refused(Refusal::Leased(address, lease.tenancy));
        }
        if chosen[index].iter().all(|(known, _)| *known != address) {
            chosen[index].push((address, kind_of(shelf, address, request)?));
        }
    }
    let unasked = pools.iter().zip(&mut chosen);
    for (pool, chosen) in unasked.filter(|(_, chosen)| chosen.is_empty()) {
        if let Some(address) = pledged(pool, request) {
            match shelf.lease(address)? {
                Some(lease) if lease.tenancy != *request.tenancy => {
                    return refused(Refusal::Leased(address, lease.tenancy));
                }
                Some(_) | None => chosen.push((address, Kind::Dynamic)),
            }
            continue;
        }
        match dynamic(shelf, pool, request)? {
            Some(address) => chosen.push((address, Kind::Dynamic)),
            None => return refused(Refusal::Full(pool.subnet())),
        }
    }
    Ok(Decision::Lease(chosen.concat()))
}

/// Returns how an address that the container asks for was originally chosen.
/// `podman network reload` asks for a container's current addresses, dynamic ones included, and
/// those must stay dynamic.
fn kind_of<S: Shelf>(shelf: &S, address: IpAddr, request: &Request<'_>) -> Result<Kind, S::Error> {
    let mut current = leased_already(request);
    if let Some(leased) = current.find(|leased| leased.address == address) {
        return Ok(leased.kind);
    }
    let container_id = &request.tenancy.container_id;
    Ok(match shelf.reservation(address)? {
        Some(reservation) if reservation.container_id == *container_id => reservation.kind,
        Some(_) | None => Kind::Static,
    })
}

/// Returns the pledge that keeps an address from the container that asks for it. An address
/// that the container has already leased stays its own.
fn anothers<'a>(address: IpAddr, request: &Request<'a>) -> Option<&'a Pledge> {
    let mut pledges = request.pledges.iter();
    let pledge = pledges.find(|pledge| pledge.address == address)?;
    let mut current = leased_already(request);
    let is_theirs =
        pledge.is_for(request.container_name) || current.any(|leased| leased.address == address);
    (!is_theirs).then_some(pledge)
}

/// Returns the address in a pool's subnet that a pledge keeps for the container, the first of
/// several, unless the container already has an address there.
fn pledged(pool: &Pool, request: &Request<'_>) -> Option<IpAddr> {
    let mut current = leased_already(request);
    if current.any(|leased| pool.covers(leased.address)) {
        return None;
    }
    let mut pledges = request.pledges.iter();
    let own =
        |pledge: &&Pledge| pledge.is_for(request.container_name) && pool.covers(pledge.address);
    pledges.find(own).map(|pledge| pledge.address)
}

/// Returns what the tenancy has already leased.
fn leased_already<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a LeasedAddress> {
    request
        .current
        .into_iter()
        .flat_map(|tenant| &tenant.leased)
}

/// Returns the dynamic address for one pool, or `None` if everything that the pool offers is
/// leased.
fn dynamic<S: Shelf>(
    shelf: &S,
    pool: &Pool,
    request: &Request<'_>,
) -> Result<Option<IpAddr>, S::Error> {
    for address in leased_already(request).map(|leased| leased.address) {
        if pool.covers(address) && pool.unleasable(address).is_none() {
            return Ok(Some(address));
        }
    }
    let container_id = &request.tenancy.container_id;
    if let Some(address) = shelf.reserved_for(pool, container_id, request.container_name)?
        && pool.offers(address)
    {
        return Ok(Some(address));
    }
    let Some(start) = start(shelf, pool, request)? else {
        return Ok(None);
    };
    if let Some(address) = shelf.first_free(pool, start)? {
        return Ok(Some(address));
    }
    if let Some(address) = shelf.first_free(pool, pool.subnet().network())? {
        return Ok(Some(address));
    }
    shelf.next_yield(pool)
}

/// Returns where the search for a free address begins, or `None` for an empty pool.
fn start<S: Shelf>(
    shelf: &S,
    pool: &Pool,
    request: &Request<'_>,
) -> Result<Option<IpAddr>, S::Error> {
    let (Some(first), Some(last)) = (pool.spans().first(), pool.spans().last()) else {
        return Ok(None);
    };
    let (first, last) = (first.first(), last.last());
    let after = |address: IpAddr| {
        let next = number(address)
            .checked_add(1)
            .map(|next| Family::of(address).address(next));
        next.filter(|next| first <= *next && *next <= last)
    };
    Ok(Some(match request.order {
        Order::Lowest => first,
        Order::Next => shelf.cursor(pool)?.and_then(after).unwrap_or(first),
        Order::Random => {
            let width = number(last) - number(first);
            let offset = request
                .random
                .checked_rem(width.saturating_add(1))
                .unwrap_or(0);
            pool.family().address(number(first) + offset)
        }
    }))
}

#[cfg(test)]
mod tests;
