//! Sightings on our networks: an interface in some namespace that hangs on the network's
//! bridge or parent and has addresses of its subnets.

use std::net::IpAddr;

use super::Survey;
use crate::protocol::Network;
use crate::rules::options::Plumbing;
use crate::rules::pool::Pool;
use crate::sight::{Link, NamespaceFact, Peer};

/// A container's interface on one of our networks.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'s> {
    /// The network.
    pub network: &'s Network,
    /// Where the interface is.
    pub namespace: &'s NamespaceFact,
    /// The interface.
    pub link: &'s Link,
}

impl Sighting<'_> {
    /// Returns the interface's addresses that are in the network's subnets.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let within = |address: &IpAddr| self.network.covers(*address);
        self.link.addresses.iter().copied().filter(within).collect()
    }

    /// Returns those of the interface's addresses that can be leased: no gateway, no network
    /// address and no broadcast address.
    pub(super) fn leasable(&self) -> Vec<IpAddr> {
        let subnets = self.network.subnets.iter();
        let pools: Vec<_> = subnets.flat_map(|subnet| Pool::new(subnet, &[])).collect();
        let can_be_leased = |address: &IpAddr| {
            let mut pools = pools.iter().filter(|pool| pool.covers(*address));
            pools.all(|pool| pool.unleasable(*address).is_none())
        };
        let mut addresses = self.addresses();
        addresses.retain(can_be_leased);
        addresses
    }
}

impl Survey {
    /// Returns every interface seen on our networks.
    pub fn sightings(&self) -> Vec<Sighting<'_>> {
        let mut sightings = Vec::new();
        for namespace in &self.namespaces {
            for link in &namespace.links {
                let on = |network: &&Network| {
                    link.addresses.iter().any(|a| network.covers(*a))
                        && hangs_on(link, network, &self.links)
                };
                let networks = self.networks.iter().filter(on);
                sightings.extend(networks.map(|network| Sighting {
                    network,
                    namespace,
                    link,
                }));
            }
        }
        sightings
    }
}

/// Returns whether a container's interface hangs on a network's bridge or parent. A veth
/// whose other end is on no bridge any more counts, because it may have been on this one.
pub fn hangs_on(link: &Link, network: &Network, host: &[Link]) -> bool {
    let Some(Peer::Host(index)) = link.peer else {
        return false;
    };
    let Some(outer) = host.iter().find(|outer| outer.index == index) else {
        return false;
    };
    let named = |outer: &Link| network.network_interface.as_ref() == Some(&outer.name);
    match Plumbing::of(network).unwrap_or_default() {
        Plumbing::Bridge => link.kind == "veth" && may_be_port_of(outer, network, host),
        Plumbing::Macvlan | Plumbing::Ipvlan => {
            // Without a name, netavark took the interface of the default route.
            network.network_interface.is_none() || named(outer)
        }
    }
}

/// Returns whether an interface of the host is a port of a network's bridge, or no longer a
/// port of any. A network without a bridge has no ports; if a network's bridge is not
/// known, any port may be its own.
pub fn may_be_port_of(outer: &Link, network: &Network, host: &[Link]) -> bool {
    let mut bridges = host.iter();
    let bridge = bridges.find(|bridge| outer.master == Some(bridge.index));
    let is_its = |bridge: &Link| {
        let name = network.network_interface.as_ref();
        name.is_none_or(|name| *name == bridge.name)
    };
    Plumbing::of(network).unwrap_or_default() == Plumbing::Bridge && bridge.is_none_or(is_its)
}
