//! The outage and similar failures: something is killed between a container's address and its
//! first process, and the address must come back.
//!
//! Podman's own allocator leaks the address for good:
//! `ipam.db` keeps an address for a container that no longer exists, and
//! `podman run --ip` fails until the host is rebooted or the file is removed.

use berth_integration::{
    Driver, Lab, after_each_death, ip, outage::Death, versions::Behaviour, with_driver,
    with_each_driver,
};

with_driver!(
    only_bridge,
    Bridge,
    podmans_own_allocator_leaks_when_podman_is_killed_before_netavark_runs,
    podmans_own_allocator_leaks_everything_when_podman_is_killed_after_netavark,
    podmans_own_cleanup_without_a_namespace_leaves_the_firewall_before_netavark_2_1,
);

with_driver!(
    only_berth,
    Berth,
    an_address_is_free_again_after_the_plugin_is_killed_at_teardown,
    an_address_and_its_firewall_rules_are_free_again_after_the_namespace_was_unmounted,
    a_container_can_be_removed_after_its_netavark_was_replaced,
    a_full_pool_of_ghosts_is_free_again,
    the_firewall_rules_go_when_netavark_dies_half_way_through_its_teardown,
    the_last_interface_goes_although_a_ghost_without_one_has_rules,
    a_netavark_that_outlives_its_berth_is_waited_for,
    the_doctor_and_rebuild_wait_for_the_netavark_of_a_killed_berth,
);

with_driver!(
    only_host_wide,
    HostWide,
    an_address_is_free_again_after_the_plugin_is_killed_at_teardown,
    an_address_and_its_firewall_rules_are_free_again_after_the_namespace_was_unmounted,
    a_container_can_be_removed_after_its_netavark_was_replaced,
    the_firewall_rules_go_when_netavark_dies_half_way_through_its_teardown,
    the_last_interface_goes_although_a_ghost_without_one_has_rules,
    a_netavark_that_outlives_its_berth_is_waited_for,
    the_doctor_and_rebuild_wait_for_the_netavark_of_a_killed_berth,
);

after_each_death!(an_address_is_free_again, comes_back_after);

with_each_driver!(an_address_is_free_again_after_conmon_and_container_are_killed);

const ADDRESS: &str = "10.77.0.99";
const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];
const LEAKED: &str = "requested ip address 10.77.0.99 is already allocated to container ID";

fn podmans_own_allocator_leaks_when_podman_is_killed_before_netavark_runs(driver: Driver) {
    let lab = Lab::start();
    lab.network(driver, "n", &SUBNET);
    let run = || lab.container("c", &["n"]).ip(ADDRESS);
    run().dies(Death::PodmanBeforeNetavark);
    lab.remove("c");
    assert_eq!(lab.podman(["ps", "--all", "--quiet"]).ok(), "");
    run().fails(LEAKED);
}

fn podmans_own_allocator_leaks_everything_when_podman_is_killed_after_netavark(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = || lab.container("c", &["n"]).ip(ADDRESS);
    run()
        .option("--publish", "8080:80")
        .dies(Death::PodmanAfterNetavark);
    lab.remove("c");
    let left = lab.leftovers(&network).join("\n");
    for kind in [
        "(veth)",
        "DNS name c",
        "firewall rule",
        "remembered ports",
        "namespace",
    ] {
        assert!(left.contains(kind), "`{kind}` is not in:\n{left}");
    }
    run().fails(LEAKED);
}

/// Lets a container die this death, removes it, and asserts that it comes back with its address.
#[track_caller]
fn comes_back_after(death: Death) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    let run = || {
        let run = lab.container("c", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80")
    };
    run().dies(death);
    lab.remove("c");
    let left = lab.leftovers(&network).join("\n");
    let lease = match death {
        Death::PodmanBeforeNetavark => {
            lab.remove_empty_namespaces();
            None
        }
        // The plugin goes on, finds a closed pipe and may undo everything.
        Death::NetavarkBeforePlumbing => None,
        Death::PodmanAfterNetavark => Some("bound"),
        Death::PluginBeforePlumbing
        | Death::PluginAfterPlumbing
        | Death::EverybodyAfterPlumbing => Some("offered"),
    };
    if let Some(phase) = lease {
        let lease = format!("lease [{ADDRESS}] {phase} to c");
        assert!(left.contains(&lease), "`{lease}` is not in:\n{left}");
    }
    run().start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
    assert_eq!(lab.remembered_ports(&network).len(), 1);
    let left = lab.leftovers(&network).join("\n");
    assert_eq!(left.matches("(veth)").count(), 1, "of the living:\n{left}");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn an_address_is_free_again_after_the_plugin_is_killed_at_teardown(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = || lab.container("c", &["n"]).ip(ADDRESS);
    lab.kill_plugin_at_teardown();
    run().option("--publish", "8080:80").start();
    lab.remove_at_last("c");
    assert!(lab.plugin_was_killed());
    run().start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&network);
}

/// An upgrade may move netavark, for example from /usr/lib to /usr/libexec.
fn a_container_can_be_removed_after_its_netavark_was_replaced(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let old = "/opt/old/netavark";
    lab.sh(&format!("mkdir /opt/old; cp {} {old}", lab.netavark()));
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option("--publish", "8080:80")
        .env("BERTH_NETAVARK", old)
        .start();
    lab.sh("rm -r /opt/old");
    lab.remove("c");
    lab.assert_clean(&network);
}

