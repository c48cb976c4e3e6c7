//! What dead containers held is free again.

use berth_integration::{Driver, Lab, after_each_death, ip, outage::Death, with_driver};

use super::{ADDRESS, TAKEN, assert_comes_back, bystander, remount_proc, sandbox, user, web};

after_each_death!(an_address_is_free_again, comes_back_after);

with_driver!(
    only_berth,
    Berth,
    an_address_is_free_again_after_conmon_and_container_are_killed,
    an_address_is_free_again_after_all_of_the_users_processes_are_killed,
    a_full_pool_of_ghosts_is_free_again,
    a_collection_gives_back_everything_that_ghosts_hold,
    a_ghost_on_a_network_without_containers_gives_way,
    a_ghost_gives_way_where_proc_hides_other_users,
);

/// Lets a container die this death, removes it, and asserts that it comes back with its address.
#[track_caller]
fn comes_back_after(death: Death) {
    let (lab, network) = user(Driver::Berth);
    bystander(&lab, Driver::Berth);
    web(&lab).option("--publish", "8080:80").dies(death);
    lab.remove("c");
    if death == Death::PodmanBeforeNetavark {
        lab.remove_empty_namespaces();
    } else if death != Death::NetavarkBeforePlumbing {
        // At that death the plugin goes on, finds a closed pipe and may undo everything.
        let left = lab.leftovers(&network).join("\n");
        assert!(left.contains(&format!("lease [{ADDRESS}]")), "{left}");
    }
    assert_comes_back(&lab, &network);
}

/// Podman still says `running` when another container asks for the address.
fn an_address_is_free_again_after_conmon_and_container_are_killed(driver: Driver) {
    let (lab, network) = user(driver);
    bystander(&lab, driver);
    for options in [
        &["--publish", "8080:80"][..],
        &["--userns", "auto:size=1000", "--publish", "8080:80"],
    ] {
        let options = options.chunks(2);
        let run = options.fold(web(&lab), |run, pair| run.option(pair[0], pair[1]));
        run.start();
        lab.kill_with_conmon("c");
        let heir = lab.container("heir", &["n"]).ip(ADDRESS);
        heir.option("--publish", "8081:80").serving().start();
        assert_eq!(lab.addresses("heir", "eth0"), [ip(ADDRESS)]);
        lab.assert_served("http://127.0.0.1:8081/");
        lab.remove_at_last("c");
        lab.remove("heir");
        lab.assert_clean(&network);
    }
}

/// As when an administrator ends a user's processes: Podman makes new namespaces, and only files
/// are left of the old ones. Processes hidden by `hidepid` may be what is left of the
/// container, but a sandbox is not, as its addresses show.
fn an_address_is_free_again_after_all_of_the_users_processes_are_killed(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).dies(Death::EverybodyAfterPlumbing);
    let runtime = lab.netns_dir().replace("/netns", "");
    let files = format!(
        "{runtime}/libpod/tmp/pause.pid {runtime}/containers/networks/*/aardvark.pid \
         {runtime}/containers/networks/*/*-conn.pid"
    );
    lab.sh(&format!(
        "for file in {files}; do kill -9 $(cat $file); done"
    ));
    lab.remove("c");
    assert_eq!(
        lab.leases(&network).of(&network),
        [format!("[{ADDRESS}] offered to c")]
    );
    remount_proc(&lab, "hidepid=2");
    let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    let words = "berth cannot tell whether it is live (/proc is mounted with hidepid=";
    assert!(refused.stderr.contains(words), "{refused}");
    lab.remove("other");
    remount_proc(&lab, "hidepid=0");
    sandbox(&lab);
    assert_comes_back(&lab, &network);
}

fn a_full_pool_of_ghosts_is_free_again(driver: Driver) {
    let lab = Lab::start().user();
    let network = lab.network(driver, "n", &["--subnet", "10.77.0.0/29"]);
    bystander(&lab, driver);
    for index in 0..5 {
        let name = format!("c{index}");
        lab.container(&name, &["n"])
            .dies(Death::PodmanAfterNetavark);
        lab.remove(&name);
    }
    for index in 0..5 {
        lab.container(&format!("d{index}"), &["n"]).start();
    }
    lab.container("late", &["n"])
        .fails("failed to lease an address from 10.77.0.0/29: 5 of its 5 addresses are leased");
    for name in ["late", "d0", "d1", "d2", "d3", "d4"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

/// The collection is run from the user's shell. One ghost has everything, the other only an
/// empty namespace. The pause process is a podman, too, but keeps neither alive.
fn a_collection_gives_back_everything_that_ghosts_hold(driver: Driver) {
    let (lab, network) = user(driver);
    bystander(&lab, driver);
    for death in [Death::PodmanAfterNetavark, Death::PodmanBeforeNetavark] {
        web(&lab).option("--publish", "8080:80").dies(death);
        lab.remove("c");
    }
    let left = lab.leftovers(&network).join("\n");
    for kind in [
        "(veth)",
        "DNS name c",
        "firewall rule",
        "namespace",
        "lease [",
    ] {
        assert!(left.contains(kind), "`{kind}` is not in:\n{left}");
    }
    let said = lab.cmd("berth").arg("gc").ok();
    assert!(said.contains(ADDRESS), "{said}");
    lab.assert_clean(&network);
    let links = lab.links();
    assert!(links.iter().any(|link| link.kind() == "veth"), "{links:?}");
    // A second collection has nothing to do.
    let said = lab.cmd("berth").args(["gc", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(report["live"], 1, "{said}");
    assert_eq!(report["reclaimed"], serde_json::json!([]), "{said}");
    let said = lab.cmd("berth").arg("doctor").ok();
    for words in ["(on berth: m, n)", "\nclean, "] {
        assert!(said.contains(words), "`{words}` is not in:\n{said}");
    }
    assert_comes_back(&lab, &network);
}

/// Podman removes the network namespace of its bridges with the last container. The next
/// container gets another one, with nothing of the ghost in it.
fn a_ghost_on_a_network_without_containers_gives_way(driver: Driver) {
    let (lab, network) = user(driver);
    lab.container("other", &["n"]).start();
    web(&lab).dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    lab.remove("other");
    web(&lab).serving().start();
    lab.container("client", &["n"]).start();
    lab.assert_served_to("client", "http://c/");
    lab.remove("client");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_ghost_gives_way_where_proc_hides_other_users(driver: Driver) {
    let (lab, network) = user(driver);
    for hidepid in ["hidepid=1", "hidepid=2"] {
        remount_proc(&lab, hidepid);
        web(&lab).dies(Death::PodmanAfterNetavark);
        lab.remove("c");
        assert_comes_back(&lab, &network);
        web(&lab).start();
        lab.container("other", &["n"])
            .ip(ADDRESS)
            .fails("lives in its namespace");
        lab.remove("other");
        lab.remove("c");
        lab.assert_clean(&network);
    }
}
