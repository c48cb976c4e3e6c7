//! Networks move to berth and back while their containers run.

mod kinds;
mod moved;
mod refused;

use berth_integration::{Driver, Lab, Network, ip};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const OTHER: [&str; 2] = ["--subnet", "10.78.0.0/24"];
const DIRECTORY: &str = "/etc/containers/networks";

/// Runs `berth-migrate VERB … --yes`.
#[track_caller]
fn migrate(lab: &Lab, words: &[&str]) -> String {
    lab.cmd("berth-migrate").args(words).arg("--yes").ok()
}

/// Returns all of Podman's own allocation.
#[track_caller]
fn allocation(lab: &Lab) -> String {
    lab.cmd("berth-migrate").arg("dump").ok()
}

/// Asserts that a published port and a name lead to `web`.
#[track_caller]
fn assert_web_is_served(lab: &Lab, client: &str) {
    // Even with Podman's own drivers, a restarted container has the same address with another
    // MAC address. A container that has just talked to it notices only after half a minute.
    let flush = ["neighbour", "flush", "all"];
    lab.beside_bridges("ip").args(flush).ok();
    lab.inside(client, "ip").args(flush).ok();
    lab.assert_served("http://127.0.0.1:8080/");
    lab.assert_served_to(client, "http://web/");
}

/// Returns a lab with a dual-stack network of Podman's own, and two containers: one with a
/// published port and an address of its choice, and one without.
#[track_caller]
fn busy(lab: Lab) -> (Lab, Network) {
    let six = ["--ipv6", "--subnet", "fd77::/64"];
    let network = lab.network(Driver::Bridge, "n", &[&SUBNET[..], &six].concat());
    lab.container("web", &["n"])
        .ip("10.77.0.50")
        .option("--publish", "8080:80")
        .serving()
        .start();
    lab.container("client", &["n"]).start();
    assert_web_is_served(&lab, "client");
    (lab, network)
}

/// Asserts that other containers are refused the address of `web` in these words, and that none
/// gets that of `client` without asking for it; leaves a container `new`.
#[track_caller]
fn assert_nobody_gets_their_addresses(lab: &Lab, refusal: &str) {
    let thief = lab.container("thief", &["n"]).ip("10.77.0.50");
    thief.fails(refusal);
    lab.podman(["rm", "--force", "thief"]).ok();
    lab.container("new", &["n"]).start();
    let new = lab.addresses("new", "eth0")[0];
    assert!(new != ip("10.77.0.2") && new != ip("10.77.0.50"), "{new}");
}
