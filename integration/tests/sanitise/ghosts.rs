//! `--ghosts` also takes down what dead containers left: interfaces, rules, names, ports.

use berth_integration::outage::Death;
use berth_integration::tally::Tally;
use berth_integration::torture::Plan;
use berth_integration::{Driver, Lab, ip, seed, wait_until};

use super::{
    ADDRESS, BOUND, SUBNET, Visitor, addresses, all_is_well, only_the_living_are_on_record, web,
};

/// Leaves what a container `x` had on `n` when podman was killed, but no container.
#[track_caller]
fn leave_ghost(lab: &Lab, options: &[(&str, &str)]) {
    let dead = lab.container("x", &["n"]).ip(ADDRESS);
    let asked = options.iter();
    let dead = asked.fold(dead, |dead, (option, value)| dead.option(option, value));
    dead.dies(Death::PodmanAfterNetavark);
    lab.remove("x");
}

#[test]
fn everything_that_dead_containers_left_is_taken_down_when_asked() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let live = lab
        .container("live", &["n"])
        .option("--publish", "8080:80")
        .option("--network-alias", "same")
        .serving()
        .start();
    let before = lab.leftovers(&network);
    leave_ghost(
        &lab,
        &[("--publish", "8081:80"), ("--network-alias", "same")],
    );
    let left = lab.leftovers(&network);
    assert!(left.len() > before.len() + 3, "{left:?}");
    // Without `--ghosts`, it removes only the lease.
    let report = lab.sanitise(&[]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    assert_eq!(lab.leftovers(&network), left);
    let would = lab.migrate_json(["sanitise", "--ghosts", "--dry-run"]);
    assert_eq!(
        would["cleared"].as_array().map(Vec::len),
        Some(2),
        "{would}"
    );
    let dry = || lab.migrate(["sanitise", "--ghosts", "--dry-run"]);
    let outcome = dry().run();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(outcome.stdout.contains("would clear away"), "{outcome}");
    assert!(!outcome.stdout.contains("nothing to change"), "{outcome}");
    assert_eq!(lab.leftovers(&network), left);
    let done = lab.migrate(["sanitise", "--ghosts"]).ok();
    assert!(!done.contains("nothing to change"), "{done}");
    assert_eq!(lab.leftovers(&network), before);
    let nothing = dry().ok();
    assert!(nothing.ends_with("; nothing to change"), "{nothing}");
    Visitor::of(&lab, &live).has_missed_nothing();
    assert_eq!(lab.dns_entries("n").get("same").map(Vec::len), Some(1));
    all_is_well(&lab);
    lab.assert_clean(&network);
}

/// netavark was killed between making the interface and noting ports and names.
#[test]
fn an_interface_goes_together_with_the_lease_that_alone_names_its_container() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let live = web(&lab, "live", "n");
    let before = lab.leftovers(&network);
    leave_ghost(&lab, &[]);
    lab.sh(&format!(
        "cd /run/containers/networks
        sed -i '/ {ADDRESS} /d' aardvark-dns/n
        find firewall/ports -type f ! -name '*{}' -delete",
        lab.podman(["ps", "--quiet", "--no-trunc"]).ok()
    ));
    let report = lab.sanitise(&["--ghosts"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    assert_eq!(lab.leftovers(&network), before);
    Visitor::of(&lab, &live).has_missed_nothing();
    all_is_well(&lab);
}

/// On this host some podman is always running, but none of them is starting the dead container.
#[test]
fn podmans_at_work_for_others_hide_no_ghost() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    lab.network(Driver::Bridge, "o", &["--subnet", "10.78.0.0/24"]);
    lab.container("live", &["n"]).start();
    for at_work in [
        "system service --time=0 unix:///tmp/podman.sock",
        "events",
        "stats",
        "wait live",
        "exec live sleep 600",
        "run --name front --network o lab sleep 600",
    ] {
        lab.sh(&format!("podman {at_work} >/dev/null 2>&1 & disown"));
    }
    wait_until("all podmans", BOUND, || {
        let found = lab.podman(["inspect", "--format={{.State.Running}}", "front"]);
        let count = lab.sh("pgrep -cx podman");
        (found.run().stdout.trim() == "true" && count.trim() == "6").then_some(())
    });
    leave_ghost(&lab, &[]);
    // What a container that Podman still knows has left.
    let known = lab.container("y", &["n"]).ip("10.77.0.98");
    known.dies(Death::PodmanAfterNetavark);
    let report = lab.sanitise(&["--ghosts"]);
    assert_eq!(addresses(&report, "removed"), ["10.77.0.98", ADDRESS]);
    assert_eq!(
        report["cleared"].as_array().map(Vec::len),
        Some(4),
        "{report}"
    );
    lab.container("z", &["n"]).ip(ADDRESS).start();
    for name in ["z", "y", "live", "front"] {
        lab.remove_at_last(name);
    }
    lab.assert_clean(&network);
}

