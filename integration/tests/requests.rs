//! berth asks of netavark exactly what Podman itself would ask.
//!
//! Every option of a network and of a container goes through berth on its way to
//! netavark. Each case here is run twice with a netavark that only records: once with
//! Podman's own driver, and once with berth. The two requests must agree, for setup and for
//! teardown, except for the container's and the network's id.

use berth_integration::{Driver, Lab};

/// A network and a container on it.
struct Case {
    /// The network's netavark driver.
    plumbing: &'static str,
    /// Options for `podman network create`.
    network: &'static str,
    /// Options for `podman run`.
    container: &'static str,
}

/// Asserts that berth's requests for a case are Podman's own.
#[track_caller]
fn check(case: &Case) {
    let [ours, podmans] = [Driver::Berth, Driver::Bridge].map(|driver| requests(driver, case));
    for (verb, (ours, podmans)) in ["setup", "teardown"].iter().zip(ours.iter().zip(&podmans)) {
        assert!(ours == podmans, "{verb}:\n{}", difference(podmans, ours));
    }
}

/// Returns the lines of each of two texts that the other lacks, in their order.
fn difference(before: &str, after: &str) -> String {
    let lacking = |mark: &str, text: &str, other: &str| {
        let other: Vec<_> = other
            .lines()
            .map(|line| line.trim_end_matches(','))
            .collect();
        let lines = text.lines().map(|line| line.trim_end_matches(','));
        lines
            .filter(|line| !other.contains(line))
            .map(|line| format!("{mark} {line}\n"))
            .collect::<String>()
    };
    lacking("-", before, after) + &lacking("+", after, before)
}

/// Returns the setup and the teardown request.
#[track_caller]
fn requests(driver: Driver, case: &Case) -> [String; 2] {
    let lab = Lab::start();
    lab.sh("ip link add near type veth peer name far; ip link set near up; ip link set far up");
    lab.record_requests(driver);
    let create = lab.podman(["network", "create"]);
    let create = match driver {
        Driver::Bridge | Driver::HostWide => create.args(["--driver", case.plumbing]),
        Driver::Berth if case.plumbing == "bridge" => create.args(["--driver", "berth"]),
        Driver::Berth => {
            let plumbing = format!("driver={}", case.plumbing);
            create.args(["--driver", "berth", "--opt", &plumbing])
        }
    };
    // By default, each driver chooses another name for a bridge.
    let named = ["--interface-name", "bridge9"].into_iter();
    create
        .args(named.filter(|_| case.plumbing == "bridge" && !case.network.contains("interface")))
        .args(case.network.split_whitespace())
        .arg("n")
        .ok();
    lab.podman(["run", "--detach", "--name=c"])
        .args(case.container.split_whitespace())
        .arg("lab")
        .ok();
    let setup = lab.recorded("setup");
    lab.remove("c");
    [setup, lab.recorded("teardown")]
}

#[test]
fn of_a_plain_bridge() {
    check(&Case {
        plumbing: "bridge",
        network: "",
        container: "--network=n",
    });
}

#[test]
fn of_a_bridge_with_every_option() {
    check(&Case {
        plumbing: "bridge",
        network: "--subnet=10.77.0.0/24 --gateway=10.77.0.254 --ip-range=10.77.0.64/26
            --ipv6 --subnet=fd77::/64 --interface-name=quay0 --label=a=b --dns=10.77.0.53
            --route=10.99.0.0/16,10.77.0.9,77
            --opt=mtu=1400 --opt=vlan=5 --opt=isolate=strict --opt=metric=50 --opt=vrf=blue
            --opt=no_default_route=true",
        container:
            "--network=n:ip=10.77.0.9,ip6=fd77::9,mac=02:00:00:00:00:99,interface_name=x0,host_interface_name=h0,alias=www
            --publish=8080:80 --publish=127.0.0.1:9090-9092:90-92/udp",
    });
}

#[test]
fn of_an_unmanaged_bridge() {
    check(&Case {
        plumbing: "bridge",
        network: "--subnet=10.77.0.0/24 --interface-name=quay0 --opt=mode=unmanaged",
        container: "--network=n",
    });
}

#[test]
fn of_an_internal_network() {
    check(&Case {
        plumbing: "bridge",
        network: "--internal --subnet=10.77.0.0/24",
        container: "--network=n",
    });
}

#[test]
fn of_a_network_without_dns() {
    check(&Case {
        plumbing: "bridge",
        network: "--disable-dns --subnet=10.77.0.0/24",
        container: "--network=n --ip=10.77.0.9",
    });
}

#[test]
fn of_a_network_with_only_ipv6() {
    check(&Case {
        plumbing: "bridge",
        network: "--ipv6 --subnet=fd77::/64",
        container: "--network=n --ip6=fd77::9",
    });
}

#[test]
fn of_two_subnets_of_one_family() {
    check(&Case {
        plumbing: "bridge",
        network: "--subnet=10.77.0.0/24 --subnet=10.78.0.0/24",
        container: "--network=n --ip=10.78.0.9",
    });
}

#[test]
fn of_macvlan() {
    check(&Case {
        plumbing: "macvlan",
        network: "--subnet=10.77.0.0/24 --opt=parent=near --opt=mode=bridge --opt=mtu=1400
            --opt=metric=9 --opt=bclim=-1 --opt=no_default_route=true",
        container: "--network=n:mac=02:00:00:00:00:99",
    });
}

#[test]
fn of_ipvlan() {
    check(&Case {
        plumbing: "ipvlan",
        network: "--subnet=10.77.0.0/24 --ipv6 --subnet=fd77::/64 --opt=parent=near --opt=mode=l3
            --opt=mtu=1400 --opt=metric=9",
        container: "--network=n --ip6=fd77::9",
    });
}
