//! An ordinary user's Podman: the same promises in a user namespace, where much of
//! the machine is out of sight.

use std::net::IpAddr;
use std::time::Duration;

use berth_integration::{
    Driver, Lab, Network, outage::Death, podman::Run, wait_until, with_driver, with_each_driver,
};

with_each_driver!(
    an_address_a_name_and_a_port_serve_their_container,
    a_restarted_container_keeps_its_address,
    a_network_can_be_removed_and_made_again,
);

with_driver!(
    only_berth,
    Berth,
    an_address_is_free_again_after_podman_is_killed_before_netavark_runs,
    an_address_is_free_again_after_podman_is_killed_after_netavark,
    an_address_is_free_again_after_the_plugin_is_killed_before_plumbing,
    an_address_is_free_again_after_the_plugin_is_killed_after_plumbing,
    an_address_is_free_again_after_everybody_is_killed,
    an_address_is_free_again_after_conmon_and_container_are_killed,
    an_address_is_free_again_after_all_of_the_users_processes_are_killed,
    a_full_pool_of_ghosts_is_free_again,
    a_collection_takes_back_what_nobody_asks_for,
    a_lost_store_comes_back_from_what_runs,
    a_ghost_on_a_network_without_containers_gives_way,
    a_live_containers_address_is_refused_with_its_name,
    a_container_without_conmon_is_seen_whoever_it_runs_as,
    whoever_is_out_of_sight_casts_no_doubt,
    a_ghost_gives_way_where_proc_hides_other_users,
    root_and_users_have_leases_of_their_own,
    addresses_in_use_are_found_without_looking_into_the_hosts_namespace,
    commands_find_the_users_podman,
    commands_find_a_podman_with_directories_of_its_own,
    commands_say_why_they_do_not_get_to_the_users_podman,
);

const BOUND: Duration = Duration::from_secs(10);
const ADDRESS: &str = "10.77.0.99";
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const HTTPD: [&str; 6] = ["httpd", "-f", "-p", "80", "-h", "/www"];
const PAGE: &str = "hello from the lab";
const TAKEN: &str = "requested ip address 10.77.0.99 is already allocated to container ID";

fn ip(address: &str) -> IpAddr {
    address.parse().expect("it is an address")
}

/// Returns a lab as a user has it, with the network `n`.
#[track_caller]
fn user(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start().user();
    let network = lab.network(driver, "n", &SUBNET);
    (lab, network)
}

/// Starts a container on a network of its own, so that the namespace of the bridges
/// stays, with whatever is left in it.
fn bystander(lab: &Lab, driver: Driver) {
    lab.network(driver, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("bystander", &["m"]).start();
}

fn web(lab: &Lab) -> Run<'_> {
    lab.container("c", &["n"]).ip(ADDRESS)
}

/// Asserts that a command in the lab gets the page, once the server listens.
#[track_caller]
fn assert_served(lab: &Lab, fetch: &[&str]) {
    wait_until(&format!("the page by {fetch:?}"), BOUND, || {
        let got = lab.cmd(fetch[0]).args(&fetch[1..]).run();
        (got.stdout.trim_end() == PAGE).then_some(())
    });
}

/// Asserts that the address goes to a container at once, which leaves nothing.
#[track_caller]
fn assert_comes_back(lab: &Lab, network: &Network) {
    web(lab).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(network);
}

