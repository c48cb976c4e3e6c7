//! The lab itself: it is private, it ends with its runner, and the checks of the other tests can
//! fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use berth_integration::{Driver, Lab, wait_until};

const DUAL: [&str; 4] = ["--ipv6", "--subnet=10.77.0.0/24", "--subnet", "fd77::/64"];
const BOUND: Duration = Duration::from_secs(10);

/// Returns a process's namespace, as a link such as `pid:[4026531836]`.
fn namespace(process: &str, kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{process}/ns/{kind}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Returns how many processes the host sees in a pid namespace.
fn inhabitants(pid_namespace: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("proc is mounted").flatten();
    processes
        .filter(|process| {
            let name = process.file_name();
            namespace(&name.to_string_lossy(), "pid").as_deref() == Some(pid_namespace)
        })
        .count()
}

#[test]
fn a_lab_sees_neither_the_host_nor_another_lab() {
    let (one, other) = (Lab::start(), Lab::start());
    one.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    one.container("c", &["n"]).start();
    assert_eq!(one.podman(["ps", "--quiet"]).ok().lines().count(), 1);
    assert_eq!(other.podman(["ps", "--all", "--quiet"]).ok(), "");
    assert_eq!(other.links().len(), 1, "only lo: {:?}", other.links());
    assert_eq!(other.ruleset(), "");
    let processes = other.cmd("ps").args(["-e", "-o", "comm="]).ok();
    assert_eq!(processes, "bash\nps", "init and ps itself");
    for kind in ["mnt", "net", "pid", "ipc", "uts", "cgroup"] {
        let of = |pid: u32| namespace(&pid.to_string(), kind).expect("the lab runs");
        let host = namespace("self", kind).expect("proc is mounted");
        assert_ne!(of(one.init()), host, "{kind} is the host's");
        assert_ne!(of(one.init()), of(other.init()), "{kind} is shared");
    }
}

#[test]
fn what_runs_in_a_lab_ends_with_it() {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("c", &["n"]).start();
    let own = namespace(&lab.init().to_string(), "pid").expect("the lab runs");
    assert!(inhabitants(&own) >= 3, "init, aardvark-dns, conmon");
    drop(lab);
    assert_eq!(inhabitants(&own), 0);
}

#[test]
fn a_lab_ends_when_its_runner_is_killed() {
    let script = "podman network create n >/dev/null; podman run -d --network n lab >/dev/null;
        readlink /proc/self/ns/pid; exec sleep inf";
    let mut runner = Command::new(env!("CARGO_BIN_EXE_berth-lab"))
        .args(["bash", "-euc", script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo built it");
    let mut own = String::new();
    let stdout = runner.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut own).expect("text");
    let own = own.trim_end();
    assert!(inhabitants(own) >= 3, "init, aardvark-dns, conmon in {own}");
    runner.kill().expect("it runs");
    runner.wait().expect("it is ours");
    wait_until("the lab's end", BOUND, || {
        (inhabitants(own) == 0).then_some(())
    });
}

#[test]
fn nothing_is_left_of_a_bridge_network_without_containers() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &DUAL);
    lab.assert_clean(&network);
    lab.container("c", &["n"])
        .option("--publish", "8080:80")
        .start();
    lab.remove("c");
    lab.assert_clean(&network);
}

/// Every kind of leftover is seen. A running container has every kind but one.
#[test]
fn every_kind_of_leftover_is_found() {
    let lab = Lab::start();
    let network = lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    lab.container("c", &["n"])
        .option("--publish", "8080:80")
        .start();
    lab.cmd("ip").args(["netns", "add", "stray"]).ok();
    let left = lab.leftovers(&network).join("\n");
    for kind in [
        "interface podman1 (bridge)",
        "(veth)",
        "DNS name c for [10.77.0.2]",
        "firewall rule `ip saddr 10.77.0.0/24",
        "dnat ip to 10.77.0.2:80`",
        "remembered ports",
        "namespace stray with nobody in it",
    ] {
        assert!(left.contains(kind), "`{kind}` is not in:\n{left}");
    }
    assert!(
        !left.contains("namespace netns-"),
        "one lives in it:\n{left}"
    );
}

#[test]
fn an_address_that_two_containers_have_is_seen() {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &["--subnet", "10.77.0.0/24"]);
    for name in ["one", "two"] {
        lab.container(name, &["n"]).start();
    }
    assert_eq!(lab.sightings().len(), 2);
    assert_eq!(lab.duplicates(), [""; 0]);
    let add = ["address", "add", "10.77.0.2/24", "dev", "eth0"];
    lab.inside("two", "ip").args(add).ok();
    let duplicates = lab.duplicates();
    assert_eq!(duplicates.len(), 1, "{duplicates:?}");
    assert!(duplicates[0].starts_with("10.77.0.2 "), "{duplicates:?}");
}

#[test]
fn podmans_own_allocations_are_read() {
    let lab = Lab::start();
    lab.network(Driver::Bridge, "n", &DUAL);
    lab.network(Driver::Bridge, "other", &["--subnet", "10.78.0.0/24"]);
    assert!(lab.allocated("n").is_empty());
    lab.container("one", &["n"]).start();
    lab.container("two", &["other"]).start();
    let texts: Vec<_> = lab.allocated("n").iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.77.0.2", "fd77::2"]);
    lab.remove("one");
    assert!(lab.allocated("n").is_empty());
}
