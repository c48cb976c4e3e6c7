//! Every refusal, word for word.

use super::*;

fn check(fields: Value, expected: &str) {
    let text = fields.to_string();
    let error = complete_here(fields).map_or_else(|error| error.to_string(), |_| "none".to_owned());
    assert_eq!(error, expected, "{text}");
}

fn check_options(options: Value, expected: &str) {
    check(
        json!({"options": options, "subnets": [{"subnet": "10.50.0.0/24"}]}),
        expected,
    );
}

fn check_subnet(subnet: Value, expected: &str) {
    check(json!({"subnets": [subnet]}), expected);
}

#[test]
fn unknown_options_are_refused_with_the_known_ones() {
    let ours = "driver, ipam_cooldown, ipam_exclude, ipam_hold, ipam_order, ipam_reserve, \
                ipam_share, ipam_ttl";
    let bridge = format!("{ours}, isolate, metric, mode, mtu, no_default_route, vlan, vrf");
    for name in ["foo", "bclim", "parent", "ipam_foo"] {
        check_options(
            json!({name: "bar"}),
            &format!("unsupported bridge network option {name}: known are {bridge}"),
        );
    }
    check_options(
        json!({"driver": "macvlan", "vlan": "7"}),
        &format!(
            "unsupported macvlan network option vlan: known are {ours}, bclim, metric, mode, mtu, no_default_route, parent"
        ),
    );
    check_options(
        json!({"driver": "ipvlan", "bclim": "7"}),
        &format!(
            "unsupported ipvlan network option bclim: known are {ours}, metric, mode, mtu, no_default_route, parent"
        ),
    );
    check_options(
        json!({"driver": "host"}),
        "invalid option driver=host: it must be bridge or macvlan or ipvlan",
    );
}

