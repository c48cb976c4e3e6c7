#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::bolt::{Bucket, Item};
use crate::flaw::{Flaw, flaws};
use crate::ipam::claim::Claim;
use crate::ipam::content::address_key;
use crate::ipam::sample::address;
use crate::judgement::Judgement;
use crate::verdict::Cause;

const NET: &str = r#"{"name":"net","id":"1","driver":"bridge","subnets":[
    {"subnet":"10.1.0.0/24","gateway":"10.1.0.1"},{"subnet":"fd00::/64"}]}"#;

fn networks() -> Networks {
    let mut networks = Networks {
        default: "podman".to_owned(),
        ..Networks::default()
    };
    networks
        .all
        .insert("net".to_owned(), serde_json::from_str(NET).unwrap());
    networks
}

/// Makes a file out of lines: `network subnet address container`, where `*` puts an address
/// under a 16-byte key; `network ids container list`; `network subnet lastIP address`.
fn file(lines: &[&str]) -> Bucket {
    let mut root = Bucket::default();
    let child = |bucket: &mut Bucket, key: &str| {
        let empty = || Item::Bucket(Bucket::default());
        bucket.items.entry(key.into()).or_insert_with(empty);
    };
    for line in lines {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        child(&mut root, words[0]);
        let Some(Item::Bucket(network)) = root.items.get_mut(words[0].as_bytes()) else {
            unreachable!("just made")
        };
        child(network, words[1]);
        let Some(Item::Bucket(bucket)) = network.items.get_mut(words[1].as_bytes()) else {
            unreachable!("just made")
        };
        let [_, kind, key, value] = words[..] else {
            continue;
        };
        let (key, value) = match (kind, key) {
            ("ids", container) => (container.as_bytes().to_vec(), value.as_bytes().to_vec()),
            (_, "lastIP") => (b"lastIP".to_vec(), address_key(address(value))),
            (_, foreign) if foreign.starts_with('?') => (foreign.into(), value.into()),
            (_, text) => {
                let slot = Slot {
                    address: address(text.trim_end_matches('*')),
                    mapped: text.ends_with('*'),
                    container: value.to_owned(),
                };
                (slot.key(), value.as_bytes().to_vec())
            }
        };
        bucket.items.insert(key, Item::Value(value));
    }
    root
}

/// The first letter of a container says what it is: dead, held, live, pending or unknown.
fn verdict(claim: &Claim) -> Verdict {
    let held = || {
        Verdict::Live(Sign::Held {
            pid: 7,
            name: "sleep".to_owned(),
        })
    };
    match &claim.key.container[..1] {
        "d" => Verdict::Dead(Cause::NotKnown),
        "h" => held(),
        "l" => Verdict::Live(Sign::Podman {
            status: "running".to_owned(),
        }),
        "p" => Verdict::Pending {
            status: "exited".to_owned(),
        },
        _ => Verdict::Unknown("a doubt".to_owned()),
    }
}

fn judgements(content: &Content) -> Judgements {
    let claims = content.claims().into_iter();
    claims
        .map(|claim| {
            let verdict = verdict(&claim);
            (claim.key.clone(), Judgement { claim, verdict })
        })
        .collect()
}

fn sanitised(root: &Bucket, networks: &Networks, only: Option<&str>) -> Bucket {
    let content = Content::parse(root);
    let edits = edits(&content, &judgements(&content), networks, only);
    apply(root, &edits)
}

#[track_caller]
fn check(before: &[&str], after: &[&str]) {
    let result = sanitised(&file(before), &networks(), None);
    assert_eq!(Content::parse(&result), Content::parse(&file(after)));
    assert_eq!(
        sanitised(&result, &networks(), None),
        result,
        "and once is enough"
    );
}

const FOUR: &str = "net 10.1.0.0/24";
const SIX: &str = "net fd00::/64";

fn line(start: &str, rest: &str) -> String {
    format!("{start} {rest}")
}

