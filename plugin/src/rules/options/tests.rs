#![allow(clippy::unwrap_used)]

use super::*;

fn network(options: &[(&str, &str)]) -> Network {
    let options: BTreeMap<&str, &str> = options.iter().copied().collect();
    serde_json::from_value(serde_json::json!({
        "name": "n", "id": "i", "driver": "berth", "options": options,
        "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"},
                    {"subnet": "fd00::/64", "gateway": "fd00::1"}],
    }))
    .unwrap()
}

fn check(options: &[(&str, &str)], expected: Result<Options, &str>) {
    let parsed = Options::parse(&network(options)).map_err(|error| error.to_string());
    assert_eq!(parsed, expected.map_err(str::to_owned), "{options:?}");
}

#[test]
fn a_network_without_options_of_ours_has_the_defaults() {
    check(&[], Ok(Options::default()));
    check(&[("mtu", "9000")], Ok(Options::default()));
}

#[test]
fn durations_are_seconds_or_carry_a_unit() {
    let hold = |secs| {
        Ok(Options {
            hold: Duration::from_secs(secs),
            ..Options::default()
        })
    };
    check(&[(HOLD, "0")], hold(0));
    check(&[(HOLD, "90")], hold(90));
    check(&[(HOLD, " 90s ")], hold(90));
    check(&[(HOLD, "10m")], hold(600));
    check(&[(HOLD, "24h")], hold(86_400));
    check(&[(HOLD, "7d")], hold(604_800));
    check(&[(HOLD, "1h 30m")], hold(5_400));
    check(&[(HOLD, "365d")], hold(31_536_000));
    for value in ["", "soon", "-1", "1.5s", "500ms", "1500ms"] {
        let error = format!(
            "invalid option ipam_hold={value}: not a duration; give whole seconds (90) or a number with a unit (90s, 10m, 24h, 7d)"
        );
        check(&[(HOLD, value)], Err(&error));
    }
    for value in ["31536001", "366d", "99999999999999999999999"] {
        let error = format!("invalid option ipam_hold={value}: it must be between 0s and 365days");
        check(&[(HOLD, value)], Err(&error));
    }
}

#[test]
fn a_ttl_has_at_least_a_minute() {
    check(
        &[(TTL, "60"), (COOLDOWN, "0")],
        Ok(Options {
            ttl: MIN_TTL,
            cooldown: Duration::ZERO,
            ..Options::default()
        }),
    );
    check(
        &[(TTL, "59s")],
        Err("invalid option ipam_ttl=59s: it must be between 1m and 365days"),
    );
}

#[test]
fn order_and_plumbing_are_words() {
    check(
        &[(ORDER, "random"), (DRIVER, "ipvlan")],
        Ok(Options {
            order: Order::Random,
            plumbing: Plumbing::Ipvlan,
            ..Options::default()
        }),
    );
    check(
        &[(ORDER, "Lowest")],
        Err("invalid option ipam_order=Lowest: it must be next or lowest or random"),
    );
    check(
        &[(DRIVER, "host")],
        Err("invalid option driver=host: it must be bridge or macvlan or ipvlan"),
    );
}

#[test]
fn unknown_names_of_ours_are_refused_with_the_known_ones() {
    check(
        &[("ipam_cooldwon", "1s")],
        Err(
            "unsupported option ipam_cooldwon: berth knows driver, ipam_cooldown, ipam_exclude, ipam_hold, ipam_order, ipam_reserve, ipam_share, ipam_ttl",
        ),
    );
}

#[test]
fn exclusions_are_addresses_ranges_and_subnets() {
    let span =
        |first: &str, last: &str| Span::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
    check(
        &[(
            EXCLUDE,
            "10.0.0.9, 10.0.0.20-10.0.0.30;10.0.0.70/28\nfd00::5-fd00::f fd00::/80,",
        )],
        Ok(Options {
            exclusions: vec![
                span("10.0.0.9", "10.0.0.9"),
                span("10.0.0.20", "10.0.0.30"),
                span("10.0.0.64", "10.0.0.79"),
                span("fd00::5", "fd00::f"),
                span("fd00::", "fd00::ffff:ffff:ffff"),
            ],
            ..Options::default()
        }),
    );
    for item in [
        "10.0.0",
        "10.0.0.9-",
        "10.0.0.9-10.0.0.8",
        "10.0.0.9-fd00::1",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "x",
    ] {
        let error = format!(
            "invalid option ipam_exclude: {item:?} is not an address (10.0.0.9), a range (10.0.0.9-10.0.0.20) or a subnet (10.0.0.16/28)"
        );
        check(&[(EXCLUDE, item)], Err(&error));
    }
    for (item, span) in [
        ("10.0.1.0", "10.0.1.0"),
        ("10.0.0.250-10.0.1.2", "10.0.0.250-10.0.1.2"),
        ("10.0.0.0/23", "10.0.0.0-10.0.1.255"),
        ("::ffff:10.0.0.9", "::ffff:10.0.0.9"),
    ] {
        let error = format!(
            "invalid option ipam_exclude: {span} is not within a subnet of the network (10.0.0.0/24, fd00::/64); exclusions need subnets given with --subnet"
        );
        check(&[(EXCLUDE, item)], Err(&error));
    }
}

#[test]
fn only_options_of_netavark_are_passed_on() {
    let all = network(&[
        ("mtu", "1400"),
        (DRIVER, "macvlan"),
        (TTL, "1h"),
        ("ipam_x", ""),
    ]);
    let passed: Vec<_> = passed_on(&all.options).into_iter().collect();
    assert_eq!(passed, [("mtu".to_owned(), "1400".to_owned())]);
}

#[test]
fn pools_follow_the_subnets_and_leave_exclusions_out() {
    let network = network(&[(EXCLUDE, "10.0.0.2-10.0.0.9 fd00::2")]);
    let pools = pools(&network, &Options::parse(&network).unwrap()).unwrap();
    assert_eq!(pools.len(), 2);
    assert_eq!(pools[0].spans()[0].first().to_string(), "10.0.0.10");
    assert_eq!(pools[1].spans()[0].first().to_string(), "fd00::3");
}