/// The end-to-end tests of Podman 5 and 6 look for these words.
#[test]
fn netavark_is_answered_in_its_own_words() {
    let check = |fields: &Value, podmans: &str, netavarks: &str| {
        for (asker, expected) in [(Asker::Podman, podmans), (Asker::Netavark, netavarks)] {
            let error = complete_for(asker, fields.clone()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{asker:?}: {error}");
        }
    };
    check(
        &json!({"options": {"foo": "bar"}}),
        "unsupported bridge network option foo: known are driver,",
        "unsupported bridge network option: foo; known are driver,",
    );
    check(
        &json!({"subnets": [{"subnet": "fd00:89:0:0:4::/64"}]}),
        "subnet fd00:89::/64 is already used on the host or by another config",
        "subnet fd00:89:0:0:4::/64 is already used on the host or by another config",
    );
}

#[test]
fn option_values_are_checked() {
    let check = check_options;
    for name in ["mtu", "vlan", "metric"] {
        check(
            json!({name: "abc"}),
            &format!(r#"failed to parse "{name}" option: parsing "abc": invalid syntax"#),
        );
    }
    check(json!({"mtu": "-1"}), "mtu -1 is less than zero");
    check(
        json!({"mtu": "4294967296"}),
        r#"failed to parse "mtu" option: parsing "4294967296": value out of range"#,
    );
    check(
        json!({"vlan": "-1"}),
        "vlan ID -1 must be between 0 and 4094",
    );
    check(
        json!({"vlan": "4095"}),
        "vlan ID 4095 must be between 0 and 4094",
    );
    check(
        json!({"metric": "-1"}),
        r#"failed to parse "metric" option: parsing "-1": invalid syntax"#,
    );
    check(
        json!({"metric": "4294967296"}),
        r#"failed to parse "metric" option: parsing "4294967296": value out of range"#,
    );
    check(
        json!({"driver": "macvlan", "bclim": "abc"}),
        r#"failed to parse "bclim" option: parsing "abc": invalid syntax"#,
    );
    check(
        json!({"no_default_route": "foo"}),
        r#"failed to parse no_default_route option: parsing "foo": invalid syntax; it must be true or false"#,
    );
    check(
        json!({"no_default_route": ""}),
        r#"failed to parse no_default_route option: parsing "": invalid syntax; it must be true or false"#,
    );
    check(
        json!({"isolate": "foo"}),
        r#"failed to parse isolate option: parsing "foo": invalid syntax; it must be true, false or strict"#,
    );
    check(
        json!({"vrf": ""}),
        "invalid vrf name: it is empty; leave the option out to use none",
    );
    check(
        json!({"mode": "l2"}),
        r#"unknown bridge mode "l2": it must be managed or unmanaged"#,
    );
    check(
        json!({"driver": "macvlan", "mode": "l2"}),
        r#"unknown macvlan mode "l2": it must be bridge or private or vepa or passthru"#,
    );
    check(
        json!({"driver": "ipvlan", "mode": "vepa"}),
        r#"unknown ipvlan mode "vepa": it must be l2 or l3 or l3s"#,
    );
    check(
        json!({"ipam_exclude": "10.51.0.0/24"}),
        "invalid option ipam_exclude: 10.51.0.0-10.51.0.255 is not within a subnet of the network (10.50.0.0/24); exclusions need subnets given with --subnet",
    );
}

#[test]
fn interfaces_are_checked() {
    let check = |name: &str, expected: &str| check(json!({"network_interface": name}), expected);
    check(
        "podman0",
        "bridge name podman0 already in use by network podman; choose another --interface-name, or give this network a vlan",
    );
    check(
        "bad name",
        "bridge name bad name invalid: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument",
    );
    check("abcdefghijklmno", "none");
    check(
        "abcdefghijklmnop",
        "bridge name abcdefghijklmnop invalid: interface name is too long: interface names must be 15 characters or less",
    );
    check_options(
        json!({"driver": "macvlan", "parent": "eth7"}),
        "parent interface eth7 does not exist; `ip link` lists those that do",
    );
}

#[test]
fn subnets_in_use_are_refused_with_who_uses_them() {
    let check = |subnet: &str, obstacle: &str| {
        check_subnet(
            json!({"subnet": subnet}),
            &format!(
                "subnet {subnet} is already used on the host or by another config: it overlaps {obstacle}; choose another --subnet"
            ),
        );
    };
    check("10.88.5.0/24", "10.88.0.0/16 of network podman");
    check("10.0.0.0/8", "10.88.0.0/16 of network podman");
    check("fd00:89::/96", "fd00:89::/64 of network berth1");
    check("127.1.0.0/16", "address 127.0.0.1/8 of this host");
    check("192.168.7.128/25", "address 192.168.7.20/24 of this host");
    check("fe80::/10", "address fe80::5/64 of this host");
    check("10.70.1.0/24", "the route to 10.70.1.0/24 of this host");
    check("10.70.0.0/16", "the route to 10.70.1.0/24 of this host");
}

#[test]
fn subnets_of_one_network_must_not_overlap() {
    check(
        json!({"subnets": [{"subnet": "10.50.0.0/24"}, {"subnet": "10.50.0.9/24"}]}),
        "duplicate subnet defined: 10.50.0.0/24",
    );
    check(
        json!({"subnets": [{"subnet": "10.50.0.0/24"}, {"subnet": "fd77::/64"}, {"subnet": "10.50.0.128/25"}]}),
        "overlapping subnets: 10.50.0.0/24 and 10.50.0.128/25",
    );
    let lan = [{ json!({"subnet": "10.50.0.0/24"}) }];
    check(
        json!({"options": {"driver": "macvlan"}, "subnets": [lan[0], lan[0]]}),
        "duplicate subnet defined: 10.50.0.0/24",
    );
}

#[test]
fn no_free_subnet_is_said_plainly() {
    let mut host = host();
    let full = |host: &HostFacts, ipv6: bool| {
        let network = input(json!({"ipv6_enabled": ipv6}));
        complete(
            network,
            Asker::Podman,
            host,
            &SubnetPools::default(),
            || RANDOM,
        )
        .unwrap_err()
        .to_string()
    };
    host.addresses.extend(nets(&["fd00::1/8"]));
    assert_eq!(
        full(&host, true),
        "failed to get random ipv6 subnet: 1000 prefixes overlap networks, addresses or routes of this host; give --subnet"
    );
    host.addresses.extend(nets(&["10.0.0.1/8"]));
    assert_eq!(
        full(&host, false),
        "could not find free subnet from subnet pools: all overlap networks, addresses or routes of this host; give --subnet, or more default_subnet_pools in containers.conf"
    );
}

#[test]
fn gateways_and_ranges_lie_in_the_subnet() {
    check_subnet(
        json!({"subnet": "10.50.0.0/24", "gateway": "10.51.0.1"}),
        "gateway 10.51.0.1 not in subnet 10.50.0.0/24",
    );
    for (end, key) in [("start", "start_ip"), ("end", "end_ip")] {
        check_subnet(
            json!({"subnet": "10.50.0.0/24", "lease_range": {key: "10.51.0.1"}}),
            &format!("lease range {end} ip 10.51.0.1 not in subnet 10.50.0.0/24"),
        );
    }
    check_subnet(
        json!({"subnet": "10.50.0.0/24", "lease_range": {"start_ip": "10.50.0.9", "end_ip": "10.50.0.8"}}),
        "lease range of subnet 10.50.0.0/24 ends at 10.50.0.8, before its start 10.50.0.9",
    );
}

#[test]
fn a_subnet_that_can_lease_nothing_is_refused() {
    let nothing = |subnet: &str| {
        format!(
            "no address of subnet {subnet} can ever be leased: network, broadcast and gateway address, ipam_exclude and what is outside the lease range leave none; use a larger subnet or lease range"
        )
    };
    for subnet in [
        "10.50.0.0/31",
        "10.50.0.0/32",
        "fd77::/127",
        "fd77::/128",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    ] {
        check_subnet(json!({"subnet": subnet}), &nothing(subnet));
    }
    check_subnet(
        json!({"subnet": "10.50.0.0/24", "lease_range": {"start_ip": "10.50.0.0", "end_ip": "10.50.0.1"}}),
        &nothing("10.50.0.0/24"),
    );
    check_options(
        json!({"ipam_exclude": "10.50.0.0/24"}),
        &nothing("10.50.0.0/24"),
    );
}

#[test]
fn networks_that_need_no_berth_are_refused() {
    let check = |ipam: &str, plumbing: &str, with: &str, advice: &str| {
        check(
            json!({"ipam_options": {"driver": ipam}, "options": {"driver": plumbing}}),
            &format!("ipam driver {ipam} is not supported with {with}: {advice}"),
        );
    };
    let us = "berth, which leases addresses itself";
    check(
        "dhcp",
        "bridge",
        us,
        "use -d bridge -o mode=unmanaged itself for DHCP",
    );
    check("dhcp", "macvlan", us, "use -d macvlan itself for DHCP");
    check(
        "dhcp",
        "ipvlan",
        "ipvlan",
        "leave out --ipam-driver and give --subnet",
    );
    check("other", "bridge", us, "leave out --ipam-driver");
}

#[test]
fn a_network_without_addresses_has_no_subnets() {
    let none = json!({"driver": "none"});
    check(
        json!({"ipam_options": none, "subnets": [{"subnet": "10.50.0.0/24"}]}),
        "ipam driver none is not supported with --subnet: leave one of the two out",
    );
    check(
        json!({"ipam_options": none, "network_dns_servers": ["10.50.0.53"]}),
        "cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument; leave out --dns, or --disable-dns",
    );
}

#[test]
fn macvlan_needs_a_subnet() {
    check(
        json!({"options": {"driver": "macvlan"}}),
        "macvlan driver needs at least one subnet specified when the host-local ipam driver is set, or berth's: neither leases from a DHCP server; give --subnet, or use -d macvlan itself for DHCP",
    );
    check(
        json!({"options": {"driver": "ipvlan"}}),
        "ipvlan driver needs at least one subnet specified when the host-local ipam driver is set, or berth's: neither leases from a DHCP server; give --subnet",
    );
}

#[test]
fn dns_servers_need_dns() {
    check(
        json!({"dns_enabled": false, "network_dns_servers": ["1.1.1.1"]}),
        "cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument; leave out --dns, or --disable-dns",
    );
    check(
        json!({"options": {"driver": "ipvlan"}, "subnets": [{"subnet": "10.50.0.0/24"}],
            "network_dns_servers": ["1.1.1.1"]}),
        "cannot set NetworkDNSServers if DNS is not enabled for the network: invalid argument; leave out --dns, only bridge networks have DNS",
    );
}

#[test]
fn routes_lead_to_networks_of_their_gateways_family() {
    let check = |destination: &str, gateway: &str, expected: &str| {
        check(
            json!({"routes": [{"destination": destination, "gateway": gateway}]}),
            expected,
        );
    };
    check(
        "10.60.0.1/16",
        "10.50.0.9",
        "route destination invalid: 10.60.0.1/16 has host bits set, its network is 10.60.0.0/16",
    );
    check(
        "10.60.0.0/16",
        "fd00::9",
        "route 10.60.0.0/16 via fd00::9 is invalid: destination and gateway must both be IPv4 or both IPv6",
    );
    check(
        "fd60::/48",
        "10.50.0.9",
        "route fd60::/48 via 10.50.0.9 is invalid: destination and gateway must both be IPv4 or both IPv6",
    );
}
