//! What an operator asks berth and does by hand on a network with several containers, of which one
//! is dead and one static and stopped.

use berth_integration::{Cmd, Driver, Lab, Network, ip, outage::Death, with_driver};
use serde_json::Value;

const STATE: &str = "/run/containers/networks/berth";

/// Returns a lab with the network `n`: `one` and `two` are alive, `ghost` was killed with
/// its conmon, `stopped` has a static address and is not running.
fn scene() -> (Lab, Network) {
    let lab = Lab::start();
    populate(lab)
}

fn populate(lab: Lab) -> (Lab, Network) {
    let options = [
        "--subnet=10.77.0.0/24",
        "--opt=ipam_exclude=10.77.0.200-10.77.0.220",
    ];
    let network = lab.network(Driver::Berth, "n", &options);
    lab.container("one", &["n"]).start();
    lab.container("two", &["n"]).ip("10.77.0.20").start();
    lab.container("stopped", &["n"]).ip("10.77.0.50").start();
    lab.podman(["stop", "--time=0", "stopped"]).ok();
    lab.container("ghost", &["n"]).ip("10.77.0.99").start();
    lab.kill_with_conmon("ghost");
    (lab, network)
}

/// Returns a berth command.
fn berth<'l>(lab: &'l Lab, words: &[&str]) -> Cmd<'l> {
    lab.cmd("berth").args(words)
}

/// Returns what a berth command prints as JSON.
#[track_caller]
fn json(lab: &Lab, words: &[&str]) -> Value {
    let text = berth(lab, words).ok();
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
}

/// Asserts that a command is refused with this one line, and this exit code.
#[track_caller]
fn refused(lab: &Lab, words: &[&str], code: i32, message: &str) {
    let outcome = berth(lab, words).run();
    assert_eq!(outcome.status.code(), Some(code), "{outcome}");
    assert_eq!(outcome.stderr.trim_end(), format!("Error: {message}"));
    assert_eq!(outcome.stdout, "");
}

/// Returns some columns of a table, each line's joined by a space.
fn columns(table: &str, wanted: &[usize]) -> Vec<String> {
    let columns = |line: &str| {
        let all: Vec<_> = line.split("  ").filter(|cell| !cell.is_empty()).collect();
        let some = wanted.iter().map(|at| all[*at].trim());
        some.collect::<Vec<_>>().join(" ")
    };
    table.lines().map(columns).collect()
}

