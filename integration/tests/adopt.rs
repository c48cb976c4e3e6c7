//! Networks move to berth and back while their containers run.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use berth_integration::{Driver, Lab, Network, outage::Death, wait_until};

const BOUND: Duration = Duration::from_secs(10);
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const OTHER: [&str; 2] = ["--subnet", "10.78.0.0/24"];
const HTTPD: [&str; 6] = ["httpd", "-f", "-p", "80", "-h", "/www"];
const PAGE: &str = "hello from the lab";
const DIRECTORY: &str = "/etc/containers/networks";

fn ip(address: &str) -> IpAddr {
    address.parse().expect("it is an address")
}

/// Runs `berth-migrate VERB … --yes`.
#[track_caller]
fn migrate(lab: &Lab, words: &[&str]) -> String {
    lab.cmd("berth-migrate").args(words).arg("--yes").ok()
}

/// Returns all of Podman's own allocation.
#[track_caller]
fn allocation(lab: &Lab) -> String {
    lab.cmd("berth-migrate").arg("dump").ok()
}

#[track_caller]
fn assert_served(lab: &Lab, fetch: &[&str]) {
    wait_until(&format!("the page by {fetch:?}"), BOUND, || {
        let got = lab.cmd(fetch[0]).args(&fetch[1..]).run();
        (got.stdout.trim_end() == PAGE).then_some(())
    });
}

/// Asserts that a published port and a name lead to `web`.
#[track_caller]
fn assert_web_is_served(lab: &Lab, client: &str) {
    // With any driver of Podman's, a restarted container has its address with another MAC
    // address, of which those who have just spoken to it hear after half a minute.
    let flush = ["neighbour", "flush", "all"];
    lab.beside_bridges("ip").args(flush).ok();
    lab.inside(client, "ip").args(flush).ok();
    let by_port = ["curl", "-sS", "--max-time", "2", "http://127.0.0.1:8080/"];
    let words = ["podman", "exec", client];
    let wget = ["wget", "-q", "-T", "2", "-O", "-", "http://web/"];
    assert_served(lab, &by_port);
    assert_served(lab, &[&words[..], &wget].concat());
}

/// Returns a lab with a dual-stack network of Podman's own, a container with a published
/// port and an address of its choice, and one without.
#[track_caller]
fn busy(lab: Lab) -> (Lab, Network) {
    let six = ["--ipv6", "--subnet", "fd77::/64"];
    let network = lab.network(Driver::Bridge, "n", &[&SUBNET[..], &six].concat());
    lab.container("web", &["n"])
        .ip("10.77.0.50")
        .option("--publish", "8080:80")
        .command(&HTTPD)
        .start();
    lab.container("client", &["n"]).start();
    assert_web_is_served(&lab, "client");
    (lab, network)
}

