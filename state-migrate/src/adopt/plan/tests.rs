//! What is decided for what was seen.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use berth::sight::{Doubt, Link, NamespaceFact, Peer};
use serde_json::json;

use super::*;
use crate::evidence::{Known, State, Word};
use crate::ipam::claim::ClaimKey;
use crate::ipam::content::{Listed, Slot, SubnetRecord};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network() -> Network {
    serde_json::from_value(json!({
        "name": "n", "id": "i", "driver": "berth", "network_interface": "podman1",
        "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1"}],
        "options": {"driver": "bridge"}, "ipam_options": {"driver": "berth"},
    }))
    .unwrap()
}

/// Returns a record of ipam.db with these leases, each an address and a container.
fn record(leases: &[(&str, &str)], cursor: Option<&str>) -> NetworkRecord {
    let slots = leases.iter().map(|(address, container)| Slot {
        address: ip(address),
        mapped: false,
        container: (*container).to_owned(),
    });
    NetworkRecord {
        ids: leases
            .iter()
            .map(|(address, container)| {
                let listed = Listed::Addresses(vec![ip(address)]);
                ((*container).to_owned(), listed)
            })
            .collect(),
        subnets: vec![SubnetRecord {
            key: "10.77.0.0/24".to_owned(),
            subnet: "10.77.0.0/24".parse().unwrap(),
            slots: slots.collect(),
            cursor: cursor.map(|address| Cursor::At(ip(address))),
            foreign: Vec::new(),
        }],
        foreign: Vec::new(),
    }
}

/// Returns a tenant as it is adopted.
fn adoption(container: &str, address: &str) -> Adoption {
    let tenant = json!({
        "phase": "bound", "holdings": [], "pid_namespace": 9, "starter": null,
        "namespace": {"path": "/run/netns/netns-1", "device": 4, "inode": 40},
        "boot_id": "b", "created": [1, 1], "renewed": [1, 1], "expires": [1, 1],
        "mac_address": null,
        "request": {
            "container_id": container, "container_name": format!("{container}-name"),
            "network": network(), "network_options": {"interface_name": "eth0"},
        },
        "delegation": {"config": "", "rootless": false, "aardvark_binary": null,
            "firewall_driver": null, "dns_port": null},
    });
    Adoption {
        tenant: serde_json::from_value(tenant).unwrap(),
        addresses: vec![(ip(address), Kind::Dynamic)],
    }
}

/// Returns Podman's answer about some containers. It was asked about everything on record.
fn evidence(record: &NetworkRecord, known: &[(&str, &str, State)]) -> Evidence {
    let known = known.iter().map(|(id, status, state)| {
        let known = Known {
            name: (*id).to_owned(),
            status: (*status).to_owned(),
            state: state.clone(),
            started: None,
        };
        ((*id).to_owned(), known)
    });
    let claims = record.claims("n").into_iter();
    let about: BTreeSet<ClaimKey> = claims.map(|claim| claim.key).collect();
    Evidence {
        word: Word::Given(known.collect()),
        asked_about: about,
        ..Evidence::default()
    }
}

#[track_caller]
fn plan(
    record: &NetworkRecord,
    survey: &Survey,
    adoptions: &[Adoption],
    evidence: &Evidence,
) -> Result<Plan, Vec<String>> {
    let own = BTreeMap::from([("n".to_owned(), vec![ip("10.77.0.50")])]);
    let statics = Statics::from([("web".to_owned(), own)]);
    decide(&Facts {
        network: &network(),
        record: Some(record),
        survey,
        tenants: &[],
        adoptions,
        evidence,
        statics: &statics,
    })
}

