//! Turns a network of netavark's own driver into one of berth's, and back.

use std::collections::BTreeMap;

use thiserror::Error;

use super::{
    Asker, CreateError, DRIVER, HostFacts, IPAM_DRIVER, NONE, SubnetPools, complete, ipam_driver,
    options,
};
use crate::protocol::Network;
use crate::rules::options::Plumbing;

/// The ipam driver of networks whose addresses Podman leases itself.
const PODMANS: &str = "host-local";

/// The label that keeps a network with Podman in host-wide mode, if it says `off`.
pub const OPT_OUT: &str = "berth.adopt";

/// What becomes of a network that berth takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Its driver becomes the plugin and its own driver an option: netavark runs berth.
    Plugin,
    /// Only its ipam driver changes: berth runs in front of netavark.
    Plain,
}

/// Why a network cannot become one of berth's, or stop being one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TakeOverError {
    #[error("it has driver {0}: berth takes over networks of driver bridge, macvlan and ipvlan")]
    Driver(String),
    #[error(
        "it has ipam driver {0}: Podman leases none of its addresses, so there is nothing to take over"
    )]
    IpamDriver(String),
    #[error("it has no subnet, so there is nothing to lease")]
    NoSubnet,
    /// berth would give this option a meaning; to netavark it has none.
    #[error(
        "it has option {0}, which means something else to berth; remove it from the network's file"
    )]
    Option(String),
    #[error("berth does not lease its addresses")]
    NotOurs,
    #[error(transparent)]
    Refused(#[from] CreateError),
}

impl Network {
    /// Returns whether berth leases the network's addresses, whichever driver makes its
    /// interfaces.
    pub fn is_ours(&self) -> bool {
        ipam_driver(self) == IPAM_DRIVER
    }

    /// Returns whether Podman itself leases the network's addresses, if there are any, in its
    /// ipam.db (`requiresIPAMAlloc`, 5.4).
    pub fn is_podmans(&self) -> bool {
        ["", PODMANS].contains(&ipam_driver(self))
    }

    /// Returns whether its containers get no addresses at all.
    pub fn is_without_addresses(&self) -> bool {
        ipam_driver(self) == NONE
    }

    /// Returns whether berth leases the network's addresses while the network's driver is one
    /// of netavark's own, so that only berth in front of netavark can serve it.
    pub fn is_plain(&self) -> bool {
        self.is_ours() && Plumbing::named(&self.driver).is_some()
    }

    /// Returns whether berth may take the network over without being asked for it by name:
    /// Podman leases its addresses, and no label keeps it with Podman.
    pub fn is_adoptable(&self) -> bool {
        let has_addresses = self.is_podmans() && !self.subnets.is_empty();
        has_addresses && Plumbing::named(&self.driver).is_some() && !self.is_opted_out()
    }

    /// Returns whether its label [`OPT_OUT`] says `off`.
    pub fn is_opted_out(&self) -> bool {
        let labels = self.rest.get("labels");
        labels.is_some_and(|labels| labels[OPT_OUT] == "off")
    }
}

/// Turns a network whose addresses Podman leases into one of berth's. In the plugin form, it
/// gets our driver, its own driver as an option, and everything that `berth create` fills in;
/// in the plain form, only its ipam driver changes. `links` are the names of the host's
/// interfaces. Name, id and unknown fields stay as they are.
///
/// # Errors
/// [`TakeOverError`] if berth could not serve it.
pub fn take_over(
    network: Network,
    links: Vec<String>,
    form: Form,
) -> Result<Network, TakeOverError> {
    let plain = Network {
        ipam_options: ours(&network),
        ..network.clone()
    };
    let plugins = for_plugin(network, links)?;
    Ok(match form {
        Form::Plugin => plugins,
        Form::Plain => plain,
    })
}

