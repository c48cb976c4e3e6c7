//! Podman's own allocation: a process that shows an address cannot keep a dead container's claim
//! alive, and a process that hides cannot do so on another network.

use berth_integration::outage::Death;
use berth_integration::{Driver, Lab};

use super::{SUBNET, stranger};

const ADDRESS: &str = "10.77.0.99";

/// Returns a lab with a network of Podman's, on which a container that is gone has a claim.
fn leaked() -> Lab {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("x", &["n"])
        .ip(ADDRESS)
        .dies(Death::PodmanBeforeNetavark);
    lab.remove_at_last("x");
    lab
}

#[track_caller]
fn assert_it_is_removed(lab: &Lab) {
    let report = lab.sanitise(&[]);
    assert_eq!(report["removed"][0]["address"], ADDRESS, "{report:#}");
    lab.container("y", &["n"]).ip(ADDRESS).start();
}

#[test]
fn an_address_on_no_interface_of_the_hosts_keeps_no_claim() {
    let lab = leaked();
    let script = format!(
        "export -f ready
        exec unshare -Urn bash -c 'ip address add {ADDRESS}/24 dev lo; ready; exec sleep 999'"
    );
    stranger(&lab, &script);
    assert_it_is_removed(&lab);
}

/// A runtime in a container on another network moves the container's interface to a namespace
/// that only a descriptor keeps alive.
#[test]
fn a_hidden_namespace_keeps_no_claim_on_another_network() {
    let lab = leaked();
    lab.network(Driver::Bridge, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("c", &["m"]).start();
    let script = r#"
        nsenter --target "$1" --net unshare --net sleep 600 >/dev/null 2>&1 &
        inner=$!
        until [ "$(cat /proc/$inner/comm)" = sleep ]; do sleep 0.02; done
        nsenter --target "$1" --net ip link set eth0 netns "$inner"
        sleep 601 >/dev/null 2>&1 7<"/proc/$inner/ns/net" &
        until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.02; done
        kill "$inner""#;
    let pid = lab.pid("c").to_string();
    lab.cmd("bash").args(["-euc", script, "bash", &pid]).ok();
    assert_it_is_removed(&lab);
}
