//! The host-wide mode: berth is in front of netavark, and the networks do not mention it.

use std::time::Duration;

use berth_integration::{Driver, Lab, Outcome, ip, outage::Death, wait_until};

const LINK: &str = "/usr/local/libexec/podman/netavark";
const DIRECTORY: &str = "/etc/containers/networks";
const BOUND: Duration = Duration::from_secs(30);

/// Returns the driver that leases a network's addresses, according to the network's file.
fn ipam(lab: &Lab, network: &str) -> String {
    let format = "{{.IPAMOptions.driver}}";
    lab.podman(["network", "inspect", "--format", format, network])
        .ok()
}

#[test]
fn a_new_network_is_adopted_while_its_first_container_runs() {
    let lab = Lab::start();
    lab.host_wide();
    assert_eq!(ipam(&lab, "podman"), "berth", "the default network");
    let network = lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("first", &["n"]).ip("10.77.0.9").start();
    wait_until("the adoption", BOUND, || {
        (ipam(&lab, "n") == "berth").then_some(())
    });
    let leases = wait_until("the lease", BOUND, || {
        let leases = lab.leases(&network).of(&network);
        (!leases.is_empty()).then_some(leases)
    });
    assert_eq!(leases, ["[10.77.0.9] bound to first"]);
    assert_eq!(lab.claims(), [""; 0], "Podman leases nothing of it");
    lab.container("second", &["n"])
        .ip("10.77.0.9")
        .fails("already allocated to container ID");
    lab.container("third", &["n"]).start();
    assert_eq!(lab.reported("third", "n").len(), 1);
    assert_ne!(lab.reported("third", "n"), [ip("10.77.0.9")]);
    let found = lab.podman(["exec", "third", "nslookup", "first"]).ok();
    assert!(found.contains("10.77.0.9"), "{found}");
    lab.remove("first");
    lab.remove("third");
    lab.assert_clean(&network);
}

#[test]
fn the_outage_does_not_happen() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    let run = || lab.container("c", &["n"]).ip("10.77.0.99");
    run().dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    run().start();
    assert_eq!(lab.reported("c", "n"), [ip("10.77.0.99")]);
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn one_container_is_on_networks_of_all_kinds_at_once() {
    let lab = Lab::start();
    let plain = lab.network(Driver::HostWide, "plain", &["--subnet", "10.77.0.0/24"]);
    let plugin = lab.network(Driver::Berth, "plugin", &["--subnet", "10.78.0.0/24"]);
    let off = ["--subnet", "10.79.0.0/24", "--label", "berth.adopt=off"];
    let native = lab.network(Driver::Bridge, "native", &off);
    lab.migrate(["adopt", "--all", "--yes"]).ok();
    assert_eq!(ipam(&lab, "native"), "host-local");
    lab.container("c", &["plain", "plugin", "native"]).start();
    for network in ["plain", "plugin", "native"] {
        assert_eq!(lab.reported("c", network).len(), 1, "{network}");
    }
    for network in [&plain, &plugin] {
        assert_eq!(lab.leases(network).of(network).len(), 1, "{}", network.name);
    }
    assert_eq!(lab.claims().len(), 1, "{:?}", lab.claims());
    lab.podman(["restart", "--time=0", "c"]).ok();
    lab.podman(["network", "reload", "c"]).ok();
    lab.podman(["network", "disconnect", "plain", "c"]).ok();
    assert_eq!(lab.leases(&plain).of(&plain), [""; 0]);
    lab.podman(["network", "connect", "plain", "c"]).ok();
    lab.remove("c");
    for network in [&plain, &plugin, &native] {
        lab.assert_clean(network);
    }
    assert_eq!(lab.claims(), [""; 0]);
}

#[test]
fn a_setup_that_fails_on_one_network_leaves_nothing_on_any() {
    let lab = Lab::start();
    let plain = lab.network(Driver::HostWide, "plain", &["--subnet", "10.77.0.0/24"]);
    let off = ["--subnet", "10.79.0.0/24", "--label", "berth.adopt=off"];
    let native = lab.network(Driver::Bridge, "native", &off);
    // Another kind of link has the bridge's name.
    let veth = ["type", "veth", "peer", "name", "other"];
    lab.cmd("ip")
        .args(["link", "add", &native.interface])
        .args(veth)
        .ok();
    lab.container("c", &["plain", "native"])
        .fails("already exists");
    lab.podman(["rm", "--force", "--ignore", "c"]).ok();
    lab.assert_clean(&plain);
    assert_eq!(lab.claims(), [""; 0]);
}

