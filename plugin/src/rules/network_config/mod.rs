//! The configuration of a new network: fills in what is missing and refuses what cannot work.
//! No I/O: the host's facts come in as values.
//!
//! The rules are those of `podman network create` (5.4, `networkCreate` and
//! `createIpvlanOrMacvlan` in `libnetwork/netavark/config.go`), which applies them to its own
//! drivers but not to a plugin's. Where Podman has a message, ours begins with it. Where a rule
//! differs, a comment says why.
//!
//! | module | owns |
//! | --- | --- |
//! | `facts` | what is in use on the host, and what is in a subnet's way |
//! | `driver_options` | the options of netavark's drivers |
//! | `interface` | the name of the bridge or of the parent |
//! | `subnets` | choosing subnets, gateways, overlaps |
//! | `subnet_pools` | where chosen subnets come from |
//! | `take_over` | turning a network of Podman's own allocation into one of berth's, and back |

mod driver_options;
mod facts;
mod interface;
mod subnet_pools;
mod subnets;
mod take_over;

use thiserror::Error;

use crate::protocol::{Network, Route};
use crate::rules::options::{self, Options, OptionsError, Plumbing};
use crate::rules::pool::{Family, PoolError, normalise};

pub use driver_options::DriverOptionError;
pub use facts::{HostFacts, InTheWay, KnownNetwork};
pub use interface::{InterfaceError, MAX_INTERFACE_NAME, is_valid_name};
pub use subnet_pools::{SubnetPool, SubnetPoolError, SubnetPools};
pub use subnets::SubnetError;
pub use take_over::{Form, OPT_OUT, TakeOverError, hand_back, plain, take_over};

/// Name of our ipam driver. Podman leaves ipam.db alone for a network that has it
/// (`requiresIPAMAlloc`, 5.4).
pub const IPAM_DRIVER: &str = "berth";

/// Key of the ipam driver in `ipam_options`.
const DRIVER: &str = "driver";

/// The ipam driver of networks whose containers get no addresses.
const NONE: &str = "none";

/// Who asks for the configuration of a network to be completed, which decides the wording of a
/// refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Podman itself, up to 5.
    Podman,
    /// `netavark create`, which Podman 6 runs.
    Netavark,
}

/// Why a network cannot be created.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CreateError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    DriverOption(#[from] DriverOptionError),
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("ipam driver {driver} is not supported with {with}: {advice}")]
    IpamDriver {
        driver: String,
        with: &'static str,
        advice: String,
    },
    #[error(
        "cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument; leave out --dns, {advice}"
    )]
    DnsDisabled { advice: &'static str },
    #[error("route destination invalid: {destination} has host bits set, its network is {network}")]
    RouteDestination {
        destination: String,
        network: String,
    },
    /// A route that no kernel accepts from netavark.
    #[error(
        "route {destination} via {gateway} is invalid: destination and gateway must both be IPv4 or both IPv6"
    )]
    RouteFamily {
        destination: String,
        gateway: String,
    },
    #[error(
        "no address of subnet {subnet} can ever be leased: network, broadcast and gateway address, {EXCLUDE} and what is outside the lease range leave none; use a larger subnet or lease range", EXCLUDE = options::EXCLUDE
    )]
    NothingToLease { subnet: String },
}

