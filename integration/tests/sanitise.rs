//! `berth-migrate sanitise` and `inspect` beside a real Podman that keeps its own
//! allocator: the outage and its relatives are repaired, and nothing that lives is
//! touched.

use std::net::IpAddr;
use std::time::Duration;

use berth_integration::campaign::Campaign;
use berth_integration::crash::Verb;
use berth_integration::outage::Death;
use berth_integration::tally::Tally;
use berth_integration::torture::Plan;
use berth_integration::{Container, Driver, Lab, Slot, seed, wait_until};
use serde_json::Value;

const ADDRESS: &str = "10.77.0.99";
const NET: &str = "10.77.0.0/24";
const SUBNET: [&str; 2] = ["--subnet", NET];
const LEAKED: &str = "requested ip address 10.77.0.99 is already allocated to container ID";
const BOUND: Duration = Duration::from_secs(20);

fn ip(address: &str) -> IpAddr {
    address.parse().expect("it is an address")
}

fn key(address: &str) -> Vec<u8> {
    berth_migrate::ipam::content::address_key(ip(address))
}

/// Returns a lab with a network of Podman's own.
fn lab() -> Lab {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &SUBNET);
    lab
}

fn web(lab: &Lab, name: &str, network: &str) -> Container {
    let page = ["httpd", "-f", "-p", "80", "-h", "/www"];
    lab.container(name, &[network]).command(&page).start()
}

/// Returns what is said of leases: address and reason.
fn leases(report: &Value, kind: &str) -> Vec<(String, String)> {
    let rows = report[kind].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(row, "address"), text(row, "why")))
        .collect()
}

fn addresses(report: &Value, kind: &str) -> Vec<String> {
    leases(report, kind).into_iter().map(|(a, _)| a).collect()
}

/// Asserts that the file has exactly what running containers have, and that Podman
/// removes all of them without complaint and leaves nothing on record.
#[track_caller]
fn all_is_well(lab: &Lab) {
    only_the_living_are_on_record(lab);
    let removed = lab.podman(["rm", "--all", "--force", "--time=0"]).run();
    assert!(removed.status.success(), "{removed}");
    assert_eq!(removed.stderr, "", "{removed}");
    assert_eq!(lab.claims(), [""; 0]);
}

#[track_caller]
fn only_the_living_are_on_record(lab: &Lab) {
    let ids = lab.podman(["ps", "--no-trunc", "--format={{.ID}}"]).ok();
    let mut expected = Vec::new();
    for id in ids.lines() {
        let all = lab.json(["inspect", id]);
        let networks = all[0]["NetworkSettings"]["Networks"].as_object();
        for (network, settings) in networks.into_iter().flatten() {
            for key in ["IPAddress", "GlobalIPv6Address"] {
                if let Some(address) = settings[key].as_str().filter(|text| !text.is_empty()) {
                    expected.push(format!("{network} {address} {id}"));
                }
            }
        }
    }
    expected.sort();
    let mut claims = lab.claims();
    claims.sort();
    assert_eq!(claims, expected);
}

/// Asks a web server again and again, beside whatever else happens.
struct Visitor<'a> {
    lab: &'a Lab,
    address: IpAddr,
}

impl<'a> Visitor<'a> {
    fn of(lab: &'a Lab, container: &Container) -> Self {
        let address = lab.reported(&container.name, "n")[0];
        let script = r#"
mkdir -p /tmp/visits
curl -sf -o /dev/null "http://$1/index.html"
(while [ -e /tmp/visits ]; do
  if curl -sf -m 2 -o /dev/null "http://$1/index.html"; then echo good; else echo bad; fi
done >"/tmp/visits.$1" 2>&1 &)"#;
        let address_text = address.to_string();
        wait_until("the first page", BOUND, || {
            let visit = lab.cmd("bash").args(["-euc", script, "bash"]);
            let outcome = visit.arg(&address_text).run();
            outcome.status.success().then_some(())
        });
        Self { lab, address }
    }

