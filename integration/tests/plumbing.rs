//! What addresses are needed for: ports, names, several networks, pods.

use std::time::Duration;

use berth_integration::versions::Behaviour;
use berth_integration::{Driver, Lab, ip, wait_until, with_each_driver};

with_each_driver!(
    a_published_port_is_reachable_from_the_host,
    containers_find_each_other_by_name,
    name_servers_are_changed_under_a_running_container,
    a_container_on_two_networks_has_an_interface_on_each,
    connect_and_disconnect_move_one_interface_only,
    reload_restores_the_firewall_and_keeps_the_addresses,
    a_pod_shares_one_address,
    an_internal_network_has_no_way_out,
    a_network_without_addresses_is_a_wire,
    a_macvlan_network_leads_to_its_parent,
    an_ipvlan_network_leads_to_its_parent,
    compose_brings_a_project_up_again_with_its_addresses,
);

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const OTHER: [&str; 2] = ["--subnet", "10.78.0.0/24"];

fn a_published_port_is_reachable_from_the_host(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    lab.container("web", &["n"])
        .option("--publish", "8080:80")
        .serving()
        .start();
    lab.assert_served("http://127.0.0.1:8080/");
    lab.assert_served("http://10.77.0.1:8080/");
    lab.assert_served("http://10.77.0.2/");
    lab.remove("web");
    lab.assert_clean(&network);
    lab.cmd("curl")
        .args(["-sS", "--max-time", "2", "http://127.0.0.1:8080/"])
        .fails("curl: (7)");
}

fn containers_find_each_other_by_name(driver: Driver) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--ipv6", "--subnet", "fd77::/64"]].concat();
    let network = lab.network(driver, "n", &options);
    let web = lab
        .container("web", &["n"])
        .option("--network-alias", "www")
        .serving()
        .start();
    lab.container("client", &["n"]).start();
    for name in ["web", "www", &web.id[..12]] {
        lab.assert_served_to("client", &format!("http://{name}/"));
    }
    let names = lab.podman(["exec", "client", "nslookup", "web"]).run();
    assert!(names.stdout.contains("10.77.0.2"), "{names}");
    assert!(names.stdout.contains("fd77::2"), "{names}");
    lab.remove("web");
    assert_eq!(lab.dns_entries("n").get("web"), None);
    lab.remove("client");
    lab.assert_clean(&network);
}

