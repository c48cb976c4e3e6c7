//! Which addresses containers get, read from the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;

use berth_integration::{Driver, Lab, ip, with_driver, with_each_driver};

with_each_driver!(
    the_first_container_gets_the_first_address_and_the_next_the_next,
    a_static_ipv4_address_is_granted,
    a_static_ipv6_address_is_granted,
    static_addresses_of_both_families_are_granted,
    a_container_on_a_dual_stack_network_gets_one_address_of_each_family,
    addresses_come_from_the_lease_range,
    a_restarted_container_keeps_its_static_address,
    a_full_network_refuses_until_a_container_goes,
    a_network_created_again_under_its_old_name_starts_afresh,
    twenty_containers_started_at_once_get_twenty_addresses,
    a_network_without_a_subnet_gets_one,
);

with_driver!(
    only_berth,
    Berth,
    several_static_addresses_of_a_subnet_are_granted,
    a_restarted_container_keeps_its_dynamic_address,
    a_container_that_was_stopped_comes_back_to_its_address,
    a_stopped_containers_static_address_is_kept_for_it,
    an_excluded_address_is_not_given_out,
    the_store_says_what_the_kernel_shows,
);

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const DUAL: [&str; 5] = [
    "--subnet",
    "10.77.0.0/24",
    "--ipv6",
    "--subnet",
    "fd77::/64",
];

/// Asserts which addresses the kernel shows in a container, and that Podman says so.
#[track_caller]
fn assert_addresses(lab: &Lab, container: &str, network: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|address| ip(address)).collect();
    assert_eq!(lab.addresses(container, "eth0"), expected, "in the kernel");
    assert_eq!(lab.reported(container, network), expected, "by Podman");
}

fn the_first_container_gets_the_first_address_and_the_next_the_next(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    lab.container("a", &["n"]).start();
    lab.container("b", &["n"]).start();
    assert_addresses(&lab, "a", "n", &["10.77.0.2"]);
    assert_addresses(&lab, "b", "n", &["10.77.0.3"]);
    // Round robin: an address that was just released is not given out next.
    lab.remove("a");
    lab.container("c", &["n"]).start();
    assert_addresses(&lab, "c", "n", &["10.77.0.4"]);
    lab.remove("b");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_static_ipv4_address_is_granted(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    lab.container("a", &["n"]).ip("10.77.0.99").start();
    assert_addresses(&lab, "a", "n", &["10.77.0.99"]);
    // A static address does not move the round robin.
    lab.container("b", &["n"]).start();
    assert_addresses(&lab, "b", "n", &["10.77.0.2"]);
    lab.remove("a");
    lab.remove("b");
    lab.assert_clean(&network);
}

fn a_static_ipv6_address_is_granted(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &DUAL);
    lab.container("a", &["n"]).ip6("fd77::99").start();
    assert_addresses(&lab, "a", "n", &["10.77.0.2", "fd77::99"]);
    lab.remove("a");
    lab.assert_clean(&network);
}

fn static_addresses_of_both_families_are_granted(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &DUAL);
    let both = lab.container("a", &["n"]).ip("10.77.0.99").ip6("fd77::99");
    both.start();
    assert_addresses(&lab, "a", "n", &["10.77.0.99", "fd77::99"]);
    lab.remove("a");
    // Once given back, they can be asked for at once.
    let both = lab.container("b", &["n"]).ip("10.77.0.99").ip6("fd77::99");
    both.start();
    assert_addresses(&lab, "b", "n", &["10.77.0.99", "fd77::99"]);
    lab.remove("b");
    lab.assert_clean(&network);
}

fn several_static_addresses_of_a_subnet_are_granted(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let several = lab.container("a", &["n:ip=10.77.0.10,ip=10.77.0.11"]);
    several.start();
    let addresses = lab.addresses("a", "eth0");
    assert_eq!(addresses, [ip("10.77.0.10"), ip("10.77.0.11")]);
    lab.remove("a");
    lab.assert_clean(&network);
}

