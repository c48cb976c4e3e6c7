//! Interfaces and bridges that are the administrator's, and those that netavark has made.

use berth_integration::{Driver, Lab, Network, with_driver};

use super::{ADDRESS, SUBNET, collects};

/// Returns a lab whose host has an interface, and the network that names it as its bridge.
#[track_caller]
fn with_link_of_the_hosts(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--interface-name", "h0"]].concat();
    let network = lab.network(driver, "n", &options);
    lab.sh("ip link add h0 type veth peer name hh
        ip link set h0 up
        ip address add 192.168.55.9/24 dev h0");
    (lab, network)
}

#[track_caller]
fn has_its_link(lab: &Lab) {
    let shown = lab.sh("ip -o address show dev h0");
    assert!(shown.contains("192.168.55.9/24"), "{shown}");
}

fn an_interface_of_the_hosts_survives_a_network_that_names_it(driver: Driver) {
    let (lab, network) = with_link_of_the_hosts(driver);
    lab.container("c", &["n"])
        .fails("network n has h0 as its bridge, but that is another interface of this host (veth)");
    has_its_link(&lab);
    lab.podman(["rm", "--force", "--ignore", "c"]).ok();
    lab.cmd("berth").args(["gc", "--now"]).ok();
    has_its_link(&lab);
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
}

/// The bridge is an administrator's, and has no ports at present.
fn a_bridge_of_the_hosts_survives_the_last_container_and_collection(driver: Driver) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--interface-name", "h0", "--disable-dns"]].concat();
    let network = lab.network(driver, "n", &options);
    lab.sh("ip link add h0 type bridge
        ip link set h0 up
        ip address add 192.168.55.9/24 dev h0");
    lab.cmd("berth").args(["gc", "--now"]).ok();
    has_its_link(&lab);
    lab.container("c", &["n"]).start();
    lab.remove("c");
    has_its_link(&lab);
    lab.container("dead", &["n"]).ip(ADDRESS).start();
    lab.kill_with_conmon("dead");
    collects(&lab, ADDRESS);
    has_its_link(&lab);
    lab.remove_at_last("dead");
    has_its_link(&lab);
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
}

/// Podman does not see the bridges of a plugin's networks, and may itself choose the name of one.
fn two_networks_are_not_put_on_one_bridge(driver: Driver) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--interface-name", "h0"]].concat();
    lab.network(driver, "n", &options);
    lab.network(Driver::Bridge, "o", &["--subnet", "10.78.0.0/24"]);
    lab.sh(r#"sed -i 's/"network_interface": "podman[0-9]*"/"network_interface": "h0"/' /etc/containers/networks/o.json"#);
    lab.container("first", &["o"]).start();
    let shared = "network n has h0 as its bridge, but network o is on it";
    lab.container("second", &["n"]).fails(shared);
    lab.podman(["rm", "--force", "--ignore", "second"]).ok();
    let said = lab.cmd("berth").arg("doctor").run();
    let problem = "networks n and o share the bridge h0";
    assert!(said.stdout.contains(problem), "{said}");
    lab.podman(["exec", "first", "nslookup", "first"]).ok();
    lab.remove("first");
    lab.container("second", &["n"]).start();
    lab.podman(["exec", "second", "nslookup", "second"]).ok();
    lab.remove("second");
}

/// netavark also finds an interface by its altname.
fn an_interface_with_a_bridges_name_as_its_altname_survives(driver: Driver) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--interface-name", "lan"]].concat();
    let network = lab.network(driver, "n", &options);
    lab.container("dead", &["n"]).ip(ADDRESS).start();
    lab.kill_with_conmon("dead");
    lab.sh("ip link delete lan
        ip link add h0 type veth peer name hh
        ip link property add dev h0 altname lan
        ip link set h0 up
        ip address add 192.168.55.9/24 dev h0");
    collects(&lab, ADDRESS);
    has_its_link(&lab);
    lab.container("c", &["n"])
        .fails("network n has lan as its bridge");
    lab.podman(["rm", "--force", "--ignore", "c"]).ok();
    has_its_link(&lab);
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
    lab.remove_at_last("dead");
}

/// A killed netavark or berth leaves such a bridge. netavark never gives it addresses, so no name
/// server can start on it.
fn a_half_made_bridge_is_made_again(driver: Driver) {
    let lab = Lab::start();
    let chosen = lab.network(driver, "n", &SUBNET);
    let named = ["--subnet", "10.78.0.0/24", "--interface-name", "lan"];
    let named = lab.network(driver, "m", &named);
    lab.sh(&format!(
        "ip link add {} type bridge
        ip link add lan address 02:62:65:72:74:68 type bridge",
        chosen.interface
    ));
    for (network, gateway) in [(&chosen, "10.77.0.1"), (&named, "10.78.0.1")] {
        let c = lab.container("c", &[&network.name]);
        c.option("--cap-add", "NET_RAW").start();
        lab.podman(["exec", "c", "ping", "-c1", "-W5", gateway])
            .ok();
        lab.remove_all();
        lab.assert_clean(network);
    }
}

/// Without a bridge, netavark leaves a network's rules. So berth makes one for it, and may be
/// killed then.
fn a_half_made_bridge_goes_with_the_rules_of_a_dead_container(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    lab.container("c", &["n"]).start();
    lab.kill_with_conmon("c");
    lab.sh(&format!(
        "umount /run/netns/netns-*; rm /run/netns/netns-*
        ip link delete {0} && ip link add {0} type bridge",
        network.interface
    ));
    collects(&lab, "10.77.0.2");
    lab.remove_at_last("c");
    lab.assert_clean(&network);
}

fn an_interface_that_took_a_bridges_name_survives_teardown_and_collection(driver: Driver) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--interface-name", "h0"]].concat();
    let network = lab.network(driver, "n", &options);
    lab.container("removed", &["n"]).start();
    lab.container("dead", &["n"]).ip(ADDRESS).start();
    lab.kill_with_conmon("dead");
    lab.sh("ip link delete h0
        ip link add h0 type veth peer name hh
        ip link set h0 up
        ip address add 192.168.55.9/24 dev h0");
    lab.podman(["rm", "--force", "--time=0", "removed"]).ok();
    has_its_link(&lab);
    collects(&lab, "10.77.0.99");
    has_its_link(&lab);
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
    lab.remove_at_last("dead");
    has_its_link(&lab);
}

with_driver!(
    plugin,
    Berth,
    an_interface_of_the_hosts_survives_a_network_that_names_it,
    an_interface_that_took_a_bridges_name_survives_teardown_and_collection,
    an_interface_with_a_bridges_name_as_its_altname_survives,
    a_bridge_of_the_hosts_survives_the_last_container_and_collection,
    two_networks_are_not_put_on_one_bridge,
    a_half_made_bridge_is_made_again,
    a_half_made_bridge_goes_with_the_rules_of_a_dead_container,
);
with_driver!(
    host_wide,
    HostWide,
    an_interface_of_the_hosts_survives_a_network_that_names_it,
    an_interface_that_took_a_bridges_name_survives_teardown_and_collection,
    an_interface_with_a_bridges_name_as_its_altname_survives,
    a_bridge_of_the_hosts_survives_the_last_container_and_collection,
    two_networks_are_not_put_on_one_bridge,
    a_half_made_bridge_is_made_again,
    a_half_made_bridge_goes_with_the_rules_of_a_dead_container,
);

#[test]
fn a_network_on_another_kind_of_interface_is_refused_with_what_was_probably_meant() {
    let lab = Lab::start();
    lab.sh("ip link add h0 type veth peer name hh");
    lab.podman([
        "network",
        "create",
        "-d",
        "berth",
        "--interface-name",
        "h0",
        "n",
    ])
    .fails("h0 is an interface of this host, but not a bridge");
    lab.podman(["network", "create", "-d", "berth", "-o", "driver=macvlan"])
        .args(["--interface-name", "h0", "--subnet", "10.77.0.0/24", "n"])
        .ok();
    assert_eq!(lab.names("/etc/containers/networks"), ["n.json"]);
}
