//! A collection gives back everything that dead containers held, without being asked, and
//! touches nothing else.

use std::time::Duration;

use berth_integration::{Driver, Lab, after_each_death, ip, outage::Death, wait_until};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const BOUND: Duration = Duration::from_secs(30);
const PORTS: [&str; 2] = ["--publish", "8080:80"];

#[track_caller]
fn everything_is_given_back_after(death: Death) {
    let (lab, network) = Lab::with_bystander();
    let run = lab.container("c", &["n"]).ip("10.77.0.99");
    run.option(PORTS[0], PORTS[1]).dies(death);
    lab.remove("c");
    let said = lab.cmd("berth").args(["gc"]).ok();
    assert!(said.contains("1 live, 0 unknown"), "{said}");
    assert!(said.contains("0 failed"), "{said}");
    lab.assert_only_bystander(&network);
}

after_each_death!(everything_is_given_back, everything_is_given_back_after);

#[test]
fn everything_is_given_back_after_conmon_and_container_are_killed() {
    let (lab, network) = Lab::with_bystander();
    let run = lab.container("c", &["n"]).ip("10.77.0.99");
    run.option(PORTS[0], PORTS[1]).start();
    lab.kill_with_conmon("c");
    let plan = lab.cmd("berth").args(["gc", "--dry-run"]).ok();
    assert!(
        plan.contains("would reclaim 10.77.0.99 of container"),
        "{plan}"
    );
    assert!(
        plan.contains("(c) on network n: no process is in"),
        "{plan}"
    );
    assert_eq!(
        lab.leases(&network).of(&network).len(),
        2,
        "nothing is done"
    );
    let said = lab.cmd("berth").args(["gc", "--now", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["reclaimed"][0]["addresses"][0], "10.77.0.99");
    assert_eq!(report["reclaimed"][0]["container_name"], "c");
    assert_eq!((&report["live"], &report["looks"]), (&1.into(), &1.into()));
    // Podman does not know yet.
    lab.remove_at_last("c");
    lab.assert_only_bystander(&network);
}

/// What people try first: to remove Podman's network, and make it again with berth.
#[test]
fn a_network_that_was_removed_with_a_ghost_on_it_can_be_made_again() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let dead = lab.container("x", &["n"]).ip("10.77.0.99");
    dead.option("--publish", "8081:80")
        .dies(Death::PodmanAfterNetavark);
    lab.remove("x");
    lab.podman(["network", "rm", "--force", "n"]).ok();
    // The same name with another subnet: its DNS names are served at the old address.
    lab.network(Driver::Berth, "n", &["--subnet", "10.78.0.0/24"]);
    let run = lab.container("y", &["n"]);
    run.option("--publish", "8081:80").serving().start();
    let problem = "network n can resolve names";
    let said = lab.cmd("berth").arg("doctor").run();
    assert!(
        !said.stdout.contains(problem),
        "the setup put it right: {said}"
    );
    lab.cmd("berth").arg("gc").ok();
    lab.podman(["exec", "y", "nslookup", "y"]).ok();
    lab.assert_served("http://127.0.0.1:8081/");
    let mut left = lab.leftovers(&network);
    left.retain(|line| !line.contains("10.78.0.2"));
    assert_eq!(left, [""; 0]);
    lab.remove("y");
    lab.podman(["network", "rm", "n"]).ok();
    // And again with the subnet that it had.
    let again = lab.network(Driver::Berth, "n", &SUBNET);
    lab.container("z", &["n"]).ip("10.77.0.99").start();
    lab.podman(["exec", "z", "nslookup", "z"]).ok();
    lab.remove("z");
    lab.assert_clean(&again);
}

/// Keeps a container's namespace alive by a descriptor of a process outside it, whose pid is then
/// in `/tmp/keeper`.
#[track_caller]
fn keep_namespace(lab: &Lab, container: &str) {
    let pid = lab.pid(container);
    lab.sh(&format!(
        "exec 9</proc/{pid}/ns/net; sleep 60 & echo $! >/tmp/keeper; disown"
    ));
}

/// If only a descriptor, or a mount in a private mount namespace, keeps a namespace alive, there
/// is no process and no file, but the host's end of the veth pair still answers.
#[test]
fn a_veth_to_a_namespace_that_no_process_or_file_shows_is_removed() {
    let (lab, network) = Lab::with_bystander();
    lab.container("c", &["n"]).start();
    keep_namespace(&lab, "c");
    lab.kill_with_conmon("c");
    lab.sh("for f in /run/netns/netns-*; do \
            [ -z \"$(ip netns pids ${f##*/})\" ] && umount $f && rm $f; done; true");
    lab.sh("rm -r /run/containers/networks/berth");
    let said = lab.cmd("berth").args(["gc"]).ok();
    assert!(said.contains("cleared away interface veth"), "{said}");
    lab.sh("kill $(cat /tmp/keeper)");
    lab.remove_at_last("c");
    lab.assert_only_bystander(&network);
}

/// The kernel removes the interfaces of a namespace some time after its last user has gone, and
/// netavark keeps a bridge that has a port.
#[track_caller]
fn the_bridge_goes_with_its_last_port(forget: &str) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    lab.container("c", &["n"]).start();
    keep_namespace(&lab, "c");
    lab.kill_with_conmon("c");
    lab.sh("umount --lazy /run/netns/netns-*; rm /run/netns/netns-*");
    lab.sh(forget);
    let said = lab.cmd("berth").args(["gc"]).ok();
    assert!(said.contains("cleared away interface veth"), "{said}");
    lab.assert_clean(&network);
    lab.sh("kill $(cat /tmp/keeper)");
}

