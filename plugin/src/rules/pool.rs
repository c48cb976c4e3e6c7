//! What may be leased from one subnet, and address arithmetic. No I/O.
//!
//! The rules are Podman's (`ipam.go`, `getFreeIPFromBucket`): never the subnet
//! address, never the gateway, never the last IPv4 address (broadcast); the last
//! IPv6 address is an ordinary one. So a `/32`, a `/31` and a `/128` have nothing
//! to lease, and a `/30` with a gateway has one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::protocol::{Network, Subnet};

/// Address family. Addresses of different families never compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Returns the family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Returns the address with this number. Bits beyond the family's width are dropped.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an IPv4 number has 32 bits"
    )]
    pub const fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }
}

/// Returns an address as a number, for comparison within one family.
pub const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A run of addresses of one family, both ends included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    family: Family,
    first: u128,
    last: u128,
}

impl Span {
    /// Returns the span between two addresses, both included, or `None` if they
    /// are of different families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let family = Family::of(first);
        let span = Self {
            family,
            first: number(first),
            last: number(last),
        };
        (family == Family::of(last) && span.first <= span.last).then_some(span)
    }

    /// Returns the first address.
    pub const fn first(&self) -> IpAddr {
        self.family.address(self.first)
    }

    /// Returns the last address, which is part of the span.
    pub const fn last(&self) -> IpAddr {
        self.family.address(self.last)
    }

    /// Returns whether the address lies in the span.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&number(address))
    }

    /// Returns how many addresses the span has, saturating at `u128::MAX`.
    pub const fn len(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// Always false: a span has at least one address.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Returns the addresses that both spans have, if any.
    pub fn shared(&self, other: &Self) -> Option<Self> {
        Self::new(
            self.first().max(other.first()),
            self.last().min(other.last()),
        )
        .filter(|_| self.family == other.family)
    }

    /// Returns what is left of the span without `other`: nothing, one or two spans.
    fn without(self, other: &Self) -> impl Iterator<Item = Self> {
        let apart =
            other.family != self.family || other.last < self.first || self.last < other.first;
        let whole = apart.then_some(self);
        let below = (!apart && self.first < other.first).then(|| Self {
            last: other.first - 1,
            ..self
        });
        let above = (!apart && other.last < self.last).then(|| Self {
            first: other.last + 1,
            ..self
        });
        whole.into_iter().chain(below).chain(above)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first())
        } else {
            write!(f, "{}-{}", self.first(), self.last())
        }
    }
}

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