/// They are changed by `podman network update`, which does not tell plugins.
fn name_servers_are_changed_under_a_running_container(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    lab.container("c", &["n"]).start();
    lab.write("/tmp/name_server.py", include_str!("name_server.py"));
    for [server, answer] in [["127.0.0.53", "192.0.2.53"], ["127.0.0.54", "192.0.2.54"]] {
        let script = ["/tmp/name_server.py", server, answer];
        lab.cmd("python3").args(script).ok();
    }
    let answer = || {
        let ask = ["@10.77.0.1", "+short", "+time=1", "+tries=1", "far.example"];
        let said = lab.inside("c", "dig").args(ask).run();
        said.stdout.trim_end().to_owned()
    };
    let wait_for = |expected: &str| {
        let what = format!("the answer {expected}");
        wait_until(&what, Duration::from_secs(10), || {
            (answer() == expected).then_some(())
        });
    };
    let update = |options: &[&str]| {
        let update = lab.podman(["network", "update", "n"]);
        update.args(options).ok();
    };
    assert!(!answer().starts_with("192.0.2."), "nobody was told yet");
    update(&["--dns-add=127.0.0.53"]);
    wait_for("192.0.2.53");
    // A setup and a restart keep the name server.
    lab.container("late", &["n"]).start();
    lab.podman(["restart", "--time=0", "c"]).ok();
    wait_for("192.0.2.53");
    update(&["--dns-add=127.0.0.54", "--dns-drop=127.0.0.53"]);
    wait_for("192.0.2.54");
    assert_eq!(lab.addresses("c", "eth0").len(), 1);
    assert_eq!(lab.dns_entries("n").len(), 4, "two names for each");
    lab.remove("late");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_container_on_two_networks_has_an_interface_on_each(driver: Driver) {
    let lab = Lab::start();
    let one = lab.network(driver, "one", &SUBNET);
    let two = lab.network(driver, "two", &OTHER);
    // Without interface names, Podman gives eth0 to either network.
    let networks = [
        "one:ip=10.77.0.9,interface_name=in1",
        "two:interface_name=in2",
    ];
    lab.container("c", &networks).start();
    assert_eq!(lab.addresses("c", "in1"), [ip("10.77.0.9")]);
    assert_eq!(lab.addresses("c", "in2"), [ip("10.78.0.2")]);
    lab.remove("c");
    lab.assert_clean(&one);
    lab.assert_clean(&two);
}

fn connect_and_disconnect_move_one_interface_only(driver: Driver) {
    let lab = Lab::start();
    let one = lab.network(driver, "one", &SUBNET);
    let two = lab.network(driver, "two", &OTHER);
    lab.container("c", &["one"]).serving().start();
    lab.container("client", &["two"]).start();
    let connect = ["network", "connect", "--ip=10.78.0.99", "two", "c"];
    lab.podman(connect).ok();
    assert_eq!(lab.addresses("c", "eth1"), [ip("10.78.0.99")]);
    lab.assert_served_to("client", "http://c/");
    lab.podman(["network", "disconnect", "two", "c"]).ok();
    let links = lab.links_inside("c");
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!(lab.addresses("c", "eth0"), [ip("10.77.0.2")]);
    assert_eq!(lab.dns_entries("two").get("c"), None);
    // The address that it had is free again.
    lab.podman(connect).ok();
    assert_eq!(lab.addresses("c", "eth1"), [ip("10.78.0.99")]);
    lab.remove("client");
    lab.remove("c");
    lab.assert_clean(&one);
    lab.assert_clean(&two);
}

fn reload_restores_the_firewall_and_keeps_the_addresses(driver: Driver) {
    let lab = Lab::start();
    let options = [&SUBNET[..], &["--ipv6", "--subnet", "fd77::/64"]].concat();
    let network = lab.network(driver, "n", &options);
    lab.container("web", &["n"])
        .option("--publish", "8080:80")
        .serving()
        .start();
    lab.assert_served("http://127.0.0.1:8080/");
    let before = lab.addresses("web", "eth0");
    lab.cmd("nft").args(["flush", "ruleset"]).ok();
    let refused = lab.does(Behaviour::PublishedPortsAreHeldByNobody);
    lab.cmd("curl")
        .args(["-sS", "--max-time", "2", "http://127.0.0.1:8080/"])
        .fails(if refused { "curl: (7)" } else { "curl: (28)" });
    for _ in 0..2 {
        lab.podman(["network", "reload", "web"]).ok();
        lab.assert_served("http://127.0.0.1:8080/");
        assert_eq!(lab.addresses("web", "eth0"), before);
    }
    lab.remove("web");
    lab.assert_clean(&network);
}

fn a_pod_shares_one_address(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    lab.podman([
        "pod",
        "create",
        "--name=p",
        "--network=n",
        "--ip=10.77.0.50",
    ])
    .args(["--publish=8080:80", "--infra-image=lab"])
    .args(["--infra-command", "sleep inf"])
    .ok();
    lab.podman(["run", "--detach", "--pod=p", "--name=web", "lab"])
        .args(berth_integration::web::HTTPD)
        .ok();
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.50")]);
    lab.assert_served("http://127.0.0.1:8080/");
    lab.podman(["pod", "stop", "--time=0", "p"]).ok();
    lab.podman(["pod", "start", "p"]).ok();
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.50")]);
    lab.podman(["pod", "rm", "--force", "--time=0", "p"]).ok();
    lab.assert_clean(&network);
}

fn an_internal_network_has_no_way_out(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &["--internal", "--subnet", "10.77.0.0/24"]);
    lab.container("web", &["n"]).serving().start();
    lab.container("client", &["n"]).start();
    assert_eq!(lab.addresses("client", "eth0"), [ip("10.77.0.3")]);
    let routes = lab.inside("client", "ip").args(["route"]).ok();
    assert!(!routes.contains("default"), "{routes}");
    lab.assert_served_to("client", "http://web/");
    lab.remove("web");
    lab.remove("client");
    lab.assert_clean(&network);
}

fn a_network_without_addresses_is_a_wire(driver: Driver) {
    let lab = Lab::start();
    if driver == Driver::HostWide {
        lab.host_wide();
    }
    lab.podman(["network", "create", "--ipam-driver=none"])
        .args(["--driver", &driver.to_string(), "n"])
        .ok();
    let network = lab.inspect_network("n");
    assert!(network.subnets.is_empty(), "{network:?}");
    for (name, address) in [("a", "10.77.0.8/24"), ("b", "10.77.0.9/24")] {
        lab.container(name, &["n"])
            .option("--cap-add", "net_admin,net_raw")
            .start();
        assert!(
            lab.addresses(name, "eth0").is_empty(),
            "nobody gives it one"
        );
        lab.podman(["exec", name, "ip", "addr", "add", address, "dev", "eth0"])
            .ok();
    }
    lab.podman(["exec", "a", "ping", "-c1", "-W2", "10.77.0.9"])
        .ok();
    lab.podman(["restart", "--time=0", "b"]).ok();
    assert!(lab.addresses("b", "eth0").is_empty());
    lab.cmd("berth").arg("gc").ok();
    lab.podman(["exec", "a", "ip", "link", "show", "eth0"]).ok();
    lab.remove("a");
    lab.remove("b");
    lab.assert_clean(&network);
}

fn a_macvlan_network_leads_to_its_parent(driver: Driver) {
    leads_to_its_parent(driver, "macvlan");
}