fn a_full_pool_of_ghosts_is_free_again(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &["--subnet", "10.77.0.0/29"]);
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        let run = lab.container(name, &["n"]);
        run.dies(Death::EverybodyAfterPlumbing);
        lab.remove(name);
    }
    let left = lab.leftovers(&network).join("\n");
    assert_eq!(left.matches("(veth)").count(), names.len(), "{left}");
    for name in names {
        lab.container(name, &["n"]).start();
    }
    lab.podman(["rm", "--force", "--time=0"]).args(names).ok();
    lab.assert_clean(&network);
}

fn an_address_is_free_again_after_conmon_and_container_are_killed(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = || lab.container("c", &["n"]).ip(ADDRESS);
    run().start();
    lab.kill_with_conmon("c");
    lab.remove_at_last("c");
    run().start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&network);
}

fn podmans_own_cleanup_without_a_namespace_leaves_the_firewall_before_netavark_2_1(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.option("--publish", "8080:80").start();
    lab.sh("umount /run/netns/netns-*");
    lab.remove_at_last("c");
    let left = lab.leftovers(&network).join("\n");
    let stays = lab.does(Behaviour::TeardownNeedsTheNamespace);
    assert_eq!(left.contains("dnat ip to 10.77.0.99:80"), stays, "{left}");
}

/// netavark before 2.1.0 then does not call the plugin's teardown, so the next setup finds the
/// ghost.
fn an_address_and_its_firewall_rules_are_free_again_after_the_namespace_was_unmounted(
    driver: Driver,
) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = || lab.container("c", &["n"]).ip(ADDRESS);
    run().option("--publish", "8080:80").start();
    lab.sh("umount /run/netns/netns-*");
    lab.remove_at_last("c");
    run().start();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    lab.remove("c");
    lab.assert_clean(&network);
}

fn the_firewall_rules_go_when_netavark_dies_half_way_through_its_teardown(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let script = format!(
        r#"#!/bin/bash
# In netavark's place for the plugin: the first teardown gets as far as the interface,
# or the bridge.
request=$(cat)
if mkdir /opt/half 2>/dev/null; then
  nsenter --net="${{@: -1}}" ip link delete eth0
  if [ -n "$TOO" ]; then ip link delete "$TOO"; fi
  kill -9 $$
fi
exec {} "$@" <<<"$request"
"#,
        lab.netavark()
    );
    lab.write_executable("/opt/dying", &script);
    for too in ["", &network.interface] {
        let run = lab.container("c", &["n"]).ip(ADDRESS);
        run.option("--publish", "8080:80").start();
        let remove = lab.podman(["rm", "--force", "--time=0", "c"]);
        let remove = remove.env("BERTH_NETAVARK", "/opt/dying");
        remove.env("TOO", too).ok();
        lab.cmd("rmdir").arg("/opt/half").ok();
        lab.assert_clean(&network);
    }
}

/// netavark removes the chain of published ports with the last interface, all or nothing,
/// and fails while another container's rules are in it.
fn the_last_interface_goes_although_a_ghost_without_one_has_rules(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    let run = |name, port| lab.container(name, &["n"]).option("--publish", port);
    run("ghost", "8080:80").dies(Death::PodmanAfterNetavark);
    lab.remove("ghost");
    lab.remove_empty_namespaces();
    run("last", "8081:80").start();
    lab.remove("last");
    let rules = lab.ruleset();
    assert!(rules.contains("8080"), "the ghost's are there:\n{rules}");
    assert!(!rules.contains("8081"), "those of the last:\n{rules}");
    lab.cmd("berth").args(["gc", "--now"]).ok();
    lab.assert_clean(&network);
}

/// Kills the plugin during a container's start, when its netavark has the request and has not
/// begun. That netavark takes another second and a half.
fn kill_the_plugin_above_a_slow_netavark(lab: &Lab) {
    let script = format!(
        r#"#!/bin/bash
# In netavark's place for the plugin, which does not see the end of it.
request=$(cat)
case " $* " in *" setup "*) kill -9 $PPID; sleep 1.5 ;; esac
{} "$@" <<<"$request"
"#,
        lab.netavark()
    );
    lab.write_executable("/opt/slow/netavark", &script);
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    let run = run.option("--publish", "8080:80");
    let run = run.env("BERTH_NETAVARK", "/opt/slow/netavark").cmd();
    assert!(!run.run().status.success(), "berth is killed");
    assert!(!lab.pids("netavark").is_empty(), "it is still at work");
}

/// The next berth gets the store's lock at once, while netavark is still setting up what must
/// be taken down.
fn a_netavark_that_outlives_its_berth_is_waited_for(driver: Driver) {
    let lab = Lab::start();
    let network = lab.network(driver, "n", &SUBNET);
    kill_the_plugin_above_a_slow_netavark(&lab);
    lab.podman(["rm", "--force", "--time=0", "c"]).run();
    lab.cmd("berth").args(["gc", "--now"]).ok();
    assert!(lab.pids("netavark").is_empty(), "it was waited for");
    assert_eq!(lab.leftovers(&network), [""; 0]);
}

/// `doctor` and `rebuild` take the store's lock as well. In the past they neither waited nor
/// left the mark of the kill for the next command, so the next setup started a second netavark
/// beside the first.
fn the_doctor_and_rebuild_wait_for_the_netavark_of_a_killed_berth(driver: Driver) {
    for command in ["doctor", "rebuild"] {
        let lab = Lab::start();
        let network = lab.network(driver, "n", &SUBNET);
        kill_the_plugin_above_a_slow_netavark(&lab);
        lab.cmd("berth").arg(command).run();
        let left = lab.pids("netavark");
        assert!(left.is_empty(), "berth {command} waits for it: {left:?}");
        lab.podman(["rm", "--force", "--time=0", "c"]).run();
        lab.cmd("berth").args(["gc", "--now"]).ok();
        assert_eq!(lab.leftovers(&network), [""; 0]);
    }
}
