//! Networks of every kind are moved: a bridge, macvlan, the default network, a pod's, a compose
//! project's.

use std::net::IpAddr;

use berth_integration::{Driver, Lab, ip};

use super::{DIRECTORY, OTHER, SUBNET, allocation, assert_web_is_served, migrate};

#[test]
fn the_default_network_is_moved_although_it_has_no_file() {
    let lab = Lab::start();
    lab.container("c", &[]).start();
    let before = lab.addresses("c", "eth0");
    assert!(lab.names(DIRECTORY).is_empty());
    migrate(&lab, &["adopt", "--all"]);
    let network = lab.inspect_network("podman");
    assert_eq!(lab.leases(&network).of(&network).len(), 1);
    assert!(lab.names(DIRECTORY).contains(&"podman.json".to_owned()));
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), before);
    lab.container("new", &[]).start();
    assert_ne!(lab.addresses("new", "eth0"), before);
    lab.podman(["network", "inspect", "podman"]).ok();
    migrate(&lab, &["rollback", "--all"]);
    assert_eq!(lab.names(DIRECTORY), [] as [&str; 0]);
    assert_eq!(lab.allocated("podman").len(), 2);
    lab.podman(["restart", "--time=0", "c"]).ok();
    lab.remove("new");
    lab.remove("c");
    assert_eq!(lab.allocated("podman"), [] as [IpAddr; 0]);
    lab.assert_clean(&network);
}

#[test]
fn one_of_a_containers_networks_is_moved_and_so_is_a_pods() {
    let lab = Lab::start();
    let one = lab.network(Driver::Bridge, "one", &SUBNET);
    let two = lab.network(Driver::Bridge, "two", &OTHER);
    lab.container(
        "c",
        &[
            "one:interface_name=in1",
            "two:ip=10.78.0.9,interface_name=in2",
        ],
    )
    .start();
    let pod = [
        "pod",
        "create",
        "--name=pod",
        "--network=two",
        "--infra-image=lab",
    ];
    lab.podman(pod).ok();
    lab.podman(["run", "-d", "--pod=pod", "--name=member", "lab"])
        .ok();
    migrate(&lab, &["adopt", "two"]);
    let leases = lab.leases(&two).of(&two);
    assert_eq!(leases.len(), 2, "{leases:?}");
    assert_eq!(lab.allocated("one"), [ip("10.77.0.2")]);
    assert_eq!(lab.allocated("two"), [] as [IpAddr; 0]);
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.addresses("c", "in2"), [ip("10.78.0.9")]);
    lab.podman(["pod", "restart", "pod"]).ok();
    migrate(&lab, &["adopt", "one"]);
    migrate(&lab, &["rollback", "two"]);
    assert_eq!(lab.allocated("two").len(), 2);
    lab.podman(["pod", "restart", "pod"]).ok();
    lab.podman(["restart", "--time=0", "c"]).ok();
    lab.podman(["pod", "rm", "--force", "--time=0", "pod"]).ok();
    lab.remove("c");
    lab.assert_clean(&one);
    lab.assert_clean(&two);
    assert_eq!(lab.allocated("two"), [] as [IpAddr; 0]);
}

#[test]
fn a_compose_project_is_moved_and_brought_down_and_up() {
    let lab = Lab::start();
    lab.write_project(Driver::Bridge);
    let assert_served = || assert_web_is_served(&lab, "project_client_1");
    lab.compose(&["up", "--detach"]);
    assert_served();
    let said = migrate(&lab, &["adopt", "project_net"]);
    assert!(said.contains("10.77.0.10 (static)"), "{said}");
    assert_served();
    lab.compose(&["stop", "--timeout=0"]);
    lab.compose(&["start"]);
    assert_served();
    let network = lab.inspect_network("project_net");
    let leases = lab.leases(&network).of(&network);
    assert_eq!(leases.len(), 2, "{leases:?}");
    lab.compose(&["down", "--timeout=0"]);
    lab.assert_clean(&network);
    lab.compose(&["up", "--detach"]);
    assert_served();
    migrate(&lab, &["adopt", "--all"]);
    migrate(&lab, &["rollback", "--all"]);
    assert_served();
    lab.compose(&["down", "--timeout=0"]);
    lab.assert_clean(&network);
}

