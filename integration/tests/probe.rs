//! What the probes of an eviction hear, on bridges and macvlan parents in the test's own network
//! namespace, with neighbours in theirs.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use berth::protocol::Network;
use berth::sharing::probe::{Question, probe};
use berth_integration::neighbour::{Neighbour, Process, run};
use berth_integration::wait_until;
use berth_share::evict::{Doubt, Evidence, PROBES, decide};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

const BOUND: Duration = Duration::from_secs(10);

/// Enters a new namespace of the test's own, with a bridge `lan`.
fn bridge() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link set lo up; ip link add lan type bridge; ip link set lan up");
}

/// As [`bridge`], and with `up0` on that bridge, an interface of the host for macvlan.
fn parent() {
    bridge();
    run(
        "ip link add up0 type veth peer name up1; ip link set up1 master lan up;
         ip link set up0 up",
    );
}

fn network(driver: &str, mode: &str) -> Network {
    let network = json!({"name": "n", "id": "1", "driver": driver, "options": {"mode": mode}});
    serde_json::from_value(network).unwrap()
}

fn ask(network: &Network, interface: &str, addresses: &[&str], known: &[&str]) -> Evidence {
    let all = |some: &[&str]| -> Vec<IpAddr> {
        some.iter()
            .map(|address| address.parse().unwrap())
            .collect()
    };
    probe(&Question {
        network,
        interface,
        addresses: &all(addresses),
        known: &all(known),
    })
}

/// Returns the addresses that were heard.
fn heard(evidence: &Evidence) -> Vec<String> {
    let answered = evidence.addresses.iter().filter(|one| one.answered);
    answered.map(|one| one.address.to_string()).collect()
}

#[track_caller]
fn assert_probed(evidence: &Evidence) {
    assert!(
        evidence.from_parent && evidence.from_sibling,
        "{evidence:?}"
    );
    let enough = |one: &berth_share::evict::Probed| one.probes == PROBES;
    assert!(evidence.addresses.iter().all(enough), "{evidence:?}");
}

#[test]
fn whoever_is_on_the_bridge_is_heard_and_silence_is_proven() {
    bridge();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/24", "fd28::1/64"]);
    let _holder = Neighbour::on("lan", &["10.28.0.9/24", "fd28::9/64"]);
    let known = ["10.28.0.1", "fd28::1"];
    let all = ["10.28.0.8", "10.28.0.9", "fd28::8", "fd28::9"];
    let network = network("bridge", "unmanaged");
    let evidence = ask(&network, "lan", &all, &known);
    assert_probed(&evidence);
    assert!(evidence.link_answers);
    assert_eq!(heard(&evidence), ["10.28.0.9", "fd28::9"]);
    // An eviction decides by that.
    let silent = ask(&network, "lan", &["10.28.0.8", "fd28::8"], &known);
    assert_eq!(decide(&silent), Ok(()), "{silent:?}");
    // No known IPv6 address answers, so silence of IPv6 addresses proves nothing.
    let half = ask(&network, "lan", &["10.28.0.8", "fd28::8"], &["10.28.0.1"]);
    assert_probed(&half);
    assert_eq!(decide(&half), Err(Doubt::DeafLink));
}

#[test]
fn a_deaf_link_is_known_for_one() {
    bridge();
    let network = network("bridge", "unmanaged");
    let _holder = Neighbour::on("lan", &["10.28.0.2/24"]);
    // The host itself answers its sibling, with the bridge's address. That does not count as a
    // witness.
    run("ip address add 10.28.0.1/24 dev lan");
    let evidence = ask(&network, "lan", &["10.28.0.9"], &["10.28.0.1", "10.28.0.3"]);
    assert_probed(&evidence);
    assert_eq!(decide(&evidence), Err(Doubt::DeafLink));
    // But if that address is asked for, it is found.
    let evidence = ask(&network, "lan", &["10.28.0.1"], &["10.28.0.2"]);
    assert_eq!(heard(&evidence), ["10.28.0.1"]);
}