#[test]
fn the_bridge_of_a_dead_container_goes_with_a_port_that_the_kernel_has_not_removed_yet() {
    the_bridge_goes_with_its_last_port("");
}

#[test]
fn a_bridge_without_containers_goes_with_a_port_that_the_kernel_has_not_removed_yet() {
    the_bridge_goes_with_its_last_port("rm -r /run/containers/networks/berth");
}

#[test]
fn nothing_that_is_not_ours_is_touched() {
    let lab = Lab::start();
    let own = lab.network(Driver::Bridge, "own", &["--subnet", "10.78.0.0/24"]);
    lab.network(Driver::Berth, "n", &SUBNET);
    let run = || lab.container("c", &["own"]).ip("10.78.0.9");
    run()
        .option(PORTS[0], PORTS[1])
        .dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    // Things of an administrator's own: a namespace, a bridge port, an interface.
    lab.container("live", &["n"]).start();
    let bridge = lab.inspect_network("n").interface;
    lab.sh(&format!(
        "ip netns add admin; ip link add vethadmin type veth peer name x netns admin
         ip link set vethadmin master {bridge} up; ip netns add empty
         ip -n admin addr add 10.77.0.200/24 dev x; ip -n admin link set x up"
    ));
    let before = (lab.leftovers(&own), lab.names("/run/netns"));
    let said = lab.cmd("berth").args(["gc"]).ok();
    assert!(said.contains("0 reclaimed, 0 cleared away"), "{said}");
    assert_eq!((lab.leftovers(&own), lab.names("/run/netns")), before);
    lab.sh("ip link show vethadmin; ip -n admin link show x");
}

/// A unit with `PrivateTmp` or `ProtectSystem` runs its podman in a mount namespace whose mounts
/// the host does not see: the host sees a bare file where the unit has the container's namespace.
#[test]
fn a_container_of_a_private_mount_namespace_keeps_its_namespace_file() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &SUBNET);
    let own = lab.network(Driver::Bridge, "own", &["--subnet", "10.78.0.0/24"]);
    let private = "exec unshare --mount --propagation slave podman";
    let run = format!("{private} run --detach --name c --network own --publish 8080:80 lab");
    lab.sh(&run);
    let files = lab.names("/run/netns");
    assert_eq!(files.len(), 1, "{files:?}");
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.names("/run/netns"), files);
    // So its own podman, in conmon's mount namespace, takes down what it has.
    lab.kill(&lab.pid("c").to_string());
    wait_until("the cleanup", BOUND, || {
        lab.names("/run/netns").is_empty().then_some(())
    });
    assert_eq!(lab.claims(), [""; 0]);
    lab.remove("c");
    lab.assert_clean(&own);
}

/// netavark does not find it by its name, and the dead cannot give it back.
#[test]
fn a_ghost_with_a_renamed_interface_goes_with_its_namespace() {
    let (lab, network) = Lab::with_bystander();
    lab.container("c", &["n"]).ip("10.77.0.9").start();
    let steps = [
        "link set eth0 down",
        "link set eth0 name x0",
        "link set x0 up",
    ];
    for step in steps {
        lab.inside("c", "ip").args(step.split(' ')).ok();
    }
    lab.kill_with_conmon("c");
    lab.container("other", &["n"]).ip("10.77.0.9").start();
    lab.remove("other");
    lab.remove_at_last("c");
    lab.assert_only_bystander(&network);
}

/// berth takes the network of a podman with a configuration directory of its own for a lost one.
/// A hook keeps the container from having its first process.
#[test]
fn a_container_that_another_podman_is_starting_keeps_what_it_has() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &SUBNET);
    let hook = "#!/bin/sh\ncat\ntouch /opt/hooked\nuntil [ -e /opt/go ]; do sleep 0.05; done\n";
    lab.write_executable("/opt/hooks/hook.sh", hook);
    let when = r#"{"version": "1.0.0", "hook": {"path": "/opt/hooks/hook.sh"},
        "when": {"always": true}, "stages": ["precreate"]}"#;
    lab.write("/opt/hooks/hook.json", when);
    let other = [
        "--network-config-dir",
        "/opt/networks",
        "--hooks-dir",
        "/opt/hooks",
    ];
    let podman = |words: &[&str]| lab.podman([&other, words].concat());
    podman(&["network", "create", "--subnet", "10.78.0.0/24", "other"]).ok();
    let start = podman(&[
        "run",
        "--detach",
        "--name",
        "c",
        "--network",
        "other",
        "lab",
    ])
    .spawn();
    wait_until("the hook", BOUND, || {
        lab.names("/opt")
            .contains(&"hooked".to_owned())
            .then_some(())
    });
    lab.cmd("berth").arg("gc").ok();
    lab.sh("touch /opt/go");
    let started = start.wait();
    assert!(started.status.success(), "{started}");
    assert!(lab.addresses("c", "eth0").contains(&ip("10.78.0.2")));
    podman(&["rm", "--force", "--time=0", "c"]).ok();
}