    /// Asserts that all went well, and that there was something.
    fn has_missed_nothing(self) {
        let of = |word: &str| {
            let file = format!("/tmp/visits.{}", self.address);
            let count = self.lab.sh(&format!("grep -c {word} {file} || true"));
            count.parse::<usize>().expect("a number")
        };
        let so_far = of("good");
        wait_until("another visit", BOUND, || {
            (of("good") > so_far).then_some(())
        });
        assert_eq!(of("bad"), 0, "a page of {} was missed", self.address);
    }
}

/// Leaks an address: podman is killed before netavark runs, and the container removed.
fn leak(lab: &Lab, name: &str, address: &str) {
    let run = lab.container(name, &["n"]).ip(address);
    run.dies(Death::PodmanBeforeNetavark);
    lab.remove(name);
}

/// Ends a container in such a way that Podman has still to clean up after it.
fn leave_pending(lab: &Lab, name: &str) {
    leave_pending_of(lab, name, &[]);
}

fn leave_pending_of(lab: &Lab, name: &str, podman: &[&str]) {
    let inspect = ["inspect", "--format={{.State.Pid}}", name];
    let pid = lab.podman(podman).args(inspect).ok();
    // What conmon calls to clean up does nothing meanwhile.
    lab.sh(&format!(
        "mount --bind /bin/true /usr/bin/podman; kill -9 {pid}
         while pgrep -x conmon -a | grep -q -- '-n {name} '; do sleep 0.02; done
         umount /usr/bin/podman"
    ));
}

