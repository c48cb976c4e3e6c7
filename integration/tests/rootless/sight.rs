//! Which processes are seen from inside a user namespace, and which do not matter.

use berth_integration::{Driver, ip, outage::Death, wait_until, with_driver};

use super::{ADDRESS, BOUND, SUBNET, TAKEN, assert_comes_back, sandbox, user, web};

with_driver!(
    only_berth,
    Berth,
    a_lost_store_comes_back_from_what_runs,
    a_live_containers_address_is_refused_with_its_name,
    a_container_without_conmon_is_seen_whatever_user_it_runs_as,
    unreadable_processes_that_do_not_matter_cast_no_doubt,
    addresses_in_use_are_found_without_looking_into_the_hosts_namespace,
);

fn a_lost_store_comes_back_from_what_runs(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let auto = lab.container("auto", &["n"]);
    auto.option("--userns", "auto:size=1000").start();
    let held = lab.addresses("auto", "eth0");
    lab.sh("rm -r $XDG_RUNTIME_DIR/containers/networks/berth");
    let other = lab.container("other", &["n"]).ip(ADDRESS);
    let refused = other.fails(TAKEN);
    assert!(refused.stderr.contains("(name c, "), "{refused}");
    lab.remove("other");
    let mut leases = lab.leases(&network).of(&network);
    leases.sort();
    let auto = format!("{held:?} bound to auto");
    assert_eq!(leases, [auto, format!("[{ADDRESS}] bound to c")]);
    lab.remove("auto");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_live_containers_address_is_refused_with_its_name(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    let pid = lab.pid("c");
    for words in [
        "(name c, leased ",
        &format!("it is live, process {pid} (sleep) lives in its namespace"),
    ] {
        assert!(refused.stderr.contains(words), "`{words}`:\n{refused}");
    }
    lab.remove("other");
    lab.remove("c");
    lab.assert_clean(&network);
}

/// Nothing but the process in the namespace keeps the address.
fn a_container_without_conmon_is_seen_whatever_user_it_runs_as(driver: Driver) {
    let (lab, network) = user(driver);
    // The process of a program that can be executed but not read is not dumpable.
    lab.seen_by_root()
        .sh("install -D --mode=711 /bin/busybox /opt/secret/busybox");
    for options in [
        &["--user", "65534"][..],
        &["--userns", "auto:size=1000"],
        &["--userns", "keep-id"],
        &["--userns", "keep-id", "--user", "0"],
        &["--volume", "/opt/secret:/opt/secret:ro", "--user", "12"],
        &[
            "--volume",
            "/opt/secret:/opt/secret:ro",
            "--userns",
            "auto:size=1000",
        ],
    ] {
        let pairs = options.chunks(2);
        let run = pairs.fold(web(&lab), |run, pair| run.option(pair[0], pair[1]));
        let secret = options.contains(&"--volume");
        let command: &[_] = if secret {
            &["/opt/secret/busybox", "sleep", "inf"]
        } else {
            &[]
        };
        run.command(command).start();
        let conmon = ["inspect", "--format", "{{.State.ConmonPid}}", "c"];
        let conmon = lab.podman(conmon).ok();
        lab.sh(&format!("kill -9 {conmon}"));
        let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
        let words = if secret {
            "berth cannot tell whether it is live"
        } else {
            "lives in its namespace"
        };
        assert!(refused.stderr.contains(words), "{options:?}:\n{refused}");
        lab.remove("other");
        let pid = lab.pid("c");
        lab.in_user_namespace("kill")
            .args(["-9", &pid.to_string()])
            .ok();
        wait_until("the container's end", BOUND, || {
            lab.sh(&format!("ps -o pid= -p {pid} || true"))
                .is_empty()
                .then_some(())
        });
        lab.remove_at_last("c");
        assert_comes_back(&lab, &network);
    }
}

/// The unreadable processes are those of root, of another user with containers, and of the user's
/// own shell, and a sandbox of the user's.
fn unreadable_processes_that_do_not_matter_cast_no_doubt(driver: Driver) {
    let (lab, network) = user(driver);
    let (root, mate) = (lab.seen_by_root(), lab.other_user());
    mate.network(driver, "n", &SUBNET);
    web(&mate).start();
    for lab in [&root, &lab] {
        lab.sh("setsid sleep 1000 >/dev/null 2>&1 &");
    }
    sandbox(&lab);
    web(&lab).dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    assert_comes_back(&lab, &network);
    assert_eq!(mate.addresses("c", "eth0"), [ip(ADDRESS)]);
}

/// This is the last check before the lease of an unknown holder expires.
/// conmon and pasta live in the host's namespace.
fn addresses_in_use_are_found_without_looking_into_the_hosts_namespace(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let seen = lab.leases(&network).seen.expect("nothing is in doubt");
    assert!(seen.contains(&ip(ADDRESS)), "{seen:?}");
    lab.remove("c");
    lab.assert_clean(&network);
}
