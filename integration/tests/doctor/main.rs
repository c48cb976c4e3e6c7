//! `berth doctor` beside a real Podman: its report is clean when all is well. Otherwise, this
//! tests what it says and repairs, while containers run undisturbed.

mod host;
mod store;

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, Outcome, ip};
use serde_json::Value;

const ADDRESS: &str = "10.77.0.99";
const STATE: &str = "/run/containers/networks/berth";
const PLUGIN: &str = "/usr/libexec/netavark/berth";
const BOUND: Duration = Duration::from_secs(10);

/// Returns a lab with a network, a running container, and the reservation of a removed one.
fn lab() -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("gone", &["n"]).start();
    lab.remove("gone");
    lab.container("c", &["n"]).ip(ADDRESS).start();
    (lab, network)
}

/// Runs the doctor, whose exit code must agree with its report, and returns both.
#[track_caller]
fn doctor(lab: &Lab, options: &[&str]) -> (Outcome, Value) {
    let command = lab.cmd("berth").args(["doctor", "--json"]).args(options);
    let outcome = command.run();
    let report: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|err| panic!("{err} in:\n{outcome}"));
    let code = i32::from(report["clean"] != true);
    assert_eq!(outcome.status.code(), Some(code), "{outcome}");
    (outcome, report)
}

/// Returns the names of the checks with findings of a kind, repaired or not.
fn checks(report: &Value, kind: &str, repaired: bool) -> Vec<String> {
    let findings = report[kind].as_array().expect("a list");
    let mut checks: Vec<_> = findings
        .iter()
        .filter(|finding| finding["repaired"] == repaired)
        .map(|finding| finding["check"].as_str().expect("a name").to_owned())
        .collect();
    checks.sort();
    checks.dedup();
    checks
}

/// Returns the finding of a check, as one text.
#[track_caller]
fn finding(report: &Value, check: &str) -> String {
    let all = ["problems", "notes"].map(|kind| report[kind].as_array().expect("a list"));
    let mut found = all.into_iter().flatten();
    let found = found.find(|finding| finding["check"] == check);
    found.map_or_else(
        || panic!("no {check} in {report:#}"),
        |finding| {
            ["what", "cause", "repair"]
                .map(|key| finding[key].as_str().expect("a text"))
                .join(" | ")
        },
    )
}

/// Asserts that there are no problems, and only the notes that every lab gets: no systemd,
/// Podman's default network, and Podman's lock, which every user may read until that is
/// repaired.
#[track_caller]
fn assert_well(lab: &Lab) {
    let (outcome, report) = doctor(lab, &[]);
    assert_eq!(report["problems"], Value::Array(vec![]), "{outcome}");
    let mut notes = checks(&report, "notes", false);
    notes.retain(|note| note != "network-lock-mode");
    assert_eq!(notes, ["networks", "timer"], "{outcome}");
}

/// Asserts that these are all the problems, and returns the report.
#[track_caller]
fn problems(lab: &Lab, expected: &[&str]) -> Value {
    let (outcome, report) = doctor(lab, &[]);
    assert_eq!(checks(&report, "problems", false), expected, "{outcome}");
    report
}

/// Asserts that the container has its address and its DNS name.
#[track_caller]
fn assert_undisturbed(lab: &Lab) {
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
}