#[test]
fn everything_else_reaches_the_real_netavark_byte_for_byte() {
    let lab = Lab::start();
    let real = lab.netavark();
    lab.host_wide();
    assert_eq!(lab.netavark(), LINK);
    for arguments in [
        &["--version"][..],
        &["version"],
        &["--help"],
        &["frobnicate"],
        &["setup"],
        &[
            "--config",
            "/tmp",
            "update",
            "nobody",
            "--network-dns-servers",
            "",
        ],
        &["--config", "/tmp", "teardown", "/proc/self/ns/net"],
        &["--config", "/tmp", "setup", "/nowhere"],
    ] {
        for input in [
            "",
            "{",
            r#"{"container_id":"c","container_name":"c","networks":{},"network_info":{}}"#,
        ] {
            let run = |program: &str| lab.cmd(program).args(arguments).stdin(input).run();
            let (front, native) = (run(LINK), run(&real));
            let seen = |outcome: &berth_integration::Outcome| {
                let stderr = outcome
                    .stderr
                    .replace(LINK, "netavark")
                    .replace(&real, "netavark");
                (outcome.status.code(), outcome.stdout.clone(), stderr)
            };
            assert_eq!(seen(&front), seen(&native), "{arguments:?} with {input:?}");
        }
    }
}

#[test]
fn two_copies_in_the_path_do_not_call_each_other() {
    let lab = Lab::start();
    lab.host_wide();
    lab.sh("mkdir -p /usr/local/lib/podman && cp /usr/libexec/netavark/berth /usr/local/lib/podman/netavark");
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("c", &["n"]).start();
    assert_eq!(lab.reported("c", "n").len(), 1);
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn a_broken_link_is_told_by_the_doctor() {
    let lab = Lab::start();
    lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    lab.cmd("ln").args(["-sfn", "/nowhere/berth", LINK]).ok();
    lab.container("c", &["n"]).fails("ipam driver");
    let doctor = lab.cmd("berth").arg("doctor").run();
    assert!(
        doctor.stdout.contains("no container can start on n"),
        "{doctor}"
    );
    lab.podman(["rm", "--force", "--ignore", "c"]).ok();
    lab.host_wide();
    lab.container("c", &["n"]).start();
}

/// Returns the request of a podman that read network `n` before it was moved to berth.
#[track_caller]
fn from_before(lab: &Lab, id: &str) -> String {
    let info = lab.sh(
        "sed 's/\"driver\": \"berth\"/\"driver\": \"host-local\"/' /etc/containers/networks/n.json",
    );
    format!(
        r#"{{"container_id":"{id}","container_name":"c","networks":{{"n":{{"interface_name":"eth0",
        "static_ips":["10.77.0.5"]}}}},"network_info":{{"n":{info}}}}}"#
    )
}

/// Calls netavark as Podman does.
#[track_caller]
fn netavark(lab: &Lab, verb: &str, namespace: &str, request: String) -> Outcome {
    let arguments = ["--config", "/run/containers/networks", verb, namespace];
    lab.cmd(LINK).args(arguments).stdin(request).run()
}

#[test]
fn a_podman_with_an_old_copy_is_refused_and_reads_anew() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    let request = from_before(&lab, &"c".repeat(64));
    lab.cmd("touch")
        .args(["-d", "2001-01-01", "/etc/containers/networks"])
        .ok();
    lab.sh("ip netns add old");
    let outcome = netavark(&lab, "setup", "/run/netns/old", request);
    assert!(
        outcome.stdout.contains("network n has just been moved"),
        "{outcome}"
    );
    let year = lab
        .cmd("stat")
        .args(["-c", "%y", "/etc/containers/networks"])
        .ok();
    assert!(!year.starts_with("2001"), "{year}");
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
}

#[test]
fn a_teardown_with_an_old_copy_releases_at_once() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    let run = lab.container("c", &["n"]).ip("10.77.0.5");
    let container = run.option("--publish", "8080:80").start();
    let format = "{{.NetworkSettings.SandboxKey}}";
    let namespace = lab.podman(["inspect", "--format", format, "c"]).ok();
    let request = from_before(&lab, &container.id);
    let outcome = netavark(&lab, "teardown", &namespace, request);
    assert!(outcome.status.success(), "{outcome}");
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
    assert_eq!(lab.links_inside("c").len(), 0);
    lab.podman(["rm", "--force", "--time=0", "c"]).run();
    lab.assert_clean(&network);
}

