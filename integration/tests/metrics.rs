//! What `berth metrics` counts, and whether Prometheus can read it.

use std::collections::BTreeSet;

use berth_integration::{Driver, Lab};

const RULES: &str = include_str!("../../docs/monitoring/berth.rules.yml");
const DASHBOARD: &str = include_str!("../../docs/monitoring/dashboard.json");
const FILE: &str = "/var/lib/prometheus/node-exporter/berth.prom";
const NETWORK: &str = "/etc/containers/networks/n.json";
/// A share whose etcd does not exist.
const SHARE: &str = "[share.lan]\nendpoints = [\"http://127.0.0.1:1\"]\n";

/// Returns a lab with the network `n`, on which `web` is alive, `ghost` was killed with its
/// conmon, and `stopped` has given its address back.
fn scene() -> Lab {
    let lab = Lab::start();
    lab.network(Driver::Berth, "n", &["--subnet=10.77.0.0/24"]);
    lab.container("web", &["n"]).start();
    lab.container("ghost", &["n"]).ip("10.77.0.99").start();
    lab.kill_with_conmon("ghost");
    lab.container("stopped", &["n"]).start();
    lab.podman(["stop", "--time=0", "stopped"]).ok();
    lab
}

#[track_caller]
fn assert_counted(text: &str, expected: &[&str]) {
    for sample in expected {
        let found = text.lines().any(|line| line == *sample);
        assert!(found, "no {sample} in:\n{text}");
    }
}

#[test]
fn leases_rooms_ends_and_errors_are_counted() {
    let lab = scene();
    lab.container("refused", &["n"])
        .ip("10.77.1.1")
        .fails("not in any subnet");
    let before = lab.cmd("berth").args(["metrics"]).ok();
    assert_counted(
        &before,
        &[
            "berth_up 1",
            "berth_leases{network=\"n\",state=\"live\"} 1",
            "berth_leases{network=\"n\",state=\"dead\"} 1",
            "berth_pool_addresses{network=\"n\",subnet=\"10.77.0.0/24\"} 253",
            "berth_pool_free_addresses{network=\"n\",subnet=\"10.77.0.0/24\"} 250",
            "berth_leases_ended_total{end=\"released\"} 1",
            "berth_leases_ended_total{end=\"reclaimed\"} 0",
            "berth_errors_total{operation=\"setup\"} 1",
            "berth_setup_duration_seconds_count 3",
        ],
    );
    assert!(
        !before.contains("berth_last_collection"),
        "nobody collected"
    );
    assert!(!before.contains("berth_oldest_dead_lease_seconds 0\n"));
    lab.cmd("berth").args(["gc"]).ok();
    let after = lab.cmd("berth").args(["metrics"]).ok();
    assert_counted(
        &after,
        &[
            "berth_leases{network=\"n\",state=\"dead\"} 0",
            "berth_oldest_dead_lease_seconds 0",
            "berth_leases_ended_total{end=\"reclaimed\"} 1",
            "berth_last_collection_success 1",
        ],
    );
    // Like a reboot, which empties /run.
    lab.sh("rm -r /run/containers/networks/berth");
    let rebooted = lab.cmd("berth").args(["metrics"]).ok();
    assert_counted(
        &rebooted,
        &["berth_leases_ended_total{end=\"reclaimed\"} 1"],
    );
}

#[test]
fn prometheus_reads_the_metrics_and_the_rules() {
    let lab = scene();
    lab.cmd("berth").args(["gc"]).ok();
    // A share's metrics exist only if a network is in it.
    let mut network: serde_json::Value =
        serde_json::from_str(&lab.sh(&format!("cat {NETWORK}"))).expect("a network");
    network["options"]["ipam_share"] = "lan".into();
    lab.write(NETWORK, &network.to_string());
    lab.write("/etc/containers/berth.conf", SHARE);
    lab.cmd("berth").args(["metrics", "--output", FILE]).ok();
    assert_eq!(
        lab.names("/var/lib/prometheus/node-exporter"),
        ["berth.prom"]
    );
    assert_eq!(lab.sh(&format!("stat -c %a {FILE}")), "644");
    let checked = lab.sh(&format!("promtool check metrics <{FILE} 2>&1"));
    assert_eq!(checked, "", "it has nothing to remark");
    lab.write("/tmp/berth.rules.yml", RULES);
    lab.sh("promtool check rules /tmp/berth.rules.yml");

    let text = lab.sh(&format!("cat {FILE}"));
    assert_counted(&text, &["berth_share_up{share=\"lan\"} 0"]);
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = families.filter_map(|line| line.split(' ').next());
    let known: BTreeSet<_> = names.map(str::to_owned).collect();
    for (file, text) in [("the rules", RULES), ("the dashboard", DASHBOARD)] {
        for name in asked_for(text) {
            let family = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(known.contains(family), "{file} ask for {name}: {known:?}");
        }
    }
    let dashboard = serde_json::from_str::<serde_json::Value>(DASHBOARD);
    assert!(dashboard.is_ok_and(|board| board["panels"].is_array()));
}

/// Returns berth's metrics that a text names.
fn asked_for(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c));
    let names = words.filter(|name| name.starts_with("berth_") && *name != "berth_");
    names.map(str::to_owned).collect()
}

#[test]
fn a_store_that_cannot_be_read_is_seen_from_afar() {
    let lab = scene();
    lab.cmd("berth").args(["metrics", "--output", FILE]).ok();
    lab.sh("printf x >/run/containers/networks/berth/leases.redb/db");
    lab.cmd("berth")
        .args(["metrics", "--output", FILE])
        .fails("is damaged");
    let text = lab.sh(&format!("cat {FILE}"));
    let ended = "berth_leases_ended_total{end=\"released\"} 1";
    assert_counted(&text, &["berth_up 0", ended]);
    lab.cmd("berth")
        .args(["metrics", "--output", "/proc/no/such.prom"])
        .fails("/proc/no");
}

#[test]
fn the_rules_find_what_they_are_for() {
    let lab = Lab::start();
    lab.write("/tmp/berth.rules.yml", RULES);
    lab.write("/tmp/tests.yml", include_str!("metrics/rules_test.yml"));
    lab.sh("cd /tmp; promtool test rules tests.yml");
}
