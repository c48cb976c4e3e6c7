//! Which containers have an address, according to three kernels: never two, on any hosts.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use berth_integration::lan::{Kind, Lan};
use berth_integration::{Driver, Lab, ip, wait_until};

use crate::assert_nothing_is_left;

/// As many addresses as `dynamic_addresses_never_meet` needs.
const RANGE: &str = "10.77.0.16-10.77.0.30";
const EACH: usize = 5;
const STATIC: &str = "10.77.0.200";
/// How long a host does not ask etcd after it got no answer, and then some.
const BREAKER: Duration = Duration::from_secs(20);

/// Starts this many containers on each host, on all hosts at once.
fn start_everywhere(lan: &Lan, count: usize) {
    thread::scope(|scope| {
        for lab in lan.hosts() {
            scope.spawn(move || {
                for number in 0..count {
                    lab.container(&format!("c{number}"), &["lan"]).start();
                }
            });
        }
    });
}

/// The range has as many addresses as there are containers, so all hosts choose from the same
/// addresses, down to the last one.
fn dynamic_addresses_never_meet(kind: Kind) {
    let lan = Lan::start(kind);
    lan.share(&["--ip-range", RANGE]);
    start_everywhere(&lan, EACH);
    let has = |lab: &Lab| {
        let names = (0..EACH).map(|number| format!("c{number}"));
        let each = names.flat_map(|name| lab.addresses(&name, "eth0"));
        each.collect::<Vec<_>>()
    };
    let all: BTreeSet<_> = lan.hosts().into_iter().flat_map(has).collect();
    assert_eq!(all.len(), 3 * EACH, "{all:?}");
    assert!(all.contains(&ip("10.77.0.16")) && all.contains(&ip("10.77.0.30")));
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_eq!(lan.keys().len(), 3 * EACH);

    let [a, b, c] = lan.hosts();
    b.container("more", &["lan"])
        .fails("share lan has no free address from 10.77.0.16 to 10.77.0.30");
    b.podman(["rm", "-f", "more"]).ok();
    // An address that one host gives back is at once available to another.
    let freed = a.addresses("c0", "eth0");
    a.remove("c0");
    c.container("more", &["lan"]).start();
    assert_eq!(c.addresses("more", "eth0"), freed);
    assert_nothing_is_left(&lan);
}

#[test]
fn dynamic_addresses_never_meet_on_bridges() {
    dynamic_addresses_never_meet(Kind::Bridge);
}

#[test]
fn dynamic_addresses_never_meet_by_macvlan() {
    dynamic_addresses_never_meet(Kind::Macvlan);
}

#[test]
fn a_static_address_is_refused_across_hosts_and_moves_with_its_container() {
    let lan = Lan::start(Kind::Macvlan);
    lan.share(&[]);
    let [a, b, c] = lan.hosts();
    let web = a.container("web", &["lan"]).ip(STATIC).start();
    c.container("client", &["lan"]).start();
    assert!(c.reaches("client", STATIC));

    let refused = b.container("web", &["lan"]).ip(STATIC).fails(&format!(
        "requested ip address {STATIC} is already allocated to container ID {} (name \
         web) on host a",
        web.id
    ));
    assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{refused}");
    b.podman(["rm", "-f", "web"]).ok();
    assert!(c.reaches("client", STATIC), "it has not noticed");

    // The container gives its address back when it is stopped, and has it again when started.
    a.podman(["stop", "--time=0", "web"]).ok();
    b.container("web", &["lan"]).ip(STATIC).start();
    assert_eq!(b.addresses("web", "eth0"), [ip(STATIC)]);
    a.podman(["start", "web"]).fails("on host b");
    a.remove("web");
    // As with any driver, it now has another hardware address. A peer that has just talked to
    // it would notice only after half a minute.
    c.inside("client", "ip")
        .args(["neighbour", "flush", "all"])
        .ok();
    assert!(c.reaches("client", STATIC), "where it is now");
    b.podman(["restart", "--time=0", "web"]).ok();
    assert_eq!(b.addresses("web", "eth0"), [ip(STATIC)]);
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_nothing_is_left(&lan);
}

#[test]
fn addresses_of_both_families_are_claimed() {
    let lan = Lan::start(Kind::Bridge);
    lan.share(&["--ipv6", "--subnet", "fd77::/64"]);
    start_everywhere(&lan, 2);
    let [a, b, c] = lan.hosts();
    let has = |lab: &Lab| ["c0", "c1"].map(|name| lab.addresses(name, "eth0"));
    let all = [a, b, c].into_iter().flat_map(has).flatten();
    let (v4, v6): (BTreeSet<_>, BTreeSet<_>) = all.partition(|address| address.is_ipv4());
    assert_eq!((v4.len(), v6.len()), (6, 6), "{v4:?} {v6:?}");
    let (keys, of_v6) = (lan.keys(), "/berth/v1/lan/a/6/");
    let of_v6 = keys.iter().filter(|key| key.starts_with(of_v6));
    assert_eq!((keys.len(), of_v6.count()), (12, 6), "{keys:?}");
    let wanted = "fd77::99";
    a.container("web", &["lan"]).ip6(wanted).start();
    c.container("web", &["lan"]).ip6(wanted).fails(&format!(
        "requested ip address {wanted} is already allocated"
    ));
    assert_eq!(lan.keys().len(), 14, "who is refused has claimed neither");
    assert_nothing_is_left(&lan);
}

