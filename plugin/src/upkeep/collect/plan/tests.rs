#![allow(clippy::unwrap_used)]

use super::*;
use crate::rules::lease::{Kind, LeasedAddress, Tenancy, fixture};
use crate::rules::verdict::Sign;

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

fn look(verdicts: Vec<(Tenant, Verdict)>) -> Findings {
    Findings {
        verdicts,
        ..Findings::default()
    }
}

fn planned(plan: &Plan) -> Vec<&str> {
    let tenants = plan.reclaim.iter();
    tenants
        .map(|(t, _)| t.tenancy.container_id.as_str())
        .collect()
}

const DEAD: Verdict = Verdict::Dead(Cause::NamespaceGone);

fn live() -> Verdict {
    Verdict::Live(Sign::Starting { pid: 9 })
}

#[test]
fn only_the_dead_are_reclaimed() {
    let unknown = Verdict::Unknown("no".into());
    let look = look(vec![
        (tenant("a", 1), live()),
        (tenant("b", 2), unknown),
        (tenant("c", 3), DEAD),
    ]);
    assert_eq!(planned(&look.plan()), ["c"]);
}

#[test]
fn a_second_look_must_find_the_same_lease_dead() {
    let earlier = look(vec![(tenant("a", 1), DEAD), (tenant("b", 2), live())]);
    let same = look(vec![(tenant("a", 1), DEAD), (tenant("b", 2), DEAD)]);
    assert_eq!(planned(&same.plan_again(&earlier)), ["a"]);
    let revived = look(vec![(tenant("a", 1), live())]);
    assert!(revived.plan_again(&earlier).is_empty());
    // Leased again since, to the same container.
    let renewed = look(vec![(tenant("a", 7), DEAD)]);
    assert!(renewed.plan_again(&earlier).is_empty());
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

/// A look that finds an empty namespace, first seen at 0, at this time of the boot.
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
    // Another podman than before: whoever made it is gone.
    assert!(clears(&empty_look(1, &[5], 8), &empty_look(1, &[6], 8)));
    assert!(clears(&empty_look(5, &[5], 8), &empty_look(5, &[5], 8)));
    // The file shows something else by now.
    assert!(!clears(&empty_look(9, &[], 8), &empty_look(9, &[], 9)));
    assert!(!empty_look(1, &[5], 8).suspects().is_empty());
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