fn a_container_on_a_dual_stack_network_gets_one_address_of_each_family(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &DUAL);
    lab.container("a", &["n"]).start();
    lab.container("b", &["n"]).start();
    assert_addresses(&lab, "a", "n", &["10.77.0.2", "fd77::2"]);
    assert_addresses(&lab, "b", "n", &["10.77.0.3", "fd77::3"]);
    lab.remove("a");
    lab.remove("b");
    lab.assert_clean(&network);
}

fn addresses_come_from_the_lease_range(driver: Driver) {
    let lab = Lab::start();
    let range = ["--ip-range", "10.77.0.128/30"];
    let network = lab.network(driver, "n", &[SUBNET, range].concat());
    for (name, address) in [
        ("a", "10.77.0.129"),
        ("b", "10.77.0.130"),
        ("c", "10.77.0.131"),
    ] {
        lab.container(name, &["n"]).start();
        assert_addresses(&lab, name, "n", &[address]);
    }
    lab.container("d", &["n"]).fails(match driver {
        Driver::Bridge => "failed to find free IP in range: 10.77.0.129 - 10.77.0.131",
        Driver::Berth | Driver::HostWide => "3 of its 3 addresses are leased",
    });
    // A container that asks for an address by name may go beyond the range.
    lab.remove("d");
    lab.container("d", &["n"]).ip("10.77.0.9").start();
    for name in ["a", "b", "c", "d"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

fn a_restarted_container_keeps_its_static_address(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &DUAL);
    let both = lab.container("a", &["n"]).ip("10.77.0.99").ip6("fd77::99");
    both.start();
    for _ in 0..3 {
        lab.podman(["restart", "--time=0", "a"]).ok();
        assert_addresses(&lab, "a", "n", &["10.77.0.99", "fd77::99"]);
    }
    lab.remove("a");
    lab.assert_clean(&network);
}

fn a_restarted_container_keeps_its_dynamic_address(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &DUAL);
    lab.container("a", &["n"]).start();
    lab.podman(["restart", "--time=0", "a"]).ok();
    assert_addresses(&lab, "a", "n", &["10.77.0.2", "fd77::2"]);
    lab.remove("a");
    lab.assert_clean(&network);
}

/// Stops a container that has the network's first address, starts another one, and asserts
/// that the first comes back to its address.
#[track_caller]
fn comes_back_to_its_address(driver: Driver, address: Option<&str>) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = lab.container("a", &["n"]);
    match address {
        Some(address) => run.ip(address).start(),
        None => run.start(),
    };
    lab.podman(["stop", "--time=0", "a"]).ok();
    lab.container("b", &["n"]).start();
    assert_addresses(&lab, "b", "n", &["10.77.0.3"]);
    lab.podman(["start", "a"]).ok();
    assert_addresses(&lab, "a", "n", &["10.77.0.2"]);
    lab.remove("a");
    lab.remove("b");
    lab.assert_clean(&network);
}

fn a_container_that_was_stopped_comes_back_to_its_address(driver: Driver) {
    comes_back_to_its_address(driver, None);
}

/// Podman gives the address to the next dynamic container, and the stopped one cannot start
/// again (podman#19583).
fn a_stopped_containers_static_address_is_kept_for_it(driver: Driver) {
    comes_back_to_its_address(driver, Some("10.77.0.2"));
}

fn the_store_says_what_the_kernel_shows(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &DUAL);
    lab.container("a", &["n"]).ip("10.77.0.99").start();
    let check = || {
        let addresses = lab.addresses("a", "eth0");
        let expected = [format!("{addresses:?} bound to a")];
        assert_eq!(lab.leases(&network).of(&network), expected);
    };
    check();
    lab.podman(["network", "reload", "a"]).ok();
    check();
    lab.podman(["restart", "--time=0", "a"]).ok();
    check();
    lab.podman(["network", "disconnect", "n", "a"]).ok();
    assert_eq!(lab.leases(&network).of(&network), [""; 0]);
    lab.podman(["network", "connect", "n", "a"]).ok();
    check();
    lab.remove("a");
    lab.assert_clean(&network);
}

