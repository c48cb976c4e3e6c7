//! What berth refuses, and whether the refusal says which container holds what and what to do.

use berth_integration::{Driver, Lab, with_driver, with_each_driver};

with_each_driver!(
    the_address_of_a_running_container_is_refused_in_podmans_words,
    an_unknown_option_is_refused,
    an_overlapping_subnet_is_refused,
    an_address_outside_every_subnet_is_refused,
);

with_driver!(
    only_berth,
    Berth,
    an_unknown_option_is_refused_with_the_known_ones,
    a_network_is_refused_in_the_words_of_podmans_own_driver,
    the_gateway_is_refused,
    the_network_and_broadcast_addresses_are_refused,
    a_refused_start_takes_no_address,
);

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

fn the_address_of_a_running_container_is_refused_in_podmans_words(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let holder = lab.container("holder", &["n"]).ip("10.77.0.99").start();
    let refusal = lab
        .container("late", &["n"])
        .ip("10.77.0.99")
        .fails(&format!(
            "requested ip address 10.77.0.99 is already allocated to container ID {}",
            holder.id
        ));
    if driver != Driver::Bridge {
        assert!(refusal.stderr.contains("holder"), "its name:\\n{refusal}");
    }
    lab.remove("late");
    // The refusal and the cleanup after it left the holder alone.
    assert_eq!(lab.addresses("holder", "eth0").len(), 1);
    assert_eq!(lab.dns_entries("n").len(), 2, "holder, by name and by id");
    lab.remove("holder");
    lab.assert_clean(&network);
}

fn an_unknown_option_is_refused(driver: Driver) {
    let lab = Lab::start();
    let create = ["network", "create", "--opt=nonsense=1", "--driver"];
    let refusal = lab.podman(create).arg(driver.to_string()).arg("n");
    refusal.fails("unsupported ");
    let networks = lab.podman(["network", "ls", "--quiet"]).ok();
    assert_eq!(networks, "podman");
}

fn an_unknown_option_is_refused_with_the_known_ones(driver: Driver) {
    let lab = Lab::start();
    let create = ["network", "create", "--opt=ipam_cooldwn=1", "--driver"];
    let refusal = lab.podman(create).arg(driver.to_string()).arg("n");
    let refusal = refusal.fails("ipam_cooldwn");
    assert!(refusal.stderr.contains("ipam_cooldown"), "{refusal}");
}

/// The words differ between Podman 5 and 6, so Podman's own driver is asked for them first.
fn a_network_is_refused_in_the_words_of_podmans_own_driver(driver: Driver) {
    let lab = Lab::start();
    let subnet = "--subnet=fd00:4:4:4:4::/64";
    lab.podman(["network", "create", "--ipv6", subnet, "n"])
        .ok();
    for (option, begin) in [("--opt=foo=bar", "unsupported"), (subnet, "subnet fd00")] {
        let refusal = |driver: Driver| {
            let driver = format!("--driver={driver}");
            let create = lab.podman(["network", "create", "--ipv6", option, &driver, "m"]);
            create.fails(begin).stderr
        };
        let native = refusal(Driver::Bridge);
        let words = &native[native.find(begin).unwrap_or_default()..];
        let ours = refusal(driver);
        assert!(ours.contains(words.trim_end()), "{words}\nbut: {ours}");
    }
}

fn an_overlapping_subnet_is_refused(driver: Driver) {
    let lab = Lab::start();
    lab.network(driver, "n", &["--subnet", "10.77.0.0/16"]);
    let create = ["network", "create", "--subnet=10.77.3.0/24", "--driver"];
    let refusal = lab.podman(create).arg(driver.to_string()).arg("m");
    refusal.fails("subnet 10.77.3.0/24 is already used on the host or by another config");
}

fn an_address_outside_every_subnet_is_refused(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = lab.container("c", &["n"]).ip("10.99.0.1");
    run.fails("requested static ip 10.99.0.1 not in any subnet on network n");
    lab.podman(["rm", "--force", "--ignore", "c"]).ok();
    lab.assert_clean(&network);
}

/// Podman grants the gateway's address, and then two machines on the bridge have the same one.
fn the_gateway_is_refused(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = lab.container("c", &["n"]).ip("10.77.0.1");
    run.fails("it is the gateway of 10.77.0.0/24");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn the_network_and_broadcast_addresses_are_refused(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let refused = |address: &str, reason: &str| {
        lab.container("c", &["n"]).ip(address).fails(reason);
        lab.remove("c");
    };
    refused("10.77.0.0", "it is the network address of 10.77.0.0/24");
    refused("10.77.0.255", "it is the broadcast address of 10.77.0.0/24");
    lab.assert_clean(&network);
}

fn a_refused_start_takes_no_address(driver: Driver) {
    let lab = Lab::start();
    let dual = [&SUBNET[..], &["--ipv6", "--subnet", "fd77::/64"]].concat();
    let network = lab.network(driver, "n", &dual);
    lab.container("holder", &["n"]).ip6("fd77::99").start();
    // The IPv4 address is free, the other one is not. Neither may stay leased.
    let both = lab
        .container("late", &["n"])
        .ip("10.77.0.99")
        .ip6("fd77::99");
    both.fails("requested ip address fd77::99 is already allocated");
    lab.container("other", &["n"]).ip("10.77.0.99").start();
    lab.podman(["rm", "--force", "--time=0", "holder", "late", "other"])
        .ok();
    lab.assert_clean(&network);
}
