//! Which address a container gets, or why none: a pure decision over what the
//! store shows. No I/O, no clock.
//!
//! The order is Podman's (`ipam.go`, `allocIPs`): one address per subnet, the
//! static ones where the container asks for them, else the next free one after
//! the last dynamic lease, wrapping round once. In addition
//!
//! - a container that comes back gets the address still held for it;
//! - held addresses are given to others only when nothing else is free, those of
//!   dynamic holders first, the one whose hold ends soonest first;
//! - a subnet may have several static addresses.
//!
//! Each dynamic choice costs at most five look-ups in ordered indexes, however
//! large or full the pool is.

use std::net::IpAddr;

use crate::lease::{ContainerId, ContainerName, Lease};
use crate::pool::Pool;

/// What the store shows of one network.
pub trait Shelf {
    /// Failure to read.
    type Error;

    /// Returns the lease of an address.
    fn lease(&self, address: IpAddr) -> Result<Option<Lease>, Self::Error>;

    /// Returns the lowest address at or above `from` that the pool offers and
    /// that is neither leased nor held.
    fn first_free(&self, pool: &Pool, from: IpAddr) -> Result<Option<IpAddr>, Self::Error>;

    /// Returns the last address leased dynamically from the pool's subnet.
    fn cursor(&self, pool: &Pool) -> Result<Option<IpAddr>, Self::Error>;

    /// Returns the address of the pool's subnet held for this container: by id,
    /// else by name, the latest release first.
    fn held_for(
        &self,
        pool: &Pool,
        container_id: &ContainerId,
        container_name: &ContainerName,
    ) -> Result<Option<IpAddr>, Self::Error>;

    /// Returns the held address that the pool gives up next: dynamic former
    /// holders before static ones, then the hold that ends soonest.
    fn next_yield(&self, pool: &Pool) -> Result<Option<IpAddr>, Self::Error>;
}
