//! Which container counts as the holder of an address, and which does not, in cases where a first
//! look misleads.

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, ip, outage::Death, wait_until, with_driver};

with_driver!(
    only_berth,
    Berth,
    a_failed_start_keeps_the_address_of_a_stopped_container,
    a_restart_after_a_kill_leaves_no_namespace_behind,
    a_killed_disconnect_does_not_keep_the_address,
    a_renamed_interface_keeps_its_address,
    a_process_that_only_looks_at_a_dead_container_does_not_keep_its_address,
    a_container_of_another_pid_namespace_is_left_alone,
    a_late_teardown_leaves_the_restarted_container_alone,
);

const ADDRESS: &str = "10.77.0.99";
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const OTHER: [&str; 2] = ["--subnet", "10.78.0.0/24"];
/// How long something that takes milliseconds may take on a busy machine.
const BOUND: Duration = Duration::from_secs(30);
const TAKEN: &str = "requested ip address 10.77.0.99 is already allocated to container ID";

fn lab(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    (lab, network)
}

/// Returns the addresses in a process' namespace, as `ip -brief address` prints them. After a
/// failed disconnect, podman no longer says where a container is.
fn addresses(lab: &Lab, pid: u32) -> String {
    let target = format!("--target={pid}");
    lab.cmd("nsenter")
        .args([&target, "--net", "ip", "-brief", "address"])
        .ok()
}

fn a_failed_start_keeps_the_address_of_a_stopped_container(driver: Driver) {
    let (lab, network) = lab(driver);
    lab.container("c", &["n"]).ip("10.77.0.2").start();
    lab.podman(["stop", "--time=0", "c"]).ok();
    lab.write_executable(
        "/opt/broken",
        "#!/bin/sh\necho '{\"error\":\"a passing fault\"}'\nexit 1\n",
    );
    let start = lab
        .podman(["start", "c"])
        .env("BERTH_NETAVARK", "/opt/broken");
    start.fails("a passing fault");
    lab.container("other", &["n"]).start();
    assert_eq!(lab.addresses("other", "eth0"), [ip("10.77.0.3")]);
    lab.podman(["start", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip("10.77.0.2")]);
    lab.remove("other");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_restart_after_a_kill_leaves_no_namespace_behind(driver: Driver) {
    let (lab, network) = lab(driver);
    lab.container("c", &["n"])
        .ip(ADDRESS)
        .dies(Death::PodmanAfterNetavark);
    assert_eq!(lab.empty_namespaces().len(), 1);
    lab.podman(["start", "c"]).ok();
    assert_eq!(lab.empty_namespaces(), [""; 0]);
    lab.remove("c");
    lab.assert_clean(&network);
}

/// berth dies in the disconnect, when the interface is gone but the lease is not. The
/// container lives on, but not at this address.
fn a_killed_disconnect_does_not_keep_the_address(driver: Driver) {
    let (lab, network) = lab(driver);
    let home = lab.network(driver, "home", &OTHER);
    let script = format!("#!/bin/bash\n{} \"$@\"\nkill -9 $PPID\n", lab.netavark());
    lab.write_executable("/opt/killer", &script);
    let container = lab.container("c", &["home"]).start();
    lab.podman(["network", "connect", "--ip", ADDRESS, "n", "c"])
        .ok();
    let pid = lab.pid("c");
    let disconnect = lab.podman(["network", "disconnect", "n", "c"]);
    disconnect.env("BERTH_NETAVARK", "/opt/killer").run();
    assert!(
        !addresses(&lab, pid).contains("eth1"),
        "the interface is gone"
    );
    assert_eq!(
        lab.leases(&network).of(&network).len(),
        1,
        "the lease is not"
    );
    lab.container("other", &["n"]).ip(ADDRESS).start();
    assert!(
        addresses(&lab, pid).contains("10.78.0.2/24"),
        "the other one is not"
    );
    lab.remove("other");
    lab.remove_at_last("c");
    // The container's conmon counts as at work for it as long as it runs.
    wait_until("conmon's end", BOUND, || {
        let conmon = lab.cmd("pgrep").args(["--full", &container.id]).run();
        (!conmon.status.success()).then_some(())
    });
    // Podman has not torn the other connection down, because its own records are wrong after
    // the failed disconnect. Asking for the address tears it down.
    lab.container("other", &["home"]).ip("10.78.0.2").start();
    lab.remove("other");
    lab.assert_clean(&network);
    lab.assert_clean(&home);
}

fn a_renamed_interface_keeps_its_address(driver: Driver) {
    let (lab, network) = lab(driver);
    let home = lab.network(driver, "home", &OTHER);
    lab.container("c", &["home"]).start();
    lab.podman(["network", "connect", "--ip", ADDRESS, "n", "c"])
        .ok();
    for rename in ["set eth1 down", "set eth1 name x1", "set x1 up"] {
        lab.inside("c", "ip")
            .arg("link")
            .args(rename.split(' '))
            .ok();
    }
    let pid = lab.pid("c");
    let disconnect = lab.podman(["network", "disconnect", "n", "c"]);
    disconnect.fails("its interface is still there, so its lease is kept");
    lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    assert!(
        addresses(&lab, pid).contains("10.77.0.99/24"),
        "it answers still"
    );
    lab.remove("other");
    lab.remove_at_last("c");
    // Podman has forgotten the connection, but the address is free when it is asked for.
    lab.container("other", &["n"]).ip(ADDRESS).start();
    lab.remove("other");
    lab.assert_clean(&network);
    lab.assert_clean(&home);
}

fn a_process_that_only_looks_at_a_dead_container_does_not_keep_its_address(driver: Driver) {
    let (lab, network) = lab(driver);
    lab.container("c", &["n"])
        .ip(ADDRESS)
        .dies(Death::PodmanAfterNetavark);
    let id = lab.podman(["inspect", "--format", "{{.Id}}", "c"]).ok();
    lab.remove("c");
    lab.sh(&format!(
        "setsid bash -c 'sleep 1000; :' watching {id} >/dev/null 2>&1 &"
    ));
    lab.container("other", &["n"]).ip(ADDRESS).start();
    lab.remove("other");
    lab.assert_clean(&network);
}

/// A podman in a container that shares /run sees no process of the host.
fn a_container_of_another_pid_namespace_is_left_alone(driver: Driver) {
    let (lab, network) = lab(driver);
    lab.container("c", &["n"]).ip(ADDRESS).start();
    let run = [
        "run",
        "--detach",
        "--name",
        "other",
        "--network",
        "n",
        "--ip",
        ADDRESS,
        "lab",
    ];
    let other = lab
        .cmd("unshare")
        .args(["--mount", "--pid", "--fork", "--mount-proc", "podman"]);
    other.args(run).fails(TAKEN);
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.remove("other");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_late_teardown_leaves_the_restarted_container_alone(driver: Driver) {
    let (lab, network) = lab(driver);
    let id = lab.container("c", &["n"]).ip(ADDRESS).start().id;
    let config = lab.sh("cat /etc/containers/networks/n.json");
    let request = format!(
        r#"{{"container_id":"{id}","container_name":"c","network":{config},
            "network_options":{{"interface_name":"eth0"}}}}"#
    );
    let teardown = lab
        .cmd("berth")
        .args(["teardown", "/run/netns/netns-of-an-earlier-start"]);
    teardown.stdin(request).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&network);
}
