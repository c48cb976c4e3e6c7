//! `ipam.db` contradicts itself, is damaged, or is a copy from elsewhere.

use berth_integration::{Slot, ip};

use super::{ADDRESS, NET, all_is_well, lab, leak, web};

fn key(address: &str) -> Vec<u8> {
    berth_migrate::ipam::content::address_key(ip(address))
}

#[test]
fn contradictions_of_every_kind_are_repaired() {
    let lab = lab();
    let live = lab.container("live", &["n"]).ip("10.77.0.10").start();
    let other = lab.container("other", &["n"]).ip("10.77.0.11").start();
    let gone = "f".repeat(64);
    let (live, other) = (live.id.as_str(), other.id.as_str());
    let mapped = |last: u8| [&[0; 10][..], &[255, 255, 10, 77, 0, last]].concat();
    let good = lab.claims();
    assert_eq!(good.len(), 2);
    let list = |address: &str| format!("[\"{address}\"]");
    let (ten, eleven, both) = (
        list("10.77.0.10"),
        list("10.77.0.11"),
        r#"["10.77.0.10","10.77.0.11"]"#.to_owned(),
    );
    let damages: &[(&str, Vec<Slot<'_>>)] = &[
        ("no list", vec![Slot::NoList("n", live)]),
        ("a list that is not one", vec![Slot::List("n", live, "{")]),
        ("an empty list", vec![Slot::List("n", live, "[]")]),
        ("no entry", vec![Slot::NoEntry("n", NET, "10.77.0.10")]),
        (
            "another's entry",
            vec![Slot::Entry("n", NET, key("10.77.0.10"), other)],
        ),
        (
            "a dead one's entry",
            vec![
                Slot::Entry("n", NET, key("10.77.0.10"), &gone),
                Slot::List("n", &gone, &ten),
            ],
        ),
        (
            "another's address in a list",
            vec![Slot::List("n", other, &both)],
        ),
        (
            "swapped lists",
            vec![Slot::List("n", live, &eleven), Slot::List("n", other, &ten)],
        ),
        (
            "a 16-byte key",
            vec![
                Slot::NoEntry("n", NET, "10.77.0.10"),
                Slot::Entry("n", NET, mapped(10), live),
            ],
        ),
        (
            "a 16-byte key of the dead",
            vec![Slot::Entry("n", NET, mapped(77), &gone)],
        ),
        (
            "an address of before a second start",
            vec![Slot::Entry("n", NET, key("10.77.0.77"), live)],
        ),
        (
            "an entry of the dead",
            vec![Slot::Entry("n", NET, key("10.77.0.77"), &gone)],
        ),
        ("a list of the dead", vec![Slot::List("n", &gone, &ten)]),
        (
            "a network that is gone",
            vec![Slot::Entry("old", "10.78.0.0/24", key("10.78.0.7"), &gone)],
        ),
        (
            "a subnet that is gone",
            vec![Slot::Entry("n", "10.78.0.0/24", key("10.78.0.7"), &gone)],
        ),
        (
            "a stray cursor",
            vec![Slot::Entry(
                "n",
                NET,
                b"lastIP".to_vec(),
                "\u{a}M\u{1}\u{7}",
            )],
        ),
        (
            "an id that is not one",
            vec![Slot::Entry("n", NET, key("10.77.0.77"), "buildah-1")],
        ),
    ];
    for (what, damage) in damages {
        lab.spoil_ipam(damage);
        let seen = lab.migrate_json(["inspect"]);
        let findings = seen["findings"].as_array().map_or(0, Vec::len);
        assert!(findings > 0, "{what}: {seen:#}");
        lab.sanitise(&["--now"]);
        assert_eq!(lab.claims(), good, "{what}");
        let seen = lab.migrate(["inspect"]).run();
        assert!(seen.status.success(), "{what}: {seen}");
        let content = lab.ipam_content();
        assert_eq!(content.networks.len(), 1, "{what}");
        // Podman itself allocates and releases in it.
        lab.container("next", &["n"]).start();
        assert_eq!(lab.claims().len(), 3, "{what}");
        lab.remove("next");
        assert_eq!(lab.claims(), good, "{what}");
    }
    all_is_well(&lab);
}

#[test]
fn every_lease_in_a_copy_elsewhere_is_unknown() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    lab.sh(&format!(
        "mkdir /tmp/copy; cp {}/ipam.db /tmp/copy/",
        lab.run_dir()
    ));
    let outcome = lab
        .migrate(["inspect", "/tmp/copy/ipam.db"])
        .fails("liveness is unknown here");
    assert_eq!(outcome.status.code(), Some(1));
    let seen = lab.migrate_json(["inspect", "/tmp/copy/ipam.db"]);
    let leases = seen["leases"].as_array().expect("leases");
    assert!(
        leases.iter().all(|lease| lease["verdict"] == "unknown"),
        "{seen:#}"
    );
    assert_eq!(lab.names("/tmp/copy"), ["ipam.db"]);
    // Write the result elsewhere, for another machine or to look at first.
    let before = lab.claims();
    lab.sanitise(&["--output", "/tmp/copy/clean.db"]);
    assert_eq!(lab.claims(), before);
    let clean = lab.migrate_json(["inspect", "/tmp/copy/clean.db"]);
    assert_eq!(
        clean["leases"].as_array().map(Vec::len),
        Some(1),
        "{clean:#}"
    );
    lab.migrate(["sanitise", "--output", "/tmp/copy/clean.db"])
        .fails("File exists");
}

#[test]
fn a_damaged_file_is_left_alone_and_its_readable_part_can_be_saved() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let path = lab.ipam_path();
    let mut bytes = std::fs::read(&path).expect("a file");
    let good = bytes.clone();
    let needle = b"10.77.0.0/24";
    // Give all pages that have this key, now or before, an unknown kind.
    let at = bytes.windows(needle.len()).enumerate();
    let found: Vec<usize> = at
        .filter(|(_, part)| part == needle)
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at / 4096 * 4096 + 8] = 0xff;
    }
    std::fs::write(&path, &bytes).expect("written");
    lab.migrate(["inspect"]).fails("is damaged: page ");
    lab.migrate(["sanitise"]).fails("is damaged: page ");
    assert_eq!(std::fs::read(&path).expect("a file"), bytes);
    let saved = lab
        .migrate(["sanitise", "--salvage", "--output", "/tmp/saved.db"])
        .fails("skipped page ");
    let dump = lab.migrate(["dump", "/tmp/saved.db"]).ok();
    assert!(dump.starts_with('{') && !dump.contains(ADDRESS), "{dump}");
    assert_eq!(std::fs::read(&path).expect("a file"), bytes, "{saved}");
    std::fs::write(&path, &good).expect("written");
    lab.sanitise(&[]);
    all_is_well(&lab);
}

#[test]
fn addresses_in_use_that_a_lost_file_does_not_know_are_told() {
    let lab = lab();
    let running = web(&lab, "a", "n");
    let address = lab.addresses("a", "eth0")[0];
    for lose in ["rm", "truncate --size=0"] {
        lab.sh(&format!("{lose} {}/ipam.db", lab.run_dir()));
        let said = lab.migrate(["inspect"]).fails("");
        let id = &running.id[..12];
        let flaw = format!("{address} on n is in use by container {id}, but is not leased");
        assert!(said.stdout.contains(&flaw), "{said}");
    }
    lab.podman(["stop", "--time=0", "a"])
        .fails("no static ips provided");
    lab.podman(["start", "a"]).ok();
    lab.migrate(["inspect"]).ok();
    all_is_well(&lab);
}