fn an_excluded_address_is_not_given_out(driver: Driver) {
    let lab = Lab::start();
    let exclude = ["--opt", "ipam_exclude=10.77.0.2-10.77.0.9"];
    let network = lab.network(driver, "n", &[SUBNET, exclude].concat());
    lab.container("a", &["n"]).start();
    assert_addresses(&lab, "a", "n", &["10.77.0.10"]);
    lab.remove("a");
    lab.assert_clean(&network);
}

fn a_full_network_refuses_until_a_container_goes(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &["--subnet", "10.77.0.0/29"]);
    for name in ["a", "b", "c", "d", "e"] {
        lab.container(name, &["n"]).start();
    }
    let refusal = match driver {
        Driver::Bridge => "failed to find free IP in range: 10.77.0.1 - 10.77.0.6",
        // netavark's range includes the gateway; the addresses that berth can lease do not.
        Driver::Berth | Driver::HostWide => "5 of its 5 addresses are leased",
    };
    lab.container("f", &["n"]).fails(refusal);
    lab.remove("c");
    lab.podman(["start", "f"]).ok();
    assert_addresses(&lab, "f", "n", &["10.77.0.4"]);
    for name in ["a", "b", "d", "e", "f"] {
        lab.remove(name);
    }
    lab.assert_clean(&network);
}

fn a_network_created_again_under_its_old_name_starts_afresh(driver: Driver) {
    let lab = Lab::start();
    let first = lab.network(driver, "n", &SUBNET);
    lab.container("a", &["n"]).ip("10.77.0.99").start();
    lab.container("b", &["n"]).start();
    // Removes the network's containers, too.
    lab.podman(["network", "rm", "--force", "--time=0", "n"])
        .ok();
    lab.assert_clean(&first);
    let second = lab.network(driver, "n", &SUBNET);
    assert_ne!(second.id, first.id);
    lab.container("a", &["n"]).ip("10.77.0.99").start();
    assert_addresses(&lab, "a", "n", &["10.77.0.99"]);
    lab.remove("a");
    lab.assert_clean(&second);
}

fn twenty_containers_started_at_once_get_twenty_addresses(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let names: Vec<_> = (0..20).map(|number| format!("c{number}")).collect();
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| lab.container(name, &["n"]).start());
        }
    });
    let addresses: BTreeSet<_> = names
        .iter()
        .flat_map(|name| lab.addresses(name, "eth0"))
        .collect();
    let expected: BTreeSet<_> = (2..22).map(|n| IpAddr::from([10, 77, 0, n])).collect();
    assert_eq!(addresses, expected);
    lab.podman(["rm", "--force", "--time=0"]).args(&names).ok();
    lab.assert_clean(&network);
}

fn a_network_without_a_subnet_gets_one(driver: Driver) {
    let lab = Lab::start();
    let first = lab.network(driver, "n", &[]);
    let second = lab.network(driver, "m", &["--ipv6"]);
    assert_eq!(first.subnets, ["10.89.0.0/24"]);
    assert_eq!(second.subnets.len(), 2, "{second:?}");
    assert!(
        second.subnets.contains(&"10.89.1.0/24".to_owned()),
        "{second:?}"
    );
    lab.container("a", &["n"]).start();
    lab.container("b", &["m"]).start();
    assert_addresses(&lab, "a", "n", &["10.89.0.2"]);
    assert_eq!(lab.addresses("b", "eth0")[0], ip("10.89.1.2"));
    lab.remove("a");
    lab.remove("b");
    lab.assert_clean(&first);
    lab.assert_clean(&second);
}
