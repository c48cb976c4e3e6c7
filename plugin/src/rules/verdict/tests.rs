//! The verdict table, row by row.

use std::net::IpAddr;

use super::*;
use crate::rules::evidence::{Doubt, View};
use crate::rules::lease::{Kind, LeasedAddress, Process, Tenancy, fixture};
use crate::sight::NamespaceKey;

const HERE: NamespaceKey = (4, 40);
const HOST: NamespaceKey = (4, 1);
const CONTAINER: &str = "1f2e3d4c5b6a";
const NETNS: &str = "/run/netns/netns-1";

/// Builds evidence, one line at a time.
struct World(Evidence);

impl World {
    /// A minute after the lease: the starter runs, the namespace exists, no process is in it.
    fn new() -> Self {
        let tenant = tenant();
        let evidence = Evidence {
            at: tenant.created.after(Duration::from_secs(60)),
            boot_id: "boot".into(),
            pid_namespace: tenant.pid_namespace,
            ..Evidence::default()
        };
        Self(evidence)
            .path(PathFact::There(HERE))
            .process(50, "podman", HOST, &[])
    }

    fn path(mut self, fact: PathFact) -> Self {
        self.0.paths.insert(NETNS.into(), fact);
        self
    }

    fn process(
        mut self,
        pid: i32,
        name: &str,
        namespace: NamespaceKey,
        arguments: &[&str],
    ) -> Self {
        self.0.processes.push(ProcessFact {
            process: Process {
                pid,
                start_time: 500,
            },
            parent: 1,
            name: name.into(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            namespace: Some(namespace),
        });
        self
    }

    fn without(mut self, pid: i32) -> Self {
        self.0.processes.retain(|fact| fact.process.pid != pid);
        self
    }

    fn named(mut self, key: NamespaceKey, path: &str) -> Self {
        self.0.named.insert(key, path.into());
        self
    }

    fn later(mut self, wait: Duration) -> Self {
        self.0.at = self.0.at.after(wait);
        self
    }

    fn unreadable(mut self) -> Self {
        self.0.unreadable = Some("namespace of process 9: Permission denied".into());
        self
    }

    fn elsewhere(mut self) -> Self {
        self.0.elsewhere = Some("/proc is mounted with hidepid=2".into());
        self
    }

    /// Sets what is inside the namespace: `NAME ADDRESS`, or `NAME` alone.
    fn inside(mut self, interfaces: &[&str]) -> Self {
        let mut links: Vec<Link> = Vec::new();
        for text in interfaces {
            let (name, address) = text.split_once(' ').unwrap_or((text, ""));
            let at = links.iter().position(|link| link.name == name);
            let at = at.unwrap_or_else(|| {
                links.push(Link {
                    name: name.into(),
                    ..Link::default()
                });
                links.len() - 1
            });
            links[at].addresses.extend(address.parse::<IpAddr>());
        }
        self.0.inside.insert(HERE, links);
        self
    }

    fn pid_namespace(mut self, inode: u64) -> Self {
        self.0.pid_namespace = inode;
        self
    }

    fn boot(mut self, id: &str) -> Self {
        self.0.boot_id = id.into();
        self
    }
}

fn tenant() -> Tenant {
    let tenancy = Tenancy {
        network_id: "N".into(),
        container_id: CONTAINER.into(),
        interface: "eth0".into(),
    };
    let holding = LeasedAddress {
        address: "10.0.0.9".parse().expect("an address"),
        generation: 1,
        kind: Kind::Static,
    };
    fixture(tenancy, vec![holding])
}

#[track_caller]
fn check(world: World, expected: &str) {
    let verdict = Judge::by(&world.0).judge(&tenant());
    let text = match verdict {
        Verdict::Live(sign) => format!("live: {sign}"),
        Verdict::Dead(cause) => format!("dead: {cause}"),
        Verdict::Unknown(doubt) => format!("unknown: {doubt}"),
    };
    assert_eq!(text, expected);
}

const ABANDONED: &str = "dead: no process is in its namespace and nothing is starting it";
const GONE: &str = "dead: its namespace is gone";
const REPLACED: &str = "dead: its namespace's path shows something else";
const INTERFACE_GONE: &str = "dead: its interface is gone from its namespace";
const INHABITED: &str = "live: process 9 (x) lives in its namespace";
const STARTING: &str = "live: process 50 is starting it";

#[test]
fn another_boot_is_death_whatever_else_is_seen() {
    check(
        World::new().process(9, "x", HERE, &[]).boot("next"),
        "dead: its lease is of an earlier boot",
    );
}

#[test]
fn a_process_in_the_namespace_is_life() {
    check(World::new().process(9, "x", HERE, &[]), INHABITED);
    check(
        World::new().without(50).process(9, "x", HERE, &[]),
        INHABITED,
    );
}

#[test]
fn a_namespace_without_its_file_still_lives_while_somebody_is_in_it() {
    // netavark#1451: the file is unmounted before the teardown.
    check(
        World::new()
            .path(PathFact::Missing)
            .process(9, "x", HERE, &[]),
        INHABITED,
    );
    check(
        World::new()
            .path(PathFact::There((7, 7)))
            .process(9, "x", HERE, &[]),
        INHABITED,
    );
}

#[test]
fn a_namespace_number_given_out_again_is_not_the_old_namespace() {
    let reused = || World::new().without(50).process(9, "x", HERE, &[]);
    let named = || reused().named(HERE, "/run/netns/netns-2");
    check(named().path(PathFact::Missing), GONE);
    check(named().path(PathFact::There((7, 7))), REPLACED);
    // A namespace without its own file (docker's, systemd's) is judged by its interfaces.
    let other = || reused().inside(&["lo 127.0.0.1", "eth0 10.9.9.9"]);
    check(other().path(PathFact::Missing), GONE);
    let ours = || reused().inside(&["lo 127.0.0.1", "eth0 10.0.0.9"]);
    check(ours().path(PathFact::Missing), INHABITED);
}

#[test]
fn a_holder_without_its_interface_holds_nothing() {
    // berth was killed during `podman network disconnect`; the interface is gone.
    let lives = || World::new().without(50).process(9, "x", HERE, &[]);
    check(lives().inside(&["lo 127.0.0.1"]), INTERFACE_GONE);
    check(lives().inside(&["eth0 10.9.9.9"]), INTERFACE_GONE);
    // Renamed inside the container, or made but still without addresses.
    check(lives().inside(&["x1 10.0.0.9"]), INHABITED);
    check(lives().inside(&["eth0", "eth0 fe80::1"]), INHABITED);
    let run = |arguments: &[&str]| {
        let lives = lives().inside(&["eth0 10.9.9.9"]);
        lives.process(8, arguments[0], HOST, arguments)
    };
    check(run(&["conmon", "-c", CONTAINER]), INTERFACE_GONE);
    let netavark = ["netavark", "setup", NETNS];
    check(
        run(&netavark),
        "live: process 8 (netavark) is at work for it",
    );
    // Its podman is still at work on it.
    check(
        World::new().process(9, "x", HERE, &[]).inside(&[]),
        STARTING,
    );
}

#[test]
fn whoever_starts_or_ends_the_container_is_at_work_for_it() {
    let quiet =
        |name: &str, arguments: &[&str]| World::new().without(50).process(9, name, HOST, arguments);
    let at_work = |name: &str| format!("live: process 9 ({name}) is at work for it");
    check(
        quiet("conmon", &["conmon", "-c", CONTAINER]),
        &at_work("conmon"),
    );
    check(
        quiet("podman", &["podman", "container", "cleanup", CONTAINER]),
        &at_work("podman"),
    );
    check(
        quiet("netavark", &["netavark", "setup", NETNS]),
        &at_work("netavark"),
    );
    check(
        quiet("netavark", &["netavark", "teardown", "/proc/77/fd/9"]),
        &at_work("netavark"),
    );
    // These only look on.
    check(
        quiet("podman", &["podman", "logs", "-f", CONTAINER]),
        ABANDONED,
    );
    check(quiet("podman", &["podman", "wait", CONTAINER]), ABANDONED);
    check(
        quiet("watch", &["watch", "podman", "inspect", CONTAINER]),
        ABANDONED,
    );
    check(quiet("less", &["less", "1f2e3d4c5b6a.log"]), ABANDONED);
}

#[test]
fn what_cannot_be_in_a_namespace_at_its_path_casts_doubt_on_the_others_only() {
    let elsewhere = || World::new().without(50).elsewhere();
    let doubt = "unknown: /proc is mounted with hidepid=2";
    check(elsewhere(), ABANDONED);
    check(elsewhere().path(PathFact::Missing), doubt);
    check(elsewhere().path(PathFact::There((4, 41))), doubt);
    check(
        elsewhere().boot("another"),
        "dead: its lease is of an earlier boot",
    );
    check(
        elsewhere().process(9, "x", HERE, &[]).inside(&["eth1"]),
        INTERFACE_GONE,
    );
}

#[test]
fn what_is_seen_from_another_pid_namespace_proves_no_death() {
    let elsewhere = || World::new().without(50).pid_namespace(10);
    check(
        elsewhere(),
        "unknown: it was set up in another pid namespace",
    );
    check(elsewhere().process(9, "x", HERE, &[]), INHABITED);
}

#[test]
fn a_starter_keeps_its_container_until_it_ends_or_for_the_start_grace() {
    check(World::new(), STARTING);
    check(World::new().without(50), ABANDONED);
    check(World::new().later(START_GRACE), ABANDONED);
    let run = ["podman", "run", "--volume", "/data:/data:Z", "lab"];
    let slow = || World::new().without(50).process(50, "podman", HOST, &run);
    check(slow().later(10 * START_GRACE), STARTING);
    check(slow().later(10 * START_GRACE).path(PathFact::Missing), GONE);
    let service = ["podman", "system", "service"];
    let served = World::new().without(50);
    let served = served.process(50, "podman", HOST, &service);
    check(served.later(START_GRACE), ABANDONED);
    check(World::new().path(PathFact::Missing), GONE);
    // The path may show something else in our mount namespace.
    check(World::new().path(PathFact::There((7, 7))), STARTING);
}

#[test]
fn a_pid_given_out_again_is_not_the_starter() {
    let mut world = World::new();
    world.0.processes[0].process.start_time = 501;
    check(world, ABANDONED);
}

#[test]
fn a_missing_or_replaced_namespace_is_death() {
    check(World::new().without(50).path(PathFact::Missing), GONE);
    check(
        World::new().without(50).path(PathFact::There((4, 41))),
        REPLACED,
    );
}

#[test]
fn an_error_is_never_absence() {
    let doubt = "unknown: namespace of process 9: Permission denied";
    check(World::new().without(50).unreadable(), doubt);
    check(
        World::new()
            .without(50)
            .path(PathFact::Missing)
            .unreadable(),
        doubt,
    );
    let path = PathFact::Unreadable("/run/netns/netns-1: Input/output error".into());
    check(
        World::new().without(50).path(path),
        "unknown: /run/netns/netns-1: Input/output error",
    );
    // A sign of life counts even if the rest is uncertain.
    check(
        World::new().unreadable().process(9, "x", HERE, &[]),
        INHABITED,
    );
}

#[test]
fn a_namespace_that_is_not_shown_casts_doubt_on_whoever_may_live_there_only() {
    let hidden = |addresses: &[&str]| {
        let addresses = addresses
            .iter()
            .map(|text| text.parse().expect("an address"));
        let view = Some(View {
            interfaces: [b"lo".to_vec(), b"eth0".to_vec()].into(),
            addresses: addresses.collect(),
        });
        let mut world = World::new().without(50);
        let why = "namespace of process 9: Permission denied".to_owned();
        world.0.doubts.push(Doubt { why, view });
        world
    };
    check(hidden(&["10.0.0.8"]), ABANDONED);
    check(hidden(&["10.0.0.8"]).path(PathFact::Missing), GONE);
    let doubt = "unknown: namespace of process 9: Permission denied";
    check(hidden(&["10.0.0.9"]), doubt);
    check(hidden(&["10.0.0.9"]).path(PathFact::Missing), doubt);
    check(hidden(&[]), doubt);
}

#[test]
fn a_verdict_that_nobody_is_at_work_is_worth_a_second_look() {
    for cause in [Cause::Rebooted, Cause::NamespaceGone, Cause::Expired] {
        assert!(!cause.is_hasty());
    }
    for cause in [
        Cause::Abandoned,
        Cause::InterfaceGone,
        Cause::NamespaceReplaced,
    ] {
        assert!(cause.is_hasty());
    }
}

#[test]
fn the_ttl_runs_on_the_boot_clock() {
    let tenant = tenant();
    let hour = Duration::from_secs(3600);
    let mut now = tenant.created.after(hour);
    assert!(has_expired(&tenant, &now));
    now.wall_ms = 0;
    assert!(
        has_expired(&tenant, &now),
        "a clock set back changes nothing"
    );
    now = tenant.created.after(hour - Duration::from_millis(1));
    now.wall_ms += 86_400_000;
    assert!(
        !has_expired(&tenant, &now),
        "a clock set forward changes nothing"
    );
}
