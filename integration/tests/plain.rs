//! Plain networks: what happens to them on their way to berth, where Podman keeps them, and what
//! containers can ask for on them.

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, ip, outage::Death, wait_until};

const LINK: &str = "/usr/local/libexec/podman/netavark";
const BOUND: Duration = Duration::from_secs(30);
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

/// Returns the driver that leases the addresses of the network in this file.
#[track_caller]
fn ipam(lab: &Lab, file: &str) -> String {
    let text = lab.cmd("cat").arg(file).ok();
    let network: serde_json::Value = serde_json::from_str(&text).expect("Podman's file");
    network["ipam_options"]["driver"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Waits until a network of the usual directory is berth's, and returns its leases.
#[track_caller]
fn adopted(lab: &Lab, network: &Network) -> Vec<String> {
    let file = format!("/etc/containers/networks/{}.json", network.name);
    wait_until("the adoption", BOUND, || {
        (ipam(lab, &file) == "berth").then_some(())
    });
    let mut leases = wait_until("the leases", BOUND, || {
        let leases = lab.leases(network).of(network);
        (!leases.is_empty()).then_some(leases)
    });
    leases.sort();
    leases
}

/// Puts berth in front of netavark, and leaves every network with Podman.
#[track_caller]
fn link_only(lab: &Lab) {
    lab.sh(&format!(
        "mkdir -p {}; ln -s /usr/libexec/netavark/berth {LINK}",
        &LINK[..LINK.len() - 9]
    ));
}

/// netavark may fail on one network before or after it has made the other's interface.
#[test]
fn what_netavark_refuses_on_one_network_leaves_nothing_on_the_other() {
    let lab = Lab::start();
    let good = lab.network(Driver::HostWide, "m", &SUBNET);
    // This routing domain does not exist.
    let bad = |name: &str, subnet: &str| {
        let options = ["--subnet", subnet, "--opt", "vrf=nowhere"];
        lab.network(Driver::HostWide, name, &options)
    };
    let (before, after) = (bad("a", "10.78.0.0/24"), bad("z", "10.79.0.0/24"));
    for network in [&before, &after] {
        let run = lab.container("c", &["m:ip=10.77.0.9", &network.name]);
        let run = run.option("--publish", "8080:80");
        run.fails("get vrf to set up bridge interface");
        lab.podman(["rm", "--force", "--ignore", "c"]).ok();
        lab.assert_clean(&good);
        lab.assert_clean(network);
        assert_eq!(lab.claims(), [""; 0]);
    }
    lab.container("c", &["m"]).ip("10.77.0.9").start();
    lab.remove("c");
    lab.assert_clean(&good);
}

/// Podman has claims of containers that netavark has not heard of in this call.
#[test]
fn addresses_that_podman_has_given_out_are_kept_by_the_adoption() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("old", &["n"]).ip("10.77.0.9").start();
    link_only(&lab);
    // A script in netavark's place saves what the network's file says while a container is set
    // up.
    let seen = format!(
        "#!/bin/bash\ncase \" $* \" in *' setup '*) cp /etc/containers/networks/n.json /tmp/seen ;; \
         esac\nexec {} \"$@\"\n",
        "/usr/lib/podman/netavark"
    );
    lab.write_executable("/opt/seen", &seen);
    lab.container("new", &["n"])
        .env("BERTH_NETAVARK", "/opt/seen")
        .start();
    assert_eq!(
        ipam(&lab, "/tmp/seen"),
        "host-local",
        "never within the call"
    );
    let new = lab.reported("new", "n")[0];
    let mut expected = [
        format!("[{new}] bound to new"),
        "[10.77.0.9] bound to old".to_owned(),
    ];
    expected.sort();
    assert_eq!(adopted(&lab, &network), expected);
    wait_until("the end of Podman's claims", BOUND, || {
        lab.claims().is_empty().then_some(())
    });
    lab.container("thief", &["n"])
        .ip("10.77.0.9")
        .fails("is already allocated to container ID");
    lab.podman(["rm", "--force", "--ignore", "thief"]).ok();
    lab.remove("old");
    lab.remove("new");
    lab.assert_clean(&network);
}

#[test]
fn a_network_made_again_under_its_name_has_no_old_claim() {
    let lab = Lab::start();
    lab.host_wide();
    for _ in 0..2 {
        let network = lab.network(Driver::Bridge, "n", &SUBNET);
        lab.container("c", &["n"]).ip("10.77.0.9").start();
        assert_eq!(adopted(&lab, &network), ["[10.77.0.9] bound to c"]);
        lab.remove("c");
        lab.podman(["network", "rm", "n"]).ok();
        lab.assert_clean(&network);
        assert_eq!(lab.claims(), [""; 0]);
    }
}

/// Podman itself refuses the address, so berth notices only in a collection.
#[test]
fn an_address_that_leaked_before_the_adoption_is_free_after_one_collection() {
    let lab = Lab::start();
    lab.host_wide();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let run = || lab.container("c", &["n"]).ip("10.77.0.9");
    run().dies(Death::PodmanBeforeNetavark);
    lab.remove_at_last("c");
    assert_eq!(lab.claims().len(), 1, "the outage");
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(lab.claims(), [""; 0]);
    run().start();
    assert_eq!(
        lab.leases(&network).of(&network),
        ["[10.77.0.9] bound to c"]
    );
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn the_outage_does_not_happen_on_the_default_network() {
    let lab = Lab::start();
    lab.host_wide();
    let network = lab.inspect_network("podman");
    let run = || lab.container("c", &["podman"]).ip("10.88.0.99");
    run().dies(Death::PodmanBeforeNetavark);
    lab.remove_at_last("c");
    run().start();
    run()
        .option("--name", "other")
        .fails("is already allocated to container ID");
    lab.podman(["rm", "--force", "--ignore", "other"]).ok();
    lab.remove("c");
    lab.cmd("berth").arg("gc").ok();
    lab.assert_clean(&network);
    assert_eq!(lab.claims(), [""; 0]);
}

#[test]
fn a_container_without_its_namespace_leaves_no_published_port() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &SUBNET);
    let run = lab.container("c", &["n"]).ip("10.77.0.99");
    run.option("--publish", "8080:80").start();
    lab.sh("umount /run/netns/netns-*");
    lab.remove_at_last("c");
    let left = lab.leftovers(&network);
    let leads = |line: &&String| line.contains("10.77.0.99");
    assert_eq!(left.iter().find(leads), None, "{left:#?}");
    lab.container("next", &["n"]).ip("10.77.0.99").start();
    lab.remove("next");
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.assert_clean(&network);
}