#[test]
fn the_outage_is_repaired_while_containers_run() {
    let lab = lab();
    let running: Vec<_> = ["a", "b", "c"].map(|name| web(&lab, name, "n")).into();
    leak(&lab, "x", ADDRESS);
    let run = || lab.container("y", &["n"]).ip(ADDRESS);
    run().fails(LEAKED);
    lab.remove("y");
    let pids = |lab: &Lab| running.iter().map(|c| lab.pid(&c.name)).collect::<Vec<_>>();
    let before = pids(&lab);
    let visitors: Vec<_> = running.iter().map(|c| Visitor::of(&lab, c)).collect();

    let bytes = std::fs::read(lab.ipam_path()).expect("a file");
    let dry = lab.migrate(["sanitise", "--dry-run"]).fails("would remove");
    assert_eq!(dry.status.code(), Some(1));
    assert_eq!(std::fs::read(lab.ipam_path()).expect("a file"), bytes);

    let report = lab.sanitise(&[]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    assert_eq!(report["live"], 3);
    assert_eq!(report["looks"], 2);
    let backup = report["backup"].as_str().expect("a backup");
    let copy = lab.cmd("cat").arg(backup).run();
    assert!(copy.status.success());
    let stat = |path: &str| lab.sh(&format!("stat -c '%a %U %G' {path}"));
    assert_eq!(stat(backup), stat(&format!("{}/ipam.db", lab.run_dir())));
    let sums = lab.sh(&format!("sha256sum {backup} | cut -c-64"));
    lab.write("/tmp/before", "");
    std::fs::write(format!("/proc/{}/root/tmp/before", lab.init()), &bytes).expect("written");
    assert_eq!(sums, lab.sh("sha256sum /tmp/before | cut -c-64"));

    assert!(lab.migrate(["inspect"]).run().status.success());
    run().start();
    assert_eq!(lab.addresses("y", "eth0"), [ip(ADDRESS)]);
    for visitor in visitors {
        visitor.has_missed_nothing();
    }
    assert_eq!(pids(&lab), before);
    assert_eq!(lab.duplicates(), [""; 0]);
    let again = lab.sanitise(&[]);
    assert_eq!(again["backup"], Value::Null, "nothing to change: {again}");
    all_is_well(&lab);
}

#[test]
fn a_container_that_was_refused_by_its_own_lease_starts_again() {
    let lab = lab();
    let run = lab.container("c", &["n"]).ip(ADDRESS);
    run.dies(Death::PodmanBeforeNetavark);
    lab.podman(["start", "c"]).fails(LEAKED);
    let report = lab.sanitise(&[]);
    let removed = leases(&report, "removed");
    assert_eq!(removed[0].0, ADDRESS);
    assert!(
        removed[0].1.starts_with("Podman says it is created"),
        "{report}"
    );
    assert_eq!(report["removed"][0]["name"], "c");
    lab.podman(["start", "c"]).ok();
    assert_eq!(lab.addresses("c", "eth0"), [ip(ADDRESS)]);
    all_is_well(&lab);
}

#[test]
fn what_podman_has_still_to_clean_up_is_left_to_it() {
    let lab = lab();
    let container = lab.container("c", &["n"]).ip(ADDRESS).start();
    leave_pending(&lab, "c");
    let before = lab.claims();
    let outcome = lab.migrate(["sanitise"]).fails("podman container cleanup");
    assert!(outcome.stdout.contains(&container.id), "{outcome}");
    let report = lab.migrate_json(["sanitise"]);
    assert_eq!(addresses(&report, "pending"), [ADDRESS]);
    assert_eq!(lab.claims(), before);
    // As it says, it can be done here.
    let report = lab.sanitise(&["--cleanup"]);
    assert_eq!(report["cleaned_up"][0], container.id);
    assert_eq!(lab.claims(), [""; 0]);
    lab.podman(["start", "c"]).ok();
    all_is_well(&lab);
}

#[test]
fn nothing_is_removed_while_podman_does_not_answer() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let before = lab.claims();
    // A podman that fails, one that is not there, one that is another's.
    lab.sh("mount --bind /bin/false /usr/bin/podman");
    let report = lab.migrate_json(["sanitise"]);
    lab.sh("umount /usr/bin/podman");
    assert_eq!(addresses(&report, "unknown"), [ADDRESS], "{report}");
    for podman in ["no-such-podman", "podman --url=ssh://nobody@192.0.2.1/p"] {
        let report = lab.migrate_json(["sanitise", "--podman", podman]);
        assert_eq!(addresses(&report, "unknown"), [ADDRESS], "{report}");
        let why = &leases(&report, "unknown")[0].1;
        assert!(why.starts_with("Podman gave no answer: "), "{why}");
    }
    assert_eq!(lab.claims(), before);
    // One that hangs is waited for, and ended.
    lab.write_executable("/tmp/podman", "#!/bin/bash\nexec sleep 1000\n");
    let report = lab.migrate_json(["sanitise", "--podman", "/tmp/podman"]);
    let why = &leases(&report, "unknown")[0].1;
    assert!(
        why.contains("did not end within 30s and was killed"),
        "{why}"
    );
    assert_eq!(lab.pids("sleep").len(), 1, "only the container's");
    assert_eq!(lab.claims(), before);
    // The user may say that the kernel is enough.
    let report = lab.sanitise(&["--without-podman"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    all_is_well(&lab);
}

#[test]
fn whoever_keeps_a_lock_is_waited_for_with_an_end_and_named() {
    let lab = lab();
    leak(&lab, "x", ADDRESS);
    let before = lab.claims();
    let file = format!("{}/ipam.db", lab.run_dir());
    lab.sh(&format!(
        "flock {file} sleep 300 >/dev/null 2>&1 & sleep 0.3"
    ));
    let outcome = lab.migrate(["sanitise", "--now"]).fails("locked by pid");
    assert!(
        outcome.stderr.contains("(sleep 300)") || outcome.stderr.contains("flock"),
        "{outcome}"
    );
    assert!(outcome.took < Duration::from_secs(30), "{outcome}");
    lab.sh("pkill -x sleep || true; pkill -x flock || true");
    let hold = "import fcntl,time; f=open('/run/lock/netavark.lock','w'); \
                fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(300)";
    lab.write("/tmp/hold.py", hold);
    lab.sh("python3 /tmp/hold.py >/dev/null 2>&1 & sleep 0.5");
    let outcome = lab
        .migrate(["sanitise", "--without-podman"])
        .fails("held by pid");
    assert!(outcome.stderr.contains("/tmp/hold.py"), "{outcome}");
    lab.sh("pkill -f /tmp/hold.py");
    assert_eq!(lab.claims(), before);
    assert_eq!(addresses(&lab.sanitise(&[]), "removed"), [ADDRESS]);
}

#[test]
fn two_at_once_do_the_work_of_one() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    for number in 50..54 {
        leak(&lab, "x", &format!("10.77.0.{number}"));
    }
    let both: Vec<_> = (0..2)
        .map(|_| lab.migrate(["sanitise", "--json"]).spawn())
        .collect();
    let removed: Vec<_> = both
        .into_iter()
        .map(|running| {
            let outcome = running.wait();
            assert!(outcome.status.success(), "{outcome}");
            let report: Value = serde_json::from_str(&outcome.stdout).expect("a report");
            addresses(&report, "removed").len()
        })
        .collect();
    assert_eq!(removed.iter().sum::<usize>(), 4, "{removed:?}");
    all_is_well(&lab);
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
        ("a list that is none", vec![Slot::List("n", live, "{")]),
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
            "an id that is none",
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
        // Podman itself allocates in it, and releases.
        lab.container("next", &["n"]).start();
        assert_eq!(lab.claims().len(), 3, "{what}");
        lab.remove("next");
        assert_eq!(lab.claims(), good, "{what}");
    }
    all_is_well(&lab);
}

