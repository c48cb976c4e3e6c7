#![allow(clippy::unwrap_used)]

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::*;

mod properties;
mod refused;

const RANDOM: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn nets(list: &[&str]) -> Vec<IpNetwork> {
    list.iter().map(|net| net.parse().unwrap()).collect()
}

fn known(name: &str, bridge: &str, subnets: &[&str]) -> KnownNetwork {
    KnownNetwork {
        name: name.to_owned(),
        bridge: Some(bridge.to_owned()),
        subnets: nets(subnets),
    }
}

/// A host with a LAN, a VPN, a route to its site, the default network and one more network.
fn host() -> HostFacts {
    HostFacts {
        not_bridges: vec!["lo".to_owned(), "eth0".to_owned()],
        links: ["lo", "eth0", "berth2"].map(str::to_owned).to_vec(),
        addresses: nets(&["127.0.0.1/8", "::1/128", "192.168.7.20/24", "fe80::5/64"]),
        routes: nets(&["192.168.7.0/24", "172.16.0.0/12", "10.70.1.0/24"]),
        networks: vec![
            known("podman", "podman0", &["10.88.0.0/16"]),
            known("berth1", "br1", &["10.89.0.0/24", "fd00:89::/64"]),
        ],
    }
}

/// A network as Podman hands it to a plugin, with these fields in place of its usual ones.
fn input(fields: Value) -> Network {
    let mut network = json!({
        "name": "n", "id": "0123", "driver": "berth", "created": "0001-01-01T00:00:00Z",
        "ipv6_enabled": false, "internal": false, "dns_enabled": true,
        "labels": {"a": "b"}, "from_the_future": true,
    });
    for (name, value) in fields.as_object().unwrap() {
        network[name] = value.clone();
    }
    serde_json::from_value(network).unwrap()
}

fn complete_here(fields: Value) -> Result<Network, CreateError> {
    complete_for(Asker::Podman, fields)
}

fn complete_for(asker: Asker, fields: Value) -> Result<Network, CreateError> {
    let pools = SubnetPools::default();
    complete(input(fields), asker, &host(), &pools, || RANDOM)
}

