//! `podman build --network`: its containers have no namespace file, only a descriptor in the
//! building process.

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, wait_until};

const FILE: &str = "FROM lab\nRUN sleep 600\n";
const PATIENCE: Duration = Duration::from_secs(30);
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

#[test]
fn a_build_is_live_while_it_runs_and_dead_when_it_was_interrupted() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    is_live_while_it_runs_and_dead_when_it_was_interrupted(&lab, &network);
}

#[test]
fn a_build_on_a_plain_network_is_live_while_it_runs_and_dead_when_it_was_interrupted() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &SUBNET);
    is_live_while_it_runs_and_dead_when_it_was_interrupted(&lab, &network);
    lab.assert_clean(&network);
}

#[test]
fn a_build_on_the_default_network_is_live_while_it_runs_and_dead_when_it_was_interrupted() {
    let lab = Lab::start();
    lab.host_wide();
    let network = lab.inspect_network("podman");
    is_live_while_it_runs_and_dead_when_it_was_interrupted(&lab, &network);
    lab.assert_clean(&network);
}

#[track_caller]
fn is_live_while_it_runs_and_dead_when_it_was_interrupted(lab: &Lab, network: &Network) {
    lab.write("/tmp/build/Containerfile", FILE);
    let on = format!("--network={}", network.name);
    let build = lab.podman(["build", "--isolation=oci", &on, "/tmp/build"]);
    let _running = build.within(Duration::from_secs(600)).spawn();
    wait_until("the build's address", PATIENCE, || {
        let seen = lab.sightings();
        let mut seen = seen.iter().filter(|seen| seen.inhabitant != 0);
        seen.any(|seen| seen.address.to_string().ends_with(".0.2"))
            .then_some(())
    });
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.leases(network).of(network).len(), 1);
    for name in ["podman", "buildah", "conmon", "crun", "sleep"] {
        lab.pids(name).iter().for_each(|pid| lab.kill(pid));
    }
    wait_until("the end of the build", PATIENCE, || {
        let seen = lab.sightings();
        seen.iter().all(|seen| seen.inhabitant == 0).then_some(())
    });
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.leases(network).of(network).len(), 0);
}

/// A build on a full network: its own netavark names a descriptor, just as the netavark does that
/// takes down what a dead container left.
#[test]
fn a_build_gets_the_address_of_a_dead_container() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/30"]);
    lab.container("dead", &["n"]).start();
    lab.kill_with_conmon("dead");
    lab.write("/tmp/build/Containerfile", "FROM lab\nRUN true\n");
    lab.podman(["build", "--isolation=oci", "--network=n", "/tmp/build"])
        .ok();
    lab.remove_at_last("dead");
    lab.assert_clean(&network);
}
