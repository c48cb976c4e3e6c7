//! What may be leased from one subnet. No I/O.
//!
//! The rules are Podman's (`ipam.go`, `getFreeIPFromBucket`): never the subnet
//! address, never the gateway, never the last IPv4 address (broadcast); the last
//! IPv6 address is an ordinary one. So a `/32`, a `/31` and a `/128` have nothing
//! to lease, and a `/30` with a gateway has one address.

use std::net::IpAddr;

pub use berth_share::span::{Family, Span, number};
use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::protocol::{Network, Subnet};

/// Why a subnet cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PoolError {
    #[error("gateway {gateway} not in subnet {subnet}")]
    GatewayOutside { gateway: IpAddr, subnet: IpNetwork },
    #[error("lease range {end} ip {address} not in subnet {subnet}")]
    RangeOutside {
        /// `start` or `end`, as Podman words it.
        end: &'static str,
        address: IpAddr,
        subnet: IpNetwork,
    },
    #[error("lease range of subnet {subnet} ends at {last}, before its start {first}")]
    RangeBackwards {
        first: IpAddr,
        last: IpAddr,
        subnet: IpNetwork,
    },
}

/// Why an address can never be leased, no matter who holds it now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unleasable {
    #[error("it is the network address of {0}")]
    Network(IpNetwork),
    #[error("it is the broadcast address of {0}")]
    Broadcast(IpNetwork),
    #[error("it is the gateway of {0}")]
    Gateway(IpNetwork),
}

/// The pool of one subnet: which of its addresses may be leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    subnet: IpNetwork,
    gateway: Option<IpAddr>,
    spans: Vec<Span>,
}

impl Pool {
    /// Builds the pool of a subnet. Host bits of the subnet are ignored, and so are exclusions
    /// that lie in other subnets.
    ///
    /// # Errors
    /// If the gateway or an end of the lease range lies outside the subnet, or the lease range
    /// is backwards. An empty pool is not an error, because static addresses may still be
    /// leased.
    pub fn new(subnet: &Subnet, exclusions: &[Span]) -> Result<Self, PoolError> {
        let net = normalise(subnet.subnet);
        if let Some(gateway) = subnet.gateway
            && !net.contains(gateway)
        {
            return Err(PoolError::GatewayOutside {
                gateway,
                subnet: net,
            });
        }
        let range = subnet.lease_range.clone().unwrap_or_default();
        for (end, address) in [("start", range.start_ip), ("end", range.end_ip)] {
            if let Some(address) = address
                && !net.contains(address)
            {
                return Err(PoolError::RangeOutside {
                    end,
                    address,
                    subnet: net,
                });
            }
        }
        let (first, last) = (
            range.start_ip.unwrap_or_else(|| net.network()),
            range.end_ip.unwrap_or_else(|| last_address(net)),
        );
        let Some(whole) = Span::new(first, last) else {
            return Err(PoolError::RangeBackwards {
                first,
                last,
                subnet: net,
            });
        };
        let single = |address| Span::new(address, address);
        let never = [Some(net.network()), broadcast(net), subnet.gateway];
        let mut spans = vec![whole];
        for hole in never
            .into_iter()
            .flatten()
            .filter_map(single)
            .chain(exclusions.iter().copied())
        {
            spans = spans
                .into_iter()
                .flat_map(|span| span.without(&hole))
                .collect();
        }
        spans.sort_unstable();
        Ok(Self {
            subnet: net,
            gateway: subnet.gateway,
            spans,
        })
    }

    /// Returns the subnet, without host bits.
    pub const fn subnet(&self) -> IpNetwork {
        self.subnet
    }

    /// Returns the gateway, if the network has one here.
    pub const fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Returns the family of the subnet.
    pub fn family(&self) -> Family {
        Family::of(self.subnet.network())
    }

    /// Returns the dynamically leasable addresses: sorted spans that do not touch.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Returns how many addresses may be leased dynamically, saturating.
    pub fn len(&self) -> u128 {
        self.spans
            .iter()
            .fold(0, |sum, span| sum.saturating_add(span.len()))
    }

    /// Returns whether nothing can be leased dynamically.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns whether the address lies in the subnet.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.subnet.contains(address)
    }

    /// Returns whether the address may be leased dynamically.
    pub fn offers(&self, address: IpAddr) -> bool {
        let after = self.spans.partition_point(|span| span.first() <= address);
        after > 0 && self.spans[after - 1].contains(address)
    }

    /// Returns why an address of this subnet can never be leased, not even as a static one;
    /// `None` if it can. The lease range and exclusions apply to dynamic leases only.
    pub fn unleasable(&self, address: IpAddr) -> Option<Unleasable> {
        if address == self.subnet.network() {
            Some(Unleasable::Network(self.subnet))
        } else if Some(address) == broadcast(self.subnet) {
            Some(Unleasable::Broadcast(self.subnet))
        } else if Some(address) == self.gateway {
            Some(Unleasable::Gateway(self.subnet))
        } else {
            None
        }
    }
}

/// Returns the subnet without host bits: `10.0.0.7/24` is `10.0.0.0/24`.
pub fn normalise(subnet: IpNetwork) -> IpNetwork {
    IpNetwork::new(subnet.network(), subnet.prefix()).unwrap_or(subnet)
}

/// Returns the last address of a subnet.
pub fn last_address(subnet: IpNetwork) -> IpAddr {
    let family = Family::of(subnet.network());
    let bits = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    let host = u128::MAX
        .checked_shr(128 - (bits - u32::from(subnet.prefix())))
        .unwrap_or(0);
    family.address(number(subnet.network()) | host)
}

/// Returns the broadcast address of an IPv4 subnet.
fn broadcast(subnet: IpNetwork) -> Option<IpAddr> {
    subnet.is_ipv4().then(|| last_address(subnet))
}

/// Returns whether two subnets share an address.
pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}

impl Network {
    /// Returns whether an address lies in one of the network's subnets.
    pub fn covers(&self, address: IpAddr) -> bool {
        let mut subnets = self.subnets.iter();
        subnets.any(|subnet| normalise(subnet.subnet).contains(address))
    }
}

#[cfg(test)]
mod tests;
