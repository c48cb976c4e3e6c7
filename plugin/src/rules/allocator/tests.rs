//! Table tests over a plain model of the shelf.

#![allow(clippy::unwrap_used)]

mod model;

use super::*;
use crate::rules::lease::LeasedAddress;
use crate::rules::options::{Options, pools};
use model::*;

#[test]
fn dynamic_addresses_come_in_podmans_order() {
    let empty = Model::default;
    check(&empty(), NET, "", &[], "10.0.0.2");
    check(&cursor(empty(), "10.0.0.2"), NET, "", &[], "10.0.0.3");
    check(
        &cursor(leased(&["10.0.0.6", "10.0.0.7"]), "10.0.0.5"),
        NET,
        "",
        &[],
        "10.0.0.8",
    );
    // Wraps round after the last address before the broadcast address.
    check(&cursor(empty(), "10.0.0.254"), NET, "", &[], "10.0.0.2");
    check(
        &cursor(leased(&["10.0.0.2"]), "10.0.0.254"),
        NET,
        "",
        &[],
        "10.0.0.3",
    );
    check(&empty(), DUAL, "", &[], "10.0.0.2 fd00::2");
}

#[test]
fn a_cursor_outside_a_narrowed_range_starts_anew() {
    let range = r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1",
        "lease_range":{"start_ip":"10.0.0.100","end_ip":"10.0.0.110"}}"#;
    for at in ["10.0.0.5", "10.0.0.200", "10.0.0.110"] {
        check(&cursor(Model::default(), at), range, "", &[], "10.0.0.100");
    }
    check(
        &cursor(Model::default(), "10.0.0.104"),
        range,
        "",
        &[],
        "10.0.0.105",
    );
}

#[test]
fn the_last_ipv6_address_is_an_ordinary_one_and_the_broadcast_address_is_not() {
    let v6 = r#"{"subnet":"fd00::/126","gateway":"fd00::1"}"#;
    check(&cursor(Model::default(), "fd00::2"), v6, "", &[], "fd00::3");
    let v4 = r#"{"subnet":"10.0.0.0/30","gateway":"10.0.0.1"}"#;
    check(
        &cursor(Model::default(), "10.0.0.2"),
        v4,
        "",
        &[],
        "10.0.0.2",
    );
}

