//! Processes and interfaces have names that a terminal would take for commands.

use super::lab;

/// A name that clears the screen, with the escape code as two characters and as one.
const NAME: &str = "\u{1b}[2J\u{9b}2Jx";
/// How the name is shown.
const SHOWN: &str = "\\u{1b}[2J\\u{9b}2Jx";

#[track_caller]
fn assert_plain(text: &str) {
    let is_hidden = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(is_hidden), "{text:?}");
}

/// Takes Podman's network lock and keeps it.
const HOLD: &str = r#"
import fcntl, sys, time
lock = open("/run/lock/netavark.lock", "a+b")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)"#;

#[test]
fn no_name_writes_to_a_terminal() {
    let (lab, _) = lab();
    lab.container("c", &["n"]).ip("10.77.0.9").start();
    // A process that lives in the namespace, and an interface in there.
    let pid = lab.pid("c").to_string();
    let script = format!(
        r#"cp "$(command -v sleep)" '/tmp/{NAME}'
        nsenter --target {pid} --net ip link set eth0 down
        nsenter --target {pid} --net ip link set eth0 name '{NAME}'
        nsenter --target {pid} --net ip link set '{NAME}' up
        nsenter --target {pid} --net '/tmp/{NAME}' 600 >/dev/null 2>&1 &
        until grep -q 2J /proc/$!/comm; do sleep 0.02; done"#
    );
    let conmon = lab.podman(["inspect", "--format", "{{.State.ConmonPid}}", "c"]);
    lab.kill(&conmon.ok());
    lab.sh(&script);
    lab.kill(&pid);
    let mut shown = 0;
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["list", "--format={{.Reason}} {{json .Reason}}"],
        &["list", "--format=table {{.Reason}}"],
        &["inspect", "10.77.0.9"],
        &["inspect", "--format={{.Reason}}", "10.77.0.9"],
        &["map", "n"],
        &["map", "--format=html", "n"],
        &["release", "10.77.0.9", "--network=n"],
        &["gc", "--now"],
        &["gc", "--now", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["setup", NAME],
        &["list", "--network", NAME],
    ] {
        let outcome = lab.cmd("berth").args(words).env("BERTH_LOG", "debug").run();
        assert_plain(&outcome.stdout);
        assert_plain(&outcome.stderr);
        let text = outcome.stdout + &outcome.stderr;
        shown += usize::from(text.contains(SHOWN));
    }
    assert!(shown >= 6, "the name is shown {shown} times");
    for words in [&["inspect"][..], &["inspect", "--json"], &["dump"]] {
        let outcome = lab.migrate(words).run();
        assert_plain(&outcome.stdout);
        assert_plain(&outcome.stderr);
    }
    // The process that makes everything wait is named, but not at full length.
    lab.write("/tmp/hold.py", HOLD);
    let hold = format!(
        r#"exec -a '{NAME}' python3 /tmp/hold.py '{NAME}' {}"#,
        "y".repeat(9999)
    );
    let _ = lab.cmd("bash").args(["-euc", &hold]).spawn();
    berth_integration::wait_until("a holder", std::time::Duration::from_secs(20), || {
        let locks = lab.sh("cat /proc/locks");
        locks.contains("POSIX").then_some(())
    });
    let said = lab.cmd("berth").arg("gc").fails(SHOWN).stderr;
    assert_plain(&said);
    assert!(said.len() < 1000, "{said}");
}
