//! Something is scarce or in the way. Each command says so in one line, and changes nothing that
//! it cannot finish. Afterwards everything works again, and nothing has leaked.

use std::time::Duration;

use berth_integration::{Cmd, Lab, Network, Outcome, ip, wait_until};

const ADDRESS: &str = "10.77.0.99";
const PORTS: [&str; 2] = ["--publish", "8080:80"];
const RUN_DIR: &str = "/run/containers/networks";
const PLUGIN: &str = "/usr/libexec/netavark/berth";
const BOUND: Duration = Duration::from_secs(20);

fn gc(lab: &Lab) -> Cmd<'_> {
    lab.cmd("berth").arg("gc")
}

/// Asserts that a command failed and said why in one line.
#[track_caller]
fn says_in_one_line(outcome: &Outcome, what: &str) {
    assert!(!outcome.status.success(), "{outcome}");
    let mut lines = outcome.stderr.lines();
    let line = lines.find(|line| line.starts_with("Error: "));
    assert!(line.is_some_and(|line| line.contains(what)), "{outcome}");
}

/// Asserts that addresses are leased and given back, and that nothing is left.
#[track_caller]
fn all_goes_on(lab: &Lab, network: &Network) {
    for name in ["c", "d"] {
        lab.remove_at_last(name);
    }
    // A podman may be at work for a moment longer.
    wait_until("a collection of the rest", BOUND, || {
        gc(lab).ok();
        let left = lab.leases(network).of(network);
        (left == ["[10.77.0.7] bound to bystander"]).then_some(())
    });
    assert_eq!(lab.addresses("bystander", "eth0"), [ip("10.77.0.7")]);
    let run = lab.container("e", &["n"]).ip(ADDRESS);
    run.option(PORTS[0], PORTS[1]).start();
    assert_eq!(lab.addresses("e", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["e"], [ip(ADDRESS)]);
    lab.remove("e");
    lab.remove("bystander");
    lab.assert_clean(network);
}

/// Runs each command with the run directory in this state, and then without.
#[track_caller]
fn run_directory(spoil: &str, mend: &str, what: &str) {
    let (lab, network) = Lab::with_bystander();
    lab.sh(&format!(
        "mkdir /tmp/keep; cp -a {RUN_DIR}/. /tmp/keep
         mount -t tmpfs -o size=6m lab {RUN_DIR}; cp -a /tmp/keep/. {RUN_DIR}"
    ));
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option(PORTS[0], PORTS[1]).start();
    lab.sh(spoil);
    says_in_one_line(&lab.container("d", &["n"]).cmd().run(), what);
    // A command that makes nothing longer may find room in the store itself.
    let works_or_says = |outcome: &Outcome| {
        if !outcome.status.success() {
            says_in_one_line(outcome, what);
        }
    };
    works_or_says(&gc(&lab).run());
    let change = lab.cmd("berth").args(["rebuild", "--engine", "sled"]);
    says_in_one_line(&change.run(), what);
    works_or_says(&lab.podman(["rm", "--force", "--time=0", "c"]).run());
    lab.sh(mend);
    all_goes_on(&lab, &network);
}

#[test]
fn a_full_run_directory_is_reported_and_nothing_leaks() {
    run_directory(
        &format!("cat /dev/zero >{RUN_DIR}/fill 2>/dev/null || true"),
        &format!("rm {RUN_DIR}/fill"),
        "No space left on device",
    );
}

#[test]
fn a_read_only_run_directory_is_reported_and_nothing_leaks() {
    run_directory(
        &format!("mount -o remount,ro {RUN_DIR}"),
        &format!("mount -o remount,rw {RUN_DIR}"),
        "ead-only file system",
    );
}

/// Puts a wrapper in the plugin's place.
fn wrap_plugin(lab: &Lab, wrapper: &str) {
    lab.sh(&format!("umount --lazy {PLUGIN} 2>/dev/null || true"));
    let script = format!("#!/bin/bash\n{wrapper}exec /usr/local/bin/berth \"$@\"\n");
    lab.write_executable(PLUGIN, &script);
}

#[test]
fn a_limit_of_open_files_is_reported_and_nothing_leaks() {
    let (lab, network) = Lab::with_bystander();
    let limited = |limit: u8| format!("ulimit -n {limit}; ");
    for limit in [4, 6] {
        let gc = lab
            .cmd("bash")
            .args(["-c", &format!("{}exec berth gc", limited(limit))]);
        says_in_one_line(&gc.run(), "Too many open files");
    }
    // A container whose processes cannot be read is not dead.
    let script = format!("{}exec berth gc", limited(8));
    let said = lab.cmd("bash").args(["-c", &script]).ok();
    assert!(said.contains("0 reclaimed, 0 cleared away"), "{said}");
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option(PORTS[0], PORTS[1]).start();
    for limit in [4, 6, 8] {
        wrap_plugin(&lab, &limited(limit));
        let failed = lab.container("d", &["n"]).cmd().run();
        says_in_one_line(&failed, "netavark: ");
        lab.remove("d");
    }
    lab.podman(["rm", "--force", "--time=0", "c"]).run();
    wrap_plugin(&lab, "");
    all_goes_on(&lab, &network);
}

/// As when `ulimit -u` is reached, which does not apply to root.
#[test]
fn a_limit_of_processes_is_reported_and_nothing_leaks() {
    let (lab, network) = Lab::with_bystander();
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option(PORTS[0], PORTS[1]).start();
    let strace = |when: &str| {
        format!(
            "exec strace -o /dev/null -D -f -b execve -e trace=clone,clone3,fork,vfork \
             -e inject=clone,clone3,fork,vfork:error=EAGAIN:when={when} "
        )
    };
    let collect = format!("{}berth gc", strace("1+"));
    let collect = lab.cmd("bash").args(["-c", &collect]);
    // Neither the store nor a look at the host needs a new process.
    assert!(collect.ok().contains("2 live"));
    // strace counts in each thread: from the first call on, it is netavark's.
    let mut failed = 0;
    for when in ["1+", "2+", "3", "4+"] {
        let script = format!("#!/bin/bash\n{}/usr/local/bin/berth \"$@\"\n", strace(when));
        wrap_plugin(&lab, "");
        lab.write_executable(PLUGIN, &script);
        let run = lab.container("d", &["n"]).cmd().run();
        if !run.status.success() {
            says_in_one_line(&run, "netavark: plugin \"berth\" failed");
            failed += 1;
        }
        wrap_plugin(&lab, "");
        lab.remove("d");
        // Without a netavark, nothing has made sure that nothing of the container is left.
        lab.cmd("berth").args(["gc", "--now"]).ok();
        assert_eq!(lab.leases(&network).of(&network).len(), 2, "at {when}");
    }
    assert!(failed >= 1, "every setup went well");
    lab.write_executable(
        PLUGIN,
        &format!("#!/bin/bash\n{}/usr/local/bin/berth \"$@\"\n", strace("1+")),
    );
    lab.podman(["rm", "--force", "--time=0", "c"]).run();
    wrap_plugin(&lab, "");
    all_goes_on(&lab, &network);
}

#[test]
fn a_collection_gives_up_and_names_who_holds_podmans_lock() {
    let (lab, network) = Lab::with_bystander();
    lab.container("c", &["n"]).ip(ADDRESS).start();
    lab.kill_with_conmon("c");
    let script = format!(
        "#!/bin/bash\ncase \" $* \" in *\" setup \"*) sleep 300 ;; esac\nexec {} \"$@\"\n",
        lab.netavark()
    );
    let conf = lab.replace_netavark(&script);
    let hanging = lab.container("d", &["n"]);
    let hanging = hanging.env("CONTAINERS_CONF_OVERRIDE", conf).cmd().spawn();
    let sleeper = wait_until("netavark to hang", BOUND, || {
        let pid = lab.sh("pgrep --full '^sleep 300$' || true");
        (!pid.trim().is_empty()).then(|| pid.trim().to_owned())
    });
    let before = lab.leases(&network).of(&network);
    let outcome = gc(&lab).run();
    says_in_one_line(
        &outcome,
        "timed out after 30s waiting for Podman's network lock",
    );
    says_in_one_line(&outcome, "(podman run --detach --name d ");
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(lab.leases(&network).of(&network), before);
    lab.sh(&format!("kill {sleeper}"));
    assert!(hanging.wait().status.success());
    lab.podman(["rm", "--force", "--time=0", "d"]).ok();
    lab.remove_at_last("c");
    all_goes_on(&lab, &network);
}

#[test]
fn a_setup_gives_up_and_names_the_berth_that_holds_the_stores_lock() {
    let (lab, network) = Lab::with_bystander();
    lab.container("c", &["n"]).ip(ADDRESS).start();
    lab.kill_with_conmon("c");
    // berth's netavark stops berth while berth holds both locks.
    let script = format!(
        "#!/bin/bash\nkill -STOP $PPID\nexec {} \"$@\"\n",
        lab.netavark()
    );
    lab.write_executable("/opt/stopper", &script);
    // nsenter stops with its child; a shell does not.
    let stopped = lab.cmd("bash").args(["-c", "berth gc & wait $!"]);
    let stopped = stopped.env("BERTH_NETAVARK", "/opt/stopper").spawn();
    let pid = wait_until("berth to be stopped", BOUND, || {
        let lines = lab.sh("ps -e -o pid=,stat=,comm= | awk '$2 ~ /^T/ && $3 == \"berth\"'");
        lines.split_whitespace().next().map(str::to_owned)
    });
    assert_eq!(
        lab.sh(&format!("cut -d' ' -f2 {RUN_DIR}/berth/lock"))
            .trim(),
        pid
    );
    // podman would wait for its own lock, so the plugin is called as netavark calls it.
    let config = lab.sh("cat /etc/containers/networks/n.json");
    lab.sh("ip netns add x");
    let request = format!(
        r#"{{"container_id":"{}","container_name":"d","network":{config},
            "network_options":{{"interface_name":"eth0"}}}}"#,
        "d".repeat(64)
    );
    let setup = lab.cmd("berth").args(["setup", "/run/netns/x"]);
    let holder = format!("held by pid {pid} (collection of what dead containers hold)");
    setup.stdin(request).fails(&holder);
    lab.sh(&format!("ip netns delete x; kill -CONT {pid}"));
    assert!(stopped.wait().status.success());
    lab.remove_at_last("c");
    all_goes_on(&lab, &network);
}

