//! The installation, the networks, ghosts, and a host where all is well.

use berth_integration::{Driver, Lab};

use super::{
    ADDRESS, PLUGIN, STATE, assert_undisturbed, assert_well, checks, doctor, finding, lab, problems,
};

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
    assert_eq!(text.lines().last(), Some("clean, 3 notes"), "{text}");
    assert!(
        text.contains("note: networks on Podman's own allocator: podman (on berth: n); "),
        "{text}"
    );
    lab.remove("c");
    lab.assert_clean(&network);
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
    // With this file, Podman does not even print its version.
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

#[test]
fn a_ghost_is_reported_with_its_name_and_address() {
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
fn a_wrong_command_line_has_an_exit_code_of_its_own() {
    let lab = Lab::start();
    let outcome = lab.cmd("berth").args(["doctor", "--heal"]).run();
    assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    assert!(
        outcome.stderr.contains("--heal") && outcome.stdout.is_empty(),
        "{outcome}"
    );
}
