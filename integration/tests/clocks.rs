//! Leases and time: the lease of an unknown holder lasts until its TTL has expired, and the
//! wall clock does not matter.
//!
//! A time namespace moves the boot clock and libfaketime the wall clock, each for one command.
//! The machine's own clocks are left alone.

use std::time::Duration;

use berth_integration::{Cmd, Driver, Lab, Network, ip, wait_until};

const ADDRESS: &str = "10.77.0.99";
const BOUND: Duration = Duration::from_secs(20);
const DAY: u64 = 24 * 60 * 60;

/// Returns a lab with a network of the shortest TTL, and a container on it.
fn lab() -> (Lab, Network) {
    lab_with(&[])
}

/// Returns a lab whose network has no DNS: aardvark-dns does not find itself in another pid
/// namespace.
fn lab_without_dns() -> (Lab, Network) {
    lab_with(&["--disable-dns"])
}

fn lab_with(further: &[&str]) -> (Lab, Network) {
    let lab = Lab::start();
    let options = ["--subnet", "10.77.0.0/24", "--opt", "ipam_ttl=60s"];
    let network = lab.network(Driver::Berth, "n", &[&options, further].concat());
    lab.container("bystander", &["n"]).ip("10.77.0.7").start();
    (lab, network)
}

/// Returns a command that runs as if the machine had been up this much longer.
fn later<'lab>(lab: &'lab Lab, seconds: u64, program: &str) -> Cmd<'lab> {
    let seconds = seconds.to_string();
    lab.cmd("unshare")
        .args(["--time", "--fork", "--boottime", &seconds, program])
}

/// Returns a podman in a pid namespace of its own. What it starts ends with it, and that cannot
/// be seen from outside.
fn elsewhere<'lab>(lab: &'lab Lab, propagation: &str) -> Cmd<'lab> {
    let propagation = format!("--propagation={propagation}");
    lab.cmd("unshare").args([
        "--mount",
        &propagation,
        "--pid",
        "--fork",
        "--mount-proc",
        "podman",
    ])
}

const RUN_C: [&str; 8] = [
    "run",
    "-d",
    "--name",
    "c",
    "--network",
    "n",
    "--ip",
    ADDRESS,
];

/// Returns when a container's lease was renewed and when its TTL expires, in milliseconds of
/// the boot clock.
#[track_caller]
fn renewed_and_expires(lab: &Lab, network: &Network, container: &str) -> (u64, u64) {
    let leases = lab.leases(network);
    let of = |name: &str| name == container;
    let mut tenants = leases.tenants.iter();
    let tenant = tenants.find(|tenant| of(&tenant.container_name.0));
    let tenant = tenant.expect("it has a lease");
    (tenant.renewed.boot_ms, tenant.expires.boot_ms)
}

#[track_caller]
fn says(said: &str, what: &str) {
    assert!(said.contains(what), "`{what}` is not in:\n{said}");
}