#[test]
fn both_families_and_several_networks_are_told_apart() {
    let lab = Lab::start();
    let six = ["--subnet", NET, "--subnet", "fd77::/64"];
    lab.network(Driver::Bridge, "n", &six);
    lab.network(Driver::Bridge, "m", &["--subnet", "10.78.0.0/24"]);
    lab.container("live", &["n", "m"]).start();
    let run = lab.container("x", &["n", "m"]);
    run.dies(Death::PodmanBeforeNetavark);
    lab.remove("x");
    let before = lab.claims();
    assert_eq!(before.len(), 6, "{before:?}");
    let report = lab.sanitise(&["--network", "m"]);
    assert_eq!(addresses(&report, "removed"), ["10.78.0.3"]);
    let of_m = |claims: &[String]| claims.iter().filter(|c| c.starts_with("m ")).count();
    assert_eq!((lab.claims().len(), of_m(&lab.claims())), (5, 1));
    let id = lab.inspect_network("n").id;
    let report = lab.sanitise(&["--network", &id]);
    assert_eq!(addresses(&report, "removed"), ["10.77.0.3", "fd77::3"]);
    lab.migrate(["sanitise", "--network", "nonsuch"])
        .fails("there is no network \"nonsuch\"");
    all_is_well(&lab);
}