fn an_ipvlan_network_leads_to_its_parent(driver: Driver) {
    leads_to_its_parent(driver, "ipvlan");
}

/// If the kernel lacks the driver, `requests.rs` still shows what is asked of netavark.
fn leads_to_its_parent(driver: Driver, plumbing: &str) {
    let lab = Lab::start();
    // A wire: what the container sends into `near` arrives at `far`.
    lab.sh("ip link add near type veth peer name far
        ip link set near up
        ip link set far up
        ip address add 10.77.0.1/24 dev far");
    let probe = ["link", "add", "probe", "link", "near", "type", plumbing];
    let probe = lab.cmd("ip").args(probe).run();
    if !probe.status.success() {
        assert!(probe.stderr.contains("Unknown device type"), "{probe}");
        return;
    }
    lab.cmd("ip").args(["link", "delete", "probe"]).ok();
    let create = lab.podman(["network", "create", "--opt=parent=near", "--opt=mtu=1400"]);
    let create = match driver {
        Driver::Bridge | Driver::HostWide => create.args(["--driver", plumbing]),
        Driver::Berth => {
            let plumbing = format!("driver={plumbing}");
            create.args(["--driver", "berth", "--opt", &plumbing])
        }
    };
    create.args(SUBNET).arg("n").ok();
    if driver == Driver::HostWide {
        lab.host_wide();
    }
    let network = lab.inspect_network("n");
    lab.container("web", &["n"])
        .ip("10.77.0.99")
        .serving()
        .start();
    lab.container("dynamic", &["n"]).start();
    assert_eq!(lab.addresses("web", "eth0"), [ip("10.77.0.99")]);
    assert_eq!(lab.addresses("dynamic", "eth0"), [ip("10.77.0.2")]);
    assert_eq!(lab.links_inside("web")[0].kind(), plumbing);
    lab.assert_served("http://10.77.0.99/");
    lab.remove("web");
    lab.remove("dynamic");
    lab.assert_clean(&network);
}

fn compose_brings_a_project_up_again_with_its_addresses(driver: Driver) {
    let lab = Lab::start();
    lab.write_project(driver);
    for _ in 0..2 {
        lab.compose(&["up", "--detach"]);
        let network = lab.inspect_network("project_net");
        assert_eq!(lab.addresses("project_web_1", "eth0"), [ip("10.77.0.10")]);
        assert_eq!(
            lab.addresses("project_client_1", "eth0"),
            [ip("10.77.0.11")]
        );
        lab.assert_served("http://127.0.0.1:8080/");
        lab.assert_served_to("project_client_1", "http://web/");
        lab.compose(&["down", "--timeout=0"]);
        lab.assert_clean(&network);
    }
}

/// As when someone empties the directory to start from scratch.
#[test]
fn a_name_server_whose_files_were_removed_keeps_nobody_from_starting() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("a", &["n"]).start();
    lab.sh("rm -rf /run/containers/networks");
    lab.podman(["rm", "--force", "--time=0", "a"]).run();
    let orphan = lab.sh("pgrep -x aardvark-dns");
    let said = lab.cmd("berth").arg("doctor").run();
    let problem = format!(
        "aardvark-dns (pid {}) serves no names any more",
        orphan.trim()
    );
    assert!(said.stdout.contains(&problem), "{said}");
    lab.container("b", &["n"]).start();
    lab.podman(["exec", "b", "nslookup", "b"]).ok();
    assert_ne!(lab.sh("pgrep -x aardvark-dns"), orphan);
    lab.remove("b");
    lab.assert_clean(&network);
}

#[test]
fn an_interface_called_as_the_loopback_is_refused_in_one_line() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
    let refused = lab
        .container("c", &["n:interface_name=lo"])
        .fails("network n: a container's interface cannot be called lo");
    assert!(!refused.stderr.contains("WARN"), "{refused}");
    lab.podman(["rm", "--force", "--ignore", "c"]).ok();
    lab.assert_clean(&network);
}

/// netavark leaves such a port if it is killed after it has forgotten the port.
#[test]
fn a_port_that_leads_to_nobody_is_told_with_the_command_that_ends_it() {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
    let run = lab.container("a", &["n"]);
    run.option("--publish", "8080:80").start();
    let doctor = || lab.cmd("berth").arg("doctor").run();
    let problem = "a published port leads to 10.77.0.200 on network n, which no container has";
    assert!(!doctor().stdout.contains("published port leads"));
    lab.sh(
        "chain=$(nft list ruleset | grep -o 'chain nv_[^ ]*_dnat' | cut -d' ' -f2)
        nft add rule inet netavark $chain tcp dport 8081 dnat ip to 10.77.0.200:80",
    );
    let said = doctor();
    let line = said.stdout.lines().find(|line| line.contains(problem));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let command = &line[line.find("nft delete").expect("a command")..];
    lab.sh(command);
    assert!(!doctor().stdout.contains("published port leads"));
    lab.remove("a");
    lab.assert_clean(&network);
}