#[test]
fn an_unknown_holder_keeps_its_lease_until_its_ttl() {
    let (lab, network) = lab_without_dns();
    elsewhere(&lab, "private").args(RUN_C).arg("lab").ok();
    let kept = "kept 10.77.0.99 of container";
    for seconds in [0, 40] {
        let said = later(&lab, seconds, "berth").arg("gc").ok();
        says(&said, kept);
        says(&said, "it was set up in another pid namespace");
        says(&said, "1 live, 1 unknown, 0 reclaimed");
    }
    set_wall_clock(&lab, "+2d");
    let said = lab.cmd("/usr/libexec/netavark/berth").arg("gc").ok();
    says(&said, "1 live, 1 unknown, 0 reclaimed");
    let refused = lab.container("other", &["n"]).ip(ADDRESS);
    refused.fails("berth cannot tell whether it is live (it was set up in another pid namespace)");
    lab.remove("other");
    let said = later(&lab, 61, "berth").arg("gc").ok();
    says(&said, "reclaimed 10.77.0.99 of container");
    says(
        &said,
        "its TTL ran out and nothing on this host holds its address",
    );
    lab.container("other", &["n"]).ip(ADDRESS).start();
    lab.remove_at_last("c");
    assert_eq!(lab.addresses("other", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.addresses("bystander", "eth0"), [ip("10.77.0.7")]);
    lab.podman(["rm", "-f", "--time=0", "other", "bystander"])
        .ok();
    lab.cmd("berth").arg("gc").ok();
    lab.assert_clean(&network);
}

/// The holder's namespace is still there, with the interface in it, and may answer for ever.
#[test]
fn an_unknown_holder_keeps_its_lease_beyond_its_ttl_while_its_address_is_in_use() {
    let (lab, network) = lab_without_dns();
    elsewhere(&lab, "unchanged").args(RUN_C).arg("lab").ok();
    assert_eq!(lab.empty_namespaces().len(), 1);
    let said = later(&lab, DAY, "berth").arg("gc").ok();
    says(&said, "kept 10.77.0.99 of container");
    says(&said, "1 live, 1 unknown, 0 reclaimed");
    lab.remove_empty_namespaces();
    let said = lab.cmd("berth").arg("gc").ok();
    says(&said, "1 live, 1 unknown, 0 reclaimed");
    let said = later(&lab, 61, "berth").arg("gc").ok();
    says(&said, "reclaimed 10.77.0.99 of container");
    lab.remove_at_last("c");
    lab.remove("bystander");
    lab.cmd("berth").arg("gc").ok();
    lab.assert_clean(&network);
}

/// A live container keeps its lease even if berth cannot see any of its processes for a long
/// time.
#[test]
fn a_live_container_keeps_its_lease_where_berth_cannot_see_it() {
    let (lab, network) = lab();
    for seconds in [0, DAY, 2 * DAY] {
        if seconds > DAY {
            // Only the host's end of its veth pair can be seen.
            lab.sh("umount /run/netns/netns-*");
        }
        let blind = ["--mount", "--pid", "--fork", "--mount-proc", "berth", "gc"];
        let said = later(&lab, seconds, "unshare").args(blind).ok();
        says(&said, "kept 10.77.0.7 of container");
        says(&said, "0 live, 1 unknown, 0 reclaimed, 0 cleared away");
    }
    assert_eq!(lab.addresses("bystander", "eth0"), [ip("10.77.0.7")]);
    assert_eq!(lab.dns_entries("n")["bystander"], [ip("10.77.0.7")]);
    lab.remove_at_last("bystander");
    wait_until("a collection of it", BOUND, || {
        lab.cmd("berth").arg("gc").ok();
        lab.leases(&network).of(&network).is_empty().then_some(())
    });
    lab.assert_clean(&network);
}

#[test]
fn a_lease_is_renewed_when_its_holder_is_seen_alive() {
    let (lab, network) = lab();
    let before = renewed_and_expires(&lab, &network, "bystander");
    assert_eq!(before.1 - before.0, 60_000);
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(renewed_and_expires(&lab, &network, "bystander"), before);
    later(&lab, 100, "berth").args(["gc", "--dry-run"]).ok();
    assert_eq!(renewed_and_expires(&lab, &network, "bystander"), before);
    later(&lab, 100, "berth").arg("gc").ok();
    let after = renewed_and_expires(&lab, &network, "bystander");
    assert!(after.0 >= before.0 + 100_000, "{before:?} {after:?}");
    assert_eq!(after.1 - after.0, 60_000);
    lab.remove("bystander");
    lab.assert_clean(&network);
}

/// Puts a wrapper in the place of berth, both as the plugin and as the operator's command. It
/// makes berth see another time of day.
fn set_wall_clock(lab: &Lab, offset: &str) {
    let library = lab.sh("ls /usr/lib/*/faketime/libfaketime.so.1");
    let script = format!(
        "#!/bin/bash\nexport LD_PRELOAD={} FAKETIME={offset} FAKETIME_DONT_FAKE_MONOTONIC=1\n\
         exec /usr/local/bin/berth \"$@\"\n",
        library.trim()
    );
    lab.sh("umount --lazy /usr/libexec/netavark/berth 2>/dev/null || true");
    lab.write_executable("/usr/libexec/netavark/berth", &script);
}

#[test]
fn a_wall_clock_set_by_a_day_changes_nothing() {
    let (lab, network) = lab();
    let gc = || {
        lab.cmd("/usr/libexec/netavark/berth")
            .args(["gc", "--json"])
            .ok()
    };
    for offset in ["-1d", "+1d"] {
        lab.container("before", &["n"]).ip(ADDRESS).start();
        let real = renewed_and_expires(&lab, &network, "bystander");
        set_wall_clock(&lab, offset);
        let said = gc();
        says(&said, "\"live\": 2");
        says(&said, "\"reclaimed\": []");
        lab.container("c", &["n"]).start();
        let (renewed, expires) = renewed_and_expires(&lab, &network, "c");
        assert_eq!(expires - renewed, 60_000);
        assert!(renewed >= real.0 && renewed < real.0 + 600_000);
        let leases = lab.leases(&network);
        let wall = |name: &str| {
            let mut tenants = leases.tenants.iter();
            let tenant = tenants.find(|tenant| tenant.container_name.as_str() == name);
            tenant.expect("it has a lease").created.wall_ms
        };
        let apart = wall("c").abs_diff(wall("before"));
        assert!(apart > 80_000_000, "the clock was set: {apart}");
        // A released address is reserved for its former holder for exactly the configured time.
        let address = lab.addresses("c", "eth0");
        lab.podman(["restart", "--time=0", "c"]).ok();
        assert_eq!(lab.addresses("c", "eth0"), address);
        lab.kill_with_conmon("c");
        says(&gc(), "no process is in its namespace");
        lab.remove_at_last("c");
        lab.remove("before");
    }
    lab.remove("bystander");
    lab.assert_clean(&network);
}

/// Leaves a ghost that nothing reports.
fn leave_a_ghost(lab: &Lab) {
    lab.container("ghost", &["n"]).ip(ADDRESS).start();
    lab.kill_with_conmon("ghost");
}

const COLLECTING: &str = "ps -e -o args= | grep -c '[ ]gc --run-dir ' || true";

#[test]
fn a_setup_starts_a_collection_when_nobody_has_collected_for_long() {
    let (lab, network) = lab();
    leave_a_ghost(&lab);
    let run = ["run", "-d", "--name", "c", "--network", "n", "lab"];
    later(&lab, 1000, "podman").args(run).ok();
    wait_until("the ghost to be gone", BOUND, || {
        (lab.leases(&network).of(&network).len() == 2).then_some(())
    });
    assert!(!lab.dns_entries("n").contains_key("ghost"));
    let rm = ["rm", "-f", "--time=0", "c", "bystander"];
    // Podman knows its processes by the boot clock.
    later(&lab, 1000, "podman").args(rm).run();
    lab.remove_at_last("c");
    lab.remove_at_last("bystander");
    lab.remove_at_last("ghost");
    lab.cmd("berth").arg("gc").ok();
    lab.assert_clean(&network);
}

#[test]
fn a_setup_starts_no_collection_when_the_last_one_is_recent() {
    let (lab, network) = lab();
    let run = |name| ["run", "-d", "--name", name, "--network", "n", "lab"];
    later(&lab, 900, "berth").arg("gc").ok();
    leave_a_ghost(&lab);
    later(&lab, 1000, "podman").args(run("c")).ok();
    assert_eq!(lab.sh(COLLECTING).trim(), "0");
    // A collection takes two seconds, so one that had started would be over.
    later(&lab, 1100, "podman").args(run("d")).ok();
    assert_eq!(lab.sh(COLLECTING).trim(), "1");
    wait_until("the ghost to be gone", BOUND, || {
        (lab.leases(&network).of(&network).len() == 3).then_some(())
    });
}
