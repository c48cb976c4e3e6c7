//! Table tests of pools and spans.

#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn subnet(text: &str) -> Subnet {
    serde_json::from_str(text).unwrap()
}

fn span(text: &str) -> Span {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Span::new(ip(first), ip(last)).unwrap()
}

/// Returns the pool's spans as text, or the error's text.
fn pool(text: &str, exclusions: &[&str]) -> String {
    let exclusions: Vec<_> = exclusions.iter().map(|text| span(text)).collect();
    match Pool::new(&subnet(text), &exclusions) {
        Ok(pool) => {
            let texts: Vec<_> = pool.spans().iter().map(ToString::to_string).collect();
            texts.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(text: &str, exclusions: &[&str], expected: &str) {
    assert_eq!(pool(text, exclusions), expected);
}

#[test]
fn network_broadcast_and_gateway_are_never_offered() {
    check(
        r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}"#,
        &[],
        "10.0.0.2-10.0.0.254",
    );
    check(
        r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.254"}"#,
        &[],
        "10.0.0.1-10.0.0.253",
    );
    check(
        r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.9"}"#,
        &[],
        "10.0.0.1-10.0.0.8 10.0.0.10-10.0.0.254",
    );
    check(r#"{"subnet":"10.0.0.0/24"}"#, &[], "10.0.0.1-10.0.0.254");
    check(r#"{"subnet":"10.0.0.77/24"}"#, &[], "10.0.0.1-10.0.0.254");
}

#[test]
fn the_last_ipv6_address_is_offered() {
    check(
        r#"{"subnet":"fd00::/126","gateway":"fd00::1"}"#,
        &[],
        "fd00::2-fd00::3",
    );
    check(
        r#"{"subnet":"fd00::/64"}"#,
        &[],
        "fd00::1-fd00::ffff:ffff:ffff:ffff",
    );
}

#[test]
fn the_smallest_subnets_offer_little_or_nothing() {
    check(
        r#"{"subnet":"10.0.0.0/30","gateway":"10.0.0.1"}"#,
        &[],
        "10.0.0.2",
    );
    check(r#"{"subnet":"10.0.0.0/31"}"#, &[], "");
    check(r#"{"subnet":"10.0.0.0/32"}"#, &[], "");
    check(r#"{"subnet":"fd00::/127","gateway":"fd00::1"}"#, &[], "");
    check(r#"{"subnet":"fd00::/127"}"#, &[], "fd00::1");
    check(r#"{"subnet":"fd00::/128"}"#, &[], "");
}

#[test]
fn the_largest_subnets_do_not_overflow() {
    check(r#"{"subnet":"0.0.0.0/0"}"#, &[], "0.0.0.1-255.255.255.254");
    check(
        r#"{"subnet":"::/0"}"#,
        &[],
        "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    );
    assert_eq!(
        Pool::new(&subnet(r#"{"subnet":"::/0"}"#), &[])
            .unwrap()
            .len(),
        u128::MAX
    );
}

#[test]
fn a_lease_range_includes_both_ends_but_never_the_reserved_addresses() {
    let range = |start: &str, end: &str| {
        format!(
            r#"{{"subnet":"10.0.0.0/24","lease_range":{{"start_ip":"{start}","end_ip":"{end}"}}}}"#
        )
    };
    check(&range("10.0.0.10", "10.0.0.20"), &[], "10.0.0.10-10.0.0.20");
    check(&range("10.0.0.10", ""), &[], "10.0.0.10-10.0.0.254");
    check(&range("", "10.0.0.20"), &[], "10.0.0.1-10.0.0.20");
    check(&range("10.0.0.0", "10.0.0.255"), &[], "10.0.0.1-10.0.0.254");
    // This is what `--ip-range 10.0.0.128/25` becomes.
    check(
        &range("10.0.0.129", "10.0.0.255"),
        &[],
        "10.0.0.129-10.0.0.254",
    );
    check(&range("10.0.0.10", "10.0.0.10"), &[], "10.0.0.10");
}

#[test]
fn what_lies_outside_or_backwards_is_refused() {
    check(
        r#"{"subnet":"10.0.0.0/24","gateway":"10.0.1.1"}"#,
        &[],
        "gateway 10.0.1.1 not in subnet 10.0.0.0/24",
    );
    check(
        r#"{"subnet":"10.0.0.0/24","lease_range":{"start_ip":"10.0.1.1"}}"#,
        &[],
        "lease range start ip 10.0.1.1 not in subnet 10.0.0.0/24",
    );
    check(
        r#"{"subnet":"10.0.0.0/24","lease_range":{"end_ip":"fd00::1"}}"#,
        &[],
        "lease range end ip fd00::1 not in subnet 10.0.0.0/24",
    );
    check(
        r#"{"subnet":"10.0.0.0/24","lease_range":{"start_ip":"10.0.0.9","end_ip":"10.0.0.8"}}"#,
        &[],
        "lease range of subnet 10.0.0.0/24 ends at 10.0.0.8, before its start 10.0.0.9",
    );
}

#[test]
fn exclusions_are_cut_out() {
    let net = r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}"#;
    check(net, &["10.0.0.5"], "10.0.0.2-10.0.0.4 10.0.0.6-10.0.0.254");
    check(
        net,
        &["10.0.0.2-10.0.0.9", "10.0.0.5-10.0.0.20"],
        "10.0.0.21-10.0.0.254",
    );
    check(net, &["10.0.0.0-10.0.0.255"], "");
    check(net, &["fd00::1-fd00::9"], "10.0.0.2-10.0.0.254");
}

#[test]
fn an_address_is_offered_only_inside_a_span() {
    let pool = Pool::new(
        &subnet(r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}"#),
        &[span("10.0.0.5-10.0.0.9")],
    )
    .unwrap();
    for (address, offered) in [
        ("10.0.0.0", false),
        ("10.0.0.1", false),
        ("10.0.0.2", true),
        ("10.0.0.4", true),
        ("10.0.0.5", false),
        ("10.0.0.9", false),
        ("10.0.0.10", true),
        ("10.0.0.254", true),
        ("10.0.0.255", false),
        ("10.0.1.2", false),
        ("fd00::2", false),
    ] {
        assert_eq!(pool.offers(ip(address)), offered, "{address}");
    }
}

#[test]
fn families_never_mix() {
    assert_eq!(Span::new(ip("10.0.0.1"), ip("::ffff")), None);
    assert!(!span("0.0.0.0-0.0.0.9").contains(ip("::5")));
}

proptest! {
    /// Compares a pool with the definition, address by address.
    #[test]
    fn a_pool_offers_exactly_what_no_rule_forbids(
        prefix in 24u8..=32,
        gateway in proptest::option::of(0u8..=255),
        range in proptest::option::of((0u8..=255, 0u8..=255)),
        exclusions in proptest::collection::vec((0u8..=255, 0u8..=255), 0..4),
    ) {
        let at = |n: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let net = normalise(IpNetwork::new(at(0), prefix).unwrap());
        let inside = |n: u8| net.contains(at(n));
        let gateway = gateway.filter(|n| inside(*n)).map(at);
        let range = range.filter(|(a, b)| a <= b && inside(*a) && inside(*b));
        let subnet = Subnet {
            subnet: net,
            gateway,
            lease_range: range.map(|(a, b)| crate::protocol::LeaseRange {
                start_ip: Some(at(a)),
                end_ip: Some(at(b)),
            }),
            rest: serde_json::Map::new(),
        };
        let exclusions: Vec<_> =
            exclusions.iter().filter_map(|(a, b)| Span::new(at(*a), at(*b))).collect();
        let pool = Pool::new(&subnet, &exclusions).unwrap();
        let mut count = 0;
        for n in 0..=255u8 {
            let expected = inside(n)
                && at(n) != net.network()
                && at(n) != last_address(net)
                && Some(at(n)) != gateway
                && range.is_none_or(|(a, b)| (a..=b).contains(&n))
                && !exclusions.iter().any(|span| span.contains(at(n)));
            prop_assert_eq!(pool.offers(at(n)), expected, "{}", at(n));
            count += u128::from(expected);
        }
        prop_assert_eq!(pool.len(), count);
        let sorted = pool.spans().windows(2).all(|pair| number(pair[0].last()) + 1 < number(pair[1].first()));
        prop_assert!(sorted, "spans touch or overlap: {:?}", pool.spans());
    }
}
