//! Nodes die and hosts are cut off: what runs keeps running, nothing waits for long, and no
//! address is given out without a claim.

use std::time::{Duration, Instant};

use berth_integration::lan::{Kind, Lan, Wire};
use berth_integration::{Driver, Lab, Outcome, ip, wait_until};

use crate::assert_nothing_is_left;

/// How long it may take until a start is refused: berth's 4 s, plus what podman needs on a busy
/// machine.
const REFUSED: Duration = Duration::from_millis(6000);
/// The same while the breaker is open.
const AT_ONCE: Duration = Duration::from_millis(2500);
/// How long it may take until everything works again: the breaker's 10 s, and then some.
const AGAIN: Duration = Duration::from_secs(30);
const KEPT: &str = "10.77.0.50";
const GONE: &str = "10.77.0.60";

/// Gives a host two containers on the LAN, and a network of its own.
fn settle(lan: &Lan, lab: &Lab) {
    lan.share(&[]);
    let own = ["--subnet", "10.78.0.0/24"];
    lab.network(Driver::Berth, "own", &own);
    lab.container("kept", &["lan"]).ip(KEPT).start();
    lab.container("gone", &["lan"]).ip(GONE).start();
}

/// Tries to start a container on the LAN, which must be refused in one line.
#[track_caller]
fn refused(lab: &Lab) -> Outcome {
    let refused = lab.container("new", &["lan"]).fails("share lan: ");
    lab.podman(["rm", "-f", "new"]).ok();
    assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{refused}");
    refused
}

/// Asserts what a host without etcd does: it refuses new containers on the LAN, first within
/// 4 s and then at once, and does everything else as usual.
#[track_caller]
fn assert_goes_on_without_etcd(lab: &Lab) {
    let first = refused(lab);
    assert!(first.took < REFUSED, "{first}");
    let next = refused(lab);
    assert!(next.took < AT_ONCE, "{next}");
    let began = Instant::now();
    lab.container("beside", &["own"]).start();
    lab.remove("beside");
    assert!(began.elapsed() < REFUSED, "other networks do not wait");
    let began = Instant::now();
    lab.remove("gone");
    assert!(began.elapsed() < REFUSED, "nor do removals");
    assert_eq!(lab.addresses("kept", "eth0"), [ip(KEPT)]);
    assert_eq!(lab.podman(["ps", "--format={{.Names}}"]).ok(), "kept");
}

/// Waits until a container can be started on the LAN.
#[track_caller]
fn await_start(lab: &Lab, name: &str) {
    wait_until("etcd to be asked again", AGAIN, || {
        if lab.container(name, &["lan"]).cmd().run().status.success() {
            return Some(());
        }
        lab.podman(["rm", "-f", name]).ok();
        None
    });
}

#[test]
fn the_leader_is_killed_and_every_host_goes_on() {
    let mut lan = Lan::start(Kind::Bridge);
    lan.share(&[]);
    for lab in lan.hosts() {
        lab.container("before", &["lan"]).start();
    }
    let leader = lan.cluster.leader().expect("all nodes run");
    lan.cluster.kill(leader);
    // The first of these starts happens during the election.
    for lab in lan.hosts() {
        lab.container("after", &["lan"]).start();
    }
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_eq!(lan.keys().len(), 6);
    lan.cluster.revive(leader);
    wait_until("a leader of all", AGAIN, || lan.cluster.leader());
    assert_nothing_is_left(&lan);
}

/// A removal waits for only half a second, and has asked only the silent node. That is no reason
/// to refuse the next containers for ten seconds.
#[test]
fn a_silent_node_that_a_removal_has_met_keeps_no_container_from_starting() {
    let lan = Lan::start(Kind::Bridge);
    let a = lan.host(0);
    settle(&lan, a);
    lan.cluster.freeze(0);
    a.remove("gone");
    a.container("new", &["lan"]).start();
    lan.cluster.resume(0);
    a.cmd("berth").args(["gc", "--now"]).ok();
    assert_eq!(lan.keys().len(), 2, "kept and new: {:?}", lan.keys());
    assert_nothing_is_left(&lan);
}

#[test]
fn a_host_that_is_cut_off_keeps_what_it_has_until_it_is_back() {
    let lan = Lan::start(Kind::Bridge);
    let [a, b, c] = lan.hosts();
    settle(&lan, a);
    b.container("peer", &["lan"]).start();
    assert!(b.reaches("peer", KEPT));
    lan.unplug(0, Wire::Lan);
    lan.unplug(0, Wire::Etcd);
    assert_goes_on_without_etcd(a);

    // The others go on, and do not take the addresses that it has or may have.
    for (lab, address) in [(b, KEPT), (c, GONE)] {
        lab.container("thief", &["lan"])
            .ip(address)
            .fails("on host a");
        lab.podman(["rm", "-f", "thief"]).ok();
    }
    c.container("peer", &["lan"]).start();

    lan.plug(0, Wire::Lan);
    lan.plug(0, Wire::Etcd);
    await_start(a, "new");
    a.cmd("berth").args(["gc", "--now"]).ok();
    assert_eq!(
        lan.keys().len(),
        4,
        "kept, new, two peers: {:?}",
        lan.keys()
    );
    c.container("heir", &["lan"]).ip(GONE).start();
    wait_until("the LAN", AGAIN, || b.reaches("peer", KEPT).then_some(()));
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_nothing_is_left(&lan);
}

#[test]
fn without_a_quorum_nothing_new_is_leased_and_everything_else_goes_on() {
    let mut lan = Lan::start(Kind::Macvlan);
    settle(&lan, lan.host(0));
    lan.host(1).container("peer", &["lan"]).start();
    lan.cluster.kill(0);
    lan.cluster.kill(1);
    assert_goes_on_without_etcd(lan.host(0));
    // The same holds on the host with the last node, and without any node.
    let last = refused(lan.host(2));
    assert!(last.took < REFUSED, "{last}");
    lan.cluster.kill(2);
    let none = refused(lan.host(1));
    assert!(none.took < REFUSED, "{none}");
    assert!(lan.host(1).reaches("peer", KEPT));

    (0..3).for_each(|node| lan.cluster.revive(node));
    for lab in lan.hosts() {
        await_start(lab, "new");
    }
    lan.host(0).cmd("berth").args(["gc", "--now"]).ok();
    assert_eq!(lan.keys().len(), 5, "{:?}", lan.keys());
    assert_nothing_is_left(&lan);
}
