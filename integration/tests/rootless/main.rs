//! An ordinary user's Podman: berth keeps the same promises inside a user namespace, from which
//! much of the machine cannot be seen.

mod commands;
mod ghosts;
mod serving;
mod sight;

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, ip, podman::Run, wait_until};

const BOUND: Duration = Duration::from_secs(10);
const ADDRESS: &str = "10.77.0.99";
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const TAKEN: &str = "requested ip address 10.77.0.99 is already allocated to container ID";

/// Returns a lab as a user sees it, with the network `n`.
#[track_caller]
fn user(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start().user();
    let network = lab.network(driver, "n", &SUBNET);
    (lab, network)
}

/// Starts a container on a network of its own, so that the namespace of the bridges stays,
/// together with whatever is left in it.
fn bystander(lab: &Lab, driver: Driver) {
    lab.network(driver, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("bystander", &["m"]).start();
}

fn web(lab: &Lab) -> Run<'_> {
    lab.container("c", &["n"]).ip(ADDRESS)
}

/// Asserts that a container gets the address at once, and that nothing is left of it.
#[track_caller]
fn assert_comes_back(lab: &Lab, network: &Network) {
    web(lab).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(network);
}

#[track_caller]
fn remount_proc(lab: &Lab, option: &str) {
    let mount = lab.seen_by_root();
    let option = format!("remount,{option}");
    mount.cmd("mount").args(["-o", &option, "/proc"]).ok();
}

/// Runs something in a user namespace of the user's that is not Podman's. It has an interface,
/// because without one berth would see that it has no address.
#[track_caller]
fn sandbox(lab: &Lab) {
    let sleep = "ip link add inner type veth peer name outer && exec sleep 2000";
    lab.sh(&format!(
        "setsid unshare --map-root-user --net sh -c '{sleep}' >/dev/null 2>&1 &"
    ));
    wait_until("the sandbox", BOUND, || {
        let found = lab.cmd("pgrep").args(["-fx", "sleep 2000"]).run();
        found.status.success().then_some(())
    });
}
