//! Where the IPv4 subnets of new networks come from.

use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network};
use thiserror::Error;

use crate::rules::pool::{Family, last_address, number, overlap};

/// A block of addresses that is divided into subnets of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetPool {
    base: Ipv4Network,
    size: u8,
}

/// Why a subnet pool is refused, worded as in Podman (`NetworkConfig.Validate`, 5.4).
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SubnetPoolError {
    #[error("invalid subnet pool ip {0:?}: it must be an IPv4 subnet like 10.89.0.0/16")]
    NotIpv4(String),
    #[error("invalid subnet pool, size {size} is bigger than subnet {base:?}")]
    TooBig { base: String, size: i64 },
    #[error("invalid subnet pool size {0}, must be between 0-32")]
    NoSuchSize(i64),
}

impl SubnetPool {
    /// Returns the pool that hands out subnets with prefix length `size` from `base`. Host bits
    /// of the base are dropped.
    ///
    /// # Errors
    /// If the base is not an IPv4 subnet, or no subnet of that size fits in it.
    pub fn new(base: &str, size: i64) -> Result<Self, SubnetPoolError> {
        let Ok(IpNetwork::V4(network)) = base.parse() else {
            return Err(SubnetPoolError::NotIpv4(base.to_owned()));
        };
        if size < i64::from(network.prefix()) {
            return Err(SubnetPoolError::TooBig {
                base: base.to_owned(),
                size,
            });
        }
        match u8::try_from(size) {
            Ok(size) if size <= 32 => Ok(Self::of(network, size)),
            _ => Err(SubnetPoolError::NoSuchSize(size)),
        }
    }

    fn of(base: Ipv4Network, size: u8) -> Self {
        Self {
            base: Ipv4Network::new(base.network(), base.prefix()).unwrap_or(base),
            size,
        }
    }

    /// Returns the lowest subnet of the pool that overlaps none of `used`.
    ///
    /// A candidate that overlaps leads straight to the first candidate after what it overlaps,
    /// so the cost depends on how much is used, not on the pool's size.
    fn free(&self, used: &[IpNetwork]) -> Option<IpNetwork> {
        let step = 1_u64 << (32 - self.size);
        let end = number(last_address(IpNetwork::V4(self.base)));
        let mut candidate = u64::from(self.base.network().to_bits());
        while u128::from(candidate) <= end {
            let address = Ipv4Addr::from_bits(u32::try_from(candidate).ok()?);
            let subnet = IpNetwork::new(address.into(), self.size).ok()?;
            let blocked_to = used
                .iter()
                .filter(|taken| overlap(subnet, **taken))
                .map(|taken| number(last_address(*taken)))
                .max();
            match blocked_to {
                None => return Some(subnet),
                Some(last) => {
                    let beyond = u64::try_from(last).ok()?.max(candidate) + 1;
                    candidate = beyond.div_ceil(step) * step;
                }
            }
        }
        None
    }
}

/// The subnet pools, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetPools(pub Vec<SubnetPool>);

impl Default for SubnetPools {
    /// Podman's: `/24` from `10.89.0.0` to `10.255.255.0` (`DefaultSubnetPools`, 5.4).
    fn default() -> Self {
        let blocks = [(89, 16), (90, 15), (92, 14), (96, 11), (128, 9)];
        Self(
            blocks
                .into_iter()
                .filter_map(|(second, prefix)| {
                    Ipv4Network::new(Ipv4Addr::new(10, second, 0, 0), prefix).ok()
                })
                .map(|base| SubnetPool::of(base, 24))
                .collect(),
        )
    }
}