/// netavark was killed between making the interface and giving it its address.
#[test]
fn an_interface_without_an_address_is_a_ghost_too() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("live", &["n"]).start();
    let before = lab.leftovers(&network);
    leave_ghost(&lab, &[]);
    let file = lab.sh(
        "for file in /run/netns/netns-*; do if nsenter --net=$file ip -o address | \
        grep -q 10.77.0.99; then echo $file; fi; done",
    );
    lab.sh(&format!(
        "nsenter --net={} ip address flush dev eth0",
        file.trim()
    ));
    let report = lab.sanitise(&["--ghosts"]);
    let cleared = report["cleared"].to_string();
    assert!(cleared.contains("eth0 on n of nobody"), "{report}");
    assert_eq!(lab.leftovers(&network), before);
    lab.remove("live");
    lab.assert_clean(&network);
}

/// What people try first: to remove the network, and make it again.
#[test]
fn a_network_that_was_removed_with_a_ghost_on_it_can_be_made_again() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    leave_ghost(&lab, &[("--publish", "8081:80")]);
    lab.podman(["network", "rm", "--force", "n"]).ok();
    // The same name with another subnet: its DNS names are served at the old address.
    lab.network(Driver::Bridge, "n", &["--subnet", "10.78.0.0/24"]);
    let run = lab.container("y", &["n"]);
    run.option("--publish", "8081:80").serving().start();
    let report = lab.sanitise(&["--ghosts"]);
    let cleared = report["cleared"].to_string();
    for what in [
        "namespace /run/netns/",
        "network n, which was removed, with bridge",
    ] {
        assert!(cleared.contains(what), "{report}");
    }
    lab.podman(["exec", "y", "nslookup", "y"]).ok();
    lab.assert_served("http://127.0.0.1:8081/");
    let mut left = lab.leftovers(&network);
    left.retain(|line| !line.contains("10.78.0.2"));
    assert_eq!(left, [""; 0]);
    lab.remove("y");
    lab.podman(["network", "rm", "n"]).ok();
    // And again with the subnet that it had.
    let again = lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("z", &["n"]).ip(ADDRESS).start();
    lab.podman(["exec", "z", "nslookup", "z"]).ok();
    lab.remove("z");
    lab.assert_clean(&again);
}

/// If it were taken down without the ports that netavark remembers, their rules would stay.
#[test]
fn a_ghost_on_a_network_whose_records_cannot_be_read_is_skipped_and_the_report_says_why() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let before = lab.leftovers(&network);
    leave_ghost(&lab, &[("--publish", "8081:80")]);
    let ports = format!("{}/firewall/ports", lab.run_dir());
    lab.sh(&format!(
        "cd {ports}; file=$(echo *_*); mv $file /tmp/ports; mkdir $file"
    ));
    let left = lab.leftovers(&network);
    let outcome = lab.migrate(["sanitise", "--ghosts"]).run();
    let skipped = "skipped what dead containers left on network n, because netavark's records of \
                   it cannot be read: failed to read /run/containers/networks/firewall/ports/";
    assert!(outcome.stdout.contains(skipped), "{outcome}");
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert_eq!(lab.leftovers(&network), left, "{outcome}");
    lab.sh(&format!(
        "cd {ports}; file=$(echo *_*); rmdir $file; mv /tmp/ports $file"
    ));
    lab.sanitise(&["--ghosts"]);
    assert_eq!(lab.leftovers(&network), before);
    lab.assert_clean(&network);
}

