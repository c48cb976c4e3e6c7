//! The exact requests handed to netavark.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::protocol::PluginExec;

fn attachment(options: Value) -> Attachment {
    let exec: PluginExec = serde_json::from_value(json!({
        "container_id": "cafe", "container_name": "web",
        "port_mappings": [{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}],
        "network": {
            "name": "net", "id": "beef", "driver": "berth", "network_interface": "podman1",
            "subnets": [
                {"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"},
                {"subnet": "fd00::/64", "gateway": "fd00::1"}],
            "ipv6_enabled": true, "internal": false, "dns_enabled": true,
            "options": options, "ipam_options": {"driver": "berth"}, "future": 1},
        "network_options": {"interface_name": "eth0", "static_ips": null, "aliases": ["cafe"], "static_mac": null}
    }))
    .unwrap();
    exec.into()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn netavark_gets_the_whole_request_with_its_own_driver_and_our_addresses() {
    let attachment = attachment(
        json!({"driver": "macvlan", "mode": "private", "ipam_hold": "1h", "mtu": "1400"}),
    );
    let addresses = addresses(&["10.0.0.5", "fd00::5"]);
    let connection = Connection {
        attachment: &attachment,
        addresses: &addresses,
    };
    let expected = json!({
        "container_id": "cafe", "container_name": "web",
        "port_mappings": [{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}],
        "networks": {"net": {"interface_name": "eth0", "static_ips": ["10.0.0.5", "fd00::5"],
            "aliases": ["cafe"], "static_mac": null}},
        "network_info": {"net": {
            "name": "net", "id": "beef", "driver": "macvlan", "network_interface": "podman1",
            "subnets": [
                {"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"},
                {"subnet": "fd00::/64", "gateway": "fd00::1"}],
            "ipv6_enabled": true, "internal": false, "dns_enabled": true,
            "options": {"mode": "private", "mtu": "1400"},
            "ipam_options": {"driver": "host-local"}, "future": 1}}
    });
    assert!(!connection.has_several_per_subnet());
    assert_eq!(
        connection.setup_request(SeveralPerSubnet::AsTheyAre),
        expected
    );
    assert_eq!(connection.request(connection.for_teardown()), expected);
}

#[test]
fn a_network_without_addresses_stays_one() {
    let mut attachment = attachment(json!({}));
    attachment.network.subnets.clear();
    attachment.network.ipam_options = [("driver".to_owned(), "none".to_owned())].into();
    let connection = Connection {
        attachment: &attachment,
        addresses: &[],
    };
    let several = SeveralPerSubnet::AsTheyAre;
    for (network, options) in [connection.for_setup(several), connection.for_teardown()] {
        assert_eq!(network.driver, "bridge");
        assert_eq!(network.ipam_options, attachment.network.ipam_options);
        assert!(network.subnets.is_empty() && options.static_ips.is_empty());
    }
}

#[test]
fn netavark_1_gets_a_subnet_for_each_address_but_one_gateway() {
    let attachment = attachment(json!({}));
    let addresses = addresses(&["10.0.0.5", "10.0.0.9", "fd00::5"]);
    let connection = Connection {
        attachment: &attachment,
        addresses: &addresses,
    };
    assert!(connection.has_several_per_subnet());
    let request = connection.setup_request(SeveralPerSubnet::RepeatedSubnets);
    assert_eq!(
        request["network_info"]["net"]["subnets"],
        json!([
            {"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"},
            {"subnet": "10.0.0.0/24"},
            {"subnet": "fd00::/64", "gateway": "fd00::1"}])
    );
    let all = json!(["10.0.0.5", "10.0.0.9", "fd00::5"]);
    assert_eq!(request["networks"]["net"]["static_ips"], all);
    let request = connection.setup_request(SeveralPerSubnet::AsTheyAre);
    assert_eq!(
        request["network_info"]["net"]["subnets"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(request["networks"]["net"]["static_ips"], all);
    // The teardown wants exactly one for each subnet.
    let request = connection.request(connection.for_teardown());
    assert_eq!(
        request["networks"]["net"]["static_ips"],
        json!(["10.0.0.5", "fd00::5"])
    );
}

#[test]
fn a_teardown_without_known_addresses_names_none_that_a_container_could_have() {
    let attachment = attachment(json!({}));
    let connection = Connection {
        attachment: &attachment,
        addresses: &[],
    };
    let request = connection.request(connection.for_teardown());
    assert_eq!(
        request["networks"]["net"]["static_ips"],
        json!(["10.0.0.0", "fd00::"])
    );
}

#[test]
fn the_status_block_shows_every_address_with_its_gateway() {
    let attachment = attachment(json!({}));
    let addresses = addresses(&["10.0.0.5", "10.0.0.9"]);
    let connection = Connection {
        attachment: &attachment,
        addresses: &addresses,
    };
    let status = connection.status_block(
        &mut json!({"net": {"dns_server_ips": ["10.0.0.1"], "interfaces": {"eth0": {
        "mac_address": "aa:bb:cc:dd:ee:ff", "subnets": [
            {"gateway": "10.0.0.1", "ipnet": "10.0.0.5/24"},
            {"gateway": null, "ipnet": "10.0.0.9/24"}]}}}}),
    );
    let subnets = &status["interfaces"]["eth0"]["subnets"];
    assert_eq!(
        subnets[1],
        json!({"gateway": "10.0.0.1", "ipnet": "10.0.0.9/24"})
    );
    assert_eq!(status["dns_server_ips"], json!(["10.0.0.1"]));
}
