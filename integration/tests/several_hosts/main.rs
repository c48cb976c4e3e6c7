//! Three hosts, each with its own Podman, lease from one pool through etcd.

mod addresses;
mod copies;
mod cut_off;
mod gone;
mod storm;

use std::time::Duration;

use berth_integration::lan::Lan;
use berth_integration::{Lab, wait_until};

/// How long a host does not ask etcd after it got no answer, and then some.
const AGAIN: Duration = Duration::from_secs(30);

/// Asserts what must be true at the end of each test: once the containers are removed and a
/// collection has given back what a hurried removal did not, there is no address in use, neither
/// on the hosts nor in the share.
#[track_caller]
fn assert_nothing_is_left(lan: &Lan) {
    for lab in lan.hosts() {
        lab.remove_all();
        wait_until("a collection that reaches etcd", AGAIN, || {
            let collection = lab.cmd("berth").args(["gc", "--now"]).run();
            collection.status.success().then_some(())
        });
        assert_eq!(lab.leases(&lab.inspect_network("lan")).tenants, []);
        lab.cmd("berth").arg("doctor").ok();
    }
    assert_eq!(lan.keys(), [""; 0]);
}

/// Returns whether the last collection succeeded, as the metrics say.
#[track_caller]
fn has_collected(lab: &Lab) -> bool {
    let metrics = lab.cmd("berth").arg("metrics").ok();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("berth_last_collection_success "));
    value.expect("a collection") == "1"
}
