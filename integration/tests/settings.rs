//! What berth.conf sets for networks and for this host, and what a mistake in it does.

use berth_integration::{Driver, Lab, Network, ip, with_driver};

const CONF: &str = "/etc/containers/berth.conf";
const STATE: &str = "/run/containers/networks/berth";

/// Returns a lab with the network `n`, made without an option of berth's.
fn scene(driver: Driver) -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &["--subnet=10.77.0.0/29"]);
    (lab, network)
}

#[track_caller]
fn starts_at(lab: &Lab, name: &str, address: &str) {
    lab.container(name, &["n"]).start();
    assert_eq!(lab.addresses(name, "eth0"), [ip(address)], "{name}");
}

with_driver!(
    berth,
    Berth,
    a_network_is_as_the_file_says,
    a_mistake_stops_whom_it_concerns
);
with_driver!(
    host_wide,
    HostWide,
    a_network_is_as_the_file_says,
    a_mistake_stops_whom_it_concerns
);

fn a_network_is_as_the_file_says(driver: Driver) {
    let (lab, network) = scene(driver);
    lab.write(
        CONF,
        "[defaults]\nipam_cooldown = 0\nipam_hold = 0\nipam_order = 'lowest'\n\
         ipam_exclude = ['10.77.0.2', '192.168.0.0/16']\n\
         [network.n]\nipam_reserve = ['10.77.0.3=web', '10.77.0.4 # the printer']\n",
    );
    starts_at(&lab, "a", "10.77.0.5");
    starts_at(&lab, "b", "10.77.0.6");
    let full = lab.container("c", &["n"]);
    full.fails("10.77.0.0/29");
    starts_at(&lab, "web", "10.77.0.3");
    let taken = lab.container("d", &["n"]).ip("10.77.0.4");
    taken.fails("10.77.0.4 is reserved on network n for no container (the printer)");
    lab.remove("a");
    starts_at(&lab, "e", "10.77.0.5");

    let listed = ["list", "--all", "--format", "{{.Address}} {{.State}}"];
    let listed = lab.cmd("berth").args(listed).ok();
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        [
            "10.77.0.2 excluded",
            "10.77.0.3 live",
            "10.77.0.4 reserved",
            "10.77.0.5 live",
            "10.77.0.6 live",
        ]
    );
    for verb in [&["unreserve"][..], &["reserve", "--for", "x"]] {
        let words = [verb, &["10.77.0.4", "--network", "n"]].concat();
        let refused = lab.cmd("berth").args(&words);
        refused.fails("10.77.0.4 on network n is reserved in /etc/containers/berth.conf line 7");
    }

    // Neither the network's file nor what Podman and netavark get shows any of these settings.
    let inspected = lab.podman(["network", "inspect", "n"]).ok();
    for name in ["ipam_exclude", "ipam_reserve", "ipam_hold"] {
        assert!(!inspected.contains(name), "{inspected}");
    }
    let doctor = lab.cmd("berth").arg("doctor").run().stdout;
    assert!(!doctor.contains("berth.conf"), "{doctor}");
    for name in ["b", "e", "web"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

fn a_mistake_stops_whom_it_concerns(driver: Driver) {
    let (lab, network) = scene(driver);
    lab.network(driver, "other", &["--subnet=10.78.0.0/24"]);
    lab.container("early", &["n"]).start();

    lab.write(CONF, "[network.n]\nexlude = ['10.77.0.4']\n");
    let said = "/etc/containers/berth.conf line 2: unknown key \"exlude\": did you mean \
                ipam_exclude?; `berth config` shows every mistake, and berth leases no address until \
                that is fixed";
    lab.container("a", &["n"]).fails(said);
    lab.podman(["rm", "--force", "a"]).ok();
    lab.container("b", &["other"]).start();

    // A wrong time does not give an address away, so it only causes a warning.
    lab.write(CONF, "[defaults]\nipam_hold = 'soon'\n");
    let warned = lab.container("c", &["n"]).cmd().run();
    assert!(warned.status.success(), "{warned}");
    assert!(
        warned
            .stderr
            .contains("berth.conf line 2: invalid option ipam_hold=soon"),
        "{warned}"
    );

    // berth cannot tell where the leases are: the interface is removed, and the lease stays.
    lab.write(CONF, "[network.n\n");
    let said = "/etc/containers/berth.conf line 1: ";
    lab.container("d", &["n"]).fails(said);
    lab.podman(["rm", "--force", "d"]).ok();
    for words in [&["gc", "--now"][..], &["list"]] {
        lab.cmd("berth").args(words).fails(said);
    }
    let doctor = lab.cmd("berth").arg("doctor").run();
    assert_eq!(doctor.status.code(), Some(1));
    assert!(doctor.stdout.contains(said), "{doctor}");
    lab.podman(["stop", "--time=0", "early"]).run();
    lab.podman(["stop", "--time=0", "b", "c"]).run();
    let left = lab.links().into_iter().filter(|link| link.kind() == "veth");
    assert_eq!(left.count(), 0, "every interface is gone");

    lab.write(CONF, "");
    lab.cmd("berth").args(["gc", "--now"]).ok();
    assert_eq!(lab.cmd("berth").args(["list", "--quiet"]).ok(), "");
    for name in ["early", "b", "c"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

#[test]
fn a_file_that_another_user_can_write_is_not_believed() {
    let (lab, _) = scene(Driver::Berth);
    lab.write(CONF, "[defaults]\nipam_hold = '1h'\n");
    lab.sh("chmod 666 /etc/containers/berth.conf");
    let refused = lab.container("a", &["n"]);
    refused.fails("berth.conf: it has mode 0666; root's configuration must belong to root");
}

#[test]
fn the_leases_are_where_the_file_says_and_a_user_has_a_place_of_its_own() {
    let (lab, _) = scene(Driver::Berth);
    lab.write(CONF, "state_directory = '/var/lib/berth'\n");
    starts_at(&lab, "a", "10.77.0.2");
    assert!(
        lab.names("/var/lib/berth")
            .contains(&"leases.redb".to_owned())
    );
    assert_eq!(lab.names(STATE), [""; 0]);
    assert_eq!(lab.cmd("berth").args(["list", "--quiet"]).ok(), "10.77.0.2");
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.remove("a");
    assert_eq!(lab.cmd("berth").args(["list", "--quiet"]).ok(), "");

    let user = lab.user();
    user.network(Driver::Berth, "own", &["--subnet=10.79.0.0/24"]);
    user.container("web", &["own"]).start();
    assert_eq!(
        user.cmd("berth").args(["list", "--quiet"]).ok(),
        "10.79.0.2"
    );
}

#[test]
fn config_shows_each_value_and_where_it_comes_from() {
    let lab = Lab::start();
    lab.write(
        CONF,
        "[waits]\nlock = '10s'\n\n[defaults]\nipam_hold = '7d'\n",
    );
    lab.write(
        "/etc/containers/berth.conf.d/web.conf",
        "[network.web]\nipam_exclude = ['10.0.0.9',\n'10.0.0.10']\n",
    );
    let table = lab.cmd("berth").arg("config").ok();
    let lines: Vec<_> = table
        .lines()
        .map(|line| {
            line.split("  ")
                .filter(|cell| !cell.is_empty())
                .map(str::trim)
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "KEY|VALUE|FROM",
            "state_directory|/run/containers/networks/berth|default",
            "engine|redb|default",
            "waits.lock|10s|/etc/containers/berth.conf line 2",
            "waits.collection|150s|default",
            "defaults.ipam_cooldown|30s|default",
            "defaults.ipam_hold|7d|/etc/containers/berth.conf line 5",
            "defaults.ipam_ttl|1h|default",
            "defaults.ipam_order|next|default",
            "defaults.ipam_exclude|nothing|default",
            "network.web.ipam_exclude|10.0.0.9, 10.0.0.10|/etc/containers/berth.conf.d/web.conf line \
             2, /etc/containers/berth.conf.d/web.conf line 3",
        ]
    );
    let json = lab
        .cmd("berth")
        .args(["config", "--format", "json"])
        .env("BERTH_STATE_DIR", "/srv/s");
    let json: serde_json::Value = serde_json::from_str(&json.ok()).expect("JSON");
    assert_eq!(json["settings"][0]["value"], "/srv/s");
    assert_eq!(json["settings"][0]["from"][0], "$BERTH_STATE_DIR");
    assert_eq!(json["mistakes"], serde_json::json!([]));

    lab.write("/root/new.conf", "[defaults]\nhodl = 1\n");
    let new = lab
        .cmd("berth")
        .arg("config")
        .env("BERTH_CONF", "/root/new.conf")
        .run();
    assert_eq!(new.status.code(), Some(1));
    assert_eq!(
        new.stderr,
        "Error: /root/new.conf line 2: unknown key \"hodl\": did you mean ipam_hold? (berth leases \
         no address until that is fixed)\n"
    );
    let doctor = lab.cmd("berth").arg("doctor").run().stdout;
    assert!(doctor.contains("there is no network web"), "{doctor}");
}