#[test]
fn a_list_says_who_has_which_address_and_whether_they_are_alive() {
    let (lab, network) = scene();
    let table = berth(&lab, &["list"]).ok();
    assert_eq!(
        columns(&table, &[0, 1, 3, 4, 5]),
        [
            "ADDRESS NETWORK NAME KIND STATE",
            "10.77.0.2 n one dynamic live",
            "10.77.0.20 n two static live",
            "10.77.0.99 n ghost static dead",
        ]
    );
    assert_eq!(berth(&lab, &["ls"]).ok().lines().count(), 4);
    let all = berth(&lab, &["list", "--all", "--noheading"]).ok();
    assert_eq!(all.lines().count(), 5, "{all}");
    assert!(all.contains("10.77.0.50 "), "{all}");
    assert!(all.contains("10.77.0.200-10.77.0.220"), "{all}");

    let quiet = berth(&lab, &["ls", "-q", "--filter", "state=dead"]).ok();
    assert_eq!(quiet, "10.77.0.99");
    let held = ["ls", "-q", "--filter", "container=stopped"];
    assert_eq!(berth(&lab, &held).ok(), "", "it has no lease");
    let held = [
        "ls",
        "-q",
        "--filter",
        "state=cooldown",
        "--filter",
        "state=held",
    ];
    assert_eq!(berth(&lab, &held).ok(), "10.77.0.50");
    let of_network = ["ls", "-q", "--network", &network.id, "--sort", "container"];
    assert_eq!(
        berth(&lab, &of_network).ok(),
        "10.77.0.99\n10.77.0.2\n10.77.0.20"
    );

    let list = json(&lab, &["list", "--all", "--format", "json"]);
    let entry = |address: &str| {
        let mut entries = list.as_array().expect("a list").iter();
        let found = entries.find(|entry| entry["address"] == address);
        found.unwrap_or_else(|| panic!("no {address} in {list:#}"))
    };
    let ghost = entry("10.77.0.99");
    assert_eq!(
        (&ghost["state"], &ghost["kind"]),
        (&"dead".into(), &"static".into())
    );
    assert_eq!(ghost["subnet"], "10.77.0.0/24");
    assert_eq!(
        ghost["reason"],
        "no process is in its namespace and nothing is starting it"
    );
    let one = entry("10.77.0.2");
    let id = lab.podman(["inspect", "--format={{.Id}}", "one"]).ok();
    assert_eq!(one["container_id"], *id);
    assert!(
        one["reason"]
            .as_str()
            .expect("a text")
            .contains("lives in its namespace")
    );
    assert!(one["expires_in_seconds"].as_u64() > Some(3000), "{one}");
    assert_eq!(entry("10.77.0.50")["container_name"], "stopped");

    let format = [
        "ls",
        "--format",
        "{{.Address}} {{.ContainerName}}",
        "-f",
        "container=two",
    ];
    assert_eq!(berth(&lab, &format).ok(), "10.77.0.20 two");
    let whole = [
        "ls",
        "--no-trunc",
        "--noheading",
        "--filter",
        "address=10.77.0.2",
    ];
    assert!(berth(&lab, &whole).ok().contains(&id));
    assert!(!table.contains('\u{1b}'), "no colour but on a terminal");
}

