//! Copies: a host that was cloned, and yesterday's etcd. No host leases before it is clear which
//! host has an address.

use berth_integration::Lab;
use berth_integration::lan::{Kind, Lan};

use crate::{assert_nothing_is_left, has_collected};

const SHARES: &str = "/var/lib/berth";

/// Gives one host the identity of another in the share, as a copied disk does.
fn copy(from: &Lab, to: &Lab, with_machine_id: bool) {
    let files = from.sh(&format!("tar -C {SHARES} -cz . | base64 -w0"));
    to.sh(&format!("rm -rf {SHARES}; mkdir -p {SHARES}"));
    to.cmd("bash")
        .args(["-euc", &format!("base64 -d | tar -C {SHARES} -xz")])
        .stdin(files)
        .ok();
    if with_machine_id {
        to.write("/etc/machine-id", &from.sh("cat /etc/machine-id"));
    }
}

/// Asserts that the host says of itself that the share refuses it.
#[track_caller]
fn says_that_it_is_refused(lab: &Lab, reason: &str) {
    let status = lab.cmd("berth").args(["share", "status"]).fails(reason);
    assert!(status.stdout.contains(" refused "), "{status}");
    assert!(status.stderr.contains("share rejoin"), "{status}");
    let doctor = lab.cmd("berth").arg("doctor").run();
    assert_eq!(doctor.status.code(), Some(1), "{doctor}");
    let told = format!("{}{}", doctor.stdout, doctor.stderr);
    for part in ["share lan refuses this host", reason, "berth share rejoin"] {
        assert!(told.contains(part), "{doctor}");
    }
}

#[track_caller]
fn is_well(lab: &Lab) {
    lab.cmd("berth").args(["share", "status"]).ok();
    lab.cmd("berth").arg("doctor").ok();
}

#[track_caller]
fn fails_to_start(lab: &Lab, message: &str) {
    lab.container("new", &["lan"]).fails(message);
    lab.podman(["rm", "-f", "new"]).ok();
}

#[test]
fn a_cloned_host_leases_nothing_until_it_has_joined_as_itself() {
    let lan = Lan::start(Kind::Bridge);
    let [a, b, c] = lan.hosts();
    lan.share(&[]);
    a.container("web", &["lan"]).start();
    copy(a, b, false);
    copy(a, c, true);

    // On another machine, the copy is recognised at once.
    fails_to_start(b, "was made for another machine");
    says_that_it_is_refused(b, "was made for another machine");
    // A copy that matches in every detail is recognised once the original goes on.
    a.container("more", &["lan"]).start();
    says_that_it_is_refused(c, "is in use elsewhere");
    fails_to_start(c, "is in use elsewhere");
    says_that_it_is_refused(c, "is in use elsewhere");
    is_well(a);
    // A collection on the copies, which sees none of the containers, gives nothing back, either.
    for lab in [b, c] {
        let collection = lab.cmd("berth").args(["gc", "--now"]).run();
        assert!(!collection.status.success(), "{collection}");
        assert!(!has_collected(lab), "{collection}");
        let doctor = lab.cmd("berth").arg("doctor").run();
        let told = format!("{}{}", doctor.stdout, doctor.stderr);
        assert!(told.contains("did not finish"), "{doctor}");
    }
    assert_eq!(lan.keys().len(), 2);

    for lab in [b, c] {
        lab.cmd("berth").args(["share", "rejoin"]).ok();
        lab.container("new", &["lan"]).start();
        lab.cmd("berth").args(["gc", "--now"]).ok();
        assert!(has_collected(lab));
        is_well(lab);
    }
    a.cmd("berth").args(["gc", "--now"]).ok();
    a.container("third", &["lan"]).start();
    assert_eq!(lan.keys().len(), 5, "the original has not noticed");
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_nothing_is_left(&lan);
}