/// Asserts that containers of an adopted network live on as any of berth's, then removes
/// all.
#[track_caller]
fn assert_all_goes_on(lab: &Lab, network: &Network) {
    let reported = lab.podman(["network", "inspect", "n"]).ok();
    assert!(reported.contains(r#""driver": "berth""#), "{reported}");
    assert!(!allocation(lab).contains(r#""n""#));
    assert_web_is_served(lab, "client");
    let thief = lab.container("thief", &["n"]).ip("10.77.0.50");
    thief.fails("(name web, ");
    lab.podman(["rm", "--force", "thief"]).ok();
    lab.container("new", &["n"]).start();
    let new = lab.addresses("new", "eth0")[0];
    assert!(new != ip("10.77.0.2") && new != ip("10.77.0.50"), "{new}");
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

/// Asserts that containers of a network that was rolled back live on as any of Podman's,
/// then removes all.
#[track_caller]
fn assert_podman_serves(lab: &Lab, network: &Network) {
    assert!(lab.leases(network).of(network).is_empty());
    assert_web_is_served(lab, "client");
    let thief = lab.container("thief", &["n"]).ip("10.77.0.50");
    thief.fails("IPAM error: requested ip address 10.77.0.50 is already allocated");
    lab.podman(["rm", "--force", "thief"]).ok();
    lab.container("new", &["n"]).start();
    let new = lab.addresses("new", "eth0")[0];
    assert!(new != ip("10.77.0.2") && new != ip("10.77.0.50"), "{new}");
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
fn adopted_containers_live_on_as_any() {
    let (lab, network) = busy(Lab::start());
    let plan = lab
        .cmd("berth-migrate")
        .args(["adopt", "n", "--dry-run"])
        .ok();
    assert!(plan.contains("10.77.0.50 (static), fd77::2  web"), "{plan}");
    lab.cmd("berth-migrate")
        .args(["adopt", "n"])
        .fails("standard input is no terminal");
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
fn rolled_back_containers_live_on_as_any_of_podmans() {
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
    // And so with a file that has to be made again.
    let (lab, network) = busy(Lab::start());
    migrate(&lab, &["adopt", "n"]);
    lab.sh("rm /run/containers/networks/ipam.db");
    migrate(&lab, &["rollback", "n"]);
    assert_podman_serves(&lab, &network);
}

#[test]
fn what_was_changed_meanwhile_is_kept_by_a_rollback() {
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
        .command(&HTTPD)
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
fn the_default_network_is_moved_though_only_podmans_memory_has_it() {
    let lab = Lab::start();
    lab.container("c", &[]).start();
    let before = lab.addresses("c", "eth0");
    assert!(lab.names(DIRECTORY).is_empty());
    migrate(&lab, &["adopt", "--all"]);
    let network = lab.inspect_network("podman");
    assert_eq!(lab.leases(&network).of(&network).len(), 1);
    assert!(lab.names(DIRECTORY).contains(&"podman.json".to_owned()));
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), before);
    lab.container("new", &[]).start();
    assert_ne!(lab.addresses("new", "eth0"), before);
    lab.podman(["network", "inspect", "podman"]).ok();
    migrate(&lab, &["rollback", "--all"]);
    assert_eq!(lab.names(DIRECTORY), [] as [&str; 0]);
    assert_eq!(lab.allocated("podman").len(), 2);
    lab.podman(["restart", "--time=0", "c"]).ok();
    lab.remove("new");
    lab.remove("c");
    assert_eq!(lab.allocated("podman"), [] as [IpAddr; 0]);
    lab.assert_clean(&network);
}

#[test]
fn one_of_a_containers_networks_is_moved_and_then_a_pods() {
    let lab = Lab::start();
    let one = lab.network(Driver::Bridge, "one", &SUBNET);
    let two = lab.network(Driver::Bridge, "two", &OTHER);
    lab.container(
        "c",
        &[
            "one:interface_name=in1",
            "two:ip=10.78.0.9,interface_name=in2",
        ],
    )
    .start();
    let pod = [
        "pod",
        "create",
        "--name=pod",
        "--network=two",
        "--infra-image=lab",
    ];
    lab.podman(pod).ok();
    lab.podman(["run", "-d", "--pod=pod", "--name=member", "lab"])
        .ok();
    migrate(&lab, &["adopt", "two"]);
    let leases = lab.leases(&two).of(&two);
    assert_eq!(leases.len(), 2, "{leases:?}");
    assert_eq!(lab.allocated("one"), [ip("10.77.0.2")]);
    assert_eq!(lab.allocated("two"), [] as [IpAddr; 0]);
    lab.podman(["restart", "--time=0", "c"]).ok();
    assert_eq!(lab.addresses("c", "in2"), [ip("10.78.0.9")]);
    lab.podman(["pod", "restart", "pod"]).ok();
    migrate(&lab, &["adopt", "one"]);
    migrate(&lab, &["rollback", "two"]);
    assert_eq!(lab.allocated("two").len(), 2);
    lab.podman(["pod", "restart", "pod"]).ok();
    lab.podman(["restart", "--time=0", "c"]).ok();
    lab.podman(["pod", "rm", "--force", "--time=0", "pod"]).ok();
    lab.remove("c");
    lab.assert_clean(&one);
    lab.assert_clean(&two);
    assert_eq!(lab.allocated("two"), [] as [IpAddr; 0]);
}

#[test]
fn a_compose_project_is_moved_and_brought_down_and_up() {
    let lab = Lab::start();
    let file = "/srv/project/compose.yaml";
    lab.write(
        file,
        &format!(
            "services:
  web:
    image: lab
    command: {HTTPD:?}
    ports: ['8080:80']
    networks:
      net: {{ipv4_address: 10.77.0.10}}
  client:
    image: lab
    networks: [net]
networks:
  net:
    ipam:
      config: [{{subnet: 10.77.0.0/24}}]
"
        ),
    );
    let compose = |words: &[&str]| {
        let command = lab.cmd("podman-compose").args(["--file", file]);
        command.args(words).ok()
    };
    let assert_served = || assert_web_is_served(&lab, "project_client_1");
    compose(&["up", "--detach"]);
    assert_served();
    let said = migrate(&lab, &["adopt", "project_net"]);
    assert!(said.contains("10.77.0.10 (static)"), "{said}");
    assert_served();
    compose(&["stop", "--timeout=0"]);
    compose(&["start"]);
    assert_served();
    let network = lab.inspect_network("project_net");
    let leases = lab.leases(&network).of(&network);
    assert_eq!(leases.len(), 2, "{leases:?}");
    compose(&["down", "--timeout=0"]);
    lab.assert_clean(&network);
    compose(&["up", "--detach"]);
    assert_served();
    migrate(&lab, &["adopt", "--all"]);
    migrate(&lab, &["rollback", "--all"]);
    assert_served();
    compose(&["down", "--timeout=0"]);
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

/// Returns a lab with networks of these kinds, each with a container.
#[track_caller]
fn kinds(names: &[&str]) -> Lab {
    let lab = Lab::start();
    lab.sh("for parent in near by; do
          ip link add $parent type veth peer name far-$parent
          ip link set $parent up; ip link set far-$parent up
        done
        ip route add default dev by");
    for name in names {
        let options: &[&str] = match *name {
            "up" => &SUBNET,
            "down" => &OTHER,
            "gone" => &["--subnet=10.79.0.0/24"],
            "parented" => &[
                "--driver=macvlan",
                "--opt=parent=near",
                "--subnet=10.80.0.0/24",
            ],
            "without" => &["--driver=macvlan", "--subnet=10.81.0.0/24"],
            _ => continue,
        };
        lab.podman(["network", "create"])
            .args(options)
            .arg(name)
            .ok();
    }
    for name in names {
        lab.container(name, &[name]).start();
    }
    lab
}

const KINDS: [(&str, &str); 6] = [
    ("up", "10.77.0.2"),
    ("down", "10.78.0.2"),
    ("gone", "10.79.0.2"),
    ("parented", "10.80.0.2"),
    ("without", "10.81.0.2"),
    ("podman", "10.88.0.2"),
];

/// Changes nothing but the networks' files, as by a kill after the first step. The store
/// has been surveyed before.
#[track_caller]
fn die_after_the_first_step(lab: &Lab) {
    migrate(lab, &["adopt", "--all"]);
    lab.sh(&format!("cp -r {DIRECTORY} /tmp/adopted"));
    migrate(lab, &["rollback", "--all"]);
    lab.sh(&format!(
        "mkdir -p {DIRECTORY}; cp /tmp/adopted/*.json {DIRECTORY}/"
    ));
}

/// Asserts that whoever starts next does not get what a running container has.
#[track_caller]
fn assert_nobody_gets(lab: &Lab, name: &str, address: &str) {
    lab.container("guest", &[name]).start();
    let guest = lab.addresses("guest", "eth0");
    assert_ne!(guest, [ip(address)], "on {name}");
    lab.remove("guest");
}

#[test]
fn killed_after_the_first_step_every_kind_of_network_is_adopted_by_the_next_start() {
    for (name, address) in KINDS {
        let lab = kinds(&[name]);
        die_after_the_first_step(&lab);
        let bridge = lab.inspect_network(name).interface;
        match name {
            "down" => lab.sh(&format!("ip link set {bridge} down")),
            "gone" => lab.sh(&format!("ip link delete {bridge}")),
            _ => String::new(),
        };
        assert_nobody_gets(&lab, name, address);
        migrate(&lab, &["adopt", "--all"]);
        assert_eq!(allocation(&lab), "{}");
        lab.cmd("berth").arg("doctor").ok();
    }
}

#[test]
fn killed_after_the_first_step_every_kind_of_network_is_adopted_by_a_collection() {
    let lab = kinds(&KINDS.map(|(name, _)| name));
    die_after_the_first_step(&lab);
    let said = lab.cmd("berth").arg("gc").ok();
    assert!(said.contains("6 live"), "{said}");
    for (name, address) in KINDS {
        assert_nobody_gets(&lab, name, address);
    }
    migrate(&lab, &["adopt", "--all"]);
    assert_eq!(allocation(&lab), "{}");
    for (name, _) in KINDS {
        lab.remove(name);
    }
}

#[test]
fn macvlan_networks_are_moved_and_rolled_back() {
    let lab = kinds(&["parented", "without"]);
    for verb in ["adopt", "rollback", "adopt"] {
        migrate(&lab, &[verb, "parented", "without"]);
        for (name, _) in &KINDS[3..5] {
            let address = lab.addresses(name, "eth0")[0].to_string();
            lab.container("thief", &[name])
                .ip(&address)
                .fails("is already allocated to container ID");
            lab.podman(["rm", "--force", "thief"]).ok();
            lab.podman(["restart", "--time=0", name]).ok();
        }
    }
}

#[test]
fn a_cursor_goes_on_where_it_was() {
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
fn what_the_dead_have_on_record_is_not_taken_along() {
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
fn a_second_adoption_and_one_beside_it_do_no_harm() {
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
fn the_store_of_another_boot_is_no_obstacle() {
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
