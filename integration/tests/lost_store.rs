//! The lease store is lost, damaged or from another boot while containers run. They keep what
//! they have.

use berth_integration::{Driver, Lab, Network, ip};

const SUBNETS: [&str; 4] = ["--subnet", "10.77.0.0/24", "--subnet", "fd77::/64"];
const STORE: &str = "/run/containers/networks/berth";

/// Returns a lab in which these hold addresses: a plain container with a published port, one that
/// is also on a second network without DNS, a pod with two members, and a container whose conmon
/// is dead.
fn busy() -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNETS);
    lab.network(
        Driver::Berth,
        "quiet",
        &["--disable-dns", "--subnet", "10.78.0.0/24"],
    );
    let web = lab.container("web", &["n"]).ip("10.77.0.2");
    web.option("--publish", "8080:80").start();
    lab.container("both", &["n", "quiet"]).start();
    lab.podman([
        "pod",
        "create",
        "--name",
        "pod",
        "--network",
        "n",
        "--infra-image",
        "lab",
    ])
    .ok();
    for member in ["one", "two"] {
        lab.podman(["run", "-d", "--pod", "pod", "--name", member, "lab"])
            .ok();
    }
    (lab, network)
}

/// Returns which container holds what, according to the store. Holders and their addresses are
/// sorted.
#[track_caller]
fn tenants(lab: &Lab, network: &Network) -> Vec<String> {
    let leases = lab.leases(network);
    let mut tenants: Vec<_> = leases
        .tenants
        .iter()
        .map(|tenant| {
            let id = tenant.tenancy.container_id.short();
            let (name, interface) = (&tenant.container_name, &tenant.tenancy.interface);
            let mut addresses = tenant.addresses();
            addresses.sort();
            format!("{name} {id} {interface} {addresses:?}")
        })
        .collect();
    tenants.sort();
    tenants
}

/// Asserts that everything works as if nothing had been lost.
#[track_caller]
fn assert_all_goes_on(lab: &Lab, network: &Network, before: &[String]) {
    assert_eq!(tenants(lab, network), before);
    let asks = |address: &str| lab.container("thief", &["n"]).ip(address);
    for address in ["10.77.0.2", "10.77.0.3", "10.77.0.4"] {
        asks(address).fails("is already allocated to container ID");
        lab.podman(["rm", "-f", "thief"]).ok();
    }
    lab.container("new", &["n"]).start();
    let new = lab.addresses("new", "eth0")[0];
    assert!(new > ip("10.77.0.4"), "{new}");
    lab.podman(["restart", "--time=0", "web"]).ok();
    assert_eq!(lab.addresses("web", "eth0")[0], ip("10.77.0.2"));
    lab.podman(["network", "disconnect", "n", "both"]).ok();
    lab.podman(["pod", "rm", "--force", "--time=0", "pod"]).ok();
    lab.podman(["rm", "--force", "--time=0", "web", "both", "new"])
        .ok();
    lab.assert_clean(network);
    lab.assert_clean(&lab.inspect_network("quiet"));
}

#[test]
fn a_deleted_store_is_made_again_by_the_next_start() {
    let (lab, network) = busy();
    let before = tenants(&lab, &network);
    assert_eq!(before.len(), 4, "{before:#?}");
    lab.sh(&format!("rm -r {STORE}"));
    lab.container("first", &["n"]).start();
    assert_eq!(lab.addresses("first", "eth0")[0], ip("10.77.0.5"));
    lab.remove("first");
    assert_all_goes_on(&lab, &network, &before);
}

#[test]
fn a_deleted_store_is_made_again_by_the_next_stop() {
    let (lab, network) = busy();
    let mut before = tenants(&lab, &network);
    lab.sh(&format!("rm -r {STORE}"));
    lab.podman(["stop", "--time=0", "web"]).ok();
    before.retain(|tenant| !tenant.starts_with("web"));
    assert_eq!(tenants(&lab, &network), before);
    assert!(!lab.dns_entries("n").contains_key("web"));
    lab.podman(["start", "web"]).ok();
}

#[test]
fn a_deleted_store_is_made_again_by_a_collection() {
    let (lab, network) = busy();
    let before = tenants(&lab, &network);
    lab.sh(&format!("rm -r {STORE}"));
    let plan = lab.cmd("berth").args(["gc", "--dry-run"]).ok();
    assert_eq!(plan.matches("would adopt").count(), 4, "{plan}");
    let said = lab.cmd("berth").args(["gc"]).ok();
    assert!(
        said.contains("4 live, 0 unknown, 0 reclaimed, 0 cleared away"),
        "{said}"
    );
    assert_all_goes_on(&lab, &network, &before);
}

#[test]
fn a_damaged_store_is_rebuilt() {
    let (lab, network) = busy();
    let before = tenants(&lab, &network);
    lab.cmd("berth")
        .arg("rebuild")
        .fails("is sound, so it is left as it is");
    lab.sh(&format!(
        "for f in {STORE}/leases.redb/db; do head -c 65536 /dev/urandom >$f; done"
    ));
    lab.container("c", &["n"]).fails("is damaged");
    lab.podman(["rm", "-f", "c"]).ok();
    lab.cmd("berth")
        .arg("gc")
        .fails("`berth rebuild` makes a new one from what runs");
    let said = lab.cmd("berth").arg("rebuild").ok();
    assert!(said.contains("knows 4 containers"), "{said}");
    assert_eq!(lab.names(STORE).len(), 3, "the damaged one is kept");
    assert_all_goes_on(&lab, &network, &before);
}

/// The run directory is on a disk, and the machine has booted; or someone has put the store of an
/// earlier boot back while containers run.
#[test]
fn a_store_of_another_boot_is_brought_up_to_date() {
    let (lab, network) = busy();
    let before = tenants(&lab, &network);
    lab.network(
        Driver::Berth,
        "held",
        &["--subnet", "10.79.0.0/24", "--opt", "ipam_hold=1h"],
    );
    let kept = || lab.container("kept", &["held"]).ip("10.79.0.20");
    kept().start();
    lab.kill_with_conmon("kept");
    lab.sh("cat /proc/sys/kernel/random/uuid >/tmp/boot_id
            mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id");
    let said = lab.cmd("berth").args(["gc", "--now"]).ok();
    assert!(said.contains("4 live"), "{said}");
    // Podman refuses to work after such a boot.
    lab.sh("umount /proc/sys/kernel/random/boot_id");
    lab.remove_at_last("kept");
    let holds = lab.leases(&lab.inspect_network("held")).holds;
    assert_eq!(holds.len(), 1, "the reservation stays: {holds:?}");
    assert_eq!(holds[0].address, ip("10.79.0.20"));
    assert_all_goes_on(&lab, &network, &before);
}

#[test]
fn a_deleted_store_is_made_again_for_a_macvlan_network() {
    let lab = Lab::start();
    lab.sh("ip link add near type veth peer name far; ip link set near up; ip link set far up");
    let options = [
        "--subnet",
        "10.77.0.0/24",
        "--opt",
        "driver=macvlan",
        "--interface-name=near",
    ];
    let network = lab.network(Driver::Berth, "n", &options);
    lab.container("c", &["n"]).start();
    let before = tenants(&lab, &network);
    lab.sh(&format!("rm -r {STORE}"));
    let asks = lab.container("thief", &["n"]).ip("10.77.0.2");
    asks.fails("is already allocated to container ID");
    lab.podman(["rm", "-f", "thief"]).ok();
    assert_eq!(tenants(&lab, &network), before);
    lab.remove("c");
    lab.assert_clean(&network);
}