#[test]
fn macvlan_networks_are_repaired_like_bridges() {
    let lab = Lab::start();
    lab.sh("ip link add near type veth peer name far; ip link set near up");
    let options = ["--driver", "macvlan", "--opt", "parent=near"];
    let create = lab.podman(["network", "create"]).args(options);
    create.args(SUBNET).arg("n").ok();
    leak(&lab, "x", ADDRESS);
    lab.container("y", &["n"]).ip(ADDRESS).fails(LEAKED);
    lab.remove("y");
    let probe = ["link", "add", "probe", "link", "near", "type", "macvlan"];
    let kernel_has_it = lab.cmd("ip").args(probe).run().status.success();
    if kernel_has_it {
        lab.cmd("ip").args(["link", "delete", "probe"]).ok();
        lab.container("live", &["n"]).start();
    }
    let report = lab.sanitise(&["--ghosts"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    if kernel_has_it {
        lab.container("y", &["n"]).ip(ADDRESS).start();
    }
    all_is_well(&lab);
}

#[test]
fn the_default_network_is_repaired_though_no_file_tells_of_it() {
    let lab = Lab::start();
    lab.container("live", &["podman"]).start();
    let run = lab.container("x", &["podman"]).ip("10.88.0.99");
    run.dies(Death::PodmanBeforeNetavark);
    lab.remove("x");
    let seen = lab.migrate_json(["inspect"]);
    assert_eq!(seen["findings"], serde_json::json!([]), "{seen:#}");
    assert_eq!(addresses(&lab.sanitise(&[]), "removed"), ["10.88.0.99"]);
    all_is_well(&lab);
    lab.sanitise(&[]);
    assert!(
        lab.ipam_content().networks.contains_key("podman"),
        "its cursor stays"
    );
}

#[test]
fn everything_that_the_dead_have_left_is_torn_down_when_asked() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let live = lab
        .container("live", &["n"])
        .option("--publish", "8080:80")
        .option("--network-alias", "same")
        .command(&["httpd", "-f", "-p", "80", "-h", "/www"])
        .start();
    let before = lab.leftovers(&network);
    let dead = lab
        .container("x", &["n"])
        .ip(ADDRESS)
        .option("--publish", "8081:80")
        .option("--network-alias", "same");
    dead.dies(Death::PodmanAfterNetavark);
    lab.remove("x");
    let left = lab.leftovers(&network);
    assert!(left.len() > before.len() + 3, "{left:?}");
    // Without being asked, only the lease goes.
    let report = lab.sanitise(&[]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS]);
    assert_eq!(lab.leftovers(&network), left);
    let would = lab.migrate_json(["sanitise", "--ghosts", "--dry-run"]);
    assert_eq!(
        would["cleared"].as_array().map(Vec::len),
        Some(2),
        "{would}"
    );
    assert_eq!(lab.leftovers(&network), left);
    lab.sanitise(&["--ghosts"]);
    let mut after = lab.leftovers(&network);
    let mut expected = before;
    after.sort();
    expected.sort();
    assert_eq!(after, expected);
    Visitor::of(&lab, &live).has_missed_nothing();
    assert_eq!(lab.dns_entries("n").get("same").map(Vec::len), Some(1));
    all_is_well(&lab);
    lab.assert_clean(&network);
}

#[test]
fn a_ghost_does_not_take_the_rules_of_whoever_has_its_address_by_now() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &SUBNET);
    let dead = lab.container("x", &["n"]).ip(ADDRESS);
    dead.option("--publish", "8081:80")
        .dies(Death::PodmanAfterNetavark);
    lab.remove("x");
    lab.sanitise(&[]);
    let live = lab
        .container("y", &["n"])
        .ip(ADDRESS)
        .option("--publish", "8082:80")
        .command(&["httpd", "-f", "-p", "80", "-h", "/www"])
        .start();
    let served = || {
        let visit = lab.sh("curl -s -m 2 http://127.0.0.1:8082/index.html || true");
        !visit.is_empty()
    };
    lab.sanitise(&["--ghosts"]);
    Visitor::of(&lab, &live).has_missed_nothing();
    wait_until("its published port", BOUND, || served().then_some(()));
    assert_eq!(lab.addresses("y", "eth0"), [ip(ADDRESS)]);
    all_is_well(&lab);
    lab.assert_clean(&network);
}

