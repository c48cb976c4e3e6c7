//! Whatever goes wrong in a teardown, and whatever happens to the network meanwhile, containers
//! keep what is theirs. What belongs to no container is given back, at the latest by one `berth
//! gc`.

mod bridges;

use std::time::Duration;

use berth_integration::versions::Behaviour;
use berth_integration::{Driver, Lab, ip, wait_until};

const ADDRESS: &str = "10.77.0.99";
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const PORTS: [&str; 2] = ["--publish", "8080:80"];
const TAKEN: &str = "requested ip address 10.77.0.99 is already allocated to container ID";
const BOUND: Duration = Duration::from_secs(20);

/// Collects until a dead container has been found. A podman at work for it counts as a sign of
/// life, and may work a moment longer than the command that was run.
#[track_caller]
fn collects(lab: &Lab, what: &str) {
    wait_until(&format!("a collection of {what}"), BOUND, || {
        let said = lab.cmd("berth").arg("gc").ok();
        said.contains(&format!("reclaimed {what}")).then_some(())
    });
}

#[test]
fn a_teardown_after_another_got_the_address_takes_nothing_of_the_other() {
    let (lab, network) = Lab::with_bystander();
    let run = |name| lab.container(name, &["n"]).ip(ADDRESS);
    let id = run("c").option(PORTS[0], PORTS[1]).start().id;
    let namespace = lab.podman(["inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "c"]);
    let namespace = namespace.ok();
    lab.kill_with_conmon("c");
    run("other").option(PORTS[0], PORTS[1]).start();
    // The same request that netavark makes, sent twice.
    let config = lab.sh("cat /etc/containers/networks/n.json");
    let request = format!(
        r#"{{"container_id":"{id}","container_name":"c","network":{config},
            "port_mappings":[{{"container_port":80,"host_ip":"","host_port":8080,
                               "protocol":"tcp","range":1}}],
            "network_options":{{"interface_name":"eth0","static_ips":["{ADDRESS}"]}}}}"#
    );
    for _ in 0..2 {
        let teardown = lab.cmd("berth").args(["teardown", &namespace]);
        teardown.stdin(request.clone()).ok();
        lab.assert_has_all("other", ADDRESS);
    }
    lab.remove_at_last("c");
    lab.cmd("berth").arg("gc").ok();
    lab.assert_has_all("other", ADDRESS);
    lab.podman(["restart", "--time=0", "other"]).ok();
    lab.assert_has_all("other", ADDRESS);
    lab.remove("other");
    lab.assert_only_bystander(&network);
}

#[test]
fn a_plugin_missing_at_teardown_leaves_a_ghost_that_is_collected() {
    let (lab, network) = Lab::with_bystander();
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option(PORTS[0], PORTS[1]).start();
    let plugin = "/usr/libexec/netavark/berth";
    lab.sh(&format!("umount --lazy {plugin}; rm {plugin}"));
    lab.remove_at_last("c");
    assert!(lab.dns_entries("n").contains_key("c"), "nobody removed it");
    lab.sh(&format!("cp /usr/local/bin/berth {plugin}"));
    collects(&lab, ADDRESS);
    lab.assert_only_bystander(&network);
}

/// The bridge no longer has ports, but the rules of two containers are still there.
#[test]
fn several_ghosts_without_interfaces_leave_no_published_port() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    let run = |name: &str, ports: &str| {
        let run = lab.container(name, &["n"]);
        run.option("--publish", ports).start();
    };
    for (name, ports) in [("one", "8080:80"), ("two", "7070:80"), ("three", "6060:80")] {
        run(name, ports);
    }
    lab.sh("umount --lazy /run/netns/netns-*");
    for name in ["one", "two"] {
        lab.remove_at_last(name);
    }
    // The bridge is removed with the third.
    lab.remove_at_last("three");
    wait_until("a collection of all", BOUND, || {
        lab.cmd("berth").arg("gc").ok();
        lab.leases(&network).of(&network).is_empty().then_some(())
    });
    assert!(!lab.ruleset().contains("dnat ip to"), "{}", lab.ruleset());
    assert_eq!(lab.remembered_ports(&network).len(), 0);
    run("one", "8080:80");
    lab.remove("one");
    lab.assert_clean(&network);
}