#[test]
fn the_live_are_taken_along_and_the_dead_left_behind() {
    let record = record(
        &[
            ("10.77.0.2", "db"),
            ("10.77.0.50", "web"),
            ("10.77.0.9", "gone"),
        ],
        Some("10.77.0.9"),
    );
    let adoptions = [adoption("web", "10.77.0.50"), adoption("db", "10.77.0.2")];
    let evidence = evidence(&record, &[("web", "running", State::Up)]);
    let plan = plan(&record, &Survey::default(), &adoptions, &evidence).unwrap();
    let held = |address, kind| HeldAddress {
        address: ip(address),
        kind,
    };
    let holders: Vec<_> = plan
        .holders
        .iter()
        .map(|party| (party.container_name.as_str(), party.addresses.clone()))
        .collect();
    assert_eq!(
        holders,
        [
            ("db-name", vec![held("10.77.0.2", Kind::Dynamic)]),
            ("web-name", vec![held("10.77.0.50", Kind::Static)]),
        ]
    );
    let left: Vec<_> = plan.left_behind.iter().map(|left| left.address).collect();
    assert_eq!(left, [ip("10.77.0.9")]);
    let subnet = "10.77.0.0/24".parse().unwrap();
    assert_eq!(plan.cursors, [(subnet, ip("10.77.0.9"))]);
}

#[track_caller]
fn check_refused(known: &[(&str, &str, State)], word: Option<Word>, expected: &str) {
    let record = record(&[("10.77.0.9", "c")], None);
    let mut evidence = evidence(&record, known);
    evidence.word = word.unwrap_or(evidence.word);
    let doubts = plan(&record, &Survey::default(), &[], &evidence).unwrap_err();
    assert_eq!(doubts, [expected]);
}

#[test]
fn whoever_is_in_doubt_refuses_the_network() {
    check_refused(
        &[("c", "running", State::Up)],
        None,
        "10.77.0.9 of container c is live: Podman says it is running; its interface does not have \
         the address; run `podman network reload c`, or stop the container, first",
    );
    check_refused(
        &[("c", "exited", State::Pending("/run/netns/x".to_owned()))],
        None,
        "10.77.0.9 of container c is pending: exited, but Podman has not cleaned up its network yet; \
         run `podman container cleanup c` first",
    );
    check_refused(
        &[],
        Some(Word::None("no podman".to_owned())),
        "10.77.0.9 of container c is unknown: Podman gave no answer: no podman; try again, or run \
         `berth-migrate sanitise` first",
    );
}

#[test]
fn what_could_not_be_seen_or_is_there_twice_refuses_the_network() {
    let record = record(&[], None);
    let evidence = evidence(&record, &[]);
    let doubtful = Survey {
        doubts: vec![Doubt {
            why: "somebody is hidden".to_owned(),
            view: None,
        }],
        links: vec![Link {
            index: 3,
            name: "podman1".to_owned(),
            kind: "bridge".to_owned(),
            ..Link::default()
        }],
        hidden: vec![Link {
            index: 4,
            name: "veth0".to_owned(),
            kind: "veth".to_owned(),
            master: Some(3),
            peer: Some(Peer::Elsewhere(1, 2)),
            ..Link::default()
        }],
        ..Survey::default()
    };
    let doubts = plan(&record, &doubtful, &[], &evidence).unwrap_err();
    assert_eq!(doubts, ["somebody is hidden"]);

    let link = |index, name: &str| Link {
        index,
        name: name.to_owned(),
        kind: "veth".to_owned(),
        ..Link::default()
    };
    let inside = |inode, outer| NamespaceFact {
        named: false,
        key: (4, inode),
        path: format!("/run/netns/netns-{inode}").into(),
        links: vec![Link {
            peer: Some(Peer::Host(outer)),
            addresses: vec![ip("10.77.0.2")],
            ..link(2, "eth0")
        }],
    };
    let twice = Survey {
        networks: vec![network()],
        links: vec![link(7, "veth0"), link(8, "veth1")],
        namespaces: vec![inside(40, 7), inside(41, 8)],
        ..Survey::default()
    };
    let doubts = plan(&record, &twice, &[], &evidence).unwrap_err();
    assert_eq!(
        doubts,
        [
            "10.77.0.2 is in use in 2 network namespaces at once; stop all containers but one that \
          have it first"
        ]
    );
}
