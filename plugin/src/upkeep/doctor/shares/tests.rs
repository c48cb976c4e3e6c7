#![allow(clippy::unwrap_used)]

use berth_share::host::HostRecord;
use berth_share::meta::Subnet;
use berth_share::operator::Host;
use berth_share::{Lease, Meta, Terms};

use super::*;

fn host(number: u128, name: &str, addresses: &[&str]) -> Host {
    let record = HostRecord {
        host: HostId::new(number),
        name: name.to_owned(),
        machine: "m".to_owned(),
        boot: "b".to_owned(),
        seq: 1,
        nonce: "n".to_owned(),
        stores: BTreeMap::new(),
        evicted: false,
    };
    let holder = Holder {
        host: record.host.clone(),
        store: "/run/berth".to_owned(),
        container: "0123456789abcdef".to_owned(),
        name: "web".to_owned(),
        nonce: "n".to_owned(),
    };
    let addresses = addresses.iter();
    Host {
        live: true,
        is_incomplete: false,
        addresses: addresses
            .map(|address| holder.claim(address.parse().unwrap()))
            .collect(),
        record,
    }
}

fn facts() -> Facts {
    let network = r#"{"name": "lan", "id": "i", "driver": "berth",
        "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}]}"#;
    let network: Network = serde_json::from_str(network).unwrap();
    let terms = share::terms(&network).unwrap();
    let lease = |address: &str| Lease {
        address: address.parse().unwrap(),
        container: "fedcba9876543210".to_owned(),
        name: "db".to_owned(),
    };
    Facts {
        name: "lan".parse().unwrap(),
        networks: vec![network],
        host: Some(HostId::new(1)),
        refusal: None,
        store: "/run/berth".to_owned(),
        leases: Leases {
            leases: vec![lease("10.0.0.2")],
            are_complete: true,
            terms: None,
        },
        picture: Picture {
            meta: Meta::first(terms, 7),
            hosts: vec![host(1, "a", &["10.0.0.2"]), host(2, "b", &["10.0.0.3"])],
            unrecorded: Vec::new(),
        },
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Facts), expected: &[&str]) {
    let mut facts = facts();
    change(&mut facts);
    let found: Vec<_> = judge(&facts).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_share_in_order_is_not_mentioned() {
    check(|_| {}, &[]);
}

#[test]
fn keys_and_leases_that_disagree_are_told() {
    check(
        |facts| {
            facts.picture.unrecorded = facts.picture.hosts.remove(1).addresses;
            facts.picture.hosts[0].addresses.clear();
            facts.leases.leases[0].address = "10.0.0.3".parse().unwrap();
        },
        &[
            "problem: share lan: 10.0.0.3 is leased to container fedcba987654 (db) here and \
             claimed for container 0123456789ab (web) on host 000000000000; stop one of the two",
        ],
    );
    check(
        |facts| facts.picture.hosts[0].addresses.clear(),
        &[
            "note: leased here and not claimed in share lan: 10.0.0.2 (etcd was out of reach, \
             or the network has just joined the share); nothing: the next collection claims \
             them",
        ],
    );
    check(
        |facts| facts.leases.leases.clear(),
        &[
            "note: claimed in share lan and not leased here: 10.0.0.2 (etcd was out of reach, \
             or a start or removal was cut short); nothing: the next collection gives them \
             back",
        ],
    );
}

#[test]
fn what_keeps_containers_from_starting_is_a_problem() {
    check(
        |facts| facts.refusal = Some(Refusal::Evicted),
        &[
            "problem: this host was evicted from share lan (other hosts may have its addresses by now); \
             run `berth share rejoin`",
        ],
    );
    check(
        |facts| {
            facts.picture.meta.epoch.suspended = true;
            facts.picture.hosts[1].is_incomplete = true;
        },
        &[
            "problem: share lan is suspended (etcd was restored from a backup, and these \
             hosts have not put their leases back: b); run `berth gc` there, then `berth \
             share accept`",
        ],
    );
    check(
        |facts| {
            facts.picture.meta.terms = Terms {
                subnets: vec![Subnet {
                    gateway: None,
                    ..facts.picture.meta.terms.subnets[0].clone()
                }],
            }
        },
        &[
            "problem: network lan differs from share lan in gateway of 10.0.0.0/24: 10.0.0.1 \
             here, none in the share (no container can start there); create the network again \
             as it is on the other hosts",
        ],
    );
    check(
        |facts| facts.host = Some(HostId::new(9)),
        &[
            "problem: share lan does not know this host (etcd is another one, or was restored \
           from a backup); run `berth gc`, which puts this host's leases back",
            "problem: share lan: 10.0.0.2 is leased to container fedcba987654 (db) here and \
           claimed for container 0123456789ab (web) on host a; stop one of the two",
        ],
    );
}

#[test]
fn a_host_that_is_refused_hears_why_and_nothing_of_the_next_collection() {
    let refused = |refusal: Refusal, expected: &str| {
        check(
            |facts| {
                facts.refusal = Some(refusal);
                facts.leases.leases[0].address = "10.0.0.9".parse().unwrap();
            },
            &[expected],
        );
    };
    refused(
        Refusal::Copied,
        "problem: share lan refuses this host (its identity 000000000000 is in use elsewhere, or \
         its disk was rolled back; no container can start on lan; those that run keep their \
         addresses); run `berth share rejoin` on the copy, `berth share rejoin --original` on the \
         original",
    );
    refused(
        Refusal::OtherMachine,
        "problem: share lan refuses this host (its identity 000000000000 was made for another \
         machine; no container can start on lan; those that run keep their addresses); run \
         `berth share rejoin` if this is a copy, `berth share rejoin --original` if it is the \
         original on new hardware",
    );
}

#[test]
fn a_silent_host_is_a_note() {
    check(
        |facts| facts.picture.hosts[1].live = false,
        &[
            "note: hosts of share lan that are silent: b, which has 10.0.0.3 (a host counts as alive for as \
             long as `lease` in its berth.conf says); nothing, if it comes back; else `berth \
             share evict HOST` frees its addresses",
        ],
    );
}