/// Returns a network of berth's in the plain form, without the options that only the plugin
/// understands.
///
/// # Errors
/// [`TakeOverError`] if it does not belong to berth, or names no driver of netavark's.
pub fn plain(mut network: Network) -> Result<Network, TakeOverError> {
    if !network.is_ours() {
        return Err(TakeOverError::NotOurs);
    }
    let plumbing = Plumbing::of(&network).map_err(CreateError::from)?;
    plumbing.as_str().clone_into(&mut network.driver);
    network.options.remove(options::DRIVER);
    Ok(network)
}

fn ours(network: &Network) -> BTreeMap<String, String> {
    let mut options = network.ipam_options.clone();
    options.insert(DRIVER.to_owned(), IPAM_DRIVER.to_owned());
    options
}

fn for_plugin(mut network: Network, links: Vec<String>) -> Result<Network, TakeOverError> {
    let Some(plumbing) = Plumbing::named(&network.driver) else {
        return Err(TakeOverError::Driver(network.driver));
    };
    if !network.is_podmans() {
        let driver = ipam_driver(&network).to_owned();
        return Err(TakeOverError::IpamDriver(driver));
    }
    if network.subnets.is_empty() {
        return Err(TakeOverError::NoSubnet);
    }
    if let Some(name) = network.options.keys().find(|name| options::is_ours(name)) {
        return Err(TakeOverError::Option(name.clone()));
    }
    IPAM_DRIVER.clone_into(&mut network.driver);
    let driver = plumbing.as_str().to_owned();
    network.options.insert(options::DRIVER.to_owned(), driver);
    // This keeps the subnets that it has: none are chosen.
    network.ipam_options = ours(&network);
    // Of the host, only the parent matters: the bridge and the subnets are used by the network
    // itself.
    let host = HostFacts {
        links,
        ..HostFacts::default()
    };
    let pools = SubnetPools::default();
    Ok(complete(network, Asker::Podman, &host, &pools, || [0; 8])?)
}

