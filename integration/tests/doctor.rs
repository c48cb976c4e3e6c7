//! `berth doctor` beside a real Podman: clean where all is well, and what it says
//! and repairs where it is not, with containers running undisturbed.

use std::net::IpAddr;
use std::time::Duration;

use berth_integration::{Driver, Lab, Network, Outcome, wait_until};
use serde_json::Value;

const ADDRESS: &str = "10.77.0.99";
const STATE: &str = "/run/containers/networks/berth";
const PLUGIN: &str = "/usr/libexec/netavark/berth";
const BOUND: Duration = Duration::from_secs(10);

fn ip(address: &str) -> IpAddr {
    address.parse().expect("it is an address")
}

/// A lab with a network, a running container, and the hold of a removed one.
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

/// Expects no problem, and no notes but those of every lab: it has no systemd, and
/// Podman's default network.
#[track_caller]
fn assert_well(lab: &Lab) {
    let (outcome, report) = doctor(lab, &[]);
    assert_eq!(report["problems"], Value::Array(vec![]), "{outcome}");
    assert_eq!(
        checks(&report, "notes", false),
        ["networks", "timer"],
        "{outcome}"
    );
}

/// Expects exactly these problems.
#[track_caller]
fn problems(lab: &Lab, expected: &[&str]) -> Value {
    let (outcome, report) = doctor(lab, &[]);
    assert_eq!(checks(&report, "problems", false), expected, "{outcome}");
    report
}

/// Damages the store behind its back.
#[track_caller]
fn damage(lab: &Lab, how: &str, table: &str, text: &str) {
    let changed = lab.cmd("lab-store").args([how, table, text]).ok();
    assert_ne!(changed, "0", "there is such an entry");
}

/// Expects the container to have its address and to answer to its name.
#[track_caller]
fn assert_undisturbed(lab: &Lab) {
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    assert_eq!(lab.dns_entries("n")["c"], [ip(ADDRESS)]);
}