/// The neighbour answers no one (arp_ignore), but asks for another address.
#[test]
fn whoever_speaks_with_an_address_without_answering_has_it() {
    bridge();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/24"]);
    let mute = Neighbour::on("lan", &["10.28.0.9/24"]);
    mute.run("echo 8 > /proc/sys/net/ipv4/conf/all/arp_ignore");
    let network = network("bridge", "unmanaged");
    let evidence = ask(&network, "lan", &["10.28.0.9"], &["10.28.0.1"]);
    assert_eq!(decide(&evidence), Ok(()), "it says nothing at all");
    let speak = "while :; do ip neigh flush dev eth0; echo x > /dev/udp/10.28.0.77/9; done";
    let speak = format!("bash -c \"{speak}\" 2> /dev/null");
    let _speaks = Process::start(&format!("exec {}", mute.inside(&speak)));
    let evidence = ask(&network, "lan", &["10.28.0.9"], &["10.28.0.1"]);
    assert_eq!(heard(&evidence), ["10.28.0.9"]);
}

/// A parent of macvlan does not hear its own children.
#[test]
fn a_child_of_the_same_parent_is_heard_by_the_sibling_alone() {
    parent();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/24", "fd28::1/64"]);
    let child = "ip link add link up0 name new type macvlan mode bridge";
    let _child = Neighbour::new(child, &["10.28.0.9/24", "fd28::9/64"]);
    let asked = ["10.28.0.8", "10.28.0.9", "fd28::8", "fd28::9"];
    let known = ["10.28.0.1", "fd28::1"];
    let evidence = ask(&network("macvlan", "bridge"), "up0", &asked, &known);
    assert_probed(&evidence);
    assert!(evidence.link_answers);
    assert_eq!(heard(&evidence), ["10.28.0.9", "fd28::9"]);
    // If there can be no sibling, the evidence says so, and the link is still asked from the
    // parent.
    let evidence = ask(&network("macvlan", "private"), "up0", &asked, &known);
    assert!(evidence.from_parent && !evidence.from_sibling);
    assert!(evidence.link_answers);
    assert_eq!(heard(&evidence), [""; 0]);
    let only = Doubt::LinkHalfProbed("the parent interface");
    assert_eq!(decide(&evidence), Err(only));
}

#[test]
fn a_remote_child_is_heard() {
    parent();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/24"]);
    run(
        "ip link add there type veth peer name far; ip link set far master lan up;
         ip link set there up",
    );
    let child = "ip link add link there name new type macvlan mode private";
    let _child = Neighbour::new(child, &["10.28.0.9/24"]);
    let network = network("macvlan", "bridge");
    let evidence = ask(&network, "up0", &["10.28.0.8", "10.28.0.9"], &["10.28.0.1"]);
    assert_probed(&evidence);
    assert_eq!(heard(&evidence), ["10.28.0.9"]);
}

#[test]
fn a_parent_that_one_child_has_to_itself_cannot_be_asked_from_a_sibling() {
    parent();
    let child = "ip link add link up0 name new type macvlan mode passthru";
    let _child = Neighbour::new(child, &["10.28.0.9/24"]);
    let evidence = ask(&network("macvlan", "bridge"), "up0", &["10.28.0.8"], &[]);
    assert!(!evidence.from_sibling, "{evidence:?}");
    let evidence = ask(&network("macvlan", "passthru"), "up0", &["10.28.0.8"], &[]);
    assert!(!evidence.from_parent && !evidence.from_sibling);
    assert_eq!(evidence.addresses[0].probes, 0);
    let evidence = ask(&network("macvlan", "bridge"), "gone0", &["10.28.0.8"], &[]);
    assert!(!evidence.from_parent && !evidence.from_sibling);
}

/// A bridge loses its last way out while it is asked, so nothing can be heard any more.
#[test]
fn an_interface_that_goes_down_meanwhile_was_not_asked() {
    bridge();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/24"]);
    let _cut = Process::start(
        "until ip -o link | grep -q berth-probe; do sleep 0.02; done; ip link set lan down",
    );
    let network = network("bridge", "unmanaged");
    let evidence = ask(&network, "lan", &["10.28.0.9"], &["10.28.0.1"]);
    assert!(decide(&evidence).is_err(), "{evidence:?}");
    assert!(!evidence.from_parent);
}

