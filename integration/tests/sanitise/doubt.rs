//! When in doubt, nothing is removed: if Podman does not answer, a lock is held, or others are at
//! work.

use std::time::Duration;

use berth_integration::{Driver, Lab};
use serde_json::Value;

use super::{ADDRESS, SUBNET, addresses, all_is_well, lab, leak, leases, leave_pending};

#[test]
fn what_podman_still_has_to_clean_up_is_left_to_podman() {
    let lab = lab();
    let container = lab.container("c", &["n"]).ip(ADDRESS).start();
    leave_pending(&lab, "c");
    let before = lab.claims();
    let outcome = lab.migrate(["sanitise"]).fails("podman container cleanup");
    assert!(outcome.stdout.contains(&container.id), "{outcome}");
    let report = lab.migrate_json(["sanitise"]);
    assert_eq!(addresses(&report, "pending"), [ADDRESS]);
    // `--output` promises to change nothing.
    lab.migrate(["sanitise", "--cleanup", "--output", "/tmp/new.db"])
        .fails("cannot be used with");
    assert_eq!(lab.claims(), before);
    // berth-migrate can start that cleanup.
    let report = lab.sanitise(&["--cleanup"]);
    assert_eq!(report["cleaned_up"][0], container.id);
    assert_eq!(lab.claims(), [""; 0]);
    lab.podman(["start", "c"]).ok();
    all_is_well(&lab);
}

#[test]
fn nothing_is_removed_while_podman_does_not_answer() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let before = lab.claims();
    // A podman that fails, one that is missing, and one of another machine.
    lab.sh("mount --bind /bin/false /usr/bin/podman");
    let report = lab.migrate_json(["sanitise"]);
    lab.sh("umount /usr/bin/podman");
    assert_eq!(addresses(&report, "unknown"), [ADDRESS], "{report}");
    for podman in ["no-such-podman", "podman --url=ssh://nobody@192.0.2.1/p"] {
        let report = lab.migrate_json(["sanitise", "--podman", podman]);
        assert_eq!(addresses(&report, "unknown"), [ADDRESS], "{report}");
        let why = &leases(&report, "unknown")[0].1;
        assert!(why.starts_with("Podman gave no answer: "), "{why}");
    }
    assert_eq!(lab.claims(), before);
    // berth-migrate waits for a podman that hangs, and then ends it.
    lab.write_executable("/tmp/podman", "#!/bin/bash\nexec sleep 1000\n");
    let report = lab.migrate_json(["sanitise", "--podman", "/tmp/podman"]);
    let why = &leases(&report, "unknown")[0].1;
    assert!(
        why.contains("did not end within 30s and was killed"),
        "{why}"
    );
    assert_eq!(lab.pids("sleep").len(), 1, "only the container's");
    assert_eq!(lab.claims(), before);
    // The user may decide that the kernel's evidence is enough.
    let report = lab.sanitise(&["--without-podman"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    all_is_well(&lab);
}

#[test]
fn waiting_for_a_lock_ends_and_names_its_holder() {
    let lab = lab();
    leak(&lab, "x", ADDRESS);
    let before = lab.claims();
    let file = format!("{}/ipam.db", lab.run_dir());
    lab.sh(&format!(
        "flock {file} sleep 300 >/dev/null 2>&1 & sleep 0.3"
    ));
    let outcome = lab.migrate(["sanitise", "--now"]).fails("locked by pid");
    assert!(
        outcome.stderr.contains("(sleep 300)") || outcome.stderr.contains("flock"),
        "{outcome}"
    );
    assert!(outcome.took < Duration::from_secs(30), "{outcome}");
    lab.sh("pkill -x sleep || true; pkill -x flock || true");
    let hold = "import fcntl,time; f=open('/run/lock/netavark.lock','w'); \
                fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(300)";
    lab.write("/tmp/hold.py", hold);
    lab.sh("python3 /tmp/hold.py >/dev/null 2>&1 & sleep 0.5");
    let outcome = lab
        .migrate(["sanitise", "--without-podman"])
        .fails("held by pid");
    assert!(outcome.stderr.contains("/tmp/hold.py"), "{outcome}");
    lab.sh("pkill -f /tmp/hold.py");
    assert_eq!(lab.claims(), before);
    assert_eq!(addresses(&lab.sanitise(&[]), "removed"), [ADDRESS]);
}

#[test]
fn two_at_once_do_the_work_of_one() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    for number in 50..54 {
        leak(&lab, "x", &format!("10.77.0.{number}"));
    }
    let both: Vec<_> = (0..2)
        .map(|_| lab.migrate(["sanitise", "--json"]).spawn())
        .collect();
    let removed: Vec<_> = both
        .into_iter()
        .map(|running| {
            let outcome = running.wait();
            assert!(outcome.status.success(), "{outcome}");
            let report: Value = serde_json::from_str(&outcome.stdout).expect("a report");
            addresses(&report, "removed").len()
        })
        .collect();
    assert_eq!(removed.iter().sum::<usize>(), 4, "{removed:?}");
    all_is_well(&lab);
}

#[test]
fn a_full_directory_changes_nothing() {
    let lab = Lab::start();
    let directory = lab.run_dir();
    lab.sh(&format!(
        "mkdir -p {directory}; mount -t tmpfs -o size=1m lab {directory}"
    ));
    lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let before = lab.claims();
    lab.sh(&format!(
        "dd if=/dev/zero of={directory}/fill bs=4k 2>/dev/null || true"
    ));
    lab.migrate(["sanitise"]).fails("No space left on device");
    assert_eq!(lab.claims(), before);
    let names = lab.names(&directory);
    assert!(
        !names.iter().any(|name| name.contains("berth")),
        "{names:?}"
    );
    lab.sh(&format!("rm {directory}/fill"));
    lab.sanitise(&[]);
    all_is_well(&lab);
}

#[test]
fn nothing_that_lives_is_removed_in_a_storm_of_starts_and_removals() {
    let lab = lab();
    lab.container("steady", &["n"]).start();
    let worker = |name: &str| {
        let script = format!(
            "for i in $(seq 12); do podman run -d --name {name} --network n lab; \
             podman rm -f -t0 {name}; done >/tmp/{name}.log 2>&1"
        );
        lab.cmd("bash")
            .args(["-c", &script])
            .within(Duration::from_secs(200))
            .spawn()
    };
    let workers = [worker("w1"), worker("w2")];
    let mut removed = Vec::new();
    for _ in 0..8 {
        let report = lab.migrate_json(["sanitise", "--now"]);
        removed.extend(addresses(&report, "removed"));
        let failures = &report["failures"];
        assert_eq!(failures.as_array().map(Vec::len), Some(0), "{report}");
    }
    for worker in workers {
        worker.wait();
    }
    let logs = lab.sh("cat /tmp/w1.log /tmp/w2.log");
    assert!(!logs.contains("rror"), "{logs}");
    assert_eq!(removed, [""; 0], "each had a container");
    assert_eq!(lab.duplicates(), [""; 0]);
    all_is_well(&lab);
}
