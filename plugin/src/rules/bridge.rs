//! The bridge of a network, and what may be wrong with it. No I/O.

use super::evidence::Link;
use super::options::Plumbing;
use crate::protocol::Network;

/// The hardware address of a bridge that berth makes, only for netavark to remove it. A bridge
/// has it from the moment it exists. It is a local address with berth's name in it.
pub const MARK: [u8; 6] = *b"\x02berth";

/// Returns the name of the network's bridge if netavark makes and removes it.
pub fn managed(network: &Network) -> Option<&str> {
    let mode = network.options.get("mode").map(String::as_str);
    let is_bridge = Plumbing::of(network).unwrap_or_default() == Plumbing::Bridge;
    let name = network.network_interface.as_deref();
    name.filter(|_| is_bridge && mode != Some("unmanaged"))
}

/// Returns the bridge that a network's containers are on, if it exists now.
pub fn of<'h>(network: &Network, host: &'h [Link]) -> Option<&'h Link> {
    let is_bridge = Plumbing::of(network).unwrap_or_default() == Plumbing::Bridge;
    let name = network.network_interface.as_ref().filter(|_| is_bridge)?;
    host.iter()
        .find(|link| link.kind == "bridge" && link.answers_to(name))
}

/// Returns the host's interface that has the name of a network's bridge but is not a bridge.
pub fn other_than_bridge<'h>(network: &Network, host: &'h [Link]) -> Option<&'h Link> {
    let name = managed(network)?;
    host.iter()
        .find(|link| link.answers_to(name) && link.kind != "bridge")
}

/// Returns whether netavark made a bridge for a network. If it did, the bridge has one of the
/// network's gateways: netavark gives a bridge its addresses when it makes it, but never to one
/// that already exists (netavark 1.14 `bridge.rs`, `create_interfaces`), and Podman and berth
/// refuse a new network whose addresses the host has. Some internal networks have no gateway:
/// then the only sign is a name that Podman or berth has chosen. That, or berth's [`MARK`], is
/// also the only sign if a kill came before the first address.
pub fn is_netavarks(network: &Network, bridge: &Link) -> bool {
    let is_new = bridge.addresses.is_empty() && !bridge.up;
    if network.gateways().next().is_none() || is_new {
        return is_chosen(&bridge.name) || bridge.hardware_address == Some(MARK);
    }
    let mut gateways = network.gateways();
    gateways.any(|gateway| bridge.addresses.contains(&gateway))
}

/// Returns a network's bridge if a killed netavark or berth has left it half made: it is
/// netavark's, down and without ports, and has no addresses but the network's own. netavark
/// never completes a bridge that exists, so without a gateway no name server could start on
/// it. The next setup makes a new one.
pub fn half_made<'h>(network: &Network, host: &'h [Link]) -> Option<&'h Link> {
    managed(network)?;
    let bridge = of(network, host)?;
    let has_port = host.iter().any(|link| link.master == Some(bridge.index));
    let gateways: Vec<_> = network.gateways().collect();
    let mut addresses = bridge.addresses.iter();
    let is_half_made = !bridge.up
        && !has_port
        && addresses.all(|address| gateways.contains(address))
        && is_netavarks(network, bridge);
    is_half_made.then_some(bridge)
}