#[test]
fn a_store_that_is_damaged_stops_berths_networks_alone() {
    let lab = Lab::start();
    lab.network(Driver::HostWide, "plain", &["--subnet", "10.77.0.0/24"]);
    let off = ["--subnet", "10.79.0.0/24", "--label", "berth.adopt=off"];
    lab.network(Driver::Bridge, "native", &off);
    lab.container("up", &["plain"]).start();
    lab.sh("find /run/containers/networks/berth/leases* -type f -exec sh -c 'echo damaged >\"$1\"' _ {} \\;");
    lab.container("c", &["plain"]).fails("");
    lab.container("d", &["native"]).start();
    let links = lab.sh("ip -o link show type veth | wc -l");
    lab.podman(["rm", "--force", "--time=0", "up"]).run();
    let after = lab.sh("ip -o link show type veth | wc -l");
    assert!(after < links, "the interface goes anyway");
}

#[test]
fn off_leaves_everything_as_it_was_before() {
    let lab = Lab::start();
    let before = lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    let text = lab.sh("cat /etc/containers/networks/n.json");
    lab.host_wide();
    lab.container("c", &["n"]).ip("10.77.0.7").start();
    lab.container("default", &["podman"]).start();
    let status = lab.cmd("berth").args(["host-wide", "status"]).ok();
    assert!(status.starts_with("on: "), "{status}");
    assert!(
        status.contains("n, podman") || status.contains("podman, n"),
        "{status}"
    );
    lab.cmd("berth").args(["host-wide", "off", "--yes"]).ok();
    assert_eq!(lab.sh("cat /etc/containers/networks/n.json"), text);
    assert_eq!(lab.names(DIRECTORY), ["n.json"]);
    assert_eq!(lab.names("/usr/local/libexec/podman"), [""; 0]);
    let status = lab.cmd("berth").args(["host-wide", "status"]).ok();
    assert!(status.starts_with("off: "), "{status}");
    assert_eq!(lab.claims().len(), 2, "{:?}", lab.claims());
    lab.container("again", &["n"])
        .ip("10.77.0.7")
        .fails("already allocated");
    lab.remove("c");
    lab.remove("default");
    lab.assert_clean(&before);
    assert_eq!(lab.claims(), [""; 0]);
}

/// A file that cannot be read may be that of a network that needs berth.
#[test]
fn off_refuses_while_a_network_file_cannot_be_read() {
    let lab = Lab::start();
    lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    lab.sh("ln -s loop.json /etc/containers/networks/loop.json");
    let off = || lab.cmd("berth").args(["host-wide", "off", "--yes"]);
    off().fails("failed to read /etc/containers/networks/loop.json");
    assert_eq!(
        (lab.netavark().as_str(), ipam(&lab, "n").as_str()),
        (LINK, "berth")
    );
    lab.sh("rm /etc/containers/networks/loop.json");
    off().ok();
    assert_eq!(ipam(&lab, "n"), "host-local");
}

