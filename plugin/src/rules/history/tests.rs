#![allow(clippy::unwrap_used)]

use super::*;
use crate::rules::lease::{Moment, Tenancy, fixture_of};

const DAY: u64 = 24 * 3600 * 1000;

/// Returns a tenant with 10.0.0.9, leased at this time in this boot.
fn tenant(container: &str, at: u64, boot: &str) -> Tenant {
    let created = Moment {
        wall_ms: at,
        boot_ms: at,
    };
    Tenant {
        boot_id: boot.to_owned(),
        created,
        ..fixture_of(container, "10.0.0.9")
    }
}

fn began(container: &str, at: u64) -> Line {
    Line::began(&tenant(container, at, "boot"), false, None)
}

fn released(container: &str, since: u64, at: u64) -> Line {
    Line::ended(&tenant(container, since, "boot"), at, End::Released, "")
}

/// Checks spells, each given as `CONTAINER FROM-UNTIL OUTCOME`.
#[track_caller]
fn check(lines: &[Line], present: &[Tenant], expected: &[&str]) {
    let spells = spells(lines, Some(present), "boot");
    let said = spells.iter().map(|spell| {
        let until = spell.until.map_or(String::new(), |until| until.to_string());
        let outcome = spell.outcome.as_str();
        format!(
            "{} {}-{until} {outcome}",
            spell.holder.container_id, spell.from
        )
    });
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[test]
fn a_spell_ends_as_its_line_says() {
    check(&[], &[], &[]);
    check(
        &[began("a", 1), released("a", 1, 5), began("b", 7)],
        &[tenant("b", 7, "boot")],
        &["a 1-5 released", "b 7- held"],
    );
    let gone = Line::ended(
        &tenant("a", 1, "boot"),
        5,
        End::Reclaimed,
        "nobody lives there",
    );
    let spell = &spells(&[began("a", 1), gone], Some(&[]), "boot")[0];
    assert_eq!(spell.outcome, Outcome::Ended(End::Reclaimed));
    assert_eq!(spell.reason, "nobody lives there");
}

#[test]
fn a_line_that_is_missing_is_no_lie() {
    // Without the beginning, as when a setup was undone.
    check(&[released("a", 1, 5)], &[], &["a 1-5 released"]);
    check(&[], &[tenant("a", 1, "boot")], &["a 1- held"]);
    // Without the present tenants.
    let spell = &spells(&[began("a", 1)], None, "boot")[0];
    assert_eq!((spell.until, spell.outcome), (None, Outcome::Held));
    // Without the end.
    check(&[began("a", 1)], &[], &["a 1- unnoted"]);
    check(
        &[began("a", 1), began("b", 7), released("b", 7, 9)],
        &[],
        &["a 1-7 unnoted", "b 7-9 released"],
    );
    check(
        &[began("a", 1)],
        &[tenant("b", 7, "boot")],
        &["a 1-7 unnoted", "b 7- held"],
    );
    // The container was started again, and that second start was undone.
    check(
        &[began("a", 1), released("a", 4, 5)],
        &[],
        &["a 1-4 unnoted", "a 4-5 released"],
    );
}

#[test]
fn a_boot_ends_whatever_was_held_before() {
    let before = Line::began(&tenant("a", 1, "earlier"), false, None);
    let spell = &spells(std::slice::from_ref(&before), Some(&[]), "boot")[0];
    assert_eq!((spell.until, spell.outcome), (None, Outcome::Unnoted));
    assert_eq!(spell.reason, "the machine was rebooted");
    let other = Line::began(
        &Tenant {
            tenancy: Tenancy {
                network_id: "other".into(),
                ..tenant("b", 7, "boot").tenancy
            },
            ..tenant("b", 7, "boot")
        },
        false,
        None,
    );
    check(&[before, other], &[], &["a 1-7 unnoted", "b 7- unnoted"]);
}

#[test]
fn a_container_keeps_its_spell_if_the_store_is_lost_under_it() {
    let adopted = |container| Line::began(&tenant(container, 5, "boot"), true, None);
    check(
        &[began("a", 1), adopted("a"), released("a", 5, 9)],
        &[],
        &["a 1-9 released"],
    );
    check(
        &[began("a", 1), adopted("b")],
        &[tenant("b", 5, "boot")],
        &["a 1-5 unnoted", "b 5- held"],
    );
}

#[test]
fn what_is_old_goes_and_stays_counted() {
    let mut other = tenant("still there", 4 * DAY, "boot");
    other.tenancy.network_id = "other".into();
    let still_there = Line::began(&other, false, None);
    let failed = Line::failed(Work::Setup, 40 * DAY, "why");
    let lines = vec![
        began("old", DAY),
        released("old", DAY, 2 * DAY),
        Line::began(&tenant("lost", 3 * DAY, "earlier"), false, None),
        still_there.clone(),
        released("a", 39 * DAY, 40 * DAY),
        failed.clone(),
    ];
    let before = Tally::of(&lines);
    let kept = trimmed(lines, 41 * DAY, "boot");
    assert_eq!(kept.len(), 3, "{kept:#?}");
    assert_eq!(
        kept[1..],
        [still_there.clone(), released("a", 39 * DAY, 40 * DAY)]
    );
    assert_eq!(
        Tally {
            at: 0,
            ..Tally::of(&kept)
        },
        before
    );
    let again = trimmed([kept, vec![failed]].concat(), 42 * DAY, "boot");
    assert_eq!(Tally::of(&again).failures[&Work::Setup], 2);
}

#[test]
fn only_the_newest_lines_are_kept() {
    let most = u64::try_from(MOST_LINES).unwrap();
    let lines: Vec<_> = (0..most + 5).map(|at| released("a", at, at)).collect();
    let kept = trimmed(lines, 9, "boot");
    assert_eq!(kept.len(), MOST_LINES + 1);
    assert_eq!(kept[1], released("a", 5, 5));
    assert_eq!(Tally::of(&kept).ends[&End::Released], most + 5);
}

#[test]
fn setups_are_counted_by_how_long_they_took() {
    let took = |ms| {
        Line::began(
            &tenant("a", 1, "boot"),
            false,
            Some(Duration::from_millis(ms)),
        )
    };
    let tally = Tally::of(&[took(50), took(51), took(3_600_000), began("a", 1)]);
    assert_eq!(
        tally.setups.into_iter().collect::<Vec<_>>(),
        [(50, 1), (75, 1), (u64::MAX, 1)]
    );
    assert_eq!(tally.setups_ms, 3_600_101);
}

#[test]
fn lines_are_short_whatever_is_in_them() {
    let line = Line::failed(Work::Teardown, 1, &"ö".repeat(10_000));
    let Line::Failed(failed) = &line else {
        panic!("{line:?}");
    };
    assert_eq!(failed.reason.len(), LONGEST_REASON + '…'.len_utf8());
    assert!(line.to_string().starts_with("teardown failed: ööö"));
}

/// Later versions must be able to read what this one has written.
#[test]
fn lines_are_written_like_this() {
    let ended = Line::ended(&tenant("a", 1, "boot"), 5, End::Reclaimed, "gone");
    assert_eq!(
        serde_json::to_string(&ended).unwrap(),
        r#"{"ended":{"at":5,"since":1,"holder":{"boot":"boot","network":"net","network_id":"net","container_id":"a","container_name":"web","interface":"eth0","addresses":[["10.0.0.9","dynamic"]]},"end":"reclaimed","reason":"gone"}}"#
    );
    let failed = Line::failed(Work::Setup, 5, "why");
    assert_eq!(
        serde_json::to_string(&failed).unwrap(),
        r#"{"failed":{"at":5,"work":"setup","reason":"why"}}"#
    );
    assert_eq!(
        serde_json::to_string(&Line::Tally(Tally::of(&[ended, failed]))).unwrap(),
        r#"{"tally":{"at":0,"setups":{},"setups_ms":0,"ends":{"reclaimed":1},"failures":{"setup":1}}}"#
    );
}