#[test]
fn a_host_without_a_directory_of_networks_gets_one_in_the_right_place() {
    let lab = Lab::start();
    link_only(&lab);
    assert_eq!(lab.names("/etc/containers/networks"), [""; 0]);
    lab.container("c", &["podman"]).start();
    wait_until("the adoption", BOUND, || {
        (lab.names("/etc/containers/networks") == ["podman.json"]).then_some(())
    });
    let network = lab.inspect_network("podman");
    let leases = adopted(&lab, &network);
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert!(leases[0].ends_with("bound to c"), "{leases:?}");
    lab.remove("c");
    lab.assert_clean(&network);
    wait_until("the end of Podman's claims", BOUND, || {
        lab.claims().is_empty().then_some(())
    });
}

#[test]
fn networks_of_a_podman_with_its_own_directories_stay_there() {
    for own in [
        &["--network-config-dir", "/srv/networks"][..],
        &[
            "--network-config-dir",
            "/srv/networks",
            "--root",
            "/srv/root",
            "--runroot",
            "/srv/run",
            "--storage-driver",
            "vfs",
        ],
    ] {
        let lab = Lab::start();
        link_only(&lab);
        let podman = |words: &[&str]| lab.podman([own, words].concat());
        if own.len() > 2 {
            let save = "podman save --quiet lab | podman --root /srv/root --runroot /srv/run --storage-driver vfs load";
            lab.sh(save);
        }
        podman(&["network", "create", "--subnet", "10.77.0.0/24", "n"]).ok();
        let run = [
            "run",
            "--detach",
            "--name",
            "c",
            "--network",
            "n",
            "--ip",
            "10.77.0.9",
            "lab",
        ];
        podman(&run).ok();
        wait_until("the adoption", BOUND, || {
            (ipam(&lab, "/srv/networks/n.json") == "berth").then_some(())
        });
        podman(&["rm", "--force", "--time=0", "c"]).ok();
        podman(&run).ok();
        podman(&["rm", "--force", "--time=0", "c"]).ok();
        let mut files = lab.names("/srv/networks");
        files.retain(|name| name != "berth-backup");
        assert!(
            ["n.json", "podman.json"]
                .iter()
                .all(|name| files.contains(&(*name).to_owned())),
            "{files:?}"
        );
        assert_eq!(
            lab.names("/etc/containers/networks"),
            [""; 0],
            "with {own:?}"
        );
        wait_until("the end of Podman's claims", BOUND, || {
            lab.claims().is_empty().then_some(())
        });
    }
}