/// The original is on new hardware, and the copy was quicker.
#[test]
fn an_original_is_told_from_its_copy_by_a_person() {
    let lan = Lan::start(Kind::Bridge);
    let [a, _, c] = lan.hosts();
    lan.share(&[]);
    a.container("web", &["lan"]).start();
    copy(a, c, true);
    c.container("quick", &["lan"]).start();
    fails_to_start(a, "is in use elsewhere");
    a.cmd("berth").args(["share", "rejoin", "--original"]).ok();
    a.container("more", &["lan"]).start();
    fails_to_start(c, "is in use elsewhere");
    c.cmd("berth").args(["share", "rejoin"]).ok();
    for lab in [a, c] {
        lab.cmd("berth").args(["gc", "--now"]).ok();
    }
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_eq!(lan.keys().len(), 3);
    assert_nothing_is_left(&lan);
}

#[test]
fn after_a_restore_nobody_leases_until_every_host_has_put_its_leases_back() {
    let mut lan = Lan::start(Kind::Bridge);
    lan.share(&[]);
    for lab in lan.hosts() {
        lab.container("old", &["lan"]).start();
    }
    let backup = lan.cluster.back_up(0);
    let [a, b, _] = lan.hosts();
    let kept = b.container("kept", &["lan"]).ip("10.77.0.50").start();
    a.container("more", &["lan"]).start();
    a.remove("old");
    lan.cluster.restore(&backup);
    assert_eq!(lan.keys().len(), 3, "as it was");

    let [a, b, c] = lan.hosts();
    fails_to_start(a, "etcd was restored from a backup");
    fails_to_start(c, "etcd was restored from a backup");
    let accept =
        |lab: &Lab, more: &[&str]| lab.cmd("berth").args(["share", "accept"]).args(more).run();
    let too_early = accept(a, &[]);
    assert!(!too_early.status.success(), "{too_early}");
    let hosts = a.cmd("berth").args(["share", "hosts"]).ok();
    let behind = hosts.lines().filter(|line| line.contains(" behind "));
    assert_eq!(behind.count(), 3, "{hosts}");
    for lab in [a, b] {
        lab.cmd("berth").args(["gc", "--now"]).ok();
    }
    let too_early = accept(a, &[]);
    assert!(!too_early.status.success(), "{too_early}");
    assert!(too_early.stderr.contains("c ("), "{too_early}");
    fails_to_start(b, "etcd was restored from a backup");
    c.cmd("berth").args(["gc", "--now"]).ok();
    let accepted = accept(a, &[]);
    assert!(accepted.status.success(), "{accepted}");

    // Addresses claimed after the backup are claimed again, and those given back are free.
    assert_eq!(lan.keys().len(), 4, "{:?}", lan.keys());
    c.container("thief", &["lan"])
        .ip("10.77.0.50")
        .fails(&kept.id);
    c.podman(["rm", "-f", "thief"]).ok();
    for lab in lan.hosts() {
        lab.container("new", &["lan"]).start();
    }
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_nothing_is_left(&lan);
}

#[test]
fn after_a_restore_a_host_that_is_gone_for_good_is_named() {
    let mut lan = Lan::start(Kind::Bridge);
    lan.share(&[]);
    for lab in lan.hosts() {
        lab.container("old", &["lan"]).start();
    }
    let backup = lan.cluster.back_up(0);
    lan.host(0).container("more", &["lan"]).start();
    lan.cluster.restore(&backup);
    let [a, b, _] = lan.hosts();
    fails_to_start(a, "etcd was restored from a backup");
    for lab in [a, b] {
        lab.cmd("berth").args(["gc", "--now"]).ok();
    }
    let accept = ["share", "accept"];
    b.cmd("berth").args(accept).fails("c (");
    b.cmd("berth").args(accept).args(["--without", "c"]).ok();
    b.container("new", &["lan"]).start();
    // The missing host keeps its addresses: no one has evicted it.
    assert_eq!(lan.keys().len(), 5);
    assert_eq!(lan.duplicates(), [""; 0]);
}