/// Completes a network with these fields; `expected` are the fields that then differ from a
/// plain bridge network on the first free bridge and subnet.
fn check(fields: Value, expected: Value) {
    let text = fields.to_string();
    let completed = complete_here(fields.clone()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut whole = serde_json::to_value(input(fields)).unwrap();
    whole["network_interface"] = json!("berth3");
    whole["subnets"] = json!([{"subnet": "10.89.1.0/24", "gateway": "10.89.1.1"}]);
    whole["ipam_options"] = json!({"driver": "berth"});
    for (name, value) in expected.as_object().unwrap() {
        if value.is_null() {
            whole.as_object_mut().unwrap().remove(name);
        } else {
            whole[name] = value.clone();
        }
    }
    assert_eq!(serde_json::to_value(completed).unwrap(), whole, "{text}");
}

fn subnet(subnet: &str, gateway: &str) -> Value {
    json!({"subnet": subnet, "gateway": gateway})
}

#[test]
fn an_empty_network_gets_a_bridge_a_subnet_and_our_ipam() {
    check(json!({}), json!({}));
    check(
        json!({"subnets": null, "options": null, "network_interface": ""}),
        json!({}),
    );
    check(json!({"ipam_options": {"driver": ""}}), json!({}));
    check(
        json!({"ipam_options": {"driver": "host-local", "x": "y"}}),
        json!({"ipam_options": {"driver": "berth", "x": "y"}}),
    );
}

#[test]
fn a_network_without_addresses_stays_as_it_is_but_for_bridge_and_dns() {
    let none = json!({"driver": "none"});
    let bare = json!({"subnets": null, "ipam_options": none, "dns_enabled": false});
    check(json!({"ipam_options": none}), bare.clone());
    let mut macvlan = bare;
    macvlan["network_interface"] = json!("eth0");
    macvlan["options"] = json!({"driver": "macvlan"});
    check(
        json!({"ipam_options": none, "options": {"driver": "macvlan", "parent": "eth0"}}),
        macvlan,
    );
}

#[test]
fn ipv6_means_one_subnet_of_each_family() {
    let v4 = subnet("10.89.1.0/24", "10.89.1.1");
    let v6 = subnet("fd02:304:506:708::/64", "fd02:304:506:708::1");
    let both = |subnets: Value| json!({"subnets": subnets, "ipv6_enabled": true});
    check(json!({"ipv6_enabled": true}), both(json!([v4, v6])));
    let own_v4 = json!({"subnet": "10.50.0.0/24"});
    check(
        json!({"ipv6_enabled": true, "subnets": [own_v4]}),
        both(json!([subnet("10.50.0.0/24", "10.50.0.1"), v6])),
    );
    let own_v6 = json!({"subnet": "fd77::/64"});
    check(
        json!({"ipv6_enabled": true, "subnets": [own_v6]}),
        both(json!([subnet("fd77::/64", "fd77::1"), v4])),
    );
    check(
        json!({"subnets": [own_v6]}),
        both(json!([subnet("fd77::/64", "fd77::1")])),
    );
}

#[test]
fn gateways_are_for_the_way_out_and_for_dns() {
    let subnets = json!([{"subnet": "10.50.0.0/24"}]);
    let with = json!([subnet("10.50.0.0/24", "10.50.0.1")]);
    let check = |internal, dns: bool, expected: &Value| {
        check(
            json!({"subnets": subnets, "internal": internal, "dns_enabled": dns}),
            json!({"subnets": expected}),
        );
    };
    check(false, true, &with);
    check(false, false, &with);
    check(true, true, &with);
    check(true, false, &subnets);
}

#[test]
fn subnets_and_lease_ranges_come_as_they_are_without_host_bits() {
    let range = json!({"start_ip": "10.50.0.129", "end_ip": "10.50.0.255"});
    check(
        json!({"subnets": [{"subnet": "10.50.0.7/24", "lease_range": range}]}),
        json!({"subnets": [{"subnet": "10.50.0.0/24", "gateway": "10.50.0.1", "lease_range": range}]}),
    );
    check(
        json!({"subnets": [{"subnet": "10.50.0.0/30", "gateway": "10.50.0.2"}]}),
        json!({"subnets": [subnet("10.50.0.0/30", "10.50.0.2")]}),
    );
    // The last IPv6 address is an ordinary one.
    let internal = json!({"internal": true, "dns_enabled": false});
    check(
        json!({"subnets": [{"subnet": "fd77::/127"}], "internal": true, "dns_enabled": false}),
        json!({"subnets": [{"subnet": "fd77::/127"}], "ipv6_enabled": true,
               "internal": internal["internal"], "dns_enabled": internal["dns_enabled"]}),
    );
}

#[test]
fn a_bridge_may_be_given_and_docker_may_name_it() {
    check(
        json!({"network_interface": "br-a.b_c"}),
        json!({"network_interface": "br-a.b_c"}),
    );
    // An existing link may be a bridge to join.
    check(
        json!({"network_interface": "berth2"}),
        json!({"network_interface": "berth2"}),
    );
    check(
        json!({"network_interface": "br7", "options": {
            "com.docker.network.bridge.name": "br9", "com.docker.network.driver.mtu": "1400"}}),
        json!({"network_interface": "br9", "options": {"mtu": "1400"}}),
    );
}

#[test]
fn option_values_are_spelled_as_netavark_wants_them() {
    let check = |given: Value, spelled: Value| {
        let expected = if spelled == json!({}) {
            Value::Null
        } else {
            spelled
        };
        check(json!({"options": given}), json!({"options": expected}));
    };
    for value in ["1", "t", "T", "TRUE", "true", "True"] {
        check(
            json!({"isolate": value, "no_default_route": value}),
            json!({"isolate": "true", "no_default_route": "true"}),
        );
    }
    check(
        json!({"no_default_route": "0"}),
        json!({"no_default_route": "false"}),
    );
    check(json!({"isolate": ""}), json!({"isolate": "false"}));
    check(json!({"isolate": "strict"}), json!({"isolate": "strict"}));
    check(json!({"mtu": "", "vlan": ""}), json!({}));
    let plain = json!({"mtu": "9000", "metric": "0", "vrf": "red", "mode": "managed", "vlan": "0",
        "driver": "bridge", "ipam_cooldown": "1m", "ipam_order": "lowest"});
    check(plain.clone(), plain);
}

#[test]
fn networks_on_a_vlan_or_an_unmanaged_bridge_may_share() {
    for (name, value) in [("vlan", "7"), ("mode", "unmanaged")] {
        let given = json!({"network_interface": "br1", "options": {name: value},
            "subnets": [{"subnet": "192.168.7.0/24", "gateway": "192.168.7.1"}]});
        check(
            given.clone(),
            json!({"network_interface": "br1", "subnets": given["subnets"]}),
        );
        // A subnet that we choose overlaps no other anyway.
        check(json!({"options": {name: value}}), json!({}));
    }
}

#[test]
fn a_wide_route_is_no_obstacle_and_not_chosen_either() {
    check(
        json!({"subnets": [{"subnet": "172.20.0.0/16"}]}),
        json!({"subnets": [subnet("172.20.0.0/16", "172.20.0.1")]}),
    );
    let pools = SubnetPools(vec![
        SubnetPool::new("172.16.0.0/12", 16).unwrap(),
        SubnetPool::new("10.70.0.0/16", 24).unwrap(),
    ]);
    let chosen = |host: &HostFacts| {
        let network = complete(input(json!({})), Asker::Podman, host, &pools, || RANDOM).unwrap();
        network.subnets[0].subnet.to_string()
    };
    let mut host = host();
    assert_eq!(chosen(&host), "10.70.0.0/24");
    host.networks.push(known("x", "x", &["10.70.0.0/16"]));
    assert_eq!(chosen(&host), "172.16.0.0/16");
}

#[test]
fn macvlan_and_ipvlan_have_a_parent_and_no_dns() {
    let lan = json!([subnet("192.168.7.0/24", "192.168.7.1")]);
    for driver in ["macvlan", "ipvlan"] {
        let options =
            json!({"driver": driver, "mode": if driver == "macvlan" {"vepa"} else {"l3s"}});
        let expected = json!({"subnets": lan, "options": options, "dns_enabled": false});
        let with_parent = |expected: &Value, parent: Value| {
            let mut expected = expected.clone();
            expected["network_interface"] = parent;
            expected
        };
        check(
            json!({"subnets": lan, "options": options}),
            with_parent(&expected, Value::Null),
        );
        check(
            json!({"subnets": lan, "options": options, "network_interface": "eth0"}),
            with_parent(&expected, json!("eth0")),
        );
        let mut parent = options.clone();
        parent["parent"] = json!("eth0");
        check(
            json!({"subnets": lan, "options": parent}),
            with_parent(&expected, json!("eth0")),
        );
    }
    let bclim = json!({"driver": "macvlan", "bclim": "-1"});
    check(
        json!({"subnets": [{"subnet": "fd77::/64"}], "options": bclim}),
        json!({"subnets": [subnet("fd77::/64", "fd77::1")], "ipv6_enabled": true,
               "dns_enabled": false, "network_interface": null}),
    );
}

#[test]
fn routes_to_networks_are_kept() {
    let routes = json!([
        {"destination": "10.60.0.0/16", "gateway": "10.89.1.9", "metric": 7},
        {"destination": "fd60::/48", "gateway": "fd77::9"},
    ]);
    check(json!({"routes": routes}), json!({"routes": routes}));
    check(
        json!({"network_dns_servers": ["1.1.1.1"]}),
        json!({"network_dns_servers": ["1.1.1.1"]}),
    );
}
