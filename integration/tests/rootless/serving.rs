//! Addresses, names, ports and networks work as they do for root.

use berth_integration::versions::Behaviour;
use berth_integration::{Driver, ip, with_driver, with_each_driver};

use super::{ADDRESS, SUBNET, user, web};

with_each_driver!(
    an_address_a_name_and_a_port_serve_their_container,
    a_restarted_container_keeps_its_address,
    a_network_can_be_removed_and_made_again,
);

with_driver!(
    only_berth,
    Berth,
    a_reload_keeps_an_address_a_name_and_a_port,
    root_and_users_have_leases_of_their_own,
);

with_driver!(
    in_front,
    HostWide,
    a_reload_keeps_an_address_a_name_and_a_port,
);

fn an_address_a_name_and_a_port_serve_their_container(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).option("--publish", "8080:80").serving().start();
    lab.container("client", &["n"]).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.addresses("client", "eth0"), [ip("10.77.0.2")]);
    assert_eq!(lab.reported("c", "n"), [ip(ADDRESS)]);
    lab.assert_served_to("client", "http://c/");
    lab.assert_served("http://127.0.0.1:8080/");
    lab.remove("client");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_reload_keeps_an_address_a_name_and_a_port(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).option("--publish", "8080:80").serving().start();
    lab.container("client", &["n"]).start();
    lab.podman(["network", "reload", "--all"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.assert_served_to("client", "http://c/");
    lab.assert_served("http://127.0.0.1:8080/");
    lab.remove("client");
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn podmans_own_driver_reloads_a_static_address_or_is_known_to_refuse() {
    let (lab, _) = user(Driver::Bridge);
    web(&lab).start();
    let reload = lab.podman(["network", "reload", "c"]).run();
    let refuses = lab.does(Behaviour::ReloadRefusesStaticAddresses);
    assert_eq!(reload.status.success(), !refuses, "{reload}");
}

fn a_restarted_container_keeps_its_address(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.podman(["stop", "--time=0", "c"]).ok();
    lab.podman(["start", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_network_can_be_removed_and_made_again(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    lab.podman(["network", "rm", "--force", "--time=0", "n"])
        .ok();
    lab.assert_clean(&network);
    let again = lab.network(driver, "n", &SUBNET);
    web(&lab).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&again);
}

fn root_and_users_have_leases_of_their_own(driver: Driver) {
    let (sailor, network) = user(driver);
    let (root, mate) = (sailor.seen_by_root(), sailor.other_user());
    // Made before root's bridge is on the host, because from then on its subnet is taken.
    let everybody = [
        (&root, "roots", root.network(driver, "n", &SUBNET)),
        (&mate, "mates", mate.network(driver, "n", &SUBNET)),
        (&sailor, "sailors", network),
    ];
    for (lab, name, network) in &everybody {
        lab.container(name, &["n"]).ip(ADDRESS).start();
        assert_eq!(lab.addresses(name, "eth0"), [ip(ADDRESS)]);
        let leases = lab.leases(network).of(network);
        assert_eq!(leases, [format!("[{ADDRESS}] bound to {name}")]);
    }
    let [others @ .., (_, name, network)] = &everybody;
    sailor.remove(name);
    sailor.assert_clean(network);
    for (lab, name, network) in others {
        assert_eq!(lab.addresses(name, "eth0"), [ip(ADDRESS)], "{name}");
        assert_eq!(lab.leases(network).of(network).len(), 1, "{name}");
    }
}