/// Returns the network with everything filled in that Podman would fill in, ready to be stored,
/// or why it cannot work. Name, id, driver and unknown fields stay as they are.
///
/// `random` returns eight random bytes per call, for the prefix of an IPv6 subnet. Completing
/// the result again changes nothing, as long as the facts stay the same.
///
/// # Errors
/// [`CreateError`] for the first rule that is broken.
pub fn complete(
    mut network: Network,
    asker: Asker,
    host: &HostFacts,
    pools: &SubnetPools,
    random: impl FnMut() -> [u8; 8],
) -> Result<Network, CreateError> {
    let plumbing = Plumbing::of(&network)?;
    check_ipam_driver(&network, plumbing)?;
    if plumbing == Plumbing::Bridge {
        driver_options::take_docker_names(&mut network);
    } else {
        driver_options::take_parent(&mut network);
    }
    let sharing = driver_options::normalise(&mut network.options, plumbing, asker)?;
    let has_addresses = !network.is_without_addresses();
    if asker == Asker::Podman {
        normalise_subnets(&mut network);
    }
    if plumbing == Plumbing::Bridge {
        interface::name_bridge(&mut network, host, sharing)?;
        // On input, `ipv6_enabled` asks for both families; on output, it says that there is
        // IPv6. A network that bears our mark has already been completed.
        let completed = network.is_ours() && !network.subnets.is_empty();
        if has_addresses && !completed {
            subnets::choose(&mut network, host, pools, random)?;
        }
        if !sharing {
            subnets::check_host(&network, host)?;
        }
    } else {
        interface::check_parent(&network, host)?;
        // aardvark-dns does not serve these networks: netavark pull request 467.
        network.dns_enabled = false;
        if has_addresses && network.subnets.is_empty() {
            return Err(SubnetError::NoneGiven { plumbing }.into());
        }
    }
    normalise_subnets(&mut network);
    // Podman and netavark do this after us, before they look at the DNS servers.
    network.dns_enabled &= has_addresses;
    check_dns_servers(&network, plumbing)?;
    subnets::check_own(&network)?;
    subnets::add_gateways(&mut network);
    network.routes.iter().try_for_each(check_route)?;
    let options = Options::parse(&network)?;
    if !has_addresses {
        return Ok(network);
    }
    if let Some(pool) = options::pools(&network, &options)?
        .iter()
        .find(|pool| pool.is_empty())
    {
        return Err(CreateError::NothingToLease {
            subnet: pool.subnet().to_string(),
        });
    }
    network
        .ipam_options
        .insert(DRIVER.to_owned(), IPAM_DRIVER.to_owned());
    Ok(network)
}

fn normalise_subnets(network: &mut Network) {
    for subnet in &mut network.subnets {
        subnet.subnet = normalise(subnet.subnet);
    }
}

fn ipam_driver(network: &Network) -> &str {
    network.ipam_options.get(DRIVER).map_or("", String::as_str)
}

/// Refuses ipam drivers with which berth would lease nothing.
fn check_ipam_driver(network: &Network, plumbing: Plumbing) -> Result<(), CreateError> {
    let driver = ipam_driver(network);
    let us = "berth, which leases addresses itself";
    let (with, advice) = match (driver, plumbing) {
        ("" | "host-local" | IPAM_DRIVER, _) => return Ok(()),
        (NONE, _) if network.subnets.is_empty() => return Ok(()),
        ("dhcp", Plumbing::Bridge) => {
            let advice = "use -d bridge -o mode=unmanaged itself for DHCP";
            (us, advice.to_owned())
        }
        ("dhcp", Plumbing::Macvlan) => (us, "use -d macvlan itself for DHCP".to_owned()),
        ("dhcp", Plumbing::Ipvlan) => {
            let advice = "leave out --ipam-driver and give --subnet";
            ("ipvlan", advice.to_owned())
        }
        (NONE, _) => ("--subnet", "leave one of the two out".to_owned()),
        _ => (us, "leave out --ipam-driver".to_owned()),
    };
    Err(CreateError::IpamDriver {
        driver: driver.to_owned(),
        with,
        advice,
    })
}

/// Refuses DNS servers that nothing would ask.
fn check_dns_servers(network: &Network, plumbing: Plumbing) -> Result<(), CreateError> {
    if network.dns_enabled || network.network_dns_servers.is_empty() {
        return Ok(());
    }
    Err(CreateError::DnsDisabled {
        advice: match plumbing {
            Plumbing::Bridge => "or --disable-dns",
            Plumbing::Macvlan | Plumbing::Ipvlan => "only bridge networks have DNS",
        },
    })
}

/// Refuses a route whose destination has host bits (as Podman does), and one across families
/// (as netavark does, but only when a container starts: `create_route_list`, v1.14.0).
fn check_route(route: &Route) -> Result<(), CreateError> {
    let network = normalise(route.destination);
    if network.ip() != route.destination.ip() {
        return Err(CreateError::RouteDestination {
            destination: route.destination.to_string(),
            network: network.to_string(),
        });
    }
    if let Some(gateway) = route.gateway
        && Family::of(network.ip()) != Family::of(gateway)
    {
        return Err(CreateError::RouteFamily {
            destination: network.to_string(),
            gateway: gateway.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
