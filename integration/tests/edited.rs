//! A network is edited, removed or made again while containers are on it. They keep what they
//! have, and give back what they got.

use std::net::IpAddr;
use std::time::Duration;

use berth_integration::{Driver, Lab, Network, outage::Death, wait_until};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const SECOND: &str = r#"[{"subnet":"10.79.0.0/24","gateway":"10.79.0.1"}]"#;
const PORTS: [&str; 2] = ["--publish", "8080:80"];
const BOUND: Duration = Duration::from_secs(20);

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    let parse = |address: &&str| address.parse().expect("it is an address");
    addresses.iter().map(parse).collect()
}

/// Changes a network's configuration, as an administrator does with an editor, and
/// returns the network as Podman then sees it.
#[track_caller]
fn edit(lab: &Lab, network: &str, change: &str) -> Network {
    lab.sh(&format!(
        "cd /etc/containers/networks; jq '{change}' {network}.json >/tmp/new
         cp /tmp/new .new; mv .new {network}.json"
    ));
    lab.inspect_network(network)
}

fn lab() -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    (lab, network)
}

/// Collects, and asserts that all is well with this many containers.
#[track_caller]
fn nothing_is_collected(lab: &Lab, live: usize) {
    let said = lab.cmd("berth").args(["gc", "--now"]).ok();
    let expected = format!("{live} live, 0 unknown, 0 reclaimed, 0 cleared away");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_subnet_is_added() {
    let (lab, _) = lab();
    lab.container("old", &["n"]).start();
    let network = edit(&lab, "n", &format!(".subnets += {SECOND}"));
    lab.container("new", &["n"]).start();
    nothing_is_collected(&lab, 2);
    assert_eq!(lab.addresses("old", "eth0"), ips(&["10.77.0.2"]));
    let both = ips(&["10.77.0.3", "10.79.0.2"]);
    assert_eq!(lab.addresses("new", "eth0"), both);
    lab.podman(["restart", "--time=0", "old"]).ok();
    let both = ips(&["10.77.0.2", "10.79.0.3"]);
    assert_eq!(lab.addresses("old", "eth0"), both);
    lab.podman(["rm", "--force", "--time=0", "old", "new"]).ok();
    lab.assert_clean(&network);
}

#[test]
fn a_subnet_is_removed() {
    let (lab, network) = lab();
    edit(&lab, "n", &format!(".subnets += {SECOND}"));
    let run = lab.container("old", &["n"]).ip("10.77.0.99");
    run.option(PORTS[0], PORTS[1]).start();
    edit(&lab, "n", "del(.subnets[1])");
    lab.container("new", &["n"]).start();
    nothing_is_collected(&lab, 2);
    let both = ips(&["10.77.0.99", "10.79.0.2"]);
    assert_eq!(lab.addresses("old", "eth0"), both);
    assert_eq!(lab.addresses("new", "eth0"), ips(&["10.77.0.2"]));
    lab.remove("new");
    lab.remove("old");
    lab.assert_clean(&network);
    assert!(!lab.ruleset().contains("10.79.0."), "{}", lab.ruleset());
}

#[test]
fn the_lease_range_is_narrowed() {
    let (lab, network) = lab();
    lab.container("kept", &["n"]).ip("10.77.0.99").start();
    lab.container("moved", &["n"]).start();
    let range = r#"{"start_ip":"10.77.0.20","end_ip":"10.77.0.22"}"#;
    edit(&lab, "n", &format!(".subnets[0].lease_range = {range}"));
    nothing_is_collected(&lab, 2);
    lab.container("other", &["n"])
        .ip("10.77.0.2")
        .fails("is already allocated to container ID");
    lab.remove("other");
    lab.container("new", &["n"]).start();
    assert_eq!(lab.addresses("new", "eth0"), ips(&["10.77.0.20"]));
    lab.podman(["restart", "--time=0", "kept", "moved"]).ok();
    assert_eq!(lab.addresses("kept", "eth0"), ips(&["10.77.0.99"]));
    assert_eq!(lab.addresses("moved", "eth0"), ips(&["10.77.0.21"]));
    let names = ["kept", "moved", "new"];
    lab.podman(["rm", "--force", "--time=0"]).args(names).ok();
    lab.assert_clean(&network);
}

/// Removes the network with everything on it, in as many attempts as Podman needs.
#[track_caller]
fn remove_by_force(lab: &Lab) {
    wait_until("podman to remove the network", BOUND, || {
        let rm = lab.podman(["network", "rm", "--force", "--time=0", "n"]);
        rm.run().status.success().then_some(())
    });
}

/// Asserts that a new network of the same name and subnet works like any other.
#[track_caller]
fn assert_made_again(lab: &Lab, earlier: &Network) {
    lab.assert_clean(earlier);
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    assert_ne!(network.id, earlier.id);
    let run = lab.container("c", &["n"]).ip("10.77.0.99");
    run.option(PORTS[0], PORTS[1]).start();
    nothing_is_collected(lab, 1);
    assert_eq!(lab.dns_entries("n")["c"], ips(&["10.77.0.99"]));
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn a_network_is_removed_by_force_and_made_again() {
    let (lab, network) = lab();
    let run = lab.container("c", &["n"]).ip("10.77.0.99");
    run.option(PORTS[0], PORTS[1]).start();
    lab.container("d", &["n"]).start();
    remove_by_force(&lab);
    assert_made_again(&lab, &network);
}

#[test]
fn a_network_of_killed_containers_is_removed_by_force_and_made_again() {
    let (lab, network) = lab();
    let run = lab.container("c", &["n"]).ip("10.77.0.99");
    run.option(PORTS[0], PORTS[1]).start();
    lab.container("d", &["n"])
        .dies(Death::EverybodyAfterPlumbing);
    lab.kill_with_conmon("c");
    remove_by_force(&lab);
    lab.cmd("berth").arg("gc").ok();
    assert_made_again(&lab, &network);
}

/// There is a ghost of the earlier network, and a container on one of the same name. What
/// netavark remembers of both is in the same file.
#[test]
fn a_container_on_a_network_made_again_keeps_its_name_when_a_ghost_is_collected() {
    let (lab, earlier) = lab();
    lab.container("ghost", &["n"])
        .dies(Death::EverybodyAfterPlumbing);
    lab.remove("ghost");
    lab.podman(["network", "rm", "n"]).ok();
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.78.0.0/24"]);
    lab.container("c", &["n"])
        .option(PORTS[0], PORTS[1])
        .start();
    let said = lab.cmd("berth").arg("gc").ok();
    assert!(said.contains("1 reclaimed, 0 cleared away"), "{said}");
    assert_eq!(lab.dns_entries("n")["c"], ips(&["10.78.0.2"]));
    assert!(!lab.dns_entries("n").contains_key("ghost"));
    assert!(lab.ruleset().contains("dnat ip to 10.78.0.2:80"));
    lab.remove("c");
    lab.assert_clean(&network);
    lab.assert_clean(&earlier);
}

/// Someone has replaced the network's file by one with another id while a container runs. What
/// the container holds is not leased again.
#[test]
fn a_network_gets_another_id() {
    let (lab, network) = lab();
    let old = lab.container("old", &["n"]);
    old.option(PORTS[0], PORTS[1]).start();
    let id = "1".repeat(64);
    let changed = edit(&lab, "n", &format!(".id = \"{id}\""));
    lab.container("new", &["n"]).start();
    assert_eq!(lab.addresses("old", "eth0"), ips(&["10.77.0.2"]));
    assert_eq!(lab.addresses("new", "eth0"), ips(&["10.77.0.3"]));
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.dns_entries("n")["old"], ips(&["10.77.0.2"]));
    assert_eq!(lab.dns_entries("n")["new"], ips(&["10.77.0.3"]));
    assert!(lab.ruleset().contains("dnat ip to 10.77.0.2:80"));
    lab.podman(["rm", "--force", "--time=0", "old", "new"]).ok();
    lab.cmd("berth").arg("gc").ok();
    // netavark keeps the firewall's chains by network id, and has removed those of one id.
    assert_eq!(lab.links().len(), 1, "only lo: {:?}", lab.links());
    assert_eq!(lab.dns_entries("n").len(), 0);
    assert!(!lab.ruleset().contains("dnat ip to 10.77.0."));
    for network in [&network, &changed] {
        assert_eq!(lab.leases(network).of(network).len(), 0);
        assert_eq!(lab.remembered_ports(network).len(), 0);
    }
}
