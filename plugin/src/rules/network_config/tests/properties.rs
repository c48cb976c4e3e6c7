//! What holds for every network that is accepted, whatever the input was.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::protocol::{LeaseRange, Subnet};
use crate::rules::pool::{Pool, overlap};

/// Addresses from a small part of the space, so that collisions happen.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (88..92_u8, 0..4_u8, 0..=255_u8).prop_map(|(b, c, d)| Ipv4Addr::new(10, b, c, d).into()),
        (0..4_u16, 0..3_u16, 0..9_u16)
            .prop_map(|(b, c, d)| Ipv6Addr::new(0xfd00, 0, b, c, 0, 0, 0, d).into()),
        any::<IpAddr>(),
    ]
}

use std::net::IpAddr;

fn net() -> impl Strategy<Value = IpNetwork> {
    (address(), 0..=32_u8, 40..=128_u8).prop_map(|(address, v4, v6)| {
        let prefix = if address.is_ipv4() { v4 } else { v6 };
        IpNetwork::new(address, prefix).unwrap()
    })
}

fn near(subnet: IpNetwork, by: u128) -> IpAddr {
    let family = Family::of(subnet.ip());
    family.address(crate::rules::pool::number(subnet.network()).wrapping_add(by))
}

prop_compose! {
    fn a_subnet()(
        subnet in net(),
        gateway in proptest::option::weighted(0.3, 0..9_u128),
        range in proptest::option::weighted(0.3, (0..99_u128, 0..300_u128)),
    ) -> Subnet {
        Subnet {
            subnet,
            gateway: gateway.map(|by| near(subnet, by)),
            lease_range: range.map(|(first, last)| LeaseRange {
                start_ip: Some(near(subnet, first)),
                end_ip: Some(near(subnet, last)),
            }),
            rest: serde_json::Map::new(),
        }
    }
}

fn option() -> impl Strategy<Value = (String, String)> {
    prop::sample::select(vec![
        ("driver", "bridge"),
        ("driver", "macvlan"),
        ("driver", "ipvlan"),
        ("mtu", "1400"),
        ("mtu", ""),
        ("vlan", "7"),
        ("vlan", "0"),
        ("isolate", "1"),
        ("isolate", ""),
        ("no_default_route", "T"),
        ("mode", "unmanaged"),
        ("mode", "bridge"),
        ("parent", "link0"),
        ("com.docker.network.bridge.name", "br9"),
        ("ipam_cooldown", "0"),
        ("ipam_exclude", "10.89.0.5"),
    ])
    .prop_map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "berth1", "berth2", "podman0", "podman1", "podman2", "link0", "br9", "x!",
    ])
    .prop_map(str::to_owned)
}

prop_compose! {
    fn a_network()(
        subnets in prop::collection::vec(a_subnet(), 0..3),
        options in prop::collection::btree_map(option(), Just(()), 0..3),
        network_interface in proptest::option::weighted(0.3, name()),
        flags in any::<[bool; 3]>(),
    ) -> Network {
        let options: BTreeMap<String, String> = options.into_keys().collect();
        let mut network = input(json!({
            "ipv6_enabled": flags[0], "internal": flags[1], "dns_enabled": flags[2],
        }));
        network.subnets = subnets;
        network.options = options;
        network.network_interface = network_interface;
        network
    }
}

prop_compose! {
    fn a_host()(
        links in prop::collection::vec(name(), 0..4),
        addresses in prop::collection::vec(net(), 0..4),
        routes in prop::collection::vec(net(), 0..4),
        networks in prop::collection::vec((name(), name(), prop::collection::vec(net(), 0..3)), 0..4),
    ) -> HostFacts {
        // Facts must not cover half the address space, or little would be accepted.
        let usual = |nets: Vec<IpNetwork>| nets.into_iter().filter(|net| net.prefix() > 12).collect();
        HostFacts {
            not_bridges: Vec::new(),
            links,
            addresses: usual(addresses),
            routes,
            networks: networks
                .into_iter()
                .map(|(name, bridge, subnets)| KnownNetwork {
                    name,
                    bridge: Some(bridge),
                    subnets: usual(subnets),
                })
                .collect(),
        }
    }
}