#[test]
fn hundreds_of_addresses_are_asked_in_bounded_time() {
    bridge();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/16"]);
    let _last = Neighbour::on("lan", &["10.28.9.255/16"]);
    let all: Vec<_> = (0..300)
        .map(|n| format!("10.28.{}.{}", 8 + n / 256, n % 256))
        .collect();
    let mut all: Vec<_> = all.iter().map(String::as_str).collect();
    all.push("10.28.9.255");
    let start = Instant::now();
    let evidence = ask(&network("bridge", ""), "lan", &all, &["10.28.0.1"]);
    assert!(start.elapsed() < 2 * Duration::from_secs(6));
    assert_probed(&evidence);
    assert!(evidence.link_answers);
    assert_eq!(heard(&evidence), ["10.28.9.255"]);
}

/// What the process of another test does, in the namespace in which that test started it.
#[test]
#[ignore = "started by others"]
fn ask_on_behalf_of_another_test() {
    let many: Vec<_> = (0..2000)
        .map(|n| format!("10.28.{}.{}", 8 + n / 256, n % 256))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let count = std::env::var("BERTH_PROBES").unwrap().parse().unwrap();
    let driver = std::env::var("BERTH_DRIVER").unwrap();
    let interface = if driver == "bridge" { "lan" } else { "up0" };
    let evidence = ask(&network(&driver, "bridge"), interface, &many[..count], &[]);
    assert!(
        !evidence.from_parent && !evidence.from_sibling,
        "{evidence:?}"
    );
}

fn in_a_process(driver: &str, count: u32, through: &str) -> Process {
    let own = std::env::current_exe().unwrap();
    let test = "ask_on_behalf_of_another_test";
    Process::start(&format!(
        "BERTH_DRIVER={driver} BERTH_PROBES={count} exec {through} {} --exact {test} --ignored",
        own.display()
    ))
}

#[test]
fn without_permission_it_says_so() {
    bridge();
    let _gateway = Neighbour::on("lan", &["10.28.0.1/24"]);
    let without = "setpriv --bounding-set=-net_raw,-net_admin,-sys_admin --";
    let process = in_a_process("bridge", 1, without);
    assert!(process.succeeds());
}

/// The bridge's MAC address and MTU, which follow those of its ports, also stay as they were.
#[test]
fn a_berth_killed_while_it_asks_a_bridge_leaves_nothing_behind() {
    bridge();
    let port = "ip link add port0 mtu 9000 type veth peer name new
         ip link set port0 master lan up";
    let _one = Neighbour::new(port, &["10.28.0.1/24"]);
    let bridge = || run("ip -o link show lan");
    let (before, everything) = (bridge(), run("ip -o link"));
    assert!(before.contains("mtu 9000"), "{before}");
    // This takes longer than the test: 2,000 addresses in eight batches.
    let process = in_a_process("bridge", 2000, "");
    let is_port = || run("ip -o link show master lan").contains("berth-probe");
    wait_until("a probe", BOUND, || is_port().then_some(()));
    assert_eq!(bridge(), before, "while it asks");
    drop(process);
    let is_gone = || (run("ip -o link") == everything).then_some(());
    wait_until("the kernel to remove it", BOUND, is_gone);
}

#[test]
fn a_berth_killed_while_it_asks_a_parent_leaves_nothing_behind() {
    parent();
    let process = in_a_process("macvlan", 2000, "");
    let descriptors = format!("/proc/{}/fd", process.id());
    // One socket is the sibling's. Those of the kernel's routing interface come and go.
    let sockets = || {
        let all = std::fs::read_dir(&descriptors)
            .into_iter()
            .flatten()
            .flatten();
        let all = all.filter_map(|one| std::fs::read_link(one.path()).ok());
        all.filter(|to| to.to_string_lossy().starts_with("socket:"))
            .count()
    };
    let mut seen = 0;
    wait_until("a probe", BOUND, || {
        seen = if sockets() >= 2 { seen + 1 } else { 0 };
        (seen == 5).then_some(())
    });
    // This works only if the parent has no other child.
    let is_alone = || {
        let child = "ip link add link up0 name alone type macvlan mode passthru 2> /dev/null";
        run(&format!("{child} && ip link delete alone && echo yes || :")) == "yes\n"
    };
    assert!(!is_alone(), "it has no sibling while it asks");
    drop(process);
    wait_until("the kernel to remove it", BOUND, || {
        is_alone().then_some(())
    });
}
