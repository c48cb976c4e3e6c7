//! What ipam.db would contain if Podman had leased the addresses that berth has leased
//! (containers/common `ipam.go`, `allocIPs`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use berth::protocol::Network;
use berth::rules::lease::Tenant;
use berth::rules::pool::normalise;
use ipnetwork::IpNetwork;

use crate::bolt::{Bucket, Item};
use crate::ipam::content::address_key;
use crate::ipam::key::{IDS, LAST_IP};

/// Returns a network's bucket: `ids`, and a bucket for each subnet, with the holders of its
/// addresses and the address last leased dynamically. `None` if there is nothing to write.
///
/// Podman knows one address per container and subnet, and none outside the subnets. If a
/// container has more, `ids` lists only the first, but none of them is leased again.
pub(crate) fn bucket(
    network: &Network,
    tenants: &[Tenant],
    cursors: &[(IpNetwork, IpAddr)],
) -> Option<Bucket> {
    let mut listed: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    let mut root = Bucket::default();
    for subnet in network.subnets.iter().map(|own| normalise(own.subnet)) {
        let mut items = BTreeMap::new();
        for tenant in tenants {
            let container = tenant.tenancy.container_id.as_str();
            let mut addresses = tenant.addresses();
            addresses.retain(|address| subnet.contains(*address));
            for address in &addresses {
                let holder = Item::Value(container.as_bytes().to_vec());
                items.insert(address_key(*address), holder);
            }
            if let Some(first) = addresses.first() {
                listed.entry(container).or_default().push(*first);
            }
        }
        if let Some((_, last)) = cursors.iter().find(|(own, _)| *own == subnet) {
            items.insert(LAST_IP.to_vec(), Item::Value(address_key(*last)));
        }
        let key = subnet.to_string().into_bytes();
        root.items.insert(key, bucket_of(items));
    }
    if listed.is_empty() && cursors.is_empty() {
        return None;
    }
    let ids = listed.into_iter().map(|(container, addresses)| {
        let texts: Vec<_> = addresses
            .iter()
            .map(|address| format!("\"{address}\""))
            .collect();
        let list = format!("[{}]", texts.join(","));
        (
            container.as_bytes().to_vec(),
            Item::Value(list.into_bytes()),
        )
    });
    let ids = bucket_of(ids.collect());
    root.items.insert(IDS.to_vec(), ids);
    Some(root)
}

fn bucket_of(items: BTreeMap<Vec<u8>, Item>) -> Item {
    Item::Bucket(Bucket { sequence: 0, items })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ipam::content::{Content, Cursor};

    fn network() -> Network {
        serde_json::from_value(json!({
            "name": "n", "id": "i", "driver": "berth",
            "subnets": [{"subnet": "10.77.0.0/24"}, {"subnet": "fd77::/64"}],
        }))
        .unwrap()
    }

    fn tenant(container: &str, addresses: &[&str]) -> Tenant {
        let leased: Vec<_> = addresses
            .iter()
            .map(|address| json!({"address": address, "generation": 1, "kind": "dynamic"}))
            .collect();
        serde_json::from_value(json!({
            "phase": "bound", "holdings": leased, "pid_namespace": 9, "starter": null,
            "namespace": {"path": "/run/netns/netns-1", "device": 4, "inode": 40},
            "boot_id": "b", "created": [1, 1], "renewed": [1, 1], "expires": [1, 1],
            "mac_address": null,
            "request": {
                "container_id": container, "container_name": container,
                "network": {"name": "n", "id": "i", "driver": "berth"},
                "network_options": {"interface_name": "eth0"},
            },
            "delegation": {"config": "", "rootless": false, "aardvark_binary": null,
                "firewall_driver": null, "dns_port": null},
        }))
        .unwrap()
    }

    #[test]
    fn a_bucket_is_as_podman_writes_it() {
        // In any order, as berth keeps them; one address is of a subnet that is gone.
        let tenants = [
            tenant("c1", &["fd77::2", "10.77.0.2", "10.99.0.1"]),
            tenant("c2", &["10.77.0.3", "10.77.0.4"]),
        ];
        let subnet: IpNetwork = "10.77.0.0/24".parse().unwrap();
        let cursors = [(subnet, "10.77.0.3".parse().unwrap())];
        let made = bucket(&network(), &tenants, &cursors).unwrap();
        let Item::Bucket(ids) = &made.items[IDS] else {
            panic!("{made:?}")
        };
        let value = |text: &str| Item::Value(text.as_bytes().to_vec());
        assert_eq!(ids.items[&b"c1"[..]], value(r#"["10.77.0.2","fd77::2"]"#));
        assert_eq!(ids.items[&b"c2"[..]], value(r#"["10.77.0.3"]"#));
        let Item::Bucket(four) = &made.items[&b"10.77.0.0/24"[..]] else {
            panic!("{made:?}")
        };
        assert_eq!(four.items[&[10, 77, 0, 2][..]], value("c1"));
        assert_eq!(four.items[LAST_IP], Item::Value(vec![10, 77, 0, 3]));

        let mut root = Bucket::default();
        root.items.insert(b"n".to_vec(), Item::Bucket(made));
        let record = &Content::parse(&root).networks["n"];
        assert!(record.foreign.is_empty() && record.subnets.len() == 2);
        let slots = |at: usize| record.subnets[at].slots.len();
        assert_eq!((slots(0), slots(1)), (3, 1));
        let last = Cursor::At("10.77.0.3".parse().unwrap());
        assert_eq!(record.subnets[0].cursor, Some(last));
        assert_eq!(record.subnets[1].cursor, None);
    }

    #[test]
    fn a_network_that_was_never_used_has_no_bucket() {
        assert_eq!(bucket(&network(), &[], &[]), None);
    }
}