fn an_address_a_name_and_a_port_serve_their_container(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab)
        .option("--publish", "8080:80")
        .command(&HTTPD)
        .start();
    lab.container("client", &["n"]).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.addresses("client", "eth0"), [ip("10.77.0.2")]);
    assert_eq!(lab.reported("c", "n"), [ip(ADDRESS)]);
    let page = ["exec", "client", "wget", "-q", "-T", "2", "-O", "-"];
    let by_name = [&["podman"], &page[..], &["http://c/"]].concat();
    let by_port = ["curl", "-sS", "--max-time", "2", "http://127.0.0.1:8080/"];
    assert_served(&lab, &by_name);
    assert_served(&lab, &by_port);
    lab.podman(["network", "reload", "--all"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_served(&lab, &by_name);
    assert_served(&lab, &by_port);
    lab.remove("client");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_restarted_container_keeps_its_address(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.podman(["stop", "--time=0", "c"]).ok();
    lab.podman(["start", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_network_can_be_removed_and_made_again(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    lab.podman(["network", "rm", "--force", "--time=0", "n"])
        .ok();
    lab.assert_clean(&network);
    let again = lab.network(driver, "n", &SUBNET);
    web(&lab).start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&again);
}

/// A container dies this death, is removed, and comes back with its address.
#[track_caller]
fn comes_back_after(death: Death, driver: Driver) {
    let (lab, network) = user(driver);
    bystander(&lab, driver);
    web(&lab).option("--publish", "8080:80").dies(death);
    lab.remove("c");
    if death == Death::PodmanBeforeNetavark {
        lab.remove_empty_namespaces();
    } else {
        let left = lab.leftovers(&network).join("\n");
        assert!(left.contains(&format!("lease [{ADDRESS}]")), "{left}");
    }
    assert_comes_back(&lab, &network);
}

fn an_address_is_free_again_after_podman_is_killed_before_netavark_runs(driver: Driver) {
    comes_back_after(Death::PodmanBeforeNetavark, driver);
}

fn an_address_is_free_again_after_podman_is_killed_after_netavark(driver: Driver) {
    comes_back_after(Death::PodmanAfterNetavark, driver);
}

fn an_address_is_free_again_after_the_plugin_is_killed_before_plumbing(driver: Driver) {
    comes_back_after(Death::PluginBeforePlumbing, driver);
}

fn an_address_is_free_again_after_the_plugin_is_killed_after_plumbing(driver: Driver) {
    comes_back_after(Death::PluginAfterPlumbing, driver);
}

fn an_address_is_free_again_after_everybody_is_killed(driver: Driver) {
    comes_back_after(Death::EverybodyAfterPlumbing, driver);
}

/// Podman still says `running`; another container asks for the address.
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
        heir.option("--publish", "8081:80").command(&HTTPD).start();
        assert_eq!(lab.addresses("heir", "eth0"), [ip(ADDRESS)]);
        let by_port = ["curl", "-sS", "--max-time", "2", "http://127.0.0.1:8081/"];
        assert_served(&lab, &by_port);
        lab.remove_at_last("c");
        lab.remove("heir");
        lab.assert_clean(&network);
    }
}

/// As when an administrator ends it all: Podman's namespaces are made anew, and only
/// files are left of the old ones. Of a sandbox it cannot be told whether it is
/// what is left of the container.
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
    sandbox(&lab);
    let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    let words = "whether it is live cannot be told (namespace of process";
    assert!(refused.stderr.contains(words), "{refused}");
    lab.remove("other");
    lab.sh("pkill -fx 'sleep 2000'");
    remount_proc(&lab, "hidepid=2");
    let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    let words = "cannot be told (/proc is mounted with hidepid=";
    assert!(refused.stderr.contains(words), "{refused}");
    lab.remove("other");
    remount_proc(&lab, "hidepid=0");
    assert_comes_back(&lab, &network);
}

#[track_caller]
fn remount_proc(lab: &Lab, option: &str) {
    let mount = lab.seen_by_root();
    let option = format!("remount,{option}");
    mount.cmd("mount").args(["-o", &option, "/proc"]).ok();
}

/// Runs something in a user namespace of the user's that is not Podman's.
#[track_caller]
fn sandbox(lab: &Lab) {
    lab.sh("setsid unshare --map-current-user --net sleep 2000 >/dev/null 2>&1 &");
    wait_until("the sandbox", BOUND, || {
        let found = lab.cmd("pgrep").args(["-fx", "sleep 2000"]).run();
        found.status.success().then_some(())
    });
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

/// From the user's shell. One ghost has everything, of the other there is only an empty
/// namespace; the pause process, a podman as well, keeps neither.
fn a_collection_takes_back_what_nobody_asks_for(driver: Driver) {
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
    // There is no more to be done.
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

fn a_lost_store_comes_back_from_what_runs(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let auto = lab.container("auto", &["n"]);
    auto.option("--userns", "auto:size=1000").start();
    let held = lab.addresses("auto", "eth0");
    lab.sh("rm -r $XDG_RUNTIME_DIR/containers/networks/berth");
    let other = lab.container("other", &["n"]).ip(ADDRESS);
    let refused = other.fails(TAKEN);
    assert!(refused.stderr.contains("(name c, "), "{refused}");
    lab.remove("other");
    let mut leases = lab.leases(&network).of(&network);
    leases.sort();
    let auto = format!("{held:?} bound to auto");
    assert_eq!(leases, [auto, format!("[{ADDRESS}] bound to c")]);
    lab.remove("auto");
    lab.remove("c");
    lab.assert_clean(&network);
}

/// With the last container Podman removes the network namespace of its bridges; the
/// next container gets another one, where nothing of the ghost is.
fn a_ghost_on_a_network_without_containers_gives_way(driver: Driver) {
    let (lab, network) = user(driver);
    lab.container("other", &["n"]).start();
    web(&lab).dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    lab.remove("other");
    web(&lab).command(&HTTPD).start();
    lab.container("client", &["n"]).start();
    let by_name = ["exec", "client", "wget", "-q", "-T", "2", "-O", "-"];
    assert_served(&lab, &[&["podman"], &by_name[..], &["http://c/"]].concat());
    lab.remove("client");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_live_containers_address_is_refused_with_its_name(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
    let pid = lab.pid("c");
    for words in [
        "(name c, leased ",
        &format!("it is live, process {pid} (sleep) lives in its namespace"),
    ] {
        assert!(refused.stderr.contains(words), "`{words}`:\n{refused}");
    }
    lab.remove("other");
    lab.remove("c");
    lab.assert_clean(&network);
}

/// All that keeps the address is that the process in the namespace is seen.
fn a_container_without_conmon_is_seen_whoever_it_runs_as(driver: Driver) {
    let (lab, network) = user(driver);
    // Its program may be executed, but not read: it is not dumpable.
    lab.seen_by_root()
        .sh("install -D --mode=711 /bin/busybox /opt/secret/busybox");
    for options in [
        &["--user", "65534"][..],
        &["--userns", "auto:size=1000"],
        &["--userns", "keep-id"],
        &["--userns", "keep-id", "--user", "0"],
        &["--volume", "/opt/secret:/opt/secret:ro", "--user", "12"],
        &[
            "--volume",
            "/opt/secret:/opt/secret:ro",
            "--userns",
            "auto:size=1000",
        ],
    ] {
        let pairs = options.chunks(2);
        let run = pairs.fold(web(&lab), |run, pair| run.option(pair[0], pair[1]));
        let secret = options.contains(&"--volume");
        let command: &[_] = if secret {
            &["/opt/secret/busybox", "sleep", "inf"]
        } else {
            &[]
        };
        run.command(command).start();
        let conmon = ["inspect", "--format", "{{.State.ConmonPid}}", "c"];
        let conmon = lab.podman(conmon).ok();
        lab.sh(&format!("kill -9 {conmon}"));
        let refused = lab.container("other", &["n"]).ip(ADDRESS).fails(TAKEN);
        let words = if secret {
            "whether it is live cannot be told"
        } else {
            "lives in its namespace"
        };
        assert!(refused.stderr.contains(words), "{options:?}:\n{refused}");
        lab.remove("other");
        let pid = lab.pid("c");
        lab.in_user_namespace("kill")
            .args(["-9", &pid.to_string()])
            .ok();
        wait_until("the container's end", BOUND, || {
            lab.sh(&format!("ps -o pid= -p {pid} || true"))
                .is_empty()
                .then_some(())
        });
        lab.remove_at_last("c");
        assert_comes_back(&lab, &network);
    }
}

/// Processes of root, of another user with containers of its own, and of the user's
/// own shell, and a sandbox of the user's: none is readable.
fn whoever_is_out_of_sight_casts_no_doubt(driver: Driver) {
    let (lab, network) = user(driver);
    let (root, mate) = (lab.seen_by_root(), lab.other_user());
    mate.network(driver, "n", &SUBNET);
    web(&mate).start();
    for lab in [&root, &lab] {
        lab.sh("setsid sleep 1000 >/dev/null 2>&1 &");
    }
    sandbox(&lab);
    web(&lab).dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    assert_comes_back(&lab, &network);
    assert_eq!(mate.addresses("c", "eth0"), [ip(ADDRESS)]);
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

fn root_and_users_have_leases_of_their_own(driver: Driver) {
    let (sailor, network) = user(driver);
    let (root, mate) = (sailor.seen_by_root(), sailor.other_user());
    // Before root's bridge is on the host: then its subnet is taken.
    let everybody = [
        (&root, "roots", root.network(driver, "n", &SUBNET)),
        (&mate, "mates", mate.network(driver, "n", &SUBNET)),
        (&sailor, "sailors", network),
    ];
    for (lab, name, network) in &everybody {
        lab.container(name, &["n"]).ip(ADDRESS).start();
        assert_eq!(lab.addresses(name, "eth0"), [ip(ADDRESS)]);
        let leases = lab.leases(network).of(network);
        assert_eq!(leases, [format!("[{ADDRESS}] bound to {name}")]);
    }
    let [others @ .., (_, name, network)] = &everybody;
    sailor.remove(name);
    sailor.assert_clean(network);
    for (lab, name, network) in others {
        assert_eq!(lab.addresses(name, "eth0"), [ip(ADDRESS)], "{name}");
        assert_eq!(lab.leases(network).of(network).len(), 1, "{name}");
    }
}

/// The last question before a lease expires of whose holder nothing certain is known.
/// conmon and pasta live in the host's namespace.
fn addresses_in_use_are_found_without_looking_into_the_hosts_namespace(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let seen = lab.leases(&network).seen.expect("nothing is in doubt");
    assert!(seen.contains(&ip(ADDRESS)), "{seen:?}");
    lab.remove("c");
    lab.assert_clean(&network);
}

/// From the user's shell, outside of all of Podman's namespaces.
fn commands_find_the_users_podman(driver: Driver) {
    let (lab, network) = user(driver);
    web(&lab).start();
    let leases = lab.leases(&network);
    assert_eq!(leases.of(&network), [format!("[{ADDRESS}] bound to c")]);
    let starter = leases.tenants[0].starter;
    assert!(starter.is_some(), "the podman that asked is known");
    let place = leases.place;
    let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    for path in [
        place.store.join("leases.sled"),
        place.networks.join("n.json"),
        place.lock.clone(),
    ] {
        lab.cmd("test").args(["-e", &file(path)]).ok();
    }
    // Where Podman itself takes its lock, and who may take it meanwhile.
    let lock = file(place.lock);
    let script = r#"#!/bin/bash
case " $* " in *" setup "*) grep -c ":$(stat -c %i "$LOCK") " /proc/locks >"$LOCK.held" || true ;; esac
exec NETAVARK "$@"
"#;
    let conf = lab.replace_netavark(&script.replace("NETAVARK", &lab.netavark()));
    lab.container("other", &["n"])
        .env("CONTAINERS_CONF_OVERRIDE", conf)
        .env("LOCK", &lock)
        .start();
    assert_eq!(lab.cmd("cat").arg(format!("{lock}.held")).ok(), "1");
    // It is free where berth's commands run, though podman runs them there.
    let take =
        "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)";
    lab.beside_bridges("python3").args(["-c", take, &lock]).ok();
    for name in ["other", "c"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

fn commands_find_a_podman_with_directories_of_its_own(driver: Driver) {
    let lab = Lab::start().user();
    let runtime = lab.netns_dir().replace("/netns", "");
    let conf = "[storage]\nrunroot = \"$XDG_RUNTIME_DIR/run\"\n\
                graphroot = \"$HOME/graph\"\n";
    let conf = format!("mkdir -p ~/.config/containers; printf '{conf}' >$_/storage.conf");
    lab.sh(&conf);
    lab.podman(["load", "--quiet", "--input", "/run/lab-image.tar"])
        .ok();
    let network = lab.network(driver, "n", &SUBNET);
    web(&lab).start();
    let leases = lab.leases(&network);
    assert_eq!(leases.of(&network), [format!("[{ADDRESS}] bound to c")]);
    let store = leases.place.store.to_string_lossy().into_owned();
    assert_eq!(store, format!("{runtime}/run/networks/berth"));
    let file = leases.place.networks.join("n.json");
    lab.cmd("test").args(["-e", &file.to_string_lossy()]).ok();
    lab.remove("c");
}

fn commands_say_why_they_do_not_get_to_the_users_podman(driver: Driver) {
    let (lab, _) = user(driver);
    let command = |variables: &[&str]| {
        let env = lab.cmd("/usr/bin/env").args(variables);
        env.arg("/usr/local/bin/lab-store")
    };
    let refused = command(&["PATH=/nowhere"]).fails("lab-store: failed to run podman, which leads");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
    // Somebody whose Podman has never run needs none.
    command(&["PATH=/nowhere", "XDG_RUNTIME_DIR=/run/user"]).ok();
    lab.write_executable("/opt/wrapper/podman", "#!/bin/sh\nshift 2\nexec \"$@\"\n");
    command(&["PATH=/opt/wrapper:/usr/bin:/bin"]).fails("outside of a user namespace");
}
