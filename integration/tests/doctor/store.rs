//! A store that is damaged, unreadable, locked, or not writable.

use std::time::Duration;

use berth_integration::{Driver, Lab, ip, wait_until};

use super::{
    ADDRESS, BOUND, STATE, assert_undisturbed, assert_well, checks, doctor, finding, lab, problems,
};

/// Damages the store behind its back.
#[track_caller]
fn damage(lab: &Lab, how: &str, table: &str, text: &str) {
    let changed = lab.cmd("lab-store").args([how, table, text]).ok();
    assert_ne!(changed, "0", "there is such an entry");
}

#[test]
fn free_extents_and_indexes_are_repaired_under_a_running_container() {
    let (lab, network) = lab();
    let id = network.id.as_str();
    let id_of_c = lab.podman(["inspect", "--format", "{{.Id}}", "c"]).ok();
    for (tables, found) in [
        (&[("free", id)][..], &["free-missing"][..]),
        (
            &[("pool", id)],
            &["free-without-pool", "index-without-reservation"],
        ),
        (
            &[("reservation", id)],
            &["free-missing", "index-without-reservation"],
        ),
        (&[("expiry", id)], &["reservation-not-indexed"]),
        (
            &[("former-name", id), ("former-id", id), ("free", id)],
            &["free-missing", "reservation-not-indexed"],
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
        // A lost reservation stays lost. The next removal makes another one.
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

/// If records contradict each other, the doctor changes nothing: if it worked out from them
/// what is free, it could give the address to another container.
#[test]
fn a_lost_record_keeps_its_lease_until_a_rebuild() {
    let (lab, network) = lab();
    damage(&lab, "delete", "tenant", &network.id);
    for _ in 0..2 {
        let (outcome, report) = doctor(&lab, &["--repair"]);
        assert_eq!(
            checks(&report, "problems", false),
            ["lease-without-tenant"],
            "{outcome}"
        );
        let found = finding(&report, "lease-without-tenant");
        assert!(found.contains("on network n, which has no"), "{found}");
        assert!(found.ends_with("| berth rebuild"), "{found}");
    }
    assert_undisturbed(&lab);
    let other = lab.container("other", &["n"]).ip(ADDRESS).cmd().run();
    assert!(!other.status.success(), "{other}");
    lab.remove("other");
    assert_undisturbed(&lab);
    lab.remove("c");
    lab.cmd("berth").arg("rebuild").ok();
    lab.container("other", &["n"]).ip(ADDRESS).start();
    lab.remove("other");
    lab.assert_clean(&network);
}

#[test]
fn a_lost_lease_is_given_to_nobody_and_a_rebuild_gives_it_back() {
    let (lab, network) = lab();
    damage(&lab, "delete", "lease", &network.id);
    let found = ["free-missing", "leased-address-without-lease"];
    let report = problems(&lab, &found);
    for check in found {
        assert!(finding(&report, check).ends_with("| berth rebuild"));
    }
    let (_, report) = doctor(&lab, &["--repair"]);
    assert_eq!(checks(&report, "problems", false), found);
    lab.cmd("berth").arg("rebuild").ok();
    let id = lab.podman(["inspect", "--format", "{{.Id}}", "c"]).ok();
    lab.container("other", &["n"])
        .ip(ADDRESS)
        .fails(&format!("is already allocated to container ID {id}"));
    lab.remove("other");
    assert_undisturbed(&lab);
    lab.remove("c");
    lab.assert_clean(&network);
}

#[test]
fn a_rebuild_finds_out_whose_a_lost_record_was_and_keeps_reservations() {
    let (lab, network) = lab();
    let reserved = lab.leases(&network).holds[0].address;
    damage(&lab, "delete", "tenant", &network.id);
    let said = lab.cmd("berth").arg("rebuild").ok();
    assert!(said.contains("1 reservation was carried over"), "{said}");
    let (outcome, report) = doctor(&lab, &[]);
    assert_eq!(checks(&report, "problems", false), [""; 0], "{outcome}");
    let aside = finding(&report, "store-aside");
    assert!(aside.contains("leases.redb.damaged-"), "{aside}");
    assert_undisturbed(&lab);
    assert_eq!(lab.leases(&network).holds[0].address, reserved);
    lab.container("gone", &["n"]).start();
    assert_eq!(lab.addresses("gone", "eth0"), [reserved], "it comes back");
    lab.remove("gone");
    lab.remove("c");
    lab.assert_clean(&network);
}

/// A namespace without processes still answers at its address.
#[test]
fn a_lost_record_keeps_its_lease_while_a_namespace_has_the_address() {
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
    let said = lab.cmd("berth").arg("rebuild").ok();
    assert!(said.contains("knows 1 container;"), "{said}");
    lab.remove_empty_namespaces();
    // The kernel takes a moment to end a namespace.
    wait_until("the end of the namespace and the lease", BOUND, || {
        lab.cmd("berth").args(["gc", "--now"]).ok();
        lab.leases(&network).of(&network).is_empty().then_some(())
    });
}

/// The first setup on a network looks for the containers that are already there, and reads no
/// more of the store than that needs.
#[test]
fn a_tenant_that_cannot_be_read_keeps_nobody_from_another_network() {
    let (lab, network) = lab();
    let other = lab.network(Driver::Berth, "other", &["--subnet", "10.78.0.0/24"]);
    let bridge = &other.interface;
    lab.sh(&format!(
        "ip link add {bridge} type bridge
        ip address add 10.78.0.1/24 dev {bridge}"
    ));
    damage(&lab, "garble", "tenant", &network.id);
    lab.container("d", &["other"]).start();
    assert_eq!(lab.addresses("d", "eth0"), [ip("10.78.0.2")]);
}

#[test]
fn a_store_that_cannot_be_read_is_left_alone_and_the_rest_is_checked() {
    let (lab, network) = lab();
    let files = |lab: &Lab| lab.sh(&format!("cd {STATE}/leases.redb && cat format db | md5sum"));
    damage(&lab, "garble", "tenant", &network.id);
    for options in [&[][..], &["--repair"]] {
        let (outcome, report) = doctor(&lab, options);
        assert_eq!(checks(&report, "problems", false), ["store"], "{outcome}");
        let store = finding(&report, "store");
        assert!(store.contains("cannot read Tenant"), "{store}");
        assert!(store.ends_with("| berth rebuild"), "{store}");
        let mut notes = checks(&report, "notes", false);
        notes.retain(|note| note != "network-lock-mode");
        assert_eq!(notes, ["networks", "timer"]);
    }
    for (file, text, words) in [
        ("format", "99\n", "has format 99"),
        ("db", "garbage", "redb cannot open it"),
        ("format", "garbage", "format"),
    ] {
        let path = format!("{STATE}/leases.redb/{file}");
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
        "rm -r {STATE}/leases.redb; echo x >{STATE}/leases.redb"
    ));
    let report = problems(&lab, &["store"]);
    assert!(finding(&report, "store").contains("leases.redb"));
    assert_undisturbed(&lab);
}

#[test]
fn stray_files_in_the_state_directory_are_reported() {
    let (lab, _) = lab();
    lab.sh(&format!(
        "cd {STATE}; mkdir leases.redb.new leases.redb.damaged; echo x >leases.redb.new/db
         touch core; chmod 777 ."
    ));
    let report = problems(&lab, &["state-directory-mode"]);
    let notes = [
        "network-lock-mode",
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
        ["network-lock-mode", "unfinished-store"],
        "{outcome}"
    );
    let names = ["core", "leases.redb", "leases.redb.damaged", "lock"];
    assert_eq!(lab.names(STATE), names);
    assert_eq!(lab.sh(&format!("stat -c %a {STATE}")), "700");
    lab.sh(&format!("cd {STATE}; rm -r core leases.redb.damaged"));
    assert_well(&lab);
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