#[test]
fn a_copy_elsewhere_is_shown_without_a_word_on_who_lives() {
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
    // The result for another machine, or to look at first.
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
fn a_damaged_file_is_not_touched_and_what_can_be_read_of_it_is_saved() {
    let lab = lab();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let path = lab.ipam_path();
    let mut bytes = std::fs::read(&path).expect("a file");
    let good = bytes.clone();
    let needle = b"10.77.0.0/24";
    // The pages that this key is on, now or before, are of an unknown kind.
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
fn a_full_directory_changes_nothing() {
    let lab = Lab::start();
    let directory = lab.run_dir();
    lab.sh(&format!(
        "mkdir -p {directory}; mount -t tmpfs -o size=1m lab {directory}"
    ));
    lab.network(Driver::Bridge, "n", &SUBNET);
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let before = lab.claims();
    lab.sh(&format!(
        "dd if=/dev/zero of={directory}/fill bs=4k 2>/dev/null || true"
    ));
    lab.migrate(["sanitise"]).fails("No space left on device");
    assert_eq!(lab.claims(), before);
    let names = lab.names(&directory);
    assert!(
        !names.iter().any(|name| name.contains("berth")),
        "{names:?}"
    );
    lab.sh(&format!("rm {directory}/fill"));
    lab.sanitise(&[]);
    all_is_well(&lab);
}

#[test]
fn nothing_that_lives_is_removed_in_a_storm_of_starts_and_removals() {
    let lab = lab();
    lab.container("steady", &["n"]).start();
    let worker = |name: &str| {
        let script = format!(
            "for i in $(seq 12); do podman run -d --name {name} --network n lab; \
             podman rm -f -t0 {name}; done >/tmp/{name}.log 2>&1"
        );
        lab.cmd("bash")
            .args(["-c", &script])
            .within(Duration::from_secs(200))
            .spawn()
    };
    let workers = [worker("w1"), worker("w2")];
    let mut removed = Vec::new();
    for _ in 0..8 {
        let report = lab.migrate_json(["sanitise", "--now"]);
        removed.extend(addresses(&report, "removed"));
        let failures = &report["failures"];
        assert_eq!(failures.as_array().map(Vec::len), Some(0), "{report}");
    }
    for worker in workers {
        worker.wait();
    }
    let logs = lab.sh("cat /tmp/w1.log /tmp/w2.log");
    assert!(!logs.contains("rror"), "{logs}");
    assert_eq!(removed, [""; 0], "each had a container");
    assert_eq!(lab.duplicates(), [""; 0]);
    all_is_well(&lab);
}

#[test]
fn without_root_it_is_the_same() {
    let lab = Lab::start().user();
    lab.network(Driver::Bridge, "n", &SUBNET);
    let live = lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    lab.container("y", &["n"]).ip(ADDRESS).fails(LEAKED);
    lab.remove("y");
    let seen = lab.migrate_json(["inspect"]);
    let verdicts: Vec<_> = seen["leases"]
        .as_array()
        .expect("leases")
        .iter()
        .map(|lease| lease["verdict"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(verdicts, ["live", "dead"], "{seen:#}");
    let pid = lab.pid(&live.name);
    let report = lab.sanitise(&["--ghosts"]);
    assert_eq!(addresses(&report, "removed"), [ADDRESS], "{report}");
    assert_eq!(lab.pid(&live.name), pid);
    lab.container("y", &["n"]).ip(ADDRESS).start();
    all_is_well(&lab);
}

#[test]
fn what_the_kill_torture_leaves_is_cleared_away_beside_the_living() {
    let lab = Lab::start();
    let network = Plan::network(&lab, Driver::Bridge);
    let plan = Plan::new(16, seed());
    let (hits, _) = plan.deal(&lab, Driver::Bridge);
    let live = web(&lab, "live", "n");
    let before = Tally::take(&lab, &network, Driver::Bridge);
    assert!(before.addresses > 1, "nothing has leaked: {hits:?}");
    let visitor = Visitor::of(&lab, &live);
    let pid = lab.pid("live");
    let report = lab.sanitise(&["--ghosts"]);
    let removed = addresses(&report, "removed").len();
    assert_eq!(removed, before.addresses - 1, "{report:#}");
    visitor.has_missed_nothing();
    assert_eq!(lab.pid("live"), pid);
    assert_eq!(lab.allocated("n"), lab.reported("live", "n"));
    let again = lab.migrate_json(["sanitise", "--ghosts"]);
    assert_eq!(again["cleared"], serde_json::json!([]), "{again:#}");
    only_the_living_are_on_record(&lab);
    lab.remove_all();
    assert_eq!(lab.claims(), [""; 0]);
    let left = wait_until("the last namespace's end", BOUND, || {
        let left = Tally::take(&lab, &network, Driver::Bridge);
        (left.names + left.ports + left.namespaces == 0).then_some(left)
    });
    // Rules of a published port that netavark was killed over after it had forgotten it
    // lead to no container, and keep those of the network.
    assert!(
        left.interfaces == 0 && left.rules <= before.rules,
        "{left:#?}"
    );
}

#[test]
fn a_podman_of_ones_own_is_asked_where_its_directories_are_told() {
    let lab = lab();
    // All of root's share a file, wherever their containers are.
    let own = ["--root", "/srv/own/root", "--runroot", "/srv/own/run"];
    let podman = |args: &[&str]| lab.podman(own).args(args);
    lab.sh("mkdir /srv/own; mount -t tmpfs own /srv/own");
    lab.sh("podman save --quiet --output /tmp/lab.tar lab");
    podman(&["load", "--quiet", "--input", "/tmp/lab.tar"]).ok();
    podman(&["run", "--detach", "--name=own", "--network=n", "lab"]).ok();
    lab.container("live", &["n"]).start();
    leak(&lab, "x", ADDRESS);
    let mine = podman(&["inspect", "--format={{.Id}}", "own"]).ok();
    leave_pending_of(&lab, "own", &own);
    let both = ["--podman", "podman", "--podman"];
    let command = format!("podman {}", own.join(" "));
    let report = lab.migrate_json(both.iter().copied().chain([command.as_str()]).fold(
        vec!["sanitise"],
        |mut args, arg| {
            args.push(arg);
            args
        },
    ));
    assert_eq!(addresses(&report, "removed"), [ADDRESS], "{report:#}");
    assert_eq!(
        report["pending"][0]["container"],
        mine.as_str(),
        "{report:#}"
    );
    let removed = podman(&["rm", "--force", "--all"]).run();
    assert!(
        removed.status.success() && removed.stderr.is_empty(),
        "{removed}"
    );
    all_is_well(&lab);
}

#[test]
fn a_users_podman_of_ones_own_is_found_by_its_directories() {
    let lab = Lab::start().user();
    let own = [
        "--root",
        "/home/sailor/own",
        "--runroot",
        "/run/user/7001/own",
    ];
    let podman = |args: &[&str]| lab.podman(own).args(args);
    podman(&["load", "--quiet", "--input", "/run/lab-image.tar"]).ok();
    podman(&["network", "create", "--subnet", NET, "n"]).ok();
    podman(&["run", "--detach", "--name=live", "--network=n", "lab"]).ok();
    let script = format!(
        "#!/bin/bash\ncase \" $* \" in *\" setup \"*) kill -9 $PPID;; *) exec {} \"$@\";; esac\n",
        lab.netavark()
    );
    let conf = lab.replace_netavark(&script);
    let run = [
        "run",
        "--detach",
        "--name=x",
        "--network=n",
        "--ip",
        ADDRESS,
        "lab",
    ];
    let died = podman(&run).env("CONTAINERS_CONF_OVERRIDE", conf).run();
    assert!(!died.status.success());
    podman(&["rm", "--force", "x"]).ok();
    let directories = [
        "--run-dir=/run/user/7001/own/networks",
        "--config-dir=/home/sailor/own/networks",
    ];
    let report = lab.sanitise(&directories);
    assert_eq!(addresses(&report, "removed"), [ADDRESS], "{report:#}");
    assert_eq!(report["live"], 1, "{report:#}");
    podman(&run).ok();
    // Another Podman's word is none.
    let wrong = [
        "sanitise",
        directories[0],
        directories[1],
        "--podman=podman",
    ];
    let report = lab.migrate_json(wrong);
    assert_eq!(report["live"], 2, "{report:#}");
    podman(&["rm", "--force", "--all", "--time=0"]).ok();
}

/// What fits into two minutes.
const SAMPLE: usize = 40;

#[test]
fn a_death_at_any_system_call_leaves_the_old_or_the_new_and_is_made_good_by_the_next_run() {
    let mut random = fastrand::Rng::with_seed(seed());
    let campaign = Campaign::record(&[Verb::Sanitise]).sample(SAMPLE, &mut random);
    let report = campaign.run();
    eprintln!("{report}");
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    let reached: usize = report.rows.iter().map(|row| row.reached).sum();
    assert!(2 * reached > SAMPLE, "strace injured next to nothing");
}