#[test]
fn a_container_with_an_unmounted_namespace_leaves_nothing() {
    let (lab, network) = Lab::with_bystander();
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option(PORTS[0], PORTS[1]).start();
    let key = ["inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "c"];
    let namespace = lab.podman(key).ok();
    lab.sh(&format!("umount {namespace}"));
    let said = lab.cmd("berth").args(["gc", "--now"]).ok();
    assert!(said.contains("2 live, 0 unknown, 0 reclaimed"), "{said}");
    lab.assert_has_all("c", ADDRESS);
    lab.remove_at_last("c");
    let mut was_reclaimed = false;
    wait_until("the end of c's lease", BOUND, || {
        let said = lab.cmd("berth").arg("gc").ok();
        was_reclaimed |= said.contains(&format!("reclaimed {ADDRESS}"));
        let leases = lab.leases(&network);
        (leases.of(&network) == ["[10.77.0.7] bound to bystander"]).then_some(())
    });
    // Otherwise the teardown has released it.
    let is_left = lab.does(Behaviour::TeardownNeedsTheNamespace);
    assert_eq!(was_reclaimed, is_left);
    lab.assert_only_bystander(&network);
}

#[test]
fn a_failure_on_one_of_two_networks_leaves_nothing_on_the_other() {
    let (lab, n) = Lab::with_bystander();
    let m = lab.network(Driver::Berth, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("holder", &["m"]).ip("10.78.0.99").start();
    let c = |address: &str| {
        let networks = ["n:ip=10.77.0.99", &format!("m:ip={address}")];
        lab.container("c", &networks).option(PORTS[0], PORTS[1])
    };
    c("10.78.0.99").fails("10.78.0.99 is already allocated");
    assert_eq!(lab.leases(&n).of(&n), ["[10.77.0.7] bound to bystander"]);
    assert_eq!(lab.leases(&m).of(&m), ["[10.78.0.99] bound to holder"]);
    assert!(!lab.dns_entries("n").contains_key("c"));
    assert!(!lab.ruleset().contains(ADDRESS));
    lab.remove("c");
    // netavark fails at the teardown of one of them.
    lab.write_executable(
        "/opt/half",
        &format!(
            r#"#!/bin/bash
input=$(cat)
case "$* $input" in *teardown*10.78.0*) echo '{{"error":"a passing fault"}}'; exit 1 ;; esac
exec {} "$@" <<<"$input"
"#,
            lab.netavark()
        ),
    );
    c("10.78.0.98").start();
    let remove = lab.podman(["rm", "--force", "--time=0", "c"]);
    remove
        .env("BERTH_NETAVARK", "/opt/half")
        .fails("teardown of container");
    lab.remove_at_last("c");
    assert_eq!(lab.leases(&n).of(&n), ["[10.77.0.7] bound to bystander"]);
    assert!(!lab.dns_entries("n").contains_key("c"));
    assert_eq!(lab.leases(&m).of(&m).len(), 2, "kept while unsure");
    collects(&lab, "10.78.0.98");
    assert_eq!(lab.leases(&m).of(&m), ["[10.78.0.99] bound to holder"]);
    lab.remove("holder");
    lab.assert_clean(&m);
    lab.assert_only_bystander(&n);
}

#[test]
fn when_one_of_two_addresses_is_taken_neither_is_leased() {
    let lab = Lab::start();
    let subnets = ["--subnet", "10.77.0.0/24", "--subnet", "fd77::/64"];
    let network = lab.network(Driver::Berth, "n", &subnets);
    let run = |name| lab.container(name, &["n"]);
    run("holder").ip(ADDRESS).ip6("fd77::99").start();
    let held = ["[10.77.0.99, fd77::99] bound to holder"];
    for (v4, v6) in [(ADDRESS, "fd77::5"), ("10.77.0.5", "fd77::99")] {
        let refused = run("c").ip(v4).ip6(v6);
        refused.fails("is already allocated to container ID");
        lab.remove("c");
        assert_eq!(lab.leases(&network).of(&network), held);
        assert_eq!(lab.leases(&network).holds.len(), 0);
        assert!(!lab.dns_entries("n").contains_key("c"));
    }
    run("other").ip("10.77.0.5").ip6("fd77::5").start();
    lab.podman(["rm", "-f", "--time=0", "holder", "other"]).ok();
    lab.assert_clean(&network);
}

#[test]
fn a_container_that_shares_a_dead_ones_namespace_keeps_the_address() {
    let (lab, network) = Lab::with_bystander();
    lab.container("c", &["n"]).ip(ADDRESS).start();
    lab.container("guest", &["container:c"]).start();
    lab.kill_with_conmon("c");
    let said = lab.cmd("berth").arg("gc").ok();
    assert!(said.contains("2 live, 0 unknown, 0 reclaimed"), "{said}");
    lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    lab.remove("other");
    assert_eq!(lab.addresses("guest", "eth0"), [ip(ADDRESS)]);
    lab.remove_at_last("guest");
    lab.remove_at_last("c");
    lab.cmd("berth").arg("gc").ok();
    lab.assert_only_bystander(&network);
}

#[test]
fn a_pod_whose_infra_container_is_killed_comes_back_with_its_address() {
    let (lab, network) = Lab::with_bystander();
    let pod = ["pod", "create", "--name=pod", "--network=n", "--ip"];
    let more = [ADDRESS, "--publish=8080:80", "--infra-image=lab"];
    lab.podman(pod).args(more).ok();
    lab.podman(["run", "-d", "--pod", "pod", "--name", "member", "lab"])
        .ok();
    let infra = ["pod", "inspect", "pod", "-f", "{{.InfraContainerID}}"];
    let infra = lab.podman(infra).ok();
    lab.podman(["kill", "--signal=KILL", &infra]).ok();
    wait_until("the end of the infra container", BOUND, || {
        (lab.leases(&network).of(&network).len() == 1).then_some(())
    });
    lab.assert_has_all("bystander", "10.77.0.7");
    lab.podman(["pod", "kill", "pod"]).run();
    lab.podman(["pod", "start", "pod"]).ok();
    assert_eq!(lab.addresses("member", "eth0"), [ip(ADDRESS)]);
    assert!(lab.dns_entries("n")["pod"].contains(&ip(ADDRESS)));
    lab.podman(["pod", "stop", "--time=0", "pod"]).ok();
    lab.podman(["pod", "restart", "pod"]).ok();
    assert_eq!(lab.addresses("member", "eth0"), [ip(ADDRESS)]);
    assert!(lab.ruleset().contains("dnat ip to 10.77.0.99:80"));
    lab.podman(["pod", "rm", "--force", "--time=0", "pod"]).ok();
    lab.assert_only_bystander(&network);
}

#[test]
fn a_renamed_container_keeps_its_address_and_gives_it_back() {
    let (lab, network) = Lab::with_bystander();
    let id = lab.container("c", &["n"]).option(PORTS[0], PORTS[1]);
    let id = id.start().id;
    let address = lab.addresses("c", "eth0")[0].to_string();
    lab.podman(["rename", "c", "d"]).ok();
    lab.podman(["restart", "--time=0", "d"]).ok();
    lab.assert_has_all("d", &address);
    assert_eq!(lab.leases(&network).of(&network).len(), 2);
    assert!(!lab.dns_entries("n").contains_key("c"));
    lab.podman(["rename", &id, "e"]).ok();
    lab.remove("e");
    lab.assert_only_bystander(&network);
}

/// Podman pauses containers with cgroups, and a lab has no cgroups of its own. So a signal stops
/// the container, which then does not answer, either.
#[test]
fn a_stopped_container_keeps_its_address_and_can_be_disconnected() {
    let (lab, network) = Lab::with_bystander();
    lab.network(Driver::Berth, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("c", &["m"]).start();
    lab.podman(["network", "connect", "--ip", ADDRESS, "n", "c"])
        .ok();
    let pid = lab.pid("c");
    lab.sh(&format!("kill -STOP {pid}"));
    let said = lab.cmd("berth").args(["gc", "--now"]).ok();
    assert!(said.contains("3 live, 0 unknown, 0 reclaimed"), "{said}");
    lab.podman(["network", "disconnect", "n", "c"]).ok();
    lab.container("other", &["n"]).ip(ADDRESS).start();
    lab.remove("other");
    lab.podman(["network", "connect", "--ip", ADDRESS, "n", "c"])
        .ok();
    lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    lab.remove("other");
    lab.sh(&format!("kill -CONT {pid}"));
    lab.remove("c");
    lab.assert_clean(&lab.inspect_network("m"));
    lab.assert_only_bystander(&network);
}