/// Some settings must be the same on all hosts, or they would not lease from one pool.
#[test]
fn a_network_unlike_the_shares_is_not_created() {
    let lan = Lan::start(Kind::Bridge);
    let [a, b, c] = lan.hosts();
    lan.network(a, Driver::Berth, &["--ip-range", RANGE]);
    let create = |lab, options: &[&str]| lan.create(lab, Driver::Berth, options);
    let refused = create(b, &["--ip-range", "10.77.0.16-10.77.0.31"]).fails("range");
    for value in ["10.77.0.30", "10.77.0.31"] {
        assert!(refused.stderr.contains(value), "{refused}");
    }
    let other = ["--ip-range", RANGE, "--gateway", "10.77.0.254"];
    let refused = create(b, &other).fails("gateway");
    for value in ["10.77.0.1 ", "10.77.0.254"] {
        assert!(refused.stderr.contains(value), "{refused}");
    }
    assert!(
        !b.podman(["network", "exists", "lan"])
            .run()
            .status
            .success()
    );
    lan.network(b, Driver::Berth, &["--ip-range", RANGE]);

    // Nor is it created on a host that etcd does not let in.
    lan.configure(c, "stranger", "");
    create(c, &["--ip-range", RANGE]).fails("share lan: ");
    lan.configure(c, "client", "");
    wait_until("etcd to be asked again", BREAKER, || {
        let made = create(c, &["--ip-range", RANGE]).run();
        made.status.success().then_some(())
    });
    start_everywhere(&lan, 1);
    assert_nothing_is_left(&lan);
}

/// The network has Podman's own driver, and berth is in front of netavark. berth.conf puts the
/// network in the share.
#[test]
fn networks_of_host_wide_mode_are_in_a_share_by_berth_conf() {
    let lan = Lan::start(Kind::Macvlan);
    let [a, b, c] = lan.hosts();
    for lab in [a, b] {
        lan.configure(lab, "client", "[network.lan]\nipam_share = \"lan\"\n");
        lab.host_wide();
        lan.network(lab, Driver::HostWide, &[]);
        lab.migrate(["adopt", "--yes", "lan"]).ok();
    }
    lan.network(c, Driver::Berth, &[]);
    start_everywhere(&lan, 2);
    assert_eq!(lan.duplicates(), [""; 0]);
    assert_eq!(lan.keys().len(), 6);
    b.container("web", &["lan"]).ip(STATIC).start();
    for lab in [a, c] {
        lab.container("web", &["lan"])
            .ip(STATIC)
            .fails("(name web) on host b");
        lab.podman(["rm", "-f", "web"]).ok();
    }
    assert_nothing_is_left(&lan);
}

/// Podman would ask no other host, and a collection would give back what running containers have.
#[test]
fn a_network_in_a_share_does_not_go_back_to_podman() {
    let lan = Lan::start(Kind::Macvlan);
    let [a, b, _] = lan.hosts();
    for lab in [a, b] {
        lan.configure(lab, "client", "[network.lan]\nipam_share = \"lan\"\n");
        lab.host_wide();
        lan.network(lab, Driver::HostWide, &[]);
        lab.migrate(["adopt", "--yes", "lan"]).ok();
    }
    a.container("web", &["lan"]).ip(STATIC).start();
    let assert_it_stays = |message: &str| {
        let rollback = a.migrate(["rollback", "--yes", "lan"]);
        rollback.fails(message);
        let off = a.cmd("berth").args(["host-wide", "off", "--yes"]);
        off.fails(message);
        a.cmd("berth").args(["gc", "--now"]).ok();
        let other = b.container("web", &["lan"]).ip(STATIC);
        other.fails("(name web) on host a");
        b.podman(["rm", "-f", "web"]).ok();
    };
    assert_it_stays("it is in share lan");
    // As the message says: out of the share, and all started again.
    lan.configure(a, "client", "");
    assert_it_stays("container web still has its addresses from share lan");
    a.podman(["restart", "--time=0", "web"]).ok();
    a.cmd("berth").args(["gc", "--now"]).ok();
    assert_eq!(lan.keys(), [""; 0]);
    a.migrate(["rollback", "--yes", "lan"]).ok();
    assert_eq!(a.claims().len(), 1);
    a.remove("web");
}
