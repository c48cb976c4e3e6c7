//! Runs of addresses, and arithmetic with them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

    /// Returns the address at this offset from the first. Past the last one, it starts over
    /// at the first.
    pub const fn at(&self, offset: u128) -> IpAddr {
        self.family.address(self.first + offset % self.len())
    }

    /// Returns how far the address is from the first, or `None` if it is not in the span.
    pub fn offset(&self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| number(address) - self.first)
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
    pub fn without(self, other: &Self) -> impl Iterator<Item = Self> {
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
