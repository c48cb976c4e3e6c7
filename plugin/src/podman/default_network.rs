//! The default network, which Podman makes in memory if no file defines it.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use serde_json::Map;

use super::{ContainersConf, HostError};
use crate::protocol::{Network, Subnet};
use crate::rules::options::Plumbing;
use crate::rules::pool::{Family, normalise, number};

/// Its bridge (`createDefaultNetwork`, 5.4).
const BRIDGE: &str = "podman0";

/// Its id: "Important do not change this ID", says Podman's source.
pub(super) const ID: &str = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9";

fn default_subnet(conf: &ContainersConf) -> Result<IpNetwork, HostError> {
    conf.default_subnet
        .parse()
        .map_err(|_| HostError::DefaultSubnet {
            value: conf.default_subnet.clone(),
        })
}

/// Returns the default network as Podman makes it (`createDefaultNetwork`, 5.4), but
/// without `created`, which differs from one podman process to the next.
///
/// # Errors
/// [`HostError::DefaultSubnet`] if containers.conf names something else.
pub fn default_network(conf: &ContainersConf) -> Result<Network, HostError> {
    let subnet = normalise(default_subnet(conf)?);
    let gateway = Family::of(subnet.ip()).address(number(subnet.network()).saturating_add(1));
    Ok(Network {
        name: conf.default_network.clone(),
        id: ID.to_owned(),
        driver: Plumbing::Bridge.as_str().to_owned(),
        network_interface: Some(BRIDGE.to_owned()),
        subnets: vec![Subnet {
            subnet,
            gateway: Some(gateway),
            lease_range: None,
            rest: Map::new(),
        }],
        routes: Vec::new(),
        ipv6_enabled: subnet.is_ipv6(),
        internal: false,
        dns_enabled: false,
        network_dns_servers: Vec::new(),
        options: BTreeMap::new(),
        ipam_options: [("driver".to_owned(), "host-local".to_owned())].into(),
        rest: Map::new(),
    })
}