#[test]
fn subnets_too_small_to_lease_from_are_full() {
    for subnet in ["10.0.0.0/31", "10.0.0.0/32", "fd00::/128"] {
        let text = format!(r#"{{"subnet":"{subnet}"}}"#);
        check(
            &Model::default(),
            &text,
            "",
            &[],
            &format!("Full({:?})", subnet.parse::<IpNetwork>().unwrap()),
        );
    }
}

#[test]
fn static_addresses_are_taken_as_asked_in_subnet_order() {
    let empty = Model::default();
    check(&empty, NET, "", &["10.0.0.9"], "10.0.0.9!");
    check(
        &empty,
        DUAL,
        "",
        &["fd00::9", "10.0.0.9"],
        "10.0.0.9! fd00::9!",
    );
    check(&empty, DUAL, "", &["fd00::9"], "10.0.0.2 fd00::9!");
    check(&empty, DUAL, "", &["10.0.0.9"], "10.0.0.9! fd00::2");
    check(
        &empty,
        NET,
        "",
        &["10.0.0.9", "10.0.0.8"],
        "10.0.0.9! 10.0.0.8!",
    );
    // This is what `podman network reload` sends.
    check(
        &empty,
        DUAL,
        "",
        &["fd00::9", "10.0.0.9", "fd00::9", "10.0.0.9"],
        "10.0.0.9! fd00::9!",
    );
    check(&empty, NET, "", &["::ffff:10.0.0.9"], "10.0.0.9!");
}

#[test]
fn what_can_never_be_leased_is_refused_with_its_reason() {
    let empty = Model::default();
    let net = "V4(Ipv4Network { addr: 10.0.0.0, prefix: 24 })";
    check(&empty, NET, "", &["10.0.1.9"], "Outside(10.0.1.9)");
    check(
        &empty,
        NET,
        "",
        &["10.0.0.0"],
        &format!("Unleasable(10.0.0.0, Network({net}))"),
    );
    check(
        &empty,
        NET,
        "",
        &["10.0.0.1"],
        &format!("Unleasable(10.0.0.1, Gateway({net}))"),
    );
    check(
        &empty,
        NET,
        "",
        &["10.0.0.255"],
        &format!("Unleasable(10.0.0.255, Broadcast({net}))"),
    );
    check(
        &empty,
        r#"{"subnet":"fd00::/64"}"#,
        "",
        &["fd00::ffff:ffff:ffff:ffff"],
        "fd00::ffff:ffff:ffff:ffff!",
    );
}

#[test]
fn lease_range_and_exclusions_bind_dynamic_leases_only() {
    let excluded = r#""ipam_exclude":"10.0.0.2-10.0.0.9""#;
    check(&Model::default(), NET, excluded, &[], "10.0.0.10");
    check(&Model::default(), NET, excluded, &["10.0.0.4"], "10.0.0.4!");
    let all = r#""ipam_exclude":"10.0.0.0/29""#;
    let full = "Full(V4(Ipv4Network { addr: 10.0.0.0, prefix: 29 }))";
    check(&Model::default(), SMALL, all, &[], full);
}

#[test]
fn a_leased_address_is_refused_unless_it_is_ones_own() {
    let model = leased(&["10.0.0.9"]);
    assert!(ask(&model, &network(NET, ""), &["10.0.0.9"]).starts_with("Leased(10.0.0.9, Tenancy"));
    let mut own = Model::default();
    own.leases.insert(ip("10.0.0.9"), tenancy("me"));
    check(&own, NET, "", &["10.0.0.9"], "10.0.0.9!");
}

#[test]
fn reserved_addresses_are_skipped_while_others_are_free() {
    let model = reserved(Model::default(), &[("10.0.0.2", "a", Kind::Dynamic, 5)]);
    check(&model, NET, "", &[], "10.0.0.3");
}

#[test]
fn a_pool_without_free_addresses_gives_up_reserved_ones_dynamic_ones_first() {
    let model = reserved(
        leased(&["10.0.0.2"]),
        &[
            ("10.0.0.3", "a", Kind::Static, 1),
            ("10.0.0.4", "b", Kind::Dynamic, 9),
            ("10.0.0.5", "c", Kind::Dynamic, 5),
            ("10.0.0.6", "d", Kind::Dynamic, 7),
        ],
    );
    check(&model, SMALL, "", &[], "10.0.0.5");
    let only_static = reserved(
        leased(&["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]),
        &[("10.0.0.3", "a", Kind::Static, 1)],
    );
    check(&only_static, SMALL, "", &[], "10.0.0.3");
}

#[test]
fn a_container_that_comes_back_gets_its_address_by_id_then_by_name() {
    let both = reserved(
        Model::default(),
        &[
            ("10.0.0.7", "me", Kind::Dynamic, 1),
            ("10.0.0.8", "other", Kind::Dynamic, 1),
        ],
    );
    check(&both, NET, "", &[], "10.0.0.7");
    let mut by_name = reserved(
        Model::default(),
        &[("10.0.0.8", "old-me", Kind::Dynamic, 1)],
    );
    by_name
        .reservations
        .get_mut(&ip("10.0.0.8"))
        .unwrap()
        .container_name = "my-name".into();
    check(&by_name, NET, "", &[], "10.0.0.8");
    // The address is not given back if it has been excluded since.
    check(
        &by_name,
        NET,
        r#""ipam_exclude":"10.0.0.8""#,
        &[],
        "10.0.0.2",
    );
}

#[test]
fn a_static_request_may_take_an_address_reserved_for_another() {
    let model = reserved(Model::default(), &[("10.0.0.7", "a", Kind::Static, 1)]);
    check(&model, NET, "", &["10.0.0.7"], "10.0.0.7!");
}

#[test]
fn reload_keeps_a_dynamic_address_dynamic() {
    let model = reserved(Model::default(), &[("10.0.0.7", "me", Kind::Dynamic, 1)]);
    check(&model, NET, "", &["10.0.0.7"], "10.0.0.7");
    let model = reserved(Model::default(), &[("10.0.0.7", "me", Kind::Static, 1)]);
    check(&model, NET, "", &["10.0.0.7"], "10.0.0.7!");
}

#[test]
fn orders_differ_only_in_where_they_begin() {
    let model = || cursor(leased(&["10.0.0.2"]), "10.0.0.50");
    check(&model(), NET, r#""ipam_order":"next""#, &[], "10.0.0.51");
    check(&model(), NET, r#""ipam_order":"lowest""#, &[], "10.0.0.3");
    // 10.0.0.2 plus 7, the number that the test passes.
    check(&model(), NET, r#""ipam_order":"random""#, &[], "10.0.0.9");
}

#[test]
fn the_same_tenancy_asking_again_gets_the_same_answer() {
    let mut model = cursor(Model::default(), "10.0.0.99");
    model.leases.insert(ip("10.0.0.9"), tenancy("me"));
    let network = network(NET, "");
    let options = Options::parse(&network).unwrap();
    let current = crate::rules::lease::fixture(
        tenancy("me"),
        vec![LeasedAddress {
            address: ip("10.0.0.9"),
            generation: 1,
            kind: Kind::Dynamic,
        }],
    );
    let request = Request {
        tenancy: &current.tenancy,
        container_name: &"my-name".into(),
        static_ips: &[],
        current: Some(&current),
        pledges: &options.pledges,
        order: options.order,
        random: 0,
    };
    let Ok(decision) = choose(&model, &pools(&network, &options).unwrap(), &request);
    let expected = Decision::Lease(vec![(ip("10.0.0.9"), Kind::Dynamic)]);
    assert_eq!(decision, expected);
}

#[test]
fn what_a_person_has_reserved_goes_to_that_container_alone() {
    let reserve = r#""ipam_reserve":"10.0.0.2=other; 10.0.0.3; 10.0.0.4=my-name # mine""#;
    let net = network(NET, reserve);
    assert_eq!(ask(&Model::default(), &net, &[]), "10.0.0.4");
    assert_eq!(ask(&Model::default(), &net, &["10.0.0.4"]), "10.0.0.4!");
    assert_eq!(ask(&Model::default(), &net, &["10.0.0.9"]), "10.0.0.9!");
    for address in ["10.0.0.2", "10.0.0.3"] {
        let refused = ask(&leased(&[address]), &net, &[address]);
        assert!(refused.starts_with("Pledged("), "{refused}");
    }
    // A ghost has the address: the contest decides whether it gives way.
    let refused = ask(&leased(&["10.0.0.4"]), &net, &[]);
    assert!(refused.starts_with("Leased(10.0.0.4, "), "{refused}");

    let net = network(NET, r#""ipam_reserve":"10.0.0.2=other; 10.0.0.3""#);
    assert_eq!(ask(&Model::default(), &net, &[]), "10.0.0.4");
    // It is kept even when nothing else is free, and even from the container that had it
    // before.
    let small = network(SMALL, r#""ipam_reserve":"10.0.0.6""#);
    let full = leased(&["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    let mut full = reserved(full, &[("10.0.0.6", "me", Kind::Dynamic, 9)]);
    assert_eq!(
        ask(&full, &small, &[]),
        "Full(V4(Ipv4Network { addr: 10.0.0.0, prefix: 29 }))"
    );
    full.leases.remove(&ip("10.0.0.5"));
    assert_eq!(ask(&full, &small, &[]), "10.0.0.5");
}