#[test]
fn the_dead_go_and_whoever_is_kept_stays_with_the_cursor() {
    let cursor = line(FOUR, "lastIP 10.1.0.9");
    let (dead, live) = (line(FOUR, "10.1.0.9 dead"), line(FOUR, "10.1.0.2 live"));
    let (pending, unknown) = (line(FOUR, "10.1.0.3 pend"), line(FOUR, "10.1.0.4 unkn"));
    let kept = [
        cursor.as_str(),
        &live,
        &pending,
        &unknown,
        r#"net ids live ["10.1.0.2"]"#,
        r#"net ids pend ["10.1.0.3"]"#,
        r#"net ids unkn ["10.1.0.4"]"#,
    ];
    let gone = [dead.as_str(), r#"net ids dead ["10.1.0.9"]"#];
    check(&[&kept[..], &gone].concat(), &kept);
}

#[test]
fn the_two_indexes_agree_afterwards() {
    let (four, six) = (line(FOUR, "10.1.0.2 live"), line(SIX, "fd00::2 live"));
    let both = [
        four.as_str(),
        &six,
        r#"net ids live ["10.1.0.2","fd00::2"]"#,
    ];
    // Each side is completed from the other, in Podman's order.
    check(&[&four, &six, r#"net ids live ["fd00::2"]"#], &both);
    check(&[&four, &six, "net ids"], &both);
    check(&[&six, FOUR, both[2]], &both);
    check(&[both[2]], &both);
    check(&[&four, &six, "net ids live null"], &both);
    // A dead entry may be on one side only.
    let dead = line(FOUR, "10.1.0.9 dead");
    let empty = [FOUR, "net ids"];
    check(&[&dead, "net ids"], &empty);
    check(&[FOUR, r#"net ids dead ["10.1.0.9"]"#], &empty);
    check(&[FOUR, "net ids live []"], &empty);
}

#[test]
fn of_those_who_claim_an_address_one_keeps_it_and_no_other_can_release_it() {
    let check = |slot: &str, lists: [&str; 2], slot_after: &str, lists_after: &[&str]| {
        let lines = |slot: &str, lists: &[&str]| -> Vec<String> {
            let slot = line(FOUR, &format!("10.1.0.2 {slot}"));
            let lists = lists.iter();
            let lists = lists.map(|who| format!(r#"net ids {who} ["10.1.0.2"]"#));
            std::iter::once(slot).chain(lists).collect()
        };
        let (before, after) = (lines(slot, &lists), lines(slot_after, lists_after));
        let texts = |lines: &[String]| lines.join("\n");
        let (before, after) = (texts(&before), texts(&after));
        let split = |text: &'static str| text.lines().collect::<Vec<_>>();
        self::check(&split(before.leak()), &split(after.leak()));
    };
    // The container that the kernel shows.
    check("live", ["live", "held"], "held", &["held"]);
    check("unkn", ["unkn", "held"], "held", &["held"]);
    // Else the one that the subnet's entry names.
    check("live", ["live", "unkn"], "live", &["live"]);
    check("unkn", ["live", "unkn"], "unkn", &["unkn"]);
    // Else the one that is left.
    check("dead", ["dead", "live"], "live", &["live"]);
}

#[test]
fn a_key_that_the_allocator_does_not_see_becomes_one_that_it_does() {
    let (wrong, right) = (line(FOUR, "10.1.0.2* live"), line(FOUR, "10.1.0.2 live"));
    let list = r#"net ids live ["10.1.0.2"]"#;
    check(&[&wrong, list], &[&right, list]);
    check(&[&wrong, &right, list], &[&right, list]);
    check(
        &[&line(FOUR, "10.1.0.2* dead"), "net ids"],
        &[FOUR, "net ids"],
    );
    let (other, others) = (line(FOUR, "10.1.0.2 unkn"), r#"net ids unkn ["10.1.0.2"]"#);
    check(&[&wrong, &other, list, others], &[&other, others]);
}

#[test]
fn what_is_leased_in_a_subnet_of_before_is_brought_to_the_present_one() {
    let list = r#"net ids live ["10.1.0.2"]"#;
    let now = line(FOUR, "10.1.0.2 live");
    // The network was /16 once: the allocator looks into the bucket of the /24.
    check(&["net 10.1.0.0/16 10.1.0.2 live", list], &[&now, list]);
    // Nothing uses this one any more.
    let dead = [
        "net 10.2.0.0/24 10.2.0.2 dead",
        r#"net ids dead ["10.2.0.2"]"#,
    ];
    check(&[&now, list, dead[0], dead[1]], &[&now, list]);
    // A container does, though the network no longer has the subnet.
    let used = [
        "net 10.2.0.0/24 10.2.0.2 unkn",
        r#"net ids unkn ["10.2.0.2"]"#,
    ];
    check(&used, &used);
    // In the bucket of another subnet.
    check(&[&line(SIX, "10.1.0.2 live"), list], &[&now, SIX, list]);
}

#[test]
fn a_network_is_forgotten_only_if_it_is_gone_and_nobody_is_on_it() {
    let dead = ["10.3.0.0/24 10.3.0.2 dead", r#"ids dead ["10.3.0.2"]"#];
    let of = |network: &str, lines: &[&str]| -> Vec<String> {
        lines.iter().map(|rest| line(network, rest)).collect()
    };
    let gone = |network: &str, networks: &Networks| {
        let lines = of(network, &dead);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let result = sanitised(&file(&lines), networks, None);
        assert_eq!(Content::parse(&result).claims(), []);
        result.items.is_empty()
    };
    assert!(gone("old", &networks()));
    assert!(!gone("podman", &networks()), "the default network");
    let doubtful = Networks {
        doubt: Some("a file could not be read".to_owned()),
        ..networks()
    };
    assert!(!gone("old", &doubtful));
    let used = [
        "old 10.3.0.0/24 10.3.0.2 unkn",
        r#"old ids unkn ["10.3.0.2"]"#,
    ];
    check(&used, &used);
}

#[test]
fn a_cursor_that_leads_out_of_its_subnet_is_dropped() {
    check(
        &[&line(FOUR, "lastIP 10.2.0.9"), "net ids"],
        &[FOUR, "net ids"],
    );
}

#[test]
fn what_is_not_podmans_is_left_alone() {
    let lines = [
        "net what",
        "net 10.1.0.0/24 ?foreign value",
        "net ids",
        "old 10.9.0.0/24 ?foreign value",
    ];
    check(&lines, &lines);
}

#[test]
fn changes_are_confined_to_the_network_that_is_asked_for() {
    let lines = [
        "net 10.1.0.0/24 10.1.0.9 dead",
        "old 10.9.0.0/24 10.9.0.2 dead",
    ];
    let result = Content::parse(&sanitised(&file(&lines), &networks(), Some("net")));
    assert!(result.networks["net"].is_empty());
    assert_eq!(result.networks["old"].claims("old").len(), 1);
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    let network = prop::sample::select(vec!["net", "old", "podman"]);
    let subnet = prop::sample::select(vec![
        "10.1.0.0/24",
        "10.1.0.0/16",
        "10.2.0.0/24",
        "fd00::/64",
    ]);
    let container = prop::sample::select(vec!["d1", "d2", "h1", "h2", "l1", "u1", "p1"]);
    let address = prop::sample::select(vec!["10.1.0.2", "10.1.0.3", "10.2.0.2", "fd00::2"]);
    let lists = prop::collection::vec(address.clone(), 0..3);
    let line = (network, subnet, container, address, lists, 0..5_u8).prop_map(
        |(network, subnet, container, address, list, kind)| match kind {
            0 | 1 => format!("{network} {subnet} {address} {container}"),
            2 if address.contains('.') => format!("{network} {subnet} {address}* {container}"),
            3 => format!("{network} {subnet} lastIP {address}"),
            _ => {
                let list = serde_json::json!(list);
                format!("{network} ids {container} {list}")
            }
        },
    );
    prop::collection::vec(line, 0..20)
}

proptest! {
    #[test]
    fn whatever_the_damage_the_living_stay_the_dead_go_and_both_indexes_agree(lines in lines()) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let before = Content::parse(&file(&lines));
        let result = sanitised(&file(&lines), &networks(), None);
        let after = Content::parse(&result);
        let kept = |claim: &Claim| verdict(claim).keeps();
        let addresses = |content: &Content, only: &dyn Fn(&Claim) -> bool| -> BTreeSet<_> {
            let claims = content.claims().into_iter().filter(|claim| only(claim));
            claims.map(|claim| (claim.key.network, claim.key.address)).collect()
        };
        // No address of a live container is lost, and none of a dead one is left.
        prop_assert_eq!(addresses(&before, &kept), addresses(&after, &|_| true));
        // Each address has one holder, which had claimed it.
        prop_assert_eq!(after.claims().len(), addresses(&after, &|_| true).len());
        let claimed: BTreeSet<_> = before.claims().into_iter().map(|claim| claim.key).collect();
        for claim in after.claims() {
            prop_assert!(claimed.contains(&claim.key));
        }
        let wrong = flaws(&after, &networks(), &crate::evidence::Word::Waived);
        for flaw in wrong {
            let is_repaired = matches!(
                flaw,
                Flaw::NotListed(_) | Flaw::Contested { .. } | Flaw::Mapped(_)
                    | Flaw::StrayCursor { .. } | Flaw::NoList { .. }
            );
            prop_assert!(!is_repaired, "{flaw:?}");
        }
        prop_assert_eq!(sanitised(&result, &networks(), None), result);
    }
}