/// Neither the timer nor a start moves it to berth again.
#[test]
fn what_was_moved_back_stays_with_podman_until_somebody_moves_it() {
    let lab = Lab::start();
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    let rollback = lab.migrate(["rollback", "--yes", "n"]).ok();
    assert!(
        rollback.contains("until `berth-migrate adopt`"),
        "{rollback}"
    );
    lab.container("c", &["n"]).start();
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(ipam(&lab, "n"), "host-local");
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
    assert_eq!(lab.claims().len(), 1);
    lab.migrate(["adopt", "--yes", "n"]).ok();
    assert_eq!(ipam(&lab, "n"), "berth");
    assert!(!lab.names(DIRECTORY).contains(&"berth-exempt".to_owned()));
    lab.migrate(["rollback", "--yes", "n"]).ok();
    lab.host_wide();
    assert_eq!(ipam(&lab, "n"), "berth", "every network of the host");
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn nothing_is_switched_before_somebody_agrees() {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    let nobody = lab.cmd("berth").args(["host-wide", "on"]).run();
    assert_eq!(nobody.status.code(), Some(1), "{nobody}");
    assert!(
        nobody.stderr.contains("n (bridge): to be moved"),
        "{nobody}"
    );
    assert!(nobody.stderr.contains("give --yes to go ahead"), "{nobody}");
    let answer = |word: &str| {
        let terminal = lab
            .cmd("script")
            .args(["-qec", "berth host-wide on", "/dev/null"]);
        terminal.stdin(format!("{word}\n")).run()
    };
    let no = answer("n");
    assert!(no.stdout.contains("nothing was changed"), "{no}");
    lab.cmd("berth").arg("gc").ok();
    assert_eq!(ipam(&lab, "n"), "host-local");
    assert_eq!(lab.names("/usr/local/libexec/podman"), [""; 0]);
    let yes = answer("y");
    assert!(yes.status.success(), "{yes}");
    assert_eq!(
        (lab.netavark().as_str(), ipam(&lab, "n").as_str()),
        (LINK, "berth")
    );
}

/// An adoption has asked whether berth is in front of netavark, and asks Podman about a
/// container when berth is taken away.
#[test]
fn no_network_is_adopted_after_the_mode_is_off() {
    let lab = Lab::start();
    lab.host_wide();
    let own = ["--subnet", "10.77.0.0/24", "--label", "berth.adopt=off"];
    lab.network(Driver::Bridge, "n", &own);
    lab.container("c", &["n"]).start();
    let slow = "touch /opt/asked; until [ -e /opt/go ]; do sleep 0.02; done";
    lab.write_executable(
        "/opt/slow/podman",
        &format!("#!/bin/sh\n{slow}\nexec /usr/bin/podman \"$@\"\n"),
    );
    let path = "/opt/slow:/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin";
    let adopt = lab.migrate(["adopt", "--yes", "n"]).env("PATH", path);
    let adoption = adopt.spawn();
    wait_until("the question", BOUND, || {
        lab.sh("ls /opt").contains("asked").then_some(())
    });
    lab.cmd("berth").args(["host-wide", "off", "--yes"]).ok();
    lab.sh("touch /opt/go");
    let outcome = adoption.wait();
    assert!(!outcome.status.success(), "{outcome}");
    assert!(
        outcome.stdout.contains("berth is not in front of netavark"),
        "{outcome}"
    );
    assert_eq!(ipam(&lab, "n"), "host-local");
    lab.podman(["restart", "--time=0", "c"]).ok();
}

/// One podman for each container, every minute, would keep a host with many containers busy.
#[test]
fn a_collection_does_not_ask_about_each_container_that_stays_with_podman() {
    let lab = Lab::start();
    lab.host_wide();
    let own = ["--subnet", "10.77.0.0/24", "--label", "berth.adopt=off"];
    lab.network(Driver::Bridge, "n", &own);
    lab.container("c", &["n"]).start();
    lab.write_executable(
        "/opt/counted/podman",
        "#!/bin/sh\necho \"$@\" >>/opt/questions\nexec /usr/bin/podman \"$@\"\n",
    );
    let path = "/opt/counted:/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin";
    lab.cmd("berth").arg("gc").env("PATH", path).ok();
    let questions = lab.sh("cat /opt/questions");
    assert!(
        questions.contains("info"),
        "`sanitise` has asked: {questions}"
    );
    assert!(!questions.contains("generate spec"), "{questions}");
}

#[test]
fn the_doctor_wants_a_plugin_only_for_networks_that_use_it() {
    let lab = Lab::start();
    lab.network(Driver::HostWide, "plain", &["--subnet", "10.77.0.0/24"]);
    lab.write(
        "/etc/containers/containers.conf.d/50-no-plugin.conf",
        "[network]\nnetavark_plugin_dirs = []\n",
    );
    let doctor = || lab.cmd("berth").arg("doctor").run();
    let missing = "Podman does not find the plugin";
    let healthy = doctor();
    assert!(healthy.status.success(), "{healthy}");
    lab.sh("sed 's/\"name\": \"plain\"/\"name\": \"plugin\"/; s/\"driver\": \"bridge\"/\"driver\": \"berth\"/' \
        /etc/containers/networks/plain.json >/etc/containers/networks/plugin.json");
    assert!(doctor().stdout.contains(missing), "{}", doctor());
    lab.sh("rm /etc/containers/networks/plugin.json");
    lab.cmd("berth").args(["host-wide", "off", "--yes"]).ok();
    assert!(doctor().stdout.contains(missing), "{}", doctor());
}

#[test]
fn a_copy_in_the_place_of_the_link_serves_and_is_told_as_one() {
    let lab = Lab::start();
    lab.sh(&format!(
        "mkdir -p /usr/local/libexec/podman; cp /usr/libexec/netavark/berth {LINK}"
    ));
    let status = || lab.cmd("berth").args(["host-wide", "status"]).ok();
    assert!(
        status().starts_with(&format!("on: {LINK} is berth")),
        "{}",
        status()
    );
    lab.host_wide();
    assert_eq!(ipam(&lab, "podman"), "berth", "the default network");
    lab.container("c", &["podman"]).start();
    assert_eq!(lab.reported("c", "podman").len(), 1);
    let doctor = lab.cmd("berth").arg("doctor").run();
    assert!(doctor.status.success(), "{doctor}");
    lab.cmd("berth").args(["gc"]).ok();
    let off = || lab.cmd("berth").args(["host-wide", "off", "--yes"]);
    off().fails("is a copy of berth, and not the link");
    assert_eq!(ipam(&lab, "podman"), "host-local");
    // Whoever put the copy there takes their time.
    lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    lab.cmd("berth").arg("gc").ok();
    for network in ["n", "podman"] {
        assert_eq!(ipam(&lab, network), "host-local", "{network}");
    }
    lab.sh(&format!("rm {LINK}"));
    off().ok();
    assert_eq!(lab.names(DIRECTORY), ["n.json"]);
    assert!(status().starts_with("off: "), "{}", status());
    lab.remove("c");
}

#[test]
fn where_nothing_is_searched_before_netavark_a_drop_in_makes_room() {
    let lab = Lab::start();
    let directory = "/etc/containers/containers.conf.d";
    let conf = "[engine]\nhelper_binaries_dir=['/usr/lib/podman']\n";
    lab.write(&format!("{directory}/10-own.conf"), conf);
    let network = lab.network(Driver::HostWide, "n", &["--subnet", "10.77.0.0/24"]);
    let names = ["10-own.conf", "60-berth-host-wide.conf"];
    assert_eq!(lab.names(directory), names);
    lab.container("c", &["n"]).start();
    assert_eq!(lab.leases(&network).of(&network).len(), 1);
    lab.cmd("berth").args(["host-wide", "off", "--yes"]).ok();
    assert_eq!(lab.names(directory), ["10-own.conf"]);
    lab.remove("c");
}

#[test]
fn what_is_not_berths_is_not_replaced() {
    let lab = Lab::start();
    lab.write_executable(LINK, "#!/bin/sh\nexec /usr/lib/podman/netavark \"$@\"\n");
    lab.cmd("berth")
        .args(["host-wide", "on", "--yes"])
        .fails("is not berth's, and Podman would run it in place of netavark: move it away first");
    assert_eq!(ipam(&lab, "podman"), "host-local");
    assert!(lab.sh(&format!("cat {LINK}")).contains("exec"));
}

#[test]
fn a_container_sees_what_it_sees_on_a_network_of_podmans() {
    let seen = [Driver::Bridge, Driver::HostWide].map(|driver| {
        let lab = Lab::start();
        lab.network(driver, "n", &["--subnet", "10.77.0.0/24"]);
        let container = lab
            .container("c", &["n"])
            .option("--dns", "10.9.9.9")
            .option("--hostname", "quux")
            .start();
        let inside = lab
            .podman(["exec", "c", "cat", "/etc/hosts", "/etc/resolv.conf"])
            .ok();
        let names = lab.sh("cat /run/containers/networks/aardvark-dns/n");
        let all = format!("{inside}\n{names}");
        let short = &container.id[..12];
        all.replace(&container.id, "ID").replace(short, "ID")
    });
    assert!(seen[0].contains("host.containers.internal"), "{}", seen[0]);
    assert!(seen[0].contains("10.9.9.9"), "{}", seen[0]);
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn networks_of_the_plugin_are_turned_into_plain_ones() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("c", &["n"]).ip("10.77.0.7").start();
    lab.migrate(["adopt", "--plain", "--yes", "n"])
        .fails("berth is not in front of netavark");
    lab.host_wide();
    let driver = || {
        lab.podman(["network", "inspect", "--format", "{{.Driver}}", "n"])
            .ok()
    };
    assert_eq!(driver(), "berth");
    lab.migrate(["adopt", "--plain", "--yes", "n"]).ok();
    assert_eq!(
        (driver(), ipam(&lab, "n")),
        ("bridge".into(), "berth".into())
    );
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.reported("c", "n"), [ip("10.77.0.7")]);
    lab.cmd("berth").args(["host-wide", "off", "--yes"]).ok();
    assert_eq!(
        (driver(), ipam(&lab, "n")),
        ("bridge".into(), "host-local".into())
    );
    lab.remove("c");
}