#[test]
fn a_lock_that_is_held_stops_berths_networks_alone() {
    let lab = Lab::start();
    lab.network(Driver::HostWide, "plain", &SUBNET);
    let off = ["--subnet", "10.79.0.0/24", "--label", "berth.adopt=off"];
    lab.network(Driver::Bridge, "native", &off);
    lab.container("up", &["plain"]).start();
    lab.sh("flock /run/containers/networks/berth/lock sleep 600 >/dev/null 2>&1 &");
    lab.container("d", &["native"]).start();
    lab.remove("d");
    let links = || lab.sh("ip -o link show type veth | wc -l");
    let before = links();
    // The removal waits for the lock, then goes on without it.
    lab.podman(["rm", "--force", "--time=0", "up"]).run();
    assert!(links() < before, "the interface goes anyway");
}

#[test]
fn a_network_with_only_ipv6_is_adopted_and_served() {
    let lab = Lab::start();
    lab.host_wide();
    let network = lab.network(Driver::Bridge, "n", &["--subnet", "fd77::/64"]);
    lab.container("c", &["n"]).ip6("fd77::99").start();
    assert_eq!(adopted(&lab, &network), ["[fd77::99] bound to c"]);
    lab.container("d", &["n"]).start();
    let found = lab
        .podman(["exec", "d", "nslookup", "-type=aaaa", "c"])
        .ok();
    assert!(found.contains("fd77::99"), "{found}");
    lab.remove("c");
    lab.remove("d");
    lab.assert_clean(&network);
}

/// A reload names the container's addresses twice.
#[test]
fn a_container_with_several_addresses_is_reloaded_and_reads_its_own_user_namespace() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &SUBNET);
    let on = "n:ip=10.77.0.9,ip=10.77.0.10";
    let run = lab.container("c", &[on]);
    run.option("--uidmap", "0:100000:65536").start();
    let expected = [ip("10.77.0.9"), ip("10.77.0.10")];
    assert_eq!(lab.addresses("c", "eth0"), expected);
    for _ in 0..2 {
        lab.podman(["network", "reload", "c"]).ok();
        assert_eq!(lab.addresses("c", "eth0"), expected);
        let leases = lab.leases(&network).of(&network);
        assert_eq!(leases, ["[10.77.0.9, 10.77.0.10] bound to c"]);
    }
    lab.container("far", &["n:ip=10.99.0.9"]).fails("10.99.0.9");
    lab.podman(["rm", "--force", "--ignore", "far"]).ok();
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn a_restarted_container_of_a_restart_policy_keeps_its_address() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &SUBNET);
    let run = lab.container("c", &["n"]).option("--restart", "always");
    run.start();
    let address = lab.addresses("c", "eth0");
    for _ in 0..2 {
        let pid = lab.pid("c").to_string();
        lab.kill(&pid);
        wait_until("the restart", BOUND, || {
            let now = lab
                .podman(["inspect", "--format", "{{.State.Pid}}", "c"])
                .run()
                .stdout;
            let now = now.trim_end().to_owned();
            (!["0", "", &pid].contains(&now.as_str())).then_some(())
        });
        assert_eq!(lab.addresses("c", "eth0"), address);
    }
    lab.remove("c");
    lab.assert_clean(&network);
}

/// Somebody has unmounted its namespace, or it belongs to a unit with mounts of its own. Podman
/// disconnects it all the same.
#[test]
fn a_container_whose_namespace_is_not_at_its_path_keeps_its_address() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &SUBNET);
    lab.container("c", &["n"]).ip("10.77.0.9").start();
    let pid = lab.pid("c");
    lab.sh("umount /run/netns/netns-*");
    lab.podman(["network", "disconnect", "n", "c"])
        .fails(&format!(
            "but process {pid} lives in it; stop the container"
        ));
    lab.container("other", &["n"])
        .ip("10.77.0.9")
        .fails("already allocated");
    lab.remove("other");
    lab.remove_at_last("c");
    lab.container("other", &["n"]).ip("10.77.0.9").start();
    lab.remove("other");
    lab.assert_clean(&network);
}
