//! Three hosts, each with its own Podman, lease from one pool through etcd.

mod addresses;
mod copies;
mod cut_off;
mod gone;
mod storm;

use berth_integration::lan::Lan;

/// Asserts what each test ends with: without containers, nobody has an address, on the hosts
/// or in the share.
#[track_caller]
fn assert_nothing_is_left(lan: &Lan) {
    for lab in lan.hosts() {
        lab.remove_all();
        assert_eq!(lab.leases(&lab.inspect_network("lan")).tenants, []);
        lab.cmd("berth").arg("doctor").ok();
    }
    assert_eq!(lan.keys(), [""; 0]);
}
