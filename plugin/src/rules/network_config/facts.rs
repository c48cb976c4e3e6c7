//! What is in use on the host, as far as it matters to a new network.

use std::fmt;

use ipnetwork::IpNetwork;

use crate::protocol::Network;
use crate::rules::options::Plumbing;
use crate::rules::pool::overlap;

/// A network that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNetwork {
    pub name: String,
    /// Its bridge, if it has one: not the parent of macvlan and ipvlan networks.
    pub bridge: Option<String>,
    pub subnets: Vec<IpNetwork>,
}

impl KnownNetwork {
    /// Returns the facts of a network that matter to other networks.
    pub fn of(network: &Network) -> Self {
        let plumbing = Plumbing::of(network);
        let on_parent = matches!(plumbing, Ok(Plumbing::Macvlan | Plumbing::Ipvlan));
        let bridge = network.network_interface.clone();
        Self {
            name: network.name.clone(),
            bridge: bridge.filter(|name| !on_parent && !name.is_empty()),
            subnets: network.subnets.iter().map(|net| net.subnet).collect(),
        }
    }
}

/// What is in use on the host when a network is created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    pub links: Vec<String>,
    /// The links that are not bridges.
    pub not_bridges: Vec<String>,
    /// Addresses of all network interfaces with their prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// Destinations of routes, without default routes.
    pub routes: Vec<IpNetwork>,
    /// All networks, the default network included.
    pub networks: Vec<KnownNetwork>,
}

/// What keeps a subnet from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InTheWay {
    /// An address of the host, with its prefix length.
    Address(IpNetwork),
    Route(IpNetwork),
    Network {
        name: String,
        subnet: IpNetwork,
    },
}

impl fmt::Display for InTheWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address} of this host"),
            Self::Route(route) => write!(f, "the route to {route} of this host"),
            Self::Network { name, subnet } => write!(f, "{subnet} of network {name}"),
        }
    }
}

impl HostFacts {
    /// Returns what is in the way of using this subnet for a bridge.
    ///
    /// Addresses and networks are in the way if they overlap it at all, as in Podman. Routes,
    /// which Podman ignores, are in the way if they are as narrow as the subnet or narrower:
    /// the host could then reach either the containers or the route's other end, but not both.
    /// A wider route (a VPN's 10.0.0.0/8) is not in the way, because the kernel prefers the
    /// bridge's own, narrower route; refusing it would refuse a network that works.
    pub fn in_the_way(&self, subnet: IpNetwork) -> Option<InTheWay> {
        let networks = self.networks.iter().flat_map(|network| {
            network.subnets.iter().map(|subnet| InTheWay::Network {
                name: network.name.clone(),
                subnet: *subnet,
            })
        });
        let addresses = self.addresses.iter().copied().map(InTheWay::Address);
        let routes = self.routes.iter().copied().map(InTheWay::Route);
        networks
            .chain(addresses)
            .chain(routes)
            .find(|obstacle| match obstacle {
                InTheWay::Network { subnet: taken, .. } | InTheWay::Address(taken) => {
                    overlap(*taken, subnet)
                }
                InTheWay::Route(route) => {
                    route.prefix() >= subnet.prefix() && overlap(*route, subnet)
                }
            })
    }

    /// Returns the subnets of all networks and addresses.
    pub(super) fn taken(&self) -> Vec<IpNetwork> {
        self.networks
            .iter()
            .flat_map(|network| network.subnets.iter())
            .chain(&self.addresses)
            .copied()
            .collect()
    }

    /// Returns the network that has this bridge.
    pub(super) fn network_on(&self, bridge: &str) -> Option<&KnownNetwork> {
        self.networks
            .iter()
            .find(|network| network.bridge.as_deref() == Some(bridge))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks_of_all_drivers_count_and_parents_are_no_bridges() {
        let check =
            |driver: &str, more: serde_json::Value, bridge: Option<&str>, subnets: &[&str]| {
                let mut all =
                    json!({"name": "n", "id": "i", "driver": driver, "network_interface": "x"});
                let fields = all.as_object_mut().expect("an object");
                fields.extend(more.as_object().expect("an object").clone());
                let known = KnownNetwork::of(&serde_json::from_value(all).expect("a network"));
                assert_eq!(known.bridge.as_deref(), bridge, "{driver}");
                let subnets = subnets.iter().map(|text| text.parse().expect("a subnet"));
                assert_eq!(known.subnets, subnets.collect::<Vec<_>>(), "{driver}");
            };
        let both = json!({"subnets": [{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]});
        check("bridge", both, Some("x"), &["10.1.0.0/24", "fd00::/64"]);
        check("berth", json!({"subnets": null}), Some("x"), &[]);
        check("another", json!({}), Some("x"), &[]);
        check("macvlan", json!({}), None, &[]);
        check(
            "berth",
            json!({"options": {"driver": "macvlan"}}),
            None,
            &[],
        );
        check("bridge", json!({"network_interface": ""}), None, &[]);
    }
}
