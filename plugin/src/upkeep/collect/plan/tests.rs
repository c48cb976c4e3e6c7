#![allow(clippy::unwrap_used)]

use super::*;
use crate::rules::lease::{Kind, LeasedAddress, Tenancy, fixture};

fn tenant(container: &str, generation: u64) -> Tenant {
    let tenancy = Tenancy {
        network_id: "n1".into(),
        container_id: container.into(),
        interface: "eth0".into(),
    };
    let holding = LeasedAddress {
        address: "10.0.0.5".parse().unwrap(),
        generation,
        kind: Kind::Dynamic,
    };
    fixture(tenancy, vec![holding])
}

fn look(dead: &[Tenant]) -> Findings {
    let dead = dead.iter().cloned();
    Findings {
        dead: dead.map(|tenant| (tenant, Cause::NamespaceGone)).collect(),
        ..Findings::default()
    }
}

fn planned<'f>(plan: &Plan<'f>) -> Vec<&'f str> {
    let tenants = plan.reclaim.iter();
    tenants
        .map(|(t, _)| t.tenancy.container_id.as_str())
        .collect()
}

#[test]
fn those_go_first_whose_interface_is_gone() {
    let mut look = look(&[tenant("a", 1), tenant("b", 2)]);
    look.dead[0].1 = Cause::Abandoned;
    assert_eq!(planned(&look.plan()), ["b", "a"]);
}

#[test]
fn a_second_look_must_find_the_same_lease_dead() {
    let earlier = look(&[tenant("a", 1)]);
    let same = look(&[tenant("a", 1), tenant("b", 2)]);
    assert_eq!(planned(&same.plan_again(&earlier)), ["a"]);
    let revived = look(&[]);
    assert!(revived.plan_again(&earlier).is_empty());
    // The address was leased again meanwhile, to the same container.
    let renewed = look(&[tenant("a", 7)]);
    assert!(renewed.plan_again(&earlier).is_empty());
}

/// Another podman, with a network configuration directory of its own, may be starting it.
#[test]
fn on_a_network_without_a_file_a_start_has_its_time() {
    let minute = Duration::from_secs(60);
    let tenant = tenant("a", 1);
    let later = |age: Duration, makers: &[i32]| Findings {
        at: tenant.created.after(age),
        dead: vec![(tenant.clone(), Cause::Abandoned)],
        makers: makers.iter().map(|pid| process(*pid)).collect(),
        ..Findings::default()
    };
    assert!(later(minute, &[7]).plan().is_empty());
    assert_eq!(planned(&later(minute, &[]).plan()), ["a"]);
    assert_eq!(planned(&later(5 * minute, &[7]).plan()), ["a"]);
    let mut known = later(minute, &[7]);
    known.configured.insert("n1".to_owned());
    assert_eq!(planned(&known.plan()), ["a"]);
    let mut gone = later(minute, &[7]);
    gone.dead[0].1 = Cause::NamespaceGone;
    assert_eq!(planned(&gone.plan()), ["a"]);
}

fn file(inode: u64) -> Leftover {
    Leftover::NamespaceFile {
        path: "/run/netns/netns-1".into(),
        key: (4, inode),
    }
}

fn process(pid: i32) -> Process {
    Process { pid, start_time: 1 }
}

/// A look, `minutes` after the boot, that finds an empty namespace first seen at 0.
fn empty_look(minutes: u64, makers: &[i32], inode: u64) -> Findings {
    let moment = |boot_ms| Moment {
        wall_ms: 0,
        boot_ms,
    };
    let leftovers = vec![file(inode)];
    Findings {
        at: moment(minutes * 60_000),
        empty: empty(&leftovers, &[], moment(0)),
        leftovers,
        makers: makers.iter().map(|pid| process(*pid)).collect(),
        ..Findings::default()
    }
}

#[test]
fn an_empty_namespace_waits_for_whoever_may_be_setting_it_up() {
    let clears = |earlier: &Findings, later: &Findings| !later.plan_again(earlier).is_empty();
    assert!(clears(&empty_look(1, &[], 8), &empty_look(1, &[], 8)));
    assert!(!clears(&empty_look(1, &[5], 8), &empty_look(1, &[5], 8)));
    // It is another podman than before: the one that made the namespace is gone.
    assert!(clears(&empty_look(1, &[5], 8), &empty_look(1, &[6], 8)));
    assert!(clears(&empty_look(5, &[5], 8), &empty_look(5, &[5], 8)));
    // The file shows something else by now.
    assert!(!clears(&empty_look(9, &[], 8), &empty_look(9, &[], 9)));
    assert!(empty_look(1, &[5], 8).has_suspects());
    assert!(empty_look(1, &[5], 8).plan().is_empty());
}

#[test]
fn an_empty_namespace_keeps_the_moment_it_was_first_seen() {
    let moment = |boot_ms| Moment {
        wall_ms: 0,
        boot_ms,
    };
    let first = empty(&[file(8)], &[], moment(1));
    assert_eq!(empty(&[file(8)], &first, moment(2)), first);
    assert_eq!(empty(&[file(9)], &first, moment(2))[0].seen, moment(2));
    assert_eq!(empty(&[], &first, moment(2)), []);
}
