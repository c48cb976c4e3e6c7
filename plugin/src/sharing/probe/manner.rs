//! From where a network's link can be asked. No I/O.
//!
//! The bridge or parent itself hears other hosts. A sibling, which is an interface of the
//! kind that containers have, also hears containers of this host, which a macvlan parent
//! does not.

use super::sibling::Kind;
use crate::protocol::Network;
use crate::rules::evidence::Link;
use crate::rules::options::Plumbing;

/// From where a link can be asked; for each place, why not if it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// The bridge or parent, by its name.
    pub(super) parent: Result<String, &'static str>,
    /// The kind of sibling, and the index of the bridge or parent that it goes on.
    pub(super) sibling: Result<(Kind, u32), &'static str>,
}

impl Manner {
    fn nowhere(why: &'static str) -> Self {
        Self {
            parent: Err(why),
            sibling: Err(why),
        }
    }

    /// Returns how the network on this interface can be asked, judging by the host's
    /// interfaces.
    pub(super) fn of(network: &Network, interface: &str, host: &[Link]) -> Self {
        let Some(link) = host.iter().find(|link| link.answers_to(interface)) else {
            return Self::nowhere("the interface is missing");
        };
        if !link.up {
            return Self::nowhere("the interface is down");
        }
        let from_both = |kind| Self {
            parent: Ok(link.name.clone()),
            sibling: Ok((kind, link.index)),
        };
        let Ok(plumbing) = Plumbing::of(network) else {
            return Self::nowhere("its driver is unknown");
        };
        let option = |name: &str| network.options.get(name).map(String::as_str);
        match (plumbing, option("mode")) {
            (Plumbing::Bridge, _) => {
                let is_port = |port: &&Link| port.master == Some(link.index);
                if link.kind != "bridge" {
                    Self::nowhere("the interface is not a bridge")
                } else if !matches!(option("vlan"), None | Some("0")) {
                    Self::nowhere("the network's VLAN on the bridge is not the bridge's own")
                } else if host.iter().any(|port| is_port(&port)) {
                    from_both(Kind::Veth)
                } else {
                    // The bridge would take over the sibling's MAC address.
                    Self::nowhere("the bridge has no ports, and leads nowhere")
                }
            }
            (Plumbing::Macvlan, None | Some("bridge")) => from_both(Kind::Macvlan),
            (Plumbing::Macvlan, Some("passthru")) => {
                Self::nowhere("the one container has the parent interface to itself (passthru)")
            }
            (Plumbing::Macvlan, Some(_)) => Self {
                sibling: Err("containers of this mode do not hear each other"),
                ..from_both(Kind::Macvlan)
            },
            (Plumbing::Ipvlan, None | Some("l2")) => from_both(Kind::Ipvlan),
            (Plumbing::Ipvlan, Some(_)) => Self::nowhere("containers of this mode answer nobody"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(driver: &str, options: serde_json::Value, parent: bool, sibling: Option<Kind>) {
        let network = json!({"name": "n", "id": "1", "driver": driver, "options": options});
        let network: Network = serde_json::from_value(network).unwrap();
        let link = |index, name: &str, kind: &str, master, up| Link {
            index,
            name: name.into(),
            kind: kind.into(),
            master,
            up,
            ..Link::default()
        };
        let host = [
            link(2, "eth0", "", None, true),
            link(3, "br0", "bridge", None, true),
            link(4, "eth1", "", Some(3), true),
            link(5, "br1", "bridge", None, true),
            link(6, "eth2", "", None, false),
        ];
        let interface = options["on"].as_str().unwrap();
        let manner = Manner::of(&network, interface, &host);
        let text = format!("{driver} {options}: {manner:?}");
        assert_eq!(manner.parent.is_ok(), parent, "{text}");
        assert_eq!(manner.sibling.ok().map(|found| found.0), sibling, "{text}");
    }

    #[test]
    fn a_place_is_asked_only_if_it_hears_the_containers() {
        let (both, veth) = (Some(Kind::Macvlan), Some(Kind::Veth));
        check("berth", json!({"on": "br0"}), true, veth);
        check("bridge", json!({"on": "br0", "vlan": "0"}), true, veth);
        check("bridge", json!({"on": "br0", "vlan": "7"}), false, None);
        check("bridge", json!({"on": "br1"}), false, None);
        check("bridge", json!({"on": "eth0"}), false, None);
        check("bridge", json!({"on": "br9"}), false, None);
        check("macvlan", json!({"on": "eth0"}), true, both);
        let berth = json!({"on": "eth0", "driver": "macvlan", "mode": "bridge"});
        check("berth", berth, true, both);
        check("macvlan", json!({"on": "eth2"}), false, None);
        check(
            "macvlan",
            json!({"on": "eth0", "mode": "private"}),
            true,
            None,
        );
        check("macvlan", json!({"on": "eth0", "mode": "vepa"}), true, None);
        check(
            "macvlan",
            json!({"on": "eth0", "mode": "passthru"}),
            false,
            None,
        );
        let ipvlan = Some(Kind::Ipvlan);
        check("ipvlan", json!({"on": "eth0", "mode": "l2"}), true, ipvlan);
        check("ipvlan", json!({"on": "eth0", "mode": "l3"}), false, None);
        let unknown = json!({"on": "eth0", "driver": "veth"});
        check("berth", unknown, false, None);
    }
}