#[test]
fn a_list_is_coloured_on_a_terminal() {
    let (lab, _) = scene();
    let typed = |env: &str| {
        let line = format!("{env} TERM=xterm berth list");
        lab.cmd("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .ok()
    };
    assert!(typed("").contains("\u{1b}["));
    assert!(!typed("NO_COLOR=1").contains("\u{1b}["));
}

#[test]
fn everything_is_told_with_the_evidence() {
    let (lab, network) = scene();
    let ghost = json(&lab, &["inspect", "10.77.0.99"]);
    assert_eq!(ghost.as_array().map(Vec::len), Some(1));
    let (ghost, lease) = (&ghost[0], &ghost[0]["lease"]);
    assert_eq!(
        (&ghost["type"], &ghost["state"]),
        (&"address".into(), &"dead".into())
    );
    assert_eq!(
        lease["request"]["network_options"]["static_ips"][0],
        "10.77.0.99"
    );
    let evidence = &lease["evidence"];
    assert_eq!(
        evidence["inhabitants"],
        Value::Array(vec![]),
        "{evidence:#}"
    );
    assert_eq!(evidence["namespace"]["now"], "as it was");
    assert_eq!(evidence["same_boot"], true);

    let all = json(&lab, &["inspect", "two", "stopped"]);
    let (two, stopped) = (&all[0], &all[1]);
    assert_eq!(
        (&two["type"], &two["container_name"]),
        (&"container".into(), &"two".into())
    );
    let evidence = &two["leases"][0]["evidence"];
    let pid = lab.pid("two");
    assert_eq!(evidence["inhabitants"][0]["pid"], pid);
    let interfaces = evidence["interfaces"].as_array().expect("a list").iter();
    let eth0 = interfaces.clone().find(|link| link["name"] == "eth0");
    assert_eq!(eth0.expect("an eth0")["addresses"][0], "10.77.0.20");
    assert_eq!(stopped["leases"], Value::Array(vec![]));
    assert_eq!(stopped["reservations"][0]["address"], "10.77.0.50");
    let id = two["container_id"].as_str().expect("an id");
    assert_eq!(
        json(&lab, &["inspect", &id[..12]])[0]["container_name"],
        "two"
    );

    let of_network = json(&lab, &["inspect", "n"]);
    let (whole, subnet) = (&of_network[0], &of_network[0]["subnets"][0]);
    assert_eq!(
        (&whole["type"], &whole["id"]),
        (&"network".into(), &network.id.clone().into())
    );
    assert_eq!(whole["plumbing"], "bridge");
    let counts = [&subnet["addresses"], &subnet["leasable"], &subnet["free"]];
    assert_eq!(counts, [256, 232, 228]);
    assert_eq!(
        (&subnet["states"]["live"], &subnet["states"]["dead"]),
        (&2.into(), &1.into())
    );
    assert_eq!(whole["addresses"].as_array().map(Vec::len), Some(5));

    let words = ["inspect", "--format", "{{.State}}: {{.Reason}}"];
    let said = |address| berth(&lab, &words).arg(address).ok();
    assert_eq!(
        said("10.77.0.1"),
        "gateway: it is the gateway of 10.77.0.0/24"
    );
    assert_eq!(said("10.77.0.77"), "free: the next container may get it");
    assert_eq!(
        said("10.77.0.201"),
        "excluded: the network's option ipam_exclude names it"
    );
    refused(
        &lab,
        &["inspect", "--format", "{{.State}}", "nobody"],
        1,
        "berth knows no container and no network \"nobody\"; `berth list --all` shows what it \
         knows",
    );
    refused(
        &lab,
        &["inspect", "--format", "{{.State}}", "10.99.0.1"],
        1,
        "no network of berth's covers 10.99.0.1; `berth list --all` shows what berth knows",
    );
    let some = berth(
        &lab,
        &["inspect", "--format={{.State}}", "10.77.0.99", "nobody"],
    )
    .run();
    assert_eq!(
        (some.status.code(), &*some.stdout),
        (Some(1), "dead\n"),
        "{some}"
    );
}

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

#[test]
fn a_map_shows_every_address() {
    let (lab, _) = scene();
    berth(&lab, &["reserve", "10.77.0.30", "--network=n", "--for=web"]).ok();
    let text = berth(&lab, &["map", "n"]).env("COLUMNS", "100").ok();
    assert_eq!(
        text,
        "\
10.77.0.0/24 on network n

10.77.0.0    -G█····· ········ ····█··· ······R· ········ ········ ··~····· ········
10.77.0.64   ········ ········ ········ ········ ···×···· ········ ········ ········
10.77.0.128  ········ ········ ········ ········ ········ ········ ········ ········
10.77.0.192  ········ -------- -------- -----··· ········ ········ ········ ·······-

█ 2 live   × 1 dead   ~ 1 cooling down   R 1 reserved   G 1 gateway   - 23 excluded   · 227 free
256 addresses, 231 to lease: 3 leased (1%), 227 free"
    );
    let map = json(&lab, &["map", "--format=json", "n"]);
    let subnet = &map["subnets"][0];
    assert_eq!(
        (&subnet["cell_prefix"], &subnet["free"]),
        (&32.into(), &227.into())
    );
    let cell = &subnet["rows"][3]["cells"][3];
    assert_eq!(
        (&cell["first"], &cell["state"]),
        (&"10.77.0.99".into(), &"dead".into())
    );
    assert_eq!(cell["who"][0], "10.77.0.99 dead ghost");

    let svg = berth(&lab, &["map", "--format=svg", "n"]).ok();
    assert!(
        svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" ") && svg.ends_with("</svg>")
    );
    assert!(svg.contains("<title>10.77.0.99 dead ghost</title>"));
    let html = berth(&lab, &["map", "--format=html", "n"]).ok();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"));
    assert!(html.contains("no process is in its namespace and nothing is starting it"));
    lab.write("/tmp/map.svg", &svg);
    let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])";
    lab.cmd("python3").args(["-c", parse, "/tmp/map.svg"]).ok();
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    refused(
        &lab,
        &["list", "--filter", "name=web"],
        2,
        "invalid filter \"name=web\": the keys are network, container, address and state",
    );
    let template = ["list", "--format", "{{range .}}"];
    refused(
        &lab,
        &template,
        2,
        "invalid format: berth does not know {{range .}}; it knows {{.Field}}, {{json .}} and \
         {{json .Field}}",
    );
    let release = |address: &str, message: &str| {
        refused(&lab, &["release", address, "--network", "n"], 1, message);
    };
    release(
        "10.77.0.9",
        "10.77.0.9 on network n is not leased: the next container may get it",
    );
    release(
        "10.77.0.1",
        "10.77.0.1 on network n is not leased: it is the gateway of 10.77.0.0/24",
    );
    release(
        "10.78.0.9",
        "network n does not cover 10.78.0.9; it has 10.77.0.0/24",
    );
    let reserve = |address: &str, comment: &str, code: i32, message: &str| {
        let words = ["reserve", address, "--network=n", "--comment", comment];
        refused(&lab, &words, code, message);
    };
    reserve(
        "10.77.0.9",
        "a;b",
        2,
        "invalid comment: it may have 200 characters, none of them ; or a control character",
    );
    let outside = "network n: invalid option ipam_reserve: 10.78.0.9 is not within a subnet of \
                   the network (10.77.0.0/24)";
    reserve("10.78.0.9", "x", 1, outside);
    let gateway = "network n: invalid option ipam_reserve: 10.77.0.1 cannot be reserved: it is \
                   the gateway of 10.77.0.0/24";
    reserve("10.77.0.1", "x", 1, gateway);
    lab.network(Driver::Bridge, "own", &[]);
    refused(
        &lab,
        &["reserve", "10.89.0.9", "--network=own", "--for=web"],
        1,
        "Podman itself leases the addresses of network own; `berth-migrate adopt own` moves it \
         to berth",
    );
    refused(
        &lab,
        &["map", "m"],
        1,
        "berth leases no addresses for a network \"m\"; `podman network ls` lists the networks",
    );
    refused(
        &lab,
        &["list", "--network", "m"],
        1,
        "berth leases no addresses for a network \"m\"; `podman network ls` lists the networks",
    );
}

