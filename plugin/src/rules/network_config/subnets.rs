//! The subnets of a new network: chosen or given, disjoint from each other and from what the
//! host uses, each with a gateway if one is needed.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde_json::Map;
use thiserror::Error;

use super::{HostFacts, InTheWay, SubnetPools};
use crate::protocol::{Network, Subnet};
use crate::rules::options::Plumbing;
use crate::rules::pool::{Family, number, overlap};

/// How many random IPv6 prefixes are tried. One is nearly always enough.
const IPV6_TRIES: u32 = 1_000;

/// Why the subnets of a network are refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SubnetError {
    /// macvlan and ipvlan networks share the subnet of their parent, which only the user knows.
    #[error(
        "{plumbing} driver needs at least one subnet specified when the host-local ipam driver is set, or berth's: neither leases from a DHCP server; give --subnet{}", or_dhcp(*.plumbing)
    )]
    NoneGiven { plumbing: Plumbing },
    #[error(
        "subnet {subnet} is already used on the host or by another config: it overlaps {obstacle}; choose another --subnet"
    )]
    Used {
        subnet: IpNetwork,
        obstacle: InTheWay,
    },
    #[error("duplicate subnet defined: {0}")]
    Duplicate(IpNetwork),
    #[error("overlapping subnets: {0} and {1}")]
    Overlapping(IpNetwork, IpNetwork),
    #[error(
        "could not find free subnet from subnet pools: all overlap networks, addresses or routes of this host; give --subnet, or more default_subnet_pools in containers.conf"
    )]
    NoneFree,
    #[error(
        "failed to get random ipv6 subnet: {IPV6_TRIES} prefixes overlap networks, addresses or routes of this host; give --subnet"
    )]
    NoneFreeIpv6,
}

fn or_dhcp(plumbing: Plumbing) -> &'static str {
    match plumbing {
        Plumbing::Macvlan => ", or use -d macvlan itself for DHCP",
        Plumbing::Bridge | Plumbing::Ipvlan => "",
    }
}

/// Adds the subnets that a bridge network lacks: an IPv4 subnet if there is none at all, and
/// one of each family if IPv6 was asked for, in that order, as Podman does.
pub(super) fn choose(
    network: &mut Network,
    host: &HostFacts,
    pools: &SubnetPools,
    random: impl FnMut() -> [u8; 8],
) -> Result<(), SubnetError> {
    let has = |family| {
        network
            .subnets
            .iter()
            .any(|subnet| Family::of(subnet.subnet.ip()) == family)
    };
    let lacks_v4 = !has(Family::V4) && (network.ipv6_enabled || network.subnets.is_empty());
    let lacks_v6 = !has(Family::V6) && network.ipv6_enabled;
    if lacks_v4 {
        let subnet = pools
            .free(&host.taken(), &host.routes)
            .ok_or(SubnetError::NoneFree)?;
        network.subnets.push(bare(subnet));
    }
    if lacks_v6 {
        network.subnets.push(bare(random_ipv6(host, random)?));
    }
    Ok(())
}

/// Refuses subnets that the host or another network uses.
pub(super) fn check_host(network: &Network, host: &HostFacts) -> Result<(), SubnetError> {
    for Subnet { subnet, .. } in &network.subnets {
        if let Some(obstacle) = host.in_the_way(*subnet) {
            return Err(SubnetError::Used {
                subnet: *subnet,
                obstacle,
            });
        }
    }
    Ok(())
}

/// Refuses subnets of one network that share addresses. Podman 5.4 accepts them, and gives a
/// container two addresses on one wire; netavark 2 refuses them in these words.
pub(super) fn check_own(network: &Network) -> Result<(), SubnetError> {
    for (index, Subnet { subnet: one, .. }) in network.subnets.iter().enumerate() {
        for Subnet { subnet: other, .. } in &network.subnets[..index] {
            if one == other {
                return Err(SubnetError::Duplicate(*one));
            }
            if overlap(*one, *other) {
                return Err(SubnetError::Overlapping(*other, *one));
            }
        }
    }
    Ok(())
}

/// Adds missing gateways if something needs them: the way out of the network, or aardvark-dns,
/// which answers on the gateway. Also notes whether there is IPv6.
///
/// Podman does the same after us, but we need the gateway to tell what can be leased.
pub(super) fn add_gateways(network: &mut Network) {
    let wanted = !network.internal || network.dns_enabled;
    for subnet in &mut network.subnets {
        let family = Family::of(subnet.subnet.ip());
        if wanted && subnet.gateway.is_none() {
            subnet.gateway = Some(first_address(subnet.subnet));
        }
        network.ipv6_enabled |= family == Family::V6;
    }
}

/// Returns the address after the network address, or the network address itself if there is no
/// other.
fn first_address(subnet: IpNetwork) -> IpAddr {
    let network = subnet.network();
    let next = Family::of(network).address(number(network).wrapping_add(1));
    if subnet.contains(next) { next } else { network }
}

/// Returns a random unique local `/64` (RFC 4193: `fd`, then 56 random bits).
fn random_ipv6(
    host: &HostFacts,
    mut random: impl FnMut() -> [u8; 8],
) -> Result<IpNetwork, SubnetError> {
    (0..IPV6_TRIES)
        .filter_map(|_| {
            let bits = u128::from(u64::from_be_bytes(random())) << 64;
            let address = Ipv6Addr::from_bits((bits << 8 >> 8) | (0xfd << 120));
            IpNetwork::new(address.into(), 64).ok()
        })
        .find(|subnet| host.in_the_way(*subnet).is_none())
        .ok_or(SubnetError::NoneFreeIpv6)
}

fn bare(subnet: IpNetwork) -> Subnet {
    Subnet {
        subnet,
        gateway: None,
        lease_range: None,
        rest: Map::new(),
    }
}
