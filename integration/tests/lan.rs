//! The lab of three hosts itself: their containers reach each other, their etcd has a leader, and
//! a host that is cut off really is cut off.

use std::time::Duration;

use berth_integration::lan::{GATEWAY, Kind, Lan, Wire};
use berth_integration::{Driver, Lab, wait_until};

const BOUND: Duration = Duration::from_secs(20);
const ADDRESSES: [&str; 3] = ["10.77.0.11", "10.77.0.12", "10.77.0.13"];

/// Starts a container on each host, with Podman's own driver.
fn start_containers(lan: &Lan) {
    for (lab, address) in lan.hosts().into_iter().zip(ADDRESSES) {
        lan.network(lab, Driver::Bridge, &[]);
        lab.container("c", &["lan"]).ip(address).start();
    }
}

fn reaches(lab: &Lab, address: &str) -> bool {
    lab.reaches("c", address)
}

#[track_caller]
fn await_all_reach_all(lan: &Lan) {
    for lab in lan.hosts() {
        for address in ADDRESSES.into_iter().chain([GATEWAY]) {
            wait_until("an answer", BOUND, || reaches(lab, address).then_some(()));
        }
    }
}

#[test]
fn three_hosts_are_on_one_lan_until_one_is_cut_off() {
    let lan = Lan::start(Kind::Bridge);
    let machines = lan
        .hosts()
        .map(|lab| lab.sh("cat /etc/machine-id; hostname"));
    assert_ne!(machines[0], machines[1]);
    assert!(machines[2].ends_with("\nc"), "{machines:?}");
    start_containers(&lan);
    await_all_reach_all(&lan);

    let [a, b, c] = lan.hosts();
    lan.unplug(0, Wire::Lan);
    assert!(!reaches(a, ADDRESSES[1]) && !reaches(a, GATEWAY));
    assert!(!reaches(b, ADDRESSES[0]) && reaches(b, ADDRESSES[2]));
    assert!(
        lan.cluster.leader().is_some(),
        "etcd has a wire of its own: all nodes agree"
    );
    lan.plug(0, Wire::Lan);
    await_all_reach_all(&lan);

    lan.unplug(2, Wire::Etcd);
    let alone = ["get", "x"];
    assert_eq!(lan.cluster.etcdctl(2, &alone), None, "it has no quorum");
    wait_until("the others' leader", BOUND, || {
        lan.cluster.etcdctl(0, &alone)
    });
    assert!(reaches(c, ADDRESSES[0]), "its containers do not notice");
    lan.plug(2, Wire::Etcd);
    wait_until("a leader of all", BOUND, || lan.cluster.leader());
}

#[test]
fn three_hosts_are_on_one_lan_by_macvlan() {
    let lan = Lan::start(Kind::Macvlan);
    start_containers(&lan);
    await_all_reach_all(&lan);
    assert_eq!(lan.host(1).links_inside("c")[0].kind(), "macvlan");
    lan.unplug(1, Wire::Lan);
    assert!(!reaches(lan.host(1), ADDRESSES[0]));
}
