//! What an operator releases and reserves by hand.

use berth_integration::{Driver, Lab, ip, outage::Death, with_driver};
use serde_json::Value;

use super::{STATE, berth, columns, json, refused, scene};

#[test]
fn a_dead_containers_address_is_released_with_all_it_left() {
    let (lab, network) = scene();
    let words = ["release", "10.77.0.99", "--network", "n"];
    let said = berth(&lab, &words).ok();
    assert!(
        said.starts_with("released 10.77.0.99 of container "),
        "{said}"
    );
    assert!(
        said.ends_with(
            "(ghost) on network n: no process is in its namespace and nothing is starting it"
        ),
        "{said}"
    );
    let veths = |lab: &Lab| lab.leftovers(&network).join("\n").matches("(veth)").count();
    assert_eq!(veths(&lab), 2, "those of the live");
    assert_eq!(lab.empty_namespaces(), [""; 0]);
    refused(
        &lab,
        &words,
        1,
        "10.77.0.99 on network n is not leased: it was released a moment ago (ghost)",
    );
    lab.remove_at_last("ghost");
    lab.container("other", &["n"]).ip("10.77.0.99").start();
    assert_eq!(lab.addresses("one", "eth0"), [ip("10.77.0.2")]);
    for name in ["one", "two", "stopped", "other"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

#[test]
fn a_live_containers_address_is_released_by_force_only() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    let home = lab.network(Driver::Berth, "home", &["--subnet=10.78.0.0/24"]);
    let web = lab.container(
        "web",
        &[
            "n:ip=10.77.0.9,interface_name=eth0",
            "home:interface_name=eth1",
        ],
    );
    let id = web.option("--publish", "8080:80").start().id;
    let words = ["release", "10.77.0.9", "--network", &network.id];
    let pid = lab.pid("web");
    refused(
        &lab,
        &words,
        1,
        &format!(
            "10.77.0.9 is leased to container {} (web) on network n, which is alive: process \
             {pid} (sleep) lives in its namespace; stop that container, or use --force: it then \
             loses eth0 with 10.77.0.9, its published ports (8080/tcp) and its name on network \
             n until it is started again",
            &id[..12]
        ),
    );
    assert_eq!(lab.leases(&network).of(&network).len(), 1);
    let said = json(&lab, &[&words[..], &["--force", "--json"]].concat());
    assert_eq!(
        (&said["forced"], &said["addresses"][0]),
        (&true.into(), &"10.77.0.9".into())
    );
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
    assert_eq!(lab.leases(&home).of(&home).len(), 1);
    lab.inside("web", "ip")
        .args(["link", "show", "eth0"])
        .fails("eth0");
    assert_eq!(lab.addresses("web", "eth1"), [ip("10.78.0.2")]);
    lab.container("other", &["n"]).ip("10.77.0.9").start();
    assert_eq!(lab.addresses("other", "eth0"), [ip("10.77.0.9")]);
    lab.podman(["restart", "--time=0", "web"])
        .fails("already allocated to container ID");
    assert_eq!(lab.addresses("other", "eth0"), [ip("10.77.0.9")]);
    for name in ["web", "other"] {
        lab.remove_at_last(name);
    }
    lab.assert_clean(&network);
    lab.assert_clean(&home);
}

with_driver!(
    berth,
    Berth,
    a_reserved_address_goes_to_the_container_it_is_for_and_to_nobody_else,
);
with_driver!(
    host_wide,
    HostWide,
    a_reserved_address_goes_to_the_container_it_is_for_and_to_nobody_else,
);

fn a_reserved_address_goes_to_the_container_it_is_for_and_to_nobody_else(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &["--subnet=10.77.0.0/29"]);
    let file = || lab.sh("grep -v ipam_reserve /etc/containers/networks/n.json");
    let before = lab.sh("cat /etc/containers/networks/n.json");
    let reserve = |address: &str, more: &[&str]| {
        let words = ["reserve", address, "--network", "n"];
        berth(&lab, &[&words[..], more].concat()).ok()
    };
    assert_eq!(
        reserve("10.77.0.3", &["--for", "web"]),
        "reserved 10.77.0.3 on network n for container web"
    );
    reserve("10.77.0.2", &["--for", "db"]);
    let said = reserve("10.77.0.2", &["--comment", "the printer, room 4", "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["before"], "for container db");
    assert_eq!(said["comment"], "the printer, room 4");
    for line in before.lines().filter(|line| !line.contains("options")) {
        assert!(file().contains(line.trim_end_matches(',')), "{line}");
    }
    assert_eq!(
        columns(
            &berth(&lab, &["ls", "--all", "--noheading"]).ok(),
            &[0, 2, 3]
        ),
        [
            "10.77.0.2 (the printer, room 4) reserved",
            "10.77.0.3 web reserved"
        ]
    );

    lab.container("a", &["n"]).start();
    assert_eq!(lab.addresses("a", "eth0"), [ip("10.77.0.4")]);
    for (address, whom) in [
        ("10.77.0.3", "for container web"),
        ("10.77.0.2", "for no container (the printer, room 4)"),
    ] {
        let refused = lab.container("b", &["n"]).ip(address);
        refused.fails(&format!(
            "requested ip address {address} is reserved on network n {whom}; ask for another \
             address, or run `berth unreserve {address} --network n`"
        ));
        lab.remove("b");
    }
    // Like a reboot, which empties /run.
    lab.sh(&format!("rm -r {STATE}"));
    for (name, address) in [("b", "10.77.0.5"), ("c", "10.77.0.6")] {
        lab.container(name, &["n"]).start();
        assert_eq!(lab.addresses(name, "eth0"), [ip(address)]);
    }
    let full = lab.container("d", &["n"]);
    full.fails("failed to lease an address from 10.77.0.0/29: 3 of its 3 addresses are leased");
    lab.remove("d");
    lab.container("web", &["n"]).start();
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.3")]);
    lab.podman(["restart", "--time=0", "web"]).ok();
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.3")]);

    let id = lab.podman(["inspect", "--format={{.Id}}", "a"]).ok();
    let pid = lab.pid("a");
    refused(
        &lab,
        &["reserve", "10.77.0.4", "--network", "n", "--for", "web"],
        1,
        &format!(
            "10.77.0.4 on network n is leased to container {} (a), and process {pid} (sleep) \
             lives in its namespace; reserve it for that container, or stop it first",
            &id[..12]
        ),
    );
    reserve("10.77.0.4", &["--for", "a"]);
    let of_a = json(&lab, &["inspect", "10.77.0.4"]);
    assert_eq!(
        (&of_a[0]["state"], &of_a[0]["container_name"]),
        (&"live".into(), &"a".into())
    );

    let words = ["unreserve", "10.77.0.2", "--network", "n"];
    assert_eq!(
        berth(&lab, &words).ok(),
        "10.77.0.2 on network n is not reserved any more; it was for no container (the printer, \
         room 4)"
    );
    refused(
        &lab,
        &words,
        1,
        "10.77.0.2 on network n is not reserved; `berth list --filter state=reserved` lists what \
         is",
    );
    lab.container("d", &["n"]).start();
    assert_eq!(lab.addresses("d", "eth0"), [ip("10.77.0.2")]);
    for address in ["10.77.0.3", "10.77.0.4"] {
        berth(&lab, &["unreserve", address, "--network=n", "--json"]).ok();
    }
    assert!(
        !lab.sh("cat /etc/containers/networks/n.json")
            .contains("ipam_reserve")
    );
    for name in ["a", "b", "c", "d", "web"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

/// A container is killed, and its address is reserved for its successor of the same name.
#[test]
fn a_ghost_gives_way_to_the_container_an_address_is_reserved_for() {
    let lab = Lab::start();
    lab.network(
        Driver::Berth,
        "n",
        &["--subnet=10.77.0.0/24", "--opt=ipam_reserve=10.77.0.9=web"],
    );
    let web = lab.container("web", &["n"]);
    web.dies(Death::PodmanAfterNetavark);
    lab.remove("web");
    assert_eq!(berth(&lab, &["list", "--quiet"]).ok(), "10.77.0.9");
    lab.container("web", &["n"]).start();
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.9")]);
}