/// Returns whether Podman or berth chooses names like this for bridges.
fn is_chosen(name: &str) -> bool {
    let number = name.strip_prefix("podman").or(name.strip_prefix("berth"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns which of the `others` has taken over a network's bridge. The bridge then has that
/// network's gateway and none of this network's own, whose containers would have neither
/// gateway nor DNS. `others` is called only if the bridge is not the network's.
pub fn usurper<'n>(
    network: &Network,
    host: &[Link],
    others: impl FnOnce() -> &'n [Network],
) -> Option<&'n Network> {
    let bridge = of(network, host).filter(|_| managed(network).is_some() && !is_shared(network))?;
    if bridge.addresses.is_empty() || is_netavarks(network, bridge) {
        return None;
    }
    let is_its = |other: &&Network| {
        let name = managed(other).filter(|_| other.id != network.id);
        name.is_some_and(|name| bridge.answers_to(name)) && is_netavarks(other, bridge)
    };
    others().iter().find(is_its)
}

/// Returns whether a network may share its bridge with others, because it has its own VLAN.
pub fn is_shared(network: &Network) -> bool {
    network.options.get("vlan").is_some_and(|id| id != "0")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn network(name: &str, gateway: &str, options: &serde_json::Value) -> Network {
        let network = json!({"name": name, "id": name, "driver": "berth", "options": options,
            "network_interface": "br",
            "subnets": [{"subnet": "10.0.0.0/8", "gateway": gateway}]});
        serde_json::from_value(network).expect("a network")
    }

    fn link(kind: &str, addresses: &[&str]) -> Link {
        let address = |text: &&str| text.parse().expect("an address");
        Link {
            index: 3,
            name: "br".to_owned(),
            kind: kind.to_owned(),
            addresses: addresses.iter().map(address).collect(),
            ..Link::default()
        }
    }

    #[test]
    fn a_bridge_with_only_another_networks_gateway_is_that_ones() {
        let other = network("m", "10.28.0.1", &json!({}));
        let check = |options: &serde_json::Value, link: Link, expected: bool| {
            let own = network("n", "10.77.0.1", options);
            let others = [own.clone(), other.clone()];
            let found = usurper(&own, std::slice::from_ref(&link), || &others);
            assert_eq!(found.is_some(), expected, "{options} {link:?}");
        };
        let none = json!({});
        let others = || link("bridge", &["10.28.0.1", "fe80::1"]);
        check(&none, others(), true);
        check(&none, link("bridge", &[]), false);
        check(&none, link("bridge", &["192.0.2.1"]), false);
        check(&none, link("bridge", &["10.28.0.1", "10.77.0.1"]), false);
        check(&none, link("veth", &["10.28.0.1"]), false);
        check(&json!({"vlan": "7"}), others(), false);
        check(&json!({"mode": "unmanaged"}), others(), false);
        check(&json!({"driver": "macvlan"}), others(), false);
    }

    #[test]
    fn only_a_bridge_with_the_networks_gateway_is_netavarks() {
        let own = network("n", "10.77.0.1", &json!({}));
        assert!(is_netavarks(&own, &link("bridge", &["10.77.0.1"])));
        assert!(!is_netavarks(&own, &link("bridge", &["10.77.0.2"])));
        assert!(!is_netavarks(&own, &link("bridge", &[])));
        let new = |name: &str, hardware_address| Link {
            name: name.to_owned(),
            hardware_address,
            ..link("bridge", &[])
        };
        assert!(is_netavarks(&own, &new("podman3", None)));
        assert!(is_netavarks(&own, &new("br", Some(MARK))));
        assert!(!is_netavarks(&own, &new("br", Some([2, 0, 0, 0, 0, 1]))));
        let up = Link {
            up: true,
            ..new("podman3", Some(MARK))
        };
        assert!(!is_netavarks(&own, &up), "somebody uses it");
        let mut without = own;
        without.subnets[0].gateway = None;
        let named = |name: &str| Link {
            name: name.to_owned(),
            ..link("bridge", &[])
        };
        assert!(is_netavarks(&without, &named("berth12")));
        assert!(!is_netavarks(&without, &named("podman")));
        assert!(!is_netavarks(&without, &named("br")));
    }

    #[test]
    fn a_bridge_is_half_made_until_it_is_up_or_has_a_port() {
        let own = network("n", "10.77.0.1", &json!({}));
        let check = |bridge: Link, port: Option<u32>, expected: bool| {
            let port = Link {
                index: 4,
                name: "veth0".to_owned(),
                master: port,
                ..Link::default()
            };
            let host = [bridge, port];
            assert_eq!(half_made(&own, &host).is_some(), expected, "{host:?}");
        };
        let marked = || Link {
            hardware_address: Some(MARK),
            ..link("bridge", &[])
        };
        check(marked(), None, true);
        check(marked(), Some(3), false);
        check(link("bridge", &["10.77.0.1"]), None, true);
        check(link("bridge", &["10.77.0.1", "192.0.2.1"]), None, false);
        check(link("bridge", &[]), None, false);
        check(link("veth", &["10.77.0.1"]), None, false);
        let up = |bridge| Link { up: true, ..bridge };
        check(up(marked()), None, false);
        check(up(link("bridge", &["10.77.0.1"])), None, false);
        let mut unmanaged = own.clone();
        unmanaged.options.insert("mode".into(), "unmanaged".into());
        assert!(half_made(&unmanaged, &[marked()]).is_none());
    }
}