/// Turns a network of berth's into one whose addresses Podman leases, without our options.
///
/// # Errors
/// [`TakeOverError`] if it does not belong to berth, or names no driver of netavark's.
pub fn hand_back(network: Network) -> Result<Network, TakeOverError> {
    let mut network = plain(network)?;
    network.options.retain(|name, _| !options::is_ours(name));
    network
        .ipam_options
        .insert(DRIVER.to_owned(), PODMANS.to_owned());
    Ok(network)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn network(more: &Value) -> Network {
        let mut all = json!({
            "name": "n", "id": "i", "driver": "bridge", "network_interface": "podman1",
            "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1", "future": 1}],
            "ipv6_enabled": false, "internal": false, "dns_enabled": true, "future": [1],
            "ipam_options": {"driver": "host-local"},
        });
        let fields = all.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        serde_json::from_value(all).expect("a network")
    }

    #[track_caller]
    fn check(more: &Value, changed: &Value) {
        let before = network(more);
        let after = take_over(before.clone(), vec!["eth0".to_owned()], Form::Plugin)
            .expect("it can be served");
        let mut expected = serde_json::to_value(&before).expect("JSON");
        let fields = expected.as_object_mut().expect("an object");
        fields.insert("driver".to_owned(), json!("berth"));
        fields.insert("ipam_options".to_owned(), json!({"driver": "berth"}));
        fields.extend(changed.as_object().expect("an object").clone());
        assert_eq!(serde_json::to_value(&after).expect("JSON"), expected);
        let back = hand_back(after).expect("it is ours");
        let mut spelled = before;
        spelled
            .ipam_options
            .insert("driver".to_owned(), "host-local".to_owned());
        assert_eq!(back, spelled);
    }

    #[test]
    fn networks_of_podmans_allocation_become_ours_and_back() {
        check(&json!({}), &json!({"options": {"driver": "bridge"}}));
        let absent = json!({"ipam_options": null, "options": {"mtu": "1400", "isolate": "true"}});
        check(
            &absent,
            &json!({"options": {"driver": "bridge", "mtu": "1400", "isolate": "true"}}),
        );
        let both = json!([
            {"subnet": "10.77.0.0/24", "gateway": "10.77.0.1",
                "lease_range": {"start_ip": "10.77.0.9", "end_ip": "10.77.0.20"}},
            {"subnet": "fd77::/64", "gateway": "fd77::1"}]);
        check(
            &json!({"subnets": both, "ipv6_enabled": true}),
            &json!({"options": {"driver": "bridge"}}),
        );
        let macvlan = json!({"driver": "macvlan", "network_interface": "eth0",
            "dns_enabled": false, "options": {"mode": "bridge"}});
        check(
            &macvlan,
            &json!({"options": {"driver": "macvlan", "mode": "bridge"}}),
        );
        let ipvlan = json!({"driver": "ipvlan", "network_interface": null, "dns_enabled": false});
        check(&ipvlan, &json!({"options": {"driver": "ipvlan"}}));
    }

    #[test]
    fn a_plain_network_differs_in_its_ipam_driver_alone() {
        let before = network(&json!({"options": {"mtu": "1400"}}));
        assert!(before.is_adoptable() && !before.is_plain());
        let after = take_over(before.clone(), Vec::new(), Form::Plain).expect("it can be served");
        assert!(after.is_plain() && !after.is_adoptable());
        let mut expected = serde_json::to_value(&before).expect("JSON");
        expected["ipam_options"]["driver"] = json!("berth");
        assert_eq!(serde_json::to_value(&after).expect("JSON"), expected);
        assert_eq!(hand_back(after).expect("it is ours"), before);
        let plugins = take_over(before.clone(), Vec::new(), Form::Plugin).expect("likewise");
        assert!(!plugins.is_plain());
        let same = plain(plugins).expect("it is ours");
        assert_eq!(serde_json::to_value(&same).expect("JSON"), expected);
        assert_eq!(plain(before), Err(TakeOverError::NotOurs));
    }

    #[test]
    fn a_label_keeps_a_network_with_podman() {
        let with = |value: &str| network(&json!({"labels": {"berth.adopt": value}}));
        assert!(with("off").is_opted_out() && !with("off").is_adoptable());
        assert!(with("on").is_adoptable());
        assert!(!network(&json!({"driver": "vxlan"})).is_adoptable());
    }

    #[track_caller]
    fn check_refused(more: &Value, expected: &str) {
        let refused =
            take_over(network(more), Vec::new(), Form::Plain).expect_err("it must be refused");
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn what_berth_cannot_serve_is_refused_with_the_reason() {
        check_refused(
            &json!({"driver": "vxlan"}),
            "it has driver vxlan: berth takes over networks of driver bridge, macvlan and ipvlan",
        );
        check_refused(
            &json!({"ipam_options": {"driver": "dhcp"}}),
            "it has ipam driver dhcp: Podman leases none of its addresses, so there is nothing to take over",
        );
        check_refused(
            &json!({"subnets": null}),
            "it has no subnet, so there is nothing to lease",
        );
        check_refused(
            &json!({"options": {"ipam_x": "1"}}),
            "it has option ipam_x, which means something else to berth; remove it from the network's file",
        );
        check_refused(
            &json!({"subnets": [{"subnet": "10.77.0.0/31", "gateway": "10.77.0.1"}]}),
            "no address of subnet 10.77.0.0/31 can ever be leased: network, broadcast and gateway address, ipam_exclude and what is outside the lease range leave none; use a larger subnet or lease range",
        );
        check_refused(
            &json!({"subnets": [{"subnet": "10.77.0.0/24"}, {"subnet": "10.77.0.0/25"}]}),
            "overlapping subnets: 10.77.0.0/24 and 10.77.0.0/25",
        );
        check_refused(
            &json!({"driver": "macvlan", "network_interface": "eth9"}),
            "parent interface eth9 does not exist; `ip link` lists those that do",
        );
        assert_eq!(hand_back(network(&json!({}))), Err(TakeOverError::NotOurs));
    }
}
