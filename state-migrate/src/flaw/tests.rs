#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::bolt::{Bucket, Item};
use crate::evidence::{Known, State, Word};
use crate::ipam::content::Content;
use crate::ipam::sample::{bucket, value};
use crate::networks::Networks;

fn networks() -> Networks {
    let text = |name: &str, ipam: &str| {
        format!(
            r#"{{"name":"{name}","id":"1","driver":"bridge","created":"2026-01-01T00:00:00Z",
            "subnets":[{{"subnet":"10.1.0.0/24","gateway":"10.1.0.1"}}],
            "ipam_options":{{"driver":"{ipam}"}}}}"#
        )
    };
    let network = |name: &str, ipam: &str| {
        (
            name.to_owned(),
            serde_json::from_str(&text(name, ipam)).unwrap(),
        )
    };
    Networks {
        all: BTreeMap::from([network("net", "host-local"), network("taken", "berth")]),
        default: "podman".to_owned(),
        lost: Vec::new(),
        doubt: None,
    }
}

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A file with one network: its subnets' slots, its lists, and further keys.
struct Made {
    slots: Vec<(&'static str, Vec<u8>, Item)>,
    lists: Vec<(String, String)>,
    more: Vec<(Vec<u8>, Item)>,
    name: &'static str,
}

/// A sound file.
fn sound() -> Made {
    Made {
        slots: vec![
            ("10.1.0.0/24", vec![10, 1, 0, 2], value(&id('a'))),
            (
                "10.1.0.0/24",
                b"lastIP".to_vec(),
                Item::Value(vec![10, 1, 0, 2]),
            ),
        ],
        lists: vec![(id('a'), r#"["10.1.0.2"]"#.to_owned())],
        more: Vec::new(),
        name: "net",
    }
}

impl Made {
    fn root(self) -> Bucket {
        let mut subnets: BTreeMap<Vec<u8>, Bucket> = BTreeMap::new();
        for (subnet, key, item) in self.slots {
            let subnet = subnets.entry(subnet.into()).or_default();
            subnet.items.insert(key, item);
        }
        let lists = self.lists.into_iter();
        let lists = lists.map(|(id, list)| (id.into_bytes(), value(&list)));
        let mut network = Bucket::default();
        let ids = Bucket {
            sequence: 0,
            items: lists.collect(),
        };
        network.items.insert(b"ids".to_vec(), Item::Bucket(ids));
        let buckets = subnets.into_iter();
        network
            .items
            .extend(buckets.map(|(key, bucket)| (key, Item::Bucket(bucket))));
        network.items.extend(self.more);
        let Item::Bucket(root) = bucket([(self.name.into(), Item::Bucket(network))]) else {
            unreachable!("a bucket")
        };
        root
    }
}

fn found(made: Made, word: &Word) -> Vec<String> {
    let content = Content::parse(&made.root());
    let found = flaws(&content, &networks(), word);
    let kinds = found.iter().map(|flaw| {
        let told = flaw.explain();
        assert!(!told.what.is_empty() && !told.cause.is_empty());
        let json = serde_json::to_value(flaw).unwrap();
        json["kind"].as_str().unwrap().to_owned()
    });
    kinds.collect()
}

#[track_caller]
fn check(damage: impl FnOnce(&mut Made), expected: &[&str]) {
    let mut made = sound();
    damage(&mut made);
    assert_eq!(found(made, &Word::Waived), expected);
}

#[test]
fn a_sound_file_has_none() {
    check(|_| {}, &[]);
}

#[test]
fn each_damage_has_its_own() {
    let net = "10.1.0.0/24";
    check(|made| made.lists.clear(), &["not-listed"]);
    check(
        |made| made.lists[0].1 = r#"["10.1.0.2","10.1.0.3"]"#.to_owned(),
        &["not-leased", "twice"],
    );
    check(
        |made| made.lists.push((id('b'), r#"["10.1.0.2"]"#.to_owned())),
        &["not-leased", "contested"],
    );
    check(
        |made| {
            let key = [&[0; 10][..], &[255, 255, 10, 1, 0, 2]].concat();
            made.slots[0].1 = key;
        },
        &["mapped"],
    );
    check(
        |made| {
            made.slots[0] = (net, vec![10, 2, 0, 2], value(&id('a')));
            made.lists[0].1 = r#"["10.2.0.2"]"#.to_owned();
        },
        &["outside"],
    );
    check(
        |made| {
            made.slots[0].1 = vec![10, 1, 0, 1];
            made.lists[0].1 = r#"["10.1.0.1"]"#.to_owned();
        },
        &["gateway"],
    );
    check(
        |made| {
            made.slots[0].2 = value("buildah-1");
            made.lists[0].0 = "buildah-1".to_owned();
        },
        &["no-container-id"],
    );
    check(
        |made| made.lists.push((id('b'), "[]".to_owned())),
        &["no-list"],
    );
    check(|made| made.name = "gone", &["no-network"]);
    check(|made| made.name = "taken", &["not-podmans"]);
    check(|made| made.name = "podman", &[]);
    check(
        |made| {
            made.slots
                .push(("10.9.0.0/24", vec![10, 9, 0, 2], value(&id('b'))));
            made.lists.push((id('b'), r#"["10.9.0.2"]"#.to_owned()));
        },
        &["no-subnet", "outside"],
    );
    check(
        |made| made.slots[1].2 = Item::Value(vec![10, 2, 0, 1]),
        &["stray-cursor"],
    );
    check(
        |made| made.more.push((b"later".to_vec(), value("1"))),
        &["foreign"],
    );
}

#[test]
fn a_container_older_than_its_network_is_of_an_earlier_one() {
    let told = |started: i64| {
        let known = Known {
            name: "web".to_owned(),
            status: "running".to_owned(),
            state: State::Up,
            started: Some(started),
        };
        Word::Given(BTreeMap::from([(id('a'), known)]))
    };
    let made = 1_767_225_600;
    assert_eq!(found(sound(), &told(made - 1)), ["recreated"]);
    assert_eq!(found(sound(), &told(made)), [""; 0]);
}
