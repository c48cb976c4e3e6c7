//! A host is gone for good. Its addresses are freed for others once a person says so, and only if
//! nothing on the network speaks against it.

use std::time::Duration;

use berth_integration::lan::{Kind, Lan, Wire};
use berth_integration::{Lab, ip, wait_until};

use crate::{assert_nothing_is_left, has_collected};

/// How long a host counts as live in these tests; an hour by default.
const LEASE: &str = "lease = \"3s\"\n";
const BOUND: Duration = Duration::from_secs(30);
const KEPT: &str = "10.77.0.50";

fn is_live(lan: &Lan) -> bool {
    let get = ["get", "--prefix", "--keys-only", "/berth/v1/lan/live/"];
    let told = lan.cluster.etcdctl(1, &get);
    told.is_none_or(|told| !told.trim().is_empty())
}

#[track_caller]
fn evict(lab: &Lab) -> berth_integration::Cmd<'_> {
    lab.cmd("berth").args(["share", "evict", "a"])
}

fn a_host_is_evicted_once_nothing_speaks_for_it(kind: Kind) {
    let lan = Lan::start(kind);
    let [a, b, c] = lan.hosts();
    lan.share(&[]);
    a.container("kept", &["lan"]).ip(KEPT).start();
    evict(b).fails("it reported in lately");
    lan.configure(a, "client", LEASE);
    a.cmd("berth").arg("gc").ok();
    b.container("peer", &["lan"]).start();
    lan.configure(b, "client", LEASE);
    b.cmd("berth").arg("gc").ok();
    wait_until("the end of the leases", BOUND, || {
        (!is_live(&lan)).then_some(())
    });

    // Cut off from etcd, the host keeps using its address.
    lan.unplug(0, Wire::Etcd);
    evict(b).fails(&format!("{KEPT} answers on the link"));
    // Silence proves nothing on a link on which nothing is heard.
    lan.unplug(1, Wire::Lan);
    evict(b).fails("silence proves nothing");
    lan.plug(1, Wire::Lan);
    assert_eq!(lan.keys().len(), 2, "nothing was taken from it");

    lan.unplug(0, Wire::Lan);
    wait_until("the link", BOUND, || {
        b.reaches("peer", berth_integration::lan::GATEWAY)
            .then_some(())
    });
    evict(b).ok();
    assert_eq!(lan.keys().len(), 1);
    c.container("heir", &["lan"]).ip(KEPT).start();

    // The host comes back, with a container that still has the address. berth tells it about the
    // eviction, and leases nothing there until a person says so.
    lan.plug(0, Wire::Lan);
    lan.plug(0, Wire::Etcd);
    wait_until("etcd to be asked again", BOUND, || {
        let refused = a.container("new", &["lan"]).cmd().run();
        a.podman(["rm", "-f", "new"]).ok();
        assert!(!refused.status.success(), "{refused}");
        refused.stderr.contains("was evicted").then_some(())
    });
    a.cmd("berth").args(["share", "rejoin"]).ok();
    let told = a.cmd("berth").arg("doctor").run();
    let told = format!("{}{}", told.stdout, told.stderr);
    assert!(told.contains(KEPT) && told.contains("on host c"), "{told}");
    a.cmd("berth").args(["gc", "--now"]).fails("on host c");
    assert!(!has_collected(a), "the conflict is not noted");
    a.remove("kept");
    a.container("new", &["lan"]).start();
    assert_eq!(c.addresses("heir", "eth0"), [ip(KEPT)]);
    a.cmd("berth").args(["gc", "--now"]).ok();
    a.container("thief", &["lan"]).ip(KEPT).fails("on host c");
    assert_nothing_is_left(&lan);
}

#[test]
fn a_host_is_evicted_from_bridges_once_nothing_speaks_for_it() {
    a_host_is_evicted_once_nothing_speaks_for_it(Kind::Bridge);
}

#[test]
fn a_host_is_evicted_from_macvlan_once_nothing_speaks_for_it() {
    a_host_is_evicted_once_nothing_speaks_for_it(Kind::Macvlan);
}
