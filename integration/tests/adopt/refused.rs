//! When a network cannot be moved, nothing changes, and berth-migrate says why.

use berth_integration::{Cmd, Driver, Lab, outage::Death};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const DIRECTORY: &str = "/etc/containers/networks";
const IPAM_DB: &str = "/run/containers/networks/ipam.db";

/// Returns a lab with a container on a network of Podman's own.
#[track_caller]
fn busy() -> Lab {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("c", &["n"]).start();
    lab
}

/// Asserts that a command fails with this message and changes nothing: no network file, no
/// byte of ipam.db, no lease.
#[track_caller]
fn assert_refused(lab: &Lab, command: Cmd<'_>, message: &str) {
    let state = || {
        lab.sh(&format!(
            "sha256sum {DIRECTORY}/*.json {IPAM_DB}; find {DIRECTORY} -type f | sort"
        ))
    };
    let before = state();
    command.fails(message);
    assert_eq!(state(), before);
}

fn adopt<'a>(lab: &'a Lab, network: &str) -> Cmd<'a> {
    lab.cmd("berth-migrate").args(["adopt", network, "--yes"])
}

fn rollback<'a>(lab: &'a Lab, network: &str) -> Cmd<'a> {
    lab.cmd("berth-migrate")
        .args(["rollback", network, "--yes"])
}

#[test]
fn a_network_stays_where_it_is_while_a_lease_is_in_doubt() {
    let lab = busy();
    lab.container("leak", &["n"])
        .ip("10.77.0.99")
        .dies(Death::PodmanBeforeNetavark);
    lab.remove_at_last("leak");
    // berth-migrate cannot find podman.
    let blind = || {
        let adopt = lab
            .cmd("/usr/local/bin/berth-migrate")
            .env("PATH", "/nowhere");
        adopt.args(["adopt", "n", "--yes"])
    };
    assert_refused(&lab, blind(), "10.77.0.99 of container");
    assert_refused(&lab, blind(), "Podman gave no answer");
    adopt(&lab, "n").ok();
}

#[test]
fn what_berth_cannot_serve_is_left_alone() {
    let lab = busy();
    lab.podman(["network", "create", "--ipam-driver=none", "bare"])
        .ok();
    lab.sh(&format!(
        "sed 's/\"n\"/\"edited\"/; s/\"ipam_options\"/\"options\": {{\"ipam_x\": \"1\"}}, &/' \
         {DIRECTORY}/n.json >{DIRECTORY}/edited.json
         sed 's/\"n\"/\"tiny\"/; s,10.77.0.0/24,10.79.0.0/31,; s/10.77.0.1\"/10.79.0.1\"/' \
         {DIRECTORY}/n.json >{DIRECTORY}/tiny.json"
    ));
    assert_refused(&lab, adopt(&lab, "bare"), "it has ipam driver none");
    assert_refused(&lab, adopt(&lab, "edited"), "it has option ipam_x");
    assert_refused(&lab, adopt(&lab, "tiny"), "can ever be leased");
    assert_refused(&lab, adopt(&lab, "nothing"), "found no network \"nothing\"");
    assert_refused(&lab, rollback(&lab, "bare"), "berth does not lease");
    // All others are still moved, and the end of the report says what was refused.
    let all = adopt(&lab, "--all").fails("n (bridge): moved");
    assert!(all.stdout.contains("bare (bridge): left alone"), "{all}");
    assert!(all.stdout.contains("tiny (bridge): REFUSED"), "{all}");
}

#[test]
fn without_the_plugin_nothing_is_moved() {
    let lab = busy();
    lab.write(
        "/etc/containers/containers.conf.d/50-none.conf",
        "[network]\nnetavark_plugin_dirs = [\"/nowhere\"]\n",
    );
    assert_refused(&lab, adopt(&lab, "n"), "Podman does not find the plugin");
    lab.podman(["restart", "--time=0", "c"]).ok();
}

#[test]
fn a_damaged_file_or_store_prevents_a_move() {
    let lab = busy();
    lab.sh(&format!(
        "cp {IPAM_DB} /tmp/sound; printf xxxx | dd of={IPAM_DB} bs=1 seek=16400 conv=notrunc
        truncate -s 9000 {IPAM_DB}"
    ));
    assert_refused(&lab, adopt(&lab, "n"), "ipam.db is damaged");
    lab.sh(&format!("cat /tmp/sound >{IPAM_DB}"));
    adopt(&lab, "n").ok();
    rollback(&lab, "n").ok();
    lab.sh("head -c 65536 /dev/urandom >/run/containers/networks/berth/leases.redb/db");
    assert_refused(&lab, adopt(&lab, "n"), "berth rebuild");
    lab.cmd("berth").arg("rebuild").ok();
    adopt(&lab, "n").ok();
    lab.sh("head -c 65536 /dev/urandom >/run/containers/networks/berth/leases.redb/db");
    assert_refused(&lab, rollback(&lab, "n"), "berth rebuild");
    lab.cmd("berth").arg("rebuild").ok();
    rollback(&lab, "n").ok();
    lab.podman(["restart", "--time=0", "c"]).ok();
}

#[test]
fn a_directory_that_cannot_be_written_prevents_a_move() {
    let lab = busy();
    let read_only =
        format!("mount --bind {DIRECTORY} {DIRECTORY}; mount -o remount,bind,ro {DIRECTORY}");
    let writable = format!("umount {DIRECTORY}");
    lab.sh(&read_only);
    assert_refused(&lab, adopt(&lab, "n"), "Read-only file system");
    lab.sh(&writable);
    adopt(&lab, "n").ok();
    lab.sh(&read_only);
    assert_refused(&lab, rollback(&lab, "n"), "Read-only file system");
    lab.sh(&writable);
    rollback(&lab, "n").ok();

    lab.sh(&format!(
        "cp -r {DIRECTORY} /tmp/networks; mount -t tmpfs -o size=16k lab {DIRECTORY}
         cp -r /tmp/networks/. {DIRECTORY}; ! cat /dev/zero >{DIRECTORY}/filler"
    ));
    let full = "No space left on device";
    assert_refused(&lab, adopt(&lab, "n"), full);
    lab.sh(&format!("rm {DIRECTORY}/filler"));
    adopt(&lab, "n").ok();
    lab.podman(["restart", "--time=0", "c"]).ok();
}

#[test]
fn a_lock_that_is_not_released_is_named_with_its_holder() {
    let lab = busy();
    adopt(&lab, "n").ok();
    rollback(&lab, "n").ok();
    let hold = ["-x", "/run/containers/networks/berth/lock", "sleep", "50"];
    let holder = lab.cmd("flock").args(hold).spawn();
    assert_refused(&lab, adopt(&lab, "n"), "timed out after 30s waiting for");
    for pid in lab.pids("sleep") {
        lab.sh(&format!(
            "grep -q 50 /proc/{pid}/cmdline && kill {pid} || true"
        ));
    }
    let _ = holder.wait();
    adopt(&lab, "n").ok();
}
