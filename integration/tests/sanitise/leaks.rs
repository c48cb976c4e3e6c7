//! What the outage leaked is free again, on every kind of network.

use berth_integration::outage::Death;
use berth_integration::{Driver, Lab, ip};
use serde_json::Value;

use super::{
    ADDRESS, LEAKED, NET, SUBNET, Visitor, addresses, all_is_well, lab, leak, leases, web,
};

#[test]
fn the_outage_is_repaired_while_containers_run() {
    let lab = lab();
    let running: Vec<_> = ["a", "b", "c"].map(|name| web(&lab, name, "n")).into();
    leak(&lab, "x", ADDRESS);
    let run = || lab.container("y", &["n"]).ip(ADDRESS);
    run().fails(LEAKED);
    lab.remove("y");
    let pids = |lab: &Lab| running.iter().map(|c| lab.pid(&c.name)).collect::<Vec<_>>();
    let before = pids(&lab);
    let visitors: Vec<_> = running.iter().map(|c| Visitor::of(&lab, c)).collect();

    let bytes = std::fs::read(lab.ipam_path()).expect("a file");
    let dry = lab.migrate(["sanitise", "--dry-run"]).fails("would remove");
    assert_eq!(dry.status.code(), Some(1));
    assert_eq!(std::fs::read(lab.ipam_path()).expect("a file"), bytes);

    let report = lab.sanitise(&[]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    assert_eq!(report["live"], 3);
    assert_eq!(report["looks"], 2);
    let backup = report["backup"].as_str().expect("a backup");
    let copy = lab.cmd("cat").arg(backup).run();
    assert!(copy.status.success());
    let stat = |path: &str| lab.sh(&format!("stat -c '%a %U %G' {path}"));
    assert_eq!(stat(backup), stat(&format!("{}/ipam.db", lab.run_dir())));
    let sums = lab.sh(&format!("sha256sum {backup} | cut -c-64"));
    lab.write("/tmp/before", "");
    std::fs::write(format!("/proc/{}/root/tmp/before", lab.init()), &bytes).expect("written");
    assert_eq!(sums, lab.sh("sha256sum /tmp/before | cut -c-64"));

    assert!(lab.migrate(["inspect"]).run().status.success());
    run().start();
    assert_eq!(lab.addresses("y", "eth0"), [ip(ADDRESS)]);
    for visitor in visitors {
        visitor.has_missed_nothing();
    }
    assert_eq!(pids(&lab), before);
    assert_eq!(lab.duplicates(), [""; 0]);
    let again = lab.sanitise(&[]);
    assert_eq!(again["backup"], Value::Null, "nothing to change: {again}");
    all_is_well(&lab);
}

#[test]
fn a_container_that_was_refused_by_its_own_lease_starts_again() {
    let lab = lab();
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.dies(Death::PodmanBeforeNetavark);
    lab.podman(["start", "c"]).fails(LEAKED);
    let report = lab.sanitise(&[]);
    let removed = leases(&report, "removed");
    assert_eq!(removed[0].0, ADDRESS);
    assert!(
        removed[0].1.starts_with("Podman says it is created"),
        "{report}"
    );
    assert_eq!(report["removed"][0]["name"], "c");
    lab.podman(["start", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    all_is_well(&lab);
}

#[test]
fn both_families_and_several_networks_are_told_apart() {
    let lab = Lab::start();
    let six = ["--subnet", NET, "--subnet", "fd77::/64"];
    lab.network(Driver::Bridge, "n", &six);
    lab.network(Driver::Bridge, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("live", &["n", "m"]).start();
    let run = lab.container("x", &["n", "m"]);
    run.dies(Death::PodmanBeforeNetavark);
    lab.remove("x");
    let before = lab.claims();
    assert_eq!(before.len(), 6, "{before:?}");
    let report = lab.sanitise(&["--network", "m"]);
    assert_eq!(addresses(&report, "removed"), ["10.78.0.3"]);
    let of_m = |claims: &[String]| claims.iter().filter(|c| c.starts_with("m ")).count();
    assert_eq!((lab.claims().len(), of_m(&lab.claims())), (5, 1));
    let id = lab.inspect_network("n").id;
    let report = lab.sanitise(&["--network", &id]);
    assert_eq!(addresses(&report, "removed"), ["10.77.0.3", "fd77::3"]);
    lab.migrate(["sanitise", "--network", "nonsuch"])
        .fails("found no network \"nonsuch\"");
    all_is_well(&lab);
}

#[test]
fn macvlan_networks_are_repaired_like_bridges() {
    let lab = Lab::start();
    lab.sh("ip link add near type veth peer name far; ip link set near up");
    let options = ["--driver", "macvlan", "--opt", "parent=near"];
    let create = lab.podman(["network", "create"]).args(options);
    create.args(SUBNET).arg("n").ok();
    leak(&lab, "x", ADDRESS);
    lab.container("y", &["n"]).ip(ADDRESS).fails(LEAKED);
    lab.remove("y");
    let probe = ["link", "add", "probe", "link", "near", "type", "macvlan"];
    let kernel_has_it = lab.cmd("ip").args(probe).run().status.success();
    if kernel_has_it {
        lab.cmd("ip").args(["link", "delete", "probe"]).ok();
        lab.container("live", &["n"]).start();
    }
    let report = lab.sanitise(&["--ghosts"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    if kernel_has_it {
        lab.container("y", &["n"]).ip(ADDRESS).start();
    }
    all_is_well(&lab);
}

#[test]
fn the_default_network_is_repaired_although_it_has_no_file() {
    let lab = Lab::start();
    lab.container("live", &["podman"]).start();
    let run = lab.container("x", &["podman"]).ip("10.88.0.99");
    run.dies(Death::PodmanBeforeNetavark);
    lab.remove("x");
    let seen = lab.migrate_json(["inspect"]);
    assert_eq!(seen["findings"], serde_json::json!([]), "{seen:#}");
    assert_eq!(addresses(&lab.sanitise(&[]), "removed"), ["10.88.0.99"]);
    all_is_well(&lab);
    lab.sanitise(&[]);
    assert!(
        lab.ipam_content().networks.contains_key("podman"),
        "its cursor stays"
    );
}

#[test]
fn the_outage_of_an_ordinary_user_is_repaired() {
    let lab = Lab::start().user();
    lab.network(Driver::Bridge, "n", &SUBNET);
    let live = lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    lab.container("y", &["n"]).ip(ADDRESS).fails(LEAKED);
    lab.remove("y");
    let seen = lab.migrate_json(["inspect"]);
    let verdicts: Vec<_> = seen["leases"]
        .as_array()
        .expect("leases")
        .iter()
        .map(|lease| lease["verdict"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(verdicts, ["live", "dead"], "{seen:#}");
    let pid = lab.pid(&live.name);
    let report = lab.sanitise(&["--ghosts"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS], "{report}");
    assert_eq!(lab.pid(&live.name), pid);
    lab.container("y", &["n"]).ip(ADDRESS).start();
    all_is_well(&lab);
}