/// Lists what is wrong with a completed network, by name.
fn broken(before: &Network, after: &Network, host: &HostFacts) -> Vec<&'static str> {
    let plumbing = Plumbing::of(after).unwrap();
    let option = |name| after.options.get(name).map(String::as_str);
    let shares = option("mode") == Some("unmanaged") || option("vlan").is_some_and(|id| id != "0");
    let bridge = after.network_interface.as_deref();
    let taken = host.taken();
    let free = |subnet: &Subnet| {
        !taken.iter().any(|taken| overlap(*taken, subnet.subnet))
            && !host.routes.iter().any(|route| {
                overlap(*route, subnet.subnet) && route.prefix() >= subnet.subnet.prefix()
            })
    };
    let apart = |index: usize| {
        let others = &after.subnets[index + 1..];
        !others
            .iter()
            .any(|other| overlap(other.subnet, after.subnets[index].subnet))
    };
    let options = Options::parse(after).unwrap();
    let leases =
        |subnet: &Subnet| Pool::new(subnet, &options.exclusions).is_ok_and(|pool| !pool.is_empty());
    let wants_gateway = !after.internal || after.dns_enabled;
    let is_v6 = |subnet: &Subnet| subnet.subnet.is_ipv6();
    let chosen = &after.subnets[before.subnets.len()..];
    let on_bridge = plumbing == Plumbing::Bridge;
    let checks = [
        (
            "unchanged name, id and driver",
            (&after.name, &after.id, &after.driver) == (&before.name, &before.id, &before.driver),
        ),
        ("unknown fields survive", after.rest == before.rest),
        ("at least one subnet", !after.subnets.is_empty()),
        ("every subnet can lease", after.subnets.iter().all(leases)),
        (
            "no host bits",
            after
                .subnets
                .iter()
                .all(|net| net.subnet.ip() == net.subnet.network()),
        ),
        ("subnets apart", (0..after.subnets.len()).all(apart)),
        (
            "bridge subnets free on the host",
            !on_bridge || shares || after.subnets.iter().all(free),
        ),
        ("chosen subnets always free", chosen.iter().all(free)),
        (
            "gateways where wanted",
            !wants_gateway || after.subnets.iter().all(|net| net.gateway.is_some()),
        ),
        (
            "ipv6 noted",
            after.ipv6_enabled == (before.ipv6_enabled || after.subnets.iter().any(is_v6)),
        ),
        (
            "both families if ipv6 was asked for",
            !on_bridge
                || !before.ipv6_enabled
                || (after.subnets.iter().any(is_v6) && !after.subnets.iter().all(is_v6)),
        ),
        (
            "a bridge of its own",
            !on_bridge
                || bridge.is_some_and(|name| {
                    is_valid_name(name)
                        && name.len() <= MAX_INTERFACE_NAME
                        && (shares || host.network_on(name).is_none())
                }),
        ),
        (
            "a parent that exists",
            on_bridge || bridge.is_none_or(|name| host.links.iter().any(|link| link == name)),
        ),
        ("no dns off the bridge", on_bridge || !after.dns_enabled),
        (
            "our ipam",
            after.ipam_options.get("driver").map(String::as_str) == Some(IPAM_DRIVER),
        ),
    ];
    checks
        .into_iter()
        .filter(|(_, holds)| !holds)
        .map(|(claim, _)| claim)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_accepted_is_sound_and_a_fixed_point(
        network in a_network(),
        host in a_host(),
        mut seed in any::<u64>(),
    ) {
        let pools = SubnetPools::default();
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()
        };
        if let Ok(completed) = complete(network.clone(), Asker::Podman, &host, &pools, &mut random) {
            prop_assert_eq!(broken(&network, &completed, &host), Vec::<&str>::new());
            let again = complete(completed.clone(), Asker::Podman, &host, &pools, &mut random);
            prop_assert_eq!(again, Ok(completed));
        }
    }

    #[test]
    fn a_bare_network_is_always_accepted(host in a_host(), ipv6 in any::<bool>()) {
        let network = input(json!({"ipv6_enabled": ipv6}));
        let mut byte = 0_u8;
        let completed = complete(network, Asker::Podman, &host, &SubnetPools::default(), || {
            byte = byte.wrapping_add(1);
            [byte; 8]
        });
        prop_assert!(completed.is_ok(), "{:?}", completed);
    }
}