impl SubnetPools {
    /// Returns the first subnet that overlaps nothing in `taken` and no route, trying the pools
    /// in order, each from its start; `None` if all of them are used up.
    ///
    /// If there is no such subnet, routes wider than the subnet are allowed: see
    /// [`HostFacts::in_the_way`](super::HostFacts::in_the_way).
    pub fn free(&self, taken: &[IpNetwork], routes: &[IpNetwork]) -> Option<IpNetwork> {
        let used = |widest: u8| -> Vec<IpNetwork> {
            taken
                .iter()
                .chain(routes.iter().filter(|route| route.prefix() >= widest))
                .copied()
                .filter(|taken| Family::of(taken.network()) == Family::V4)
                .collect()
        };
        let apart = used(0);
        self.0
            .iter()
            .find_map(|pool| pool.free(&apart))
            .or_else(|| self.0.iter().find_map(|pool| pool.free(&used(pool.size))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check_routes(pools: &SubnetPools, taken: &[&str], routes: &[&str], expected: Option<&str>) {
        let nets = |nets: &[&str]| -> Vec<IpNetwork> {
            nets.iter().map(|net| net.parse().unwrap()).collect()
        };
        let found = pools.free(&nets(taken), &nets(routes));
        let found = found.map(|subnet| subnet.to_string());
        assert_eq!(found.as_deref(), expected, "{taken:?} {routes:?}");
    }

    fn check(pools: &SubnetPools, taken: &[&str], expected: Option<&str>) {
        check_routes(pools, taken, &[], expected);
    }

    #[test]
    fn routes_are_avoided_but_wide_ones_do_not_end_the_search() {
        let pools = SubnetPools::default();
        check_routes(&pools, &[], &["10.89.0.0/24"], Some("10.89.1.0/24"));
        check_routes(&pools, &[], &["10.89.0.5/32"], Some("10.89.1.0/24"));
        check_routes(&pools, &[], &["10.89.0.0/16"], Some("10.90.0.0/24"));
        check_routes(&pools, &[], &["10.0.0.0/8"], Some("10.89.0.0/24"));
        check_routes(
            &pools,
            &["10.89.0.0/24"],
            &["10.0.0.0/8", "10.89.1.0/24"],
            Some("10.89.2.0/24"),
        );
    }

    #[test]
    fn the_first_free_subnet_in_podmans_order_is_found() {
        let pools = SubnetPools::default();
        check(&pools, &[], Some("10.89.0.0/24"));
        check(&pools, &["10.88.0.0/16", "fd00::/8"], Some("10.89.0.0/24"));
        check(&pools, &["10.89.0.0/24"], Some("10.89.1.0/24"));
        check(&pools, &["10.89.0.200/32"], Some("10.89.1.0/24"));
        check(
            &pools,
            &["10.89.1.0/24", "10.89.0.0/24"],
            Some("10.89.2.0/24"),
        );
        check(&pools, &["10.89.1.0/24"], Some("10.89.0.0/24"));
        check(&pools, &["10.89.0.0/16"], Some("10.90.0.0/24"));
        check(
            &pools,
            &["10.89.0.0/16", "10.90.3.4/14"],
            Some("10.92.0.0/24"),
        );
        check(&pools, &["10.0.0.0/9"], Some("10.128.0.0/24"));
        check(&pools, &["10.0.0.0/8"], None);
        check(&pools, &["0.0.0.0/0"], None);
    }

    #[test]
    fn the_end_of_the_address_space_is_no_trap() {
        let pools = SubnetPools(vec![SubnetPool::new("255.255.255.0/24", 32).unwrap()]);
        check(&pools, &["255.255.255.0/25"], Some("255.255.255.128/32"));
        check(&pools, &["255.255.255.128/25", "255.255.255.0/25"], None);
        let pools = SubnetPools(vec![SubnetPool::new("0.0.0.0/0", 0).unwrap()]);
        check(&pools, &[], Some("0.0.0.0/0"));
        check(&pools, &["10.0.0.0/32"], None);
    }

    #[test]
    fn a_pool_deals_out_what_fits_in_it() {
        let check = |base: &str, size, expected: Result<(), &str>| {
            let result = SubnetPool::new(base, size)
                .map(|_| ())
                .map_err(|e| e.to_string());
            assert_eq!(result, expected.map_err(str::to_owned));
        };
        check("10.1.2.3/16", 16, Ok(()));
        check("10.1.2.3/16", 32, Ok(()));
        check(
            "10.0.0.0/16",
            15,
            Err("invalid subnet pool, size 15 is bigger than subnet \"10.0.0.0/16\""),
        );
        check(
            "10.0.0.0/16",
            33,
            Err("invalid subnet pool size 33, must be between 0-32"),
        );
        check(
            "fd00::/8",
            64,
            Err("invalid subnet pool ip \"fd00::/8\": it must be an IPv4 subnet like 10.89.0.0/16"),
        );
    }
}