/// Returns a lab with networks of these kinds, each with a container.
#[track_caller]
fn kinds(names: &[&str]) -> Lab {
    let lab = Lab::start();
    lab.sh("for parent in near by; do
          ip link add $parent type veth peer name far-$parent
          ip link set $parent up; ip link set far-$parent up
        done
        ip route add default dev by");
    for name in names {
        let options: &[&str] = match *name {
            "up" => &SUBNET,
            "down" => &OTHER,
            "gone" => &["--subnet=10.79.0.0/24"],
            "parented" => &[
                "--driver=macvlan",
                "--opt=parent=near",
                "--subnet=10.80.0.0/24",
            ],
            "without" => &["--driver=macvlan", "--subnet=10.81.0.0/24"],
            _ => continue,
        };
        lab.podman(["network", "create"])
            .args(options)
            .arg(name)
            .ok();
    }
    for name in names {
        lab.container(name, &[name]).start();
    }
    lab
}

const KINDS: [(&str, &str); 6] = [
    ("up", "10.77.0.2"),
    ("down", "10.78.0.2"),
    ("gone", "10.79.0.2"),
    ("parented", "10.80.0.2"),
    ("without", "10.81.0.2"),
    ("podman", "10.88.0.2"),
];

/// Changes only the networks' files, as if the move were killed after its first step. The store
/// was surveyed before.
#[track_caller]
fn die_after_the_first_step(lab: &Lab) {
    migrate(lab, &["adopt", "--all"]);
    lab.sh(&format!("cp -r {DIRECTORY} /tmp/adopted"));
    migrate(lab, &["rollback", "--all"]);
    lab.sh(&format!(
        "mkdir -p {DIRECTORY}; cp /tmp/adopted/*.json {DIRECTORY}/"
    ));
}

/// Asserts that the next container does not get the address of a running container.
#[track_caller]
fn assert_nobody_gets(lab: &Lab, name: &str, address: &str) {
    lab.container("guest", &[name]).start();
    let guest = lab.addresses("guest", "eth0");
    assert_ne!(guest, [ip(address)], "on {name}");
    lab.remove("guest");
}

#[test]
fn after_a_kill_at_the_first_step_the_next_start_adopts_every_kind_of_network() {
    for (name, address) in KINDS {
        let lab = kinds(&[name]);
        die_after_the_first_step(&lab);
        let bridge = lab.inspect_network(name).interface;
        match name {
            "down" => lab.sh(&format!("ip link set {bridge} down")),
            "gone" => lab.sh(&format!("ip link delete {bridge}")),
            _ => String::new(),
        };
        assert_nobody_gets(&lab, name, address);
        migrate(&lab, &["adopt", "--all"]);
        assert_eq!(allocation(&lab), "{}");
        lab.cmd("berth").arg("doctor").ok();
    }
}

#[test]
fn after_a_kill_at_the_first_step_a_collection_adopts_every_kind_of_network() {
    let lab = kinds(&KINDS.map(|(name, _)| name));
    die_after_the_first_step(&lab);
    let said = lab.cmd("berth").arg("gc").ok();
    assert!(said.contains("6 live"), "{said}");
    for (name, address) in KINDS {
        assert_nobody_gets(&lab, name, address);
    }
    migrate(&lab, &["adopt", "--all"]);
    assert_eq!(allocation(&lab), "{}");
    for (name, _) in KINDS {
        lab.remove(name);
    }
}

#[test]
fn macvlan_networks_are_moved_and_rolled_back() {
    let lab = kinds(&["parented", "without"]);
    for verb in ["adopt", "rollback", "adopt"] {
        migrate(&lab, &[verb, "parented", "without"]);
        for (name, _) in &KINDS[3..5] {
            let address = lab.addresses(name, "eth0")[0].to_string();
            lab.container("thief", &[name])
                .ip(&address)
                .fails("is already allocated to container ID");
            lab.podman(["rm", "--force", "thief"]).ok();
            lab.podman(["restart", "--time=0", name]).ok();
        }
    }
}
