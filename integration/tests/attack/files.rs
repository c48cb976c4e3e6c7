//! Files that another user has put in place of berth's, or can open.

use super::{lab, stranger};

const LOCK: &str = "/run/lock/netavark.lock";

/// Keeps a read lock on a file, if it can.
const READ_LOCK: &str = r#"
import fcntl, sys, time
try:
    file = open(sys.argv[1], "rb")
    fcntl.lockf(file, fcntl.LOCK_SH)
finally:
    open(sys.argv[2], "w").close()
time.sleep(600)"#;

#[test]
fn nobody_takes_the_lock_that_berth_has_made() {
    let (lab, _) = lab();
    // As after a reboot, if a collection comes first.
    lab.sh(&format!("rm -f {LOCK}"));
    lab.cmd("berth").arg("gc").ok();
    lab.write("/opt/lock.py", READ_LOCK);
    let hold = format!("ready; exec python3 /opt/lock.py {LOCK} /tmp/tried 2>/dev/null");
    stranger(&lab, &hold);
    super::wait_until("an attempt", std::time::Duration::from_secs(20), || {
        lab.names("/tmp")
            .contains(&"tried".to_owned())
            .then_some(())
    });
    lab.cmd("berth").arg("gc").ok();
    lab.container("c", &["n"]).start();
}

#[test]
fn the_lock_that_podman_has_made_is_told_and_repaired() {
    let (lab, _) = lab();
    assert_eq!(lab.sh(&format!("stat -c %a {LOCK}")), "644");
    let said = lab.cmd("berth").arg("doctor").ok();
    let expected = format!("note: Podman's network lock {LOCK} has mode 0644 (");
    assert!(said.contains(&expected), "{said}");
    lab.container("c", &["n"]).start();
    lab.cmd("berth").args(["doctor", "--repair"]).ok();
    assert_eq!(lab.sh(&format!("stat -c %a {LOCK}")), "600");
    lab.container("d", &["n"]).start();
    lab.sh(&format!("chown 1000 {LOCK}"));
    lab.cmd("berth")
        .arg("doctor")
        .fails("belongs to user 1000, with mode 0600");
}

#[test]
fn a_state_directory_within_another_users_reach_is_refused() {
    let (lab, _) = lab();
    lab.write("/srv/public/precious", "a year's work");
    let plant = "mkdir /tmp/berth; ln -s /srv/public/precious /tmp/berth/lock
        ln -s /srv/public /tmp/public; ready";
    stranger(&lab, plant);
    let place = |directory: &str| {
        let berth = lab.cmd("berth").env("BERTH_STATE_DIR", directory);
        berth
            .arg("gc")
            .fails("/tmp has mode 1777; choose a directory that only you can write to");
        let berth = lab.cmd("berth").env("BERTH_STATE_DIR", directory);
        berth.args(["doctor", "--repair"]).run();
    };
    place("/tmp/berth");
    place("/tmp/public");
    assert_eq!(lab.sh("cat /srv/public/precious"), "a year's work");
    assert_eq!(lab.sh("stat -c %a /srv/public"), "755");
}

#[test]
fn no_lock_of_another_kind_is_emptied_and_no_link_changes_its_mode() {
    let (lab, _) = lab();
    let state = "/run/containers/networks/berth";
    lab.container("c", &["n"]).start();
    lab.write("/srv/public/precious", "a year's work");
    lab.sh(&format!("ln -sf /srv/public/precious {state}/lock"));
    lab.cmd("berth")
        .arg("gc")
        .fails("failed to open lock file /run/containers/networks/berth/lock");
    assert_eq!(lab.sh("cat /srv/public/precious"), "a year's work");
    lab.sh(&format!(
        "rm {state}/lock; mv {state} {state}.aside; ln -s /srv/public {state}"
    ));
    lab.cmd("berth").args(["doctor", "--repair"]).run();
    assert_eq!(lab.sh("stat -c %a /srv/public"), "755");
    lab.sh(&format!("rm {state}; mv {state}.aside {state}"));
    lab.cmd("berth").arg("gc").ok();
}
