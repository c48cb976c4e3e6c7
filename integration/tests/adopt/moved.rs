//! Containers of a moved network work like any others.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use berth_integration::{Driver, Lab, Network, ip, outage::Death};

use super::{
    DIRECTORY, OTHER, SUBNET, allocation, assert_nobody_gets_their_addresses, assert_web_is_served,
    busy, migrate,
};

/// Asserts that containers of an adopted network work like any others on berth's networks, then
/// removes all.
#[track_caller]
fn assert_all_goes_on(lab: &Lab, network: &Network) {
    let reported = lab.podman(["network", "inspect", "n"]).ok();
    assert!(reported.contains(r#""driver": "berth""#), "{reported}");
    assert!(!allocation(lab).contains(r#""n""#));
    assert_web_is_served(lab, "client");
    assert_nobody_gets_their_addresses(lab, "(name web, ");
    lab.podman(["restart", "--time=0", "web"]).ok();
    assert_eq!(lab.addresses("web", "eth0")[0], ip("10.77.0.50"));
    lab.podman(["stop", "--time=0", "client"]).ok();
    lab.podman(["start", "client"]).ok();
    assert_eq!(lab.addresses("client", "eth0")[0], ip("10.77.0.2"));
    assert_web_is_served(lab, "client");
    lab.podman(["network", "disconnect", "n", "client"]).ok();
    lab.podman(["network", "connect", "n", "client"]).ok();
    lab.podman(["network", "reload", "--all"]).ok();
    assert_web_is_served(lab, "client");
    lab.cmd("berth").arg("doctor").ok();
    for name in ["web", "client", "new"] {
        lab.remove(name);
    }
    lab.assert_clean(network);
}

/// Asserts that containers of a network that was rolled back work like any others on Podman's
/// networks, then removes all.
#[track_caller]
fn assert_podman_serves(lab: &Lab, network: &Network) {
    assert!(lab.leases(network).of(network).is_empty());
    assert_web_is_served(lab, "client");
    assert_nobody_gets_their_addresses(
        lab,
        "IPAM error: requested ip address 10.77.0.50 is already allocated",
    );
    lab.podman(["restart", "--time=0", "web"]).ok();
    assert_eq!(lab.addresses("web", "eth0")[0], ip("10.77.0.50"));
    assert_web_is_served(lab, "client");
    for name in ["web", "client", "new"] {
        lab.remove(name);
    }
    lab.assert_clean(network);
    assert_eq!(lab.allocated("n"), [] as [IpAddr; 0]);
}

#[test]
fn no_packet_is_lost_on_the_way_there_and_back() {
    let (lab, _) = busy(Lab::start());
    let pings = [
        (None, "10.77.0.50"),
        (None, "fd77::2"),
        (Some("client"), "10.77.0.50"),
        (Some("web"), "10.77.0.2"),
    ];
    let start = Instant::now();
    let move_it = || {
        migrate(&lab, &["adopt", "n"]);
        migrate(&lab, &["rollback", "n"]);
    };
    let ((), lost) = lab.pinged(&pings, move_it);
    let took = start.elapsed();
    let ((), otherwise) = lab.pinged(&pings, || std::thread::sleep(took));
    assert!(lost <= otherwise, "{lost} lost, {otherwise} otherwise");
}

#[test]
fn adopted_containers_work_as_any_others() {
    let (lab, network) = busy(Lab::start());
    let plan = lab
        .cmd("berth-migrate")
        .args(["adopt", "n", "--dry-run"])
        .ok();
    assert!(plan.contains("10.77.0.50 (static), fd77::2  web"), "{plan}");
    lab.cmd("berth-migrate")
        .args(["adopt", "n"])
        .fails("standard input is not a terminal");
    let file = lab.cmd("cat").arg(format!("{DIRECTORY}/n.json")).ok();
    assert!(file.contains("host-local"), "nothing is changed yet");
    migrate(&lab, &["adopt", "n"]);
    let kept = lab
        .cmd("cat")
        .arg(format!("{DIRECTORY}/berth-backup/n.json"));
    assert_eq!(kept.ok(), file);
    assert_all_goes_on(&lab, &network);
}

#[test]
fn rolled_back_containers_work_as_any_of_podmans() {
    let (lab, network) = busy(Lab::start());
    let files = || {
        lab.sh(&format!(
            "cd {DIRECTORY}; cat *.json; stat -c %a%U%G%s *.json"
        ))
    };
    let before = (allocation(&lab), files());
    migrate(&lab, &["adopt", "n"]);
    assert!(!allocation(&lab).contains("10.77.0.50"));
    migrate(&lab, &["rollback", "n"]);
    assert_eq!((allocation(&lab), files()), before, "byte by byte");
    assert_podman_serves(&lab, &network);
    // The same with an ipam.db that must be made afresh.
    let (lab, network) = busy(Lab::start());
    migrate(&lab, &["adopt", "n"]);
    lab.sh("rm /run/containers/networks/ipam.db");
    migrate(&lab, &["rollback", "n"]);
    assert_podman_serves(&lab, &network);
}

#[test]
fn a_rollback_keeps_what_was_changed_meanwhile() {
    let (lab, network) = busy(Lab::start());
    migrate(&lab, &["adopt", "n"]);
    lab.podman(["network", "update", "--dns-add=192.0.2.53", "n"])
        .ok();
    migrate(&lab, &["rollback", "n"]);
    let file = lab.cmd("cat").arg(format!("{DIRECTORY}/n.json")).ok();
    assert!(file.contains("192.0.2.53") && file.contains("host-local"));
    assert!(
        !file.contains("berth") && !file.contains("options\": {\n          \"driver\": \"bridge")
    );
    lab.podman(["network", "update", "--dns-drop=192.0.2.53", "n"])
        .ok();
    assert_podman_serves(&lab, &network);
}

#[test]
fn a_network_of_berths_own_can_be_rolled_back() {
    let lab = Lab::start();
    let options = ["--opt=ipam_exclude=10.77.0.2", "--opt=mtu=1400"];
    let network = lab.network(Driver::Berth, "n", &[&SUBNET[..], &options].concat());
    lab.container("web", &["n"])
        .ip("10.77.0.50")
        .option("--publish", "8080:80")
        .serving()
        .start();
    lab.container("client", &["n"]).start();
    assert_eq!(lab.addresses("client", "eth0"), [ip("10.77.0.3")]);
    lab.container("ghost", &["n"])
        .ip("10.77.0.66")
        .dies(Death::PodmanAfterNetavark);
    lab.remove_at_last("ghost");
    let said = migrate(&lab, &["rollback", "n"]);
    assert!(
        said.contains("without option driver, ipam_exclude")
            || said.contains("without option ipam_exclude"),
        "{said}"
    );
    let mut allocated = lab.allocated("n");
    allocated.sort();
    assert_eq!(
        allocated,
        [ip("10.77.0.3"), ip("10.77.0.50")],
        "not the ghost's"
    );
    lab.container("new", &["n"]).start();
    assert_eq!(lab.addresses("new", "eth0"), [ip("10.77.0.4")]);
    for name in ["web", "client", "new"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

#[test]
fn an_ordinary_users_networks_are_moved_and_rolled_back() {
    let (lab, network) = busy(Lab::start().user());
    let said = migrate(&lab, &["adopt", "n"]);
    assert!(said.contains("10.77.0.50 (static)"), "{said}");
    assert_eq!(lab.leases(&network).of(&network).len(), 2);
    let thief = lab.container("thief", &["n"]).ip("10.77.0.50");
    thief.fails("(name web, ");
    lab.podman(["rm", "--force", "thief"]).ok();
    lab.podman(["restart", "--time=0", "web"]).ok();
    assert_web_is_served(&lab, "client");
    migrate(&lab, &["rollback", "n"]);
    assert_podman_serves(&lab, &network);
}

#[test]
fn a_rollback_says_which_reservations_it_ends() {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &SUBNET);
    migrate(&lab, &["adopt", "n"]);
    let rollback = || lab.migrate(["rollback", "--dry-run", "n"]).ok();
    assert!(!rollback().contains("reserve"), "{}", rollback());
    for (address, whom) in [
        ("10.77.0.30", "--for=proxy"),
        ("10.77.0.31", "--comment=tv"),
    ] {
        lab.cmd("berth")
            .args(["reserve", address, "--network=n", whom])
            .ok();
    }
    let said = "ends what `berth reserve` has reserved, which Podman does not have: 10.77.0.30 \
                for container proxy; 10.77.0.31 for no container (tv)";
    assert!(rollback().contains(said), "{}", rollback());
    assert!(migrate(&lab, &["rollback", "n"]).contains(said));
}

#[test]
fn dynamic_addresses_go_on_where_they_were() {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &SUBNET);
    for name in ["a", "b", "c"] {
        lab.container(name, &["n"]).start();
    }
    lab.remove("b");
    lab.remove("c");
    let next = |name: &str| {
        lab.container(name, &["n"]).start();
        lab.addresses(name, "eth0")[0]
    };
    migrate(&lab, &["adopt", "n"]);
    assert_eq!(next("d"), ip("10.77.0.5"));
    migrate(&lab, &["rollback", "n"]);
    assert_eq!(next("e"), ip("10.77.0.6"));
}

#[test]
fn leases_of_dead_containers_are_not_adopted() {
    let (lab, network) = busy(Lab::start());
    lab.container("leak", &["n"])
        .ip("10.77.0.99")
        .dies(Death::PodmanBeforeNetavark);
    lab.remove_at_last("leak");
    assert!(lab.allocated("n").contains(&ip("10.77.0.99")));
    let plan = migrate(&lab, &["adopt", "n"]);
    assert!(plan.contains("drops  10.77.0.99 of container"), "{plan}");
    lab.container("new", &["n"]).ip("10.77.0.99").start();
    lab.remove("new");
    lab.remove_empty_namespaces();
    lab.remove("web");
    lab.remove("client");
    lab.assert_clean(&network);
}

#[test]
fn a_container_that_nobody_cleaned_up_after_can_be_adopted_and_removed() {
    let (lab, network) = busy(Lab::start());
    lab.kill_with_conmon("client");
    migrate(&lab, &["adopt", "n"]);
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.remove_at_last("client");
    lab.remove("web");
    lab.remove_empty_namespaces();
    lab.assert_clean(&network);
}

#[test]
fn two_adoptions_at_once_and_a_third_do_no_harm() {
    let (lab, network) = busy(Lab::start());
    let adopt = || lab.cmd("berth-migrate").args(["adopt", "--all", "--yes"]);
    let both = [adopt().spawn(), adopt().spawn()];
    for one in both {
        let outcome = one.wait();
        assert!(outcome.status.success(), "{outcome}");
    }
    let again = adopt().ok();
    assert!(again.contains("n (bridge): nothing to do"), "{again}");
    assert_all_goes_on(&lab, &network);
}

#[test]
fn containers_come_and_go_while_their_network_is_moved() {
    let (lab, network) = busy(Lab::start());
    let churn = |name: &str| {
        let script = format!(
            "until [ -e /run/over ]; do
               podman run -d --name {name} --network n lab >/dev/null
               podman rm -f -t0 {name} >/dev/null
             done"
        );
        let bash = lab.cmd("bash").args(["-euc", &script]);
        bash.within(Duration::from_secs(120)).spawn()
    };
    let storm = [churn("x"), churn("y")];
    for _ in 0..3 {
        migrate(&lab, &["adopt", "n"]);
        let doubles = lab.duplicates();
        assert!(doubles.is_empty(), "{doubles:?}");
        migrate(&lab, &["rollback", "n"]);
    }
    migrate(&lab, &["adopt", "n"]);
    lab.sh("touch /run/over");
    for one in storm {
        let outcome = one.wait();
        assert!(outcome.status.success(), "{outcome}");
    }
    let leases = lab.leases(&network).of(&network);
    assert_eq!(leases.len(), 2, "{leases:?}");
    assert_all_goes_on(&lab, &network);
}

#[test]
fn a_store_of_another_boot_does_not_prevent_adoption() {
    let (lab, network) = busy(Lab::start());
    lab.network(Driver::Berth, "own", &OTHER);
    lab.container("o", &["own"]).start();
    lab.sh("cat /proc/sys/kernel/random/uuid >/tmp/boot_id
            mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id");
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.sh("umount /proc/sys/kernel/random/boot_id");
    migrate(&lab, &["adopt", "n"]);
    assert_eq!(lab.leases(&network).tenants.len(), 3);
    lab.remove("o");
    assert_all_goes_on(&lab, &network);
}
