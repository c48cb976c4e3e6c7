use serde_json::json;

use super::*;
use crate::rules::lease::fixture_of;

fn view(interfaces: &[&str], addresses: &[&str]) -> View {
    let address = |text: &&str| text.parse().expect("an address");
    View {
        interfaces: interfaces
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect(),
        addresses: addresses.iter().map(address).collect(),
    }
}

fn doubt(view: Option<View>) -> Doubt {
    let why = "namespace of process 9: Permission denied".to_owned();
    Doubt { why, view }
}

#[test]
fn only_the_hosts_own_and_empty_namespaces_are_beside_the_point() {
    let host = view(&["lo", "eth0"], &["127.0.0.1", "192.0.2.1"]);
    let check = |interfaces: &[&str], addresses: &[&str], expected: bool| {
        let seen = view(interfaces, addresses).is_beside_the_point(&host);
        assert_eq!(seen, expected, "{interfaces:?} {addresses:?}");
    };
    check(&["lo", "eth0"], &["127.0.0.1", "192.0.2.1"], true);
    check(&["lo"], &["127.0.0.1"], true);
    check(&["lo", "eth0"], &["127.0.0.1", "10.77.0.5"], false);
    check(&["lo", "eth1"], &["127.0.0.1"], false);
    check(&[], &[], false);
}

#[test]
fn a_namespace_may_be_a_tenants_if_it_has_an_address_of_its_or_none_yet() {
    let tenant = fixture_of("1f2e3d4c5b6a", "10.77.0.5");
    let check = |view: Option<View>, expected: bool| {
        assert_eq!(doubt(view.clone()).may_hide(&tenant), expected, "{view:?}");
    };
    check(None, true);
    check(Some(view(&["lo", "x"], &["127.0.0.1", "10.77.0.5"])), true);
    check(
        Some(view(&["lo", "eth0"], &["127.0.0.1", "::1", "fe80::1"])),
        true,
    );
    check(Some(view(&["lo", "eth0"], &["10.77.0.6"])), false);
    check(Some(view(&["lo", "eth1"], &["127.0.0.1"])), false);
}

fn network(driver: &str) -> Network {
    let network = json!({"name": "n", "id": "i", "driver": "berth", "network_interface": "br",
        "options": {"driver": driver}, "subnets": [{"subnet": "10.77.0.0/24"}]});
    serde_json::from_value(network).expect("a network")
}

fn link(index: u32, name: &str, kind: &str, master: Option<u32>, peer: Option<Peer>) -> Link {
    Link {
        index,
        name: name.to_owned(),
        kind: kind.to_owned(),
        master,
        peer,
        ..Link::default()
    }
}

fn namespace(peer: Peer) -> NamespaceFact {
    NamespaceFact {
        key: (4, 40),
        path: "/run/netns/netns-1".into(),
        named: true,
        links: vec![link(2, "eth0", "veth", None, Some(peer))],
    }
}

#[test]
fn nobody_is_hidden_on_a_bridge_whose_ports_all_lead_to_what_was_seen() {
    let port = |index, peer| link(index, "veth0", "veth", Some(3), Some(peer));
    let bridge = link(3, "br", "bridge", None, None);
    let seen = [namespace(Peer::Host(7))];
    let doubts = [doubt(None)];
    let check = |host: &[Link], expected: bool| {
        let hidden = hidden(host, &seen);
        let doubt = doubt_about(&network("bridge"), &doubts, host, &hidden);
        assert_eq!(doubt.is_some(), expected, "{host:?}");
    };
    let known = port(7, Peer::Elsewhere(1, 2));
    check(&[], false);
    check(&[bridge.clone(), known.clone()], false);
    check(
        &[bridge.clone(), known.clone(), port(8, Peer::Here(9))],
        false,
    );
    let hidden = port(8, Peer::Elsewhere(2, 2));
    check(&[bridge.clone(), known.clone(), hidden.clone()], true);
    let elsewhere = Link {
        master: Some(4),
        ..hidden
    };
    check(&[bridge.clone(), known.clone(), elsewhere], false);
    check(
        &[bridge, known, link(9, "veth9", "veth", Some(3), None)],
        true,
    );
    assert_eq!(doubt_about(&network("bridge"), &[], &[], &[]), None);
}

#[test]
fn only_a_namespace_with_an_address_of_the_network_may_be_on_its_parent() {
    let check = |view: Option<View>, expected: bool| {
        let doubts = [doubt(view)];
        let doubt = doubt_about(&network("macvlan"), &doubts, &[], &[]);
        assert_eq!(doubt.is_some(), expected);
    };
    check(None, true);
    check(Some(view(&["lo", "eth0"], &["10.77.0.5"])), true);
    check(Some(view(&["lo", "eth0"], &["10.78.0.5"])), false);
}