/// If another network is named, the ports of this one are not read, so their rules would stay.
#[test]
fn the_ghosts_of_a_network_that_is_not_named_stay() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    lab.network(Driver::Bridge, "o", &["--subnet", "10.78.0.0/24"]);
    let before = lab.leftovers(&network);
    leave_ghost(&lab, &[("--publish", "8081:80")]);
    let left = lab.leftovers(&network);
    let report = lab.sanitise(&["--ghosts", "--network", "o"]);
    assert_eq!(report["cleared"], serde_json::json!([]), "{report}");
    assert_eq!(lab.leftovers(&network), left);
    lab.sanitise(&["--ghosts", "--network", "n"]);
    assert_eq!(lab.leftovers(&network), before);
    lab.assert_clean(&network);
}

#[test]
fn taking_down_a_ghost_spares_the_rules_of_whoever_has_its_address_now() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    leave_ghost(&lab, &[("--publish", "8081:80")]);
    lab.sanitise(&[]);
    let live = lab
        .container("y", &["n"])
        .ip(ADDRESS)
        .option("--publish", "8082:80")
        .serving()
        .start();
    let served = || {
        let visit = lab.sh("curl -s -m 2 http://127.0.0.1:8082/index.html || true");
        !visit.is_empty()
    };
    lab.sanitise(&["--ghosts"]);
    Visitor::of(&lab, &live).has_missed_nothing();
    wait_until("its published port", BOUND, || served().then_some(()));
    assert_eq!(lab.addresses("y", "eth0"), [ip(ADDRESS)]);
    all_is_well(&lab);
    lab.assert_clean(&network);
}

#[test]
fn what_the_kill_torture_leaves_is_cleared_away_beside_running_containers() {
    let lab = Lab::start();
    let network = Plan::network(&lab, Driver::Bridge);
    let plan = Plan::new(16, seed());
    let (hits, _) = plan.deal(&lab, Driver::Bridge);
    let live = web(&lab, "live", "n");
    let before = Tally::take(&lab, &network, Driver::Bridge);
    assert!(before.addresses > 1, "nothing has leaked: {hits:?}");
    let visitor = Visitor::of(&lab, &live);
    let pid = lab.pid("live");
    let report = lab.sanitise(&["--ghosts"]);
    let removed = addresses(&report, "removed").len();
    assert_eq!(removed, before.addresses - 1, "{report:#}");
    visitor.has_missed_nothing();
    assert_eq!(lab.pid("live"), pid);
    assert_eq!(lab.allocated("n"), lab.reported("live", "n"));
    let again = lab.migrate_json(["sanitise", "--ghosts"]);
    assert_eq!(
        again["cleared"],
        serde_json::json!([]),
        "{again:#} after {report:#}"
    );
    only_the_living_are_on_record(&lab);
    lab.remove_all();
    assert_eq!(lab.claims(), [""; 0]);
    let left = wait_until("the last namespace's end", BOUND, || {
        let left = Tally::take(&lab, &network, Driver::Bridge);
        (left.names + left.ports + left.namespaces == 0).then_some(left)
    });
    // netavark was killed after it forgot a published port. The port's rules lead to no
    // container, and keep the network's rules in place.
    assert!(
        left.interfaces == 0 && left.rules <= before.rules,
        "{left:#?}"
    );
}