#[test]
fn two_collections_at_once_reclaim_each_ghost_once() {
    let (lab, network) = Lab::with_bystander();
    for name in ["c", "d"] {
        lab.container(name, &["n"]).start();
        lab.kill_with_conmon(name);
    }
    let both = [gc(&lab).spawn(), gc(&lab).spawn()].map(|running| running.wait());
    let reclaimed: usize = both
        .iter()
        .map(|outcome| {
            assert!(outcome.status.success(), "{outcome}");
            outcome.stdout.matches("\nreclaimed ").count()
                + usize::from(outcome.stdout.starts_with("reclaimed "))
        })
        .sum();
    assert_eq!(reclaimed, 2, "each ghost once: {both:#?}");
    lab.remove_at_last("c");
    lab.remove_at_last("d");
    all_goes_on(&lab, &network);
}

#[test]
fn the_next_collection_finishes_the_work_of_a_killed_one() {
    let (lab, network) = Lab::with_bystander();
    for moment in [2, 5, 20, 60, 120, 180] {
        let run = lab.container("c", &["n"]).ip(ADDRESS);
        run.option(PORTS[0], PORTS[1]).start();
        lab.kill_with_conmon("c");
        let timeout = [
            "-s",
            "KILL",
            &format!("0.{moment:03}"),
            "berth",
            "gc",
            "--now",
        ];
        lab.cmd("timeout").args(timeout).run();
        // berth's netavark may outlive it for a moment, and counts as at work.
        wait_until("another one to finish", BOUND, || {
            gc(&lab).ok();
            let leases = lab.leases(&network).of(&network);
            (leases == ["[10.77.0.7] bound to bystander"]).then_some(())
        });
        assert!(!lab.dns_entries("n").contains_key("c"));
        assert!(!lab.ruleset().contains("dnat ip to 10.77.0.99"));
        lab.remove_at_last("c");
    }
    all_goes_on(&lab, &network);
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let (lab, network) = Lab::with_bystander();
    says_in_one_line(
        &gc(&lab).args(["--network", "nosuch"]).run(),
        "berth leases no addresses for a network \"nosuch\"",
    );
    for option in ["--run-dir", "--config-dir"] {
        for path in ["/nonexistent", "nonexistent", "/etc/passwd"] {
            let outcome = gc(&lab).args([option, path]).run();
            says_in_one_line(&outcome, &format!("found no directory {path}"));
        }
    }
    lab.sh("! ls -d /nonexistent nonexistent 2>/dev/null");
    let relative = gc(&lab).env("BERTH_STATE_DIR", "berth").run();
    says_in_one_line(
        &relative,
        "BERTH_STATE_DIR is berth, which is not an absolute path",
    );
    let run = lab.container("d", &["n"]).env("BERTH_STATE_DIR", "berth");
    run.fails("BERTH_STATE_DIR is berth, which is not an absolute path");
    lab.remove("d");
    let unknown = gc(&lab).arg("--nosuch").run();
    assert_eq!(unknown.status.code(), Some(2), "{unknown}");
    let given = ["--run-dir", "containers/networks"];
    let said = lab
        .cmd("env")
        .args(["-C", "/run", "berth", "gc"])
        .args(given);
    let said = said.ok();
    assert!(said.contains("1 live, 0 unknown"), "{said}");
    all_goes_on(&lab, &network);
}