#[test]
fn normal_use_is_clean_and_no_store_is_made() {
    let lab = Lab::start();
    let (_, report) = doctor(&lab, &["--repair"]);
    assert_eq!(checks(&report, "problems", false), [""; 0]);
    assert!(finding(&report, "no-store").contains(STATE));
    assert_eq!(lab.names(STATE), [""; 0]);
    let (_, report) = doctor(&lab, &["--run-dir", "/run/other"]);
    assert!(finding(&report, "no-store").contains("/run/other/berth"));
    let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("c", &["n"]).ip(ADDRESS).start();
    assert_well(&lab);
    lab.container("d", &["n"]).start();
    lab.podman(["stop", "--time=0", "c"]).ok();
    assert_well(&lab);
    lab.podman(["start", "c"]).ok();
    lab.remove("d");
    assert_well(&lab);
    assert_undisturbed(&lab);
    let text = lab.cmd("berth").arg("doctor").ok();
    assert_eq!(text.lines().last(), Some("clean, 2 notes"), "{text}");
    assert!(
        text.contains("note: networks on Podman's own allocator: podman (on berth: n); "),
        "{text}"
    );
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn what_contradicts_the_leases_is_repaired_under_a_running_container() {
    let (lab, network) = lab();
    let id = network.id.as_str();
    let id_of_c = lab.podman(["inspect", "--format", "{{.Id}}", "c"]).ok();
    for (tables, found) in [
        (&[("free", id)][..], &["free-missing"][..]),
        (
            &[("pool", id)],
            &["free-without-pool", "index-without-hold"],
        ),
        (&[("lease", id)], &["free-missing", "holding-without-lease"]),
        (&[("hold", id)], &["free-missing", "index-without-hold"]),
        (&[("expiry", id)], &["hold-not-indexed"]),
        (
            &[("holder-name", id), ("holder-id", id), ("free", id)],
            &["free-missing", "hold-not-indexed"],
        ),
    ] {
        for (table, text) in tables {
            damage(&lab, "delete", table, text);
        }
        let report = problems(&lab, found);
        assert!(finding(&report, found[0]).ends_with("| berth doctor --repair"));
        let (outcome, report) = doctor(&lab, &["--repair"]);
        assert_eq!(checks(&report, "problems", true), found, "{outcome}");
        assert_well(&lab);
        assert_undisturbed(&lab);
        // A hold that was lost is lost; the next removal leaves one again.
        lab.container("gone", &["n"]).start();
        lab.remove("gone");
        lab.container("other", &["n"])
            .ip(ADDRESS)
            .fails(&format!("is already allocated to container ID {id_of_c}"));
        lab.remove("other");
    }
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn a_lost_record_keeps_its_lease_while_somebody_holds_the_address() {
    let (lab, network) = lab();
    damage(&lab, "delete", "tenant", &network.id);
    // Where the container's processes cannot be seen.
    let blind = lab.cmd("unshare").args(["--mount", "--pid", "--fork"]);
    let blind = blind.args(["--mount-proc", "berth", "doctor", "--repair"]);
    blind.fails("so it is kept: berth rebuild finds out who");
    let (outcome, report) = doctor(&lab, &["--repair"]);
    assert_eq!(
        checks(&report, "problems", false),
        ["lease-without-tenant"],
        "{outcome}"
    );
    let found = finding(&report, "lease-without-tenant");
    assert!(found.contains("on network n, of which"), "{found}");
    assert!(found.contains("berth rebuild"), "{found}");
    assert_undisturbed(&lab);
    let other = lab.container("other", &["n"]).ip(ADDRESS).cmd().run();
    assert!(!other.status.success(), "{other}");
    lab.remove("other");
    assert_undisturbed(&lab);
    lab.remove("c");
    let (outcome, report) = doctor(&lab, &["--repair"]);
    assert_eq!(
        checks(&report, "problems", true),
        ["lease-without-tenant"],
        "{outcome}"
    );
    assert_well(&lab);
    lab.container("other", &["n"]).ip(ADDRESS).start();
    lab.remove("other");
    lab.assert_clean(&network);
}

#[test]
fn a_rebuild_finds_out_whose_a_lost_record_was() {
    let (lab, network) = lab();
    damage(&lab, "delete", "tenant", &network.id);
    let (_, report) = doctor(&lab, &["--repair"]);
    assert!(finding(&report, "lease-without-tenant").contains("berth rebuild"));
    lab.cmd("berth").arg("rebuild").ok();
    let (outcome, report) = doctor(&lab, &[]);
    assert_eq!(checks(&report, "problems", false), [""; 0], "{outcome}");
    let aside = finding(&report, "store-aside");
    assert!(aside.contains("leases.sled.damaged-"), "{aside}");
    assert_undisturbed(&lab);
    lab.remove("c");
    lab.assert_clean(&network);
}

/// A namespace without processes still answers at its address.
#[test]
fn a_lost_record_keeps_its_lease_while_a_namespace_holds_the_address() {
    let (lab, network) = lab();
    lab.kill_with_conmon("c");
    assert_eq!(lab.empty_namespaces().len(), 1);
    damage(&lab, "delete", "tenant", &network.id);
    let (outcome, report) = doctor(&lab, &["--repair"]);
    assert_eq!(
        checks(&report, "problems", false),
        ["lease-without-tenant"],
        "{outcome}"
    );
    lab.remove_empty_namespaces();
    // The kernel takes a moment to end a namespace. Until then it is one end of a
    // veth pair that nobody sees.
    wait_until("the end of the namespace and the lease", BOUND, || {
        let (_, report) = doctor(&lab, &["--repair"]);
        checks(&report, "problems", false).is_empty().then_some(())
    });
}

#[test]
fn a_store_that_cannot_be_read_is_left_alone_and_the_rest_is_checked() {
    let (lab, network) = lab();
    let files = |lab: &Lab| {
        lab.sh(&format!(
            "cd {STATE}/leases.sled && cat format conf | md5sum"
        ))
    };
    damage(&lab, "garble", "tenant", &network.id);
    for options in [&[][..], &["--repair"]] {
        let (outcome, report) = doctor(&lab, options);
        assert_eq!(checks(&report, "problems", false), ["store"], "{outcome}");
        let store = finding(&report, "store");
        assert!(store.contains("cannot read Tenant"), "{store}");
        assert!(store.ends_with("| berth rebuild"), "{store}");
        assert_eq!(checks(&report, "notes", false), ["networks", "timer"]);
    }
    for (file, text, words) in [
        ("format", "99\n", "has format 99"),
        ("conf", "garbage", "conf"),
        ("format", "garbage", "format"),
    ] {
        let path = format!("{STATE}/leases.sled/{file}");
        lab.sh(&format!("cp {path} /tmp/kept"));
        lab.write(&path, text);
        let before = files(&lab);
        let (outcome, report) = doctor(&lab, &["--repair"]);
        assert_eq!(checks(&report, "problems", false), ["store"], "{outcome}");
        assert!(finding(&report, "store").contains(words), "{outcome}");
        assert_eq!(files(&lab), before);
        lab.sh(&format!("cp /tmp/kept {path}"));
    }
    lab.sh(&format!(
        "rm -r {STATE}/leases.sled; echo x >{STATE}/leases.sled"
    ));
    let report = problems(&lab, &["store"]);
    assert!(finding(&report, "store").contains("leases.sled"));
    assert_undisturbed(&lab);
}

#[test]
fn what_lies_about_in_the_state_directory_is_told() {
    let (lab, _) = lab();
    lab.sh(&format!(
        "cd {STATE}; mkdir leases.sled.new leases.sled.damaged; echo x >leases.sled.new/db
         touch core; chmod 777 ."
    ));
    let report = problems(&lab, &["state-directory-mode"]);
    let notes = [
        "networks",
        "state-directory",
        "store-aside",
        "timer",
        "unfinished-store",
    ];
    assert_eq!(checks(&report, "notes", false), notes);
    let (outcome, report) = doctor(&lab, &["--repair"]);
    assert_eq!(
        checks(&report, "problems", true),
        ["state-directory-mode"],
        "{outcome}"
    );
    assert_eq!(
        checks(&report, "notes", true),
        ["unfinished-store"],
        "{outcome}"
    );
    let names = ["core", "leases.sled", "leases.sled.damaged", "lock"];
    assert_eq!(lab.names(STATE), names);
    assert_eq!(lab.sh(&format!("stat -c %a {STATE}")), "700");
    lab.sh(&format!("cd {STATE}; rm -r core leases.sled.damaged"));
    assert_well(&lab);
    assert_undisturbed(&lab);
}

#[test]
fn an_installation_that_cannot_work_is_a_problem() {
    let (lab, _) = lab();
    for (script, version) in [
        ("#!/bin/sh\necho netavark 1.5.0\n", "is too old"),
        ("#!/bin/sh\nexit 7\n", "does not tell its version"),
    ] {
        lab.write_executable("/opt/netavark", script);
        let doctor = lab
            .cmd("berth")
            .arg("doctor")
            .env("BERTH_NETAVARK", "/opt/netavark");
        doctor.fails(&format!("problem: netavark /opt/netavark {version}"));
    }
    let conf = "/etc/containers/containers.conf.d/99-test.conf";
    lab.write(conf, "[engine]\nhelper_binaries_dir = [\"/nowhere\"]\n");
    let report = problems(&lab, &["netavark"]);
    assert!(finding(&report, "netavark").contains("/nowhere"));
    lab.write(conf, "[engine]\nhelper_binaries_dir = 7\n");
    // Podman does not even tell its version then.
    let report = problems(&lab, &["configuration", "podman"]);
    assert!(finding(&report, "configuration").contains("99-test.conf"));
    lab.sh(&format!("rm {conf}"));

    lab.sh(&format!(
        "umount {PLUGIN}; install /usr/local/bin/berth {PLUGIN}"
    ));
    assert_well(&lab);
    lab.write(
        PLUGIN,
        "#!/bin/sh\necho '{\"version\":\"0.0.1\",\"api_version\":\"1.0.0\"}'\n",
    );
    let report = problems(&lab, &["plugin"]);
    assert!(finding(&report, "plugin").contains("is version 0.0.1, this is"));
    lab.sh(&format!("chmod 644 {PLUGIN}"));
    let report = problems(&lab, &["plugin"]);
    assert!(finding(&report, "plugin").ends_with(&format!("| chmod 755 {PLUGIN}")));
    lab.sh(&format!("rm {PLUGIN}"));
    let report = problems(&lab, &["plugin"]);
    assert!(finding(&report, "plugin").contains("/usr/local/libexec/netavark"));
    assert_undisturbed(&lab);
}

#[test]
fn networks_that_berth_cannot_use_are_named() {
    let (lab, _) = lab();
    lab.network(Driver::Bridge, "native", &[]);
    let (_, report) = doctor(&lab, &[]);
    let networks = finding(&report, "networks");
    assert!(
        networks.contains("own allocator: native, podman | on berth: n"),
        "{networks}"
    );
    let file = "/etc/containers/networks/n.json";
    lab.sh(&format!("cp {file} /tmp/kept; sed -i 's/\"driver\": \"berth\",/& \"options\": {{\"ipam_hold\": \"long\"}},/' {file}"));
    let report = problems(&lab, &["network-file"]);
    let found = finding(&report, "network-file");
    assert!(
        found.contains(file) && found.contains("ipam_hold"),
        "{found}"
    );
    lab.write(file, "{");
    let report = problems(&lab, &["network-file"]);
    assert!(finding(&report, "network-file").contains("n.json cannot be read"));
    lab.sh(&format!("cp /tmp/kept {file}"));
    assert_undisturbed(&lab);
}

/// Podman and the plugin wait for a netavark that does not end.
#[test]
fn whoever_holds_the_locks_is_named_in_bounded_time() {
    let (lab, network) = lab();
    let script = r#"#!/bin/sh
case " $* " in *" setup "*) touch /tmp/began; exec sleep 1000 ;; esac
exec NETAVARK "$@"
"#;
    lab.write_executable("/opt/slow", &script.replace("NETAVARK", &lab.netavark()));
    let run = lab
        .container("slow", &["n"])
        .env("BERTH_NETAVARK", "/opt/slow");
    let podman = run.cmd().spawn();
    wait_until("netavark's start", Duration::from_secs(20), || {
        let names = lab.names("/tmp");
        names.iter().any(|name| name == "began").then_some(())
    });
    let (outcome, report) = doctor(&lab, &["--repair"]);
    assert_eq!(
        checks(&report, "problems", false),
        ["network-lock", "store-lock"],
        "{outcome}"
    );
    let network_lock = finding(&report, "network-lock");
    assert!(network_lock.contains("(podman run "), "{network_lock}");
    let store_lock = finding(&report, "store-lock");
    assert!(store_lock.contains("(setup of container "), "{store_lock}");
    assert!(outcome.took < Duration::from_secs(25), "{outcome}");
    lab.sh("kill $(pgrep -f '^sleep 1000')");
    assert!(!podman.wait().status.success());
    assert_undisturbed(&lab);
    lab.remove("slow");
    assert_well(&lab);
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_a_problem() {
    let (lab, _) = lab();
    lab.sh(&format!(
        "mount --bind {STATE} {STATE}; mount -o remount,bind,ro {STATE}"
    ));
    for options in [&[][..], &["--repair"]] {
        let (outcome, report) = doctor(&lab, options);
        assert_eq!(checks(&report, "problems", false), ["store"], "{outcome}");
        let store = finding(&report, "store");
        assert!(store.contains("Read-only file system"), "{store}");
    }
    lab.sh(&format!("umount {STATE}"));
    assert_well(&lab);
    assert_undisturbed(&lab);
}

#[test]
fn a_ghost_is_noted_with_its_name_and_address() {
    let (lab, network) = lab();
    lab.kill_with_conmon("c");
    let (outcome, report) = doctor(&lab, &["--repair"]);
    assert_eq!(report["clean"], true, "{outcome}");
    let ghosts = finding(&report, "ghosts");
    assert!(
        ghosts.contains("1 container has leases whose holder is gone: c ("),
        "{ghosts}"
    );
    assert!(ghosts.contains("on network n with 10.77.0.99"), "{ghosts}");
    assert!(ghosts.ends_with("or berth gc"), "{ghosts}");
    assert_eq!(
        lab.leases(&network).of(&network).len(),
        1,
        "nothing is taken back"
    );
}

#[test]
fn a_wrong_command_line_is_another_exit_code() {
    let lab = Lab::start();
    let outcome = lab.cmd("berth").args(["doctor", "--heal"]).run();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    assert!(
        outcome.stderr.contains("--heal") && outcome.stdout.is_empty(),
        "{outcome}"
    );
}