#[test]
fn reading_makes_no_store() {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    assert_eq!(berth(&lab, &["list", "--noheading"]).ok(), "");
    assert_eq!(json(&lab, &["list", "--json"]), Value::Array(vec![]));
    json(&lab, &["inspect", "n"]);
    json(&lab, &["map", "--format", "json", "n"]);
    berth(&lab, &["release", "10.77.0.9", "--network=n"]).fails("is not leased");
    lab.cmd("test").args(["!", "-e", STATE]).ok();
}

#[test]
fn a_user_sees_their_own() {
    let root = Lab::start();
    let (lab, _) = populate(root.user());
    let table = berth(&lab, &["list", "--noheading"]).ok();
    assert_eq!(
        columns(&table, &[0, 3, 5]),
        [
            "10.77.0.2 one live",
            "10.77.0.20 two live",
            "10.77.0.99 ghost dead"
        ]
    );
    assert_eq!(
        json(&lab, &["inspect", "ghost"])[0]["leases"][0]["state"],
        "dead"
    );
    assert_eq!(berth(&root, &["list", "--quiet"]).ok(), "");
    berth(&lab, &["release", "10.77.0.99", "--network=n"]).ok();
    berth(&lab, &["reserve", "10.77.0.99", "--network=n", "--for=web"]).ok();
    let other = lab.container("other", &["n"]).ip("10.77.0.99");
    other.fails("is reserved on network n for container web");
    lab.remove("other");
    assert_eq!(
        berth(&lab, &["list", "--quiet"]).ok(),
        "10.77.0.2\n10.77.0.20"
    );
}
