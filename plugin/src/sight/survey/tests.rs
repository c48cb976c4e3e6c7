#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::rules::lease::{Delegation, Kind, LeasedAddress, Phase, Process, Tenancy, fixture};
use crate::sight::{Doubt, Peer, ProcessFact};

const BRIDGE: u32 = 3;
const FILE: &str = "/run/netns/netns-1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(name: &str, subnet: &str) -> Network {
    serde_json::from_value(json!({
        "name": name, "id": format!("id-{name}"), "driver": "berth",
        "network_interface": format!("br-{name}"),
        "subnets": [{"subnet": subnet, "gateway": null}],
        "ipam_options": {"driver": "berth"},
    }))
    .unwrap()
}

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: kind.into(),
        up: true,
        ..Link::default()
    }
}

/// The host's end of a veth pair, number 10, on the bridge; its other end is 2.
fn outer() -> Link {
    Link {
        master: Some(BRIDGE),
        peer: Some(Peer::Elsewhere(0, 2)),
        ..link(10, "veth0", "veth")
    }
}

/// The container's end.
fn inner(address: &str) -> Link {
    Link {
        peer: Some(Peer::Host(10)),
        addresses: vec![ip("fe80::1"), ip(address)],
        ..link(2, "eth0", "veth")
    }
}

fn namespace(path: &str, links: Vec<Link>) -> NamespaceFact {
    NamespaceFact {
        key: (4, 40),
        path: path.into(),
        named: true,
        links: [vec![link(1, "lo", "")], links].concat(),
    }
}

/// One network `n`, its bridge with one port, and one namespace with the other end.
fn survey(namespace: NamespaceFact) -> Survey {
    let mut survey = Survey {
        networks: vec![network("n", "10.0.0.0/24")],
        links: vec![link(BRIDGE, "br-n", "bridge"), outer()],
        own: (4, 1),
        ..Survey::default()
    };
    // As of the fixture's tenants.
    survey.evidence.pid_namespace = 9;
    survey.evidence.boot_id = "boot".into();
    let (path, key) = (namespace.path.clone(), namespace.key);
    survey.evidence.named.insert(key, path.clone());
    survey.evidence.files.insert(path, key);
    survey.namespaces.push(namespace);
    survey
}

fn adopted(survey: &Survey, tenants: &[Tenant]) -> Vec<(String, Vec<IpAddr>)> {
    let moment = Moment::default();
    let adoptions = adoptions(survey, tenants, &Delegation::default(), moment);
    let line = |adoption: Adoption| {
        let addresses = adoption.addresses.iter().map(|(address, _)| *address);
        let container = adoption.tenant.tenancy.container_id.to_string();
        (container, addresses.collect())
    };
    adoptions.into_iter().map(line).collect()
}

fn tenant(container: &str, address: &str) -> Tenant {
    let tenancy = Tenancy {
        network_id: "id-n".into(),
        container_id: container.into(),
        interface: "eth0".into(),
    };
    let holding = LeasedAddress {
        address: ip(address),
        generation: 1,
        kind: Kind::Static,
    };
    fixture(tenancy, vec![holding])
}

fn record(container: &str, address: &str) -> Record {
    Record {
        container_id: container.into(),
        names: vec!["web".into()],
        addresses: vec![ip(address)],
        port_mappings: json!(null),
        network_name: None,
    }
}

#[test]
fn what_a_container_holds_is_adopted_under_its_id() {
    let mut survey = survey(namespace(FILE, vec![inner("10.0.0.5")]));
    let held = vec![ip("10.0.0.5")];
    assert_eq!(adopted(&survey, &[]), [("unknown-40".into(), held.clone())]);
    let records = vec![record("old", "10.0.0.5"), record("late", "10.0.0.5")];
    survey.records.insert("id-n".into(), records);
    assert_eq!(adopted(&survey, &[]), [("late".into(), held.clone())]);
    survey.containers.insert((4, 40), "seen".into());
    assert_eq!(adopted(&survey, &[]), [("seen".into(), held)]);
    assert_eq!(adopted(&survey, &[tenant("seen", "10.0.0.5")]), []);
    assert_eq!(adopted(&survey, &[tenant("other", "10.0.0.5")]), []);
    // It keeps what it is known to have.
    let both = vec![ip("10.0.0.6"), ip("10.0.0.5")];
    let mut known = [tenant("seen", "10.0.0.6")];
    known[0].phase = Phase::Offered;
    assert_eq!(adopted(&survey, &known), [("seen".into(), both)]);
}

#[test]
fn a_container_cannot_lease_what_it_likes() {
    let mut seen = survey(namespace(FILE, vec![inner("10.0.0.5")]));
    seen.containers.insert((4, 40), "seen".into());
    let own = &mut seen.namespaces[0].links[1].addresses;
    // The kernel takes an address twice, with two prefix lengths.
    own.extend([ip("10.0.0.0"), ip("10.0.0.255"), ip("10.0.0.5")]);
    own.extend((6..=200).map(|last| IpAddr::from([10, 0, 0, last])));
    let expected: Vec<_> = (5..69).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    assert_eq!(adopted(&seen, &[]), [("seen".into(), expected)]);
    // Once it is bound, it gets nothing more.
    assert_eq!(adopted(&seen, &[tenant("seen", "10.0.0.5")]), []);
}

#[test]
fn a_container_that_looks_like_another_one_does_not_get_its_lease() {
    let mut seen = survey(namespace(FILE, vec![inner("10.0.0.5")]));
    seen.containers.insert((4, 40), "victim".into());
    let mut victim = tenant("victim", "10.0.0.6");
    victim.namespace.inode = 41;
    let own = namespace("/run/netns/netns-2", vec![]);
    seen.namespaces.push(NamespaceFact {
        key: (4, 41),
        ..own
    });
    let alone = [("unknown-40".into(), vec![ip("10.0.0.5")])];
    assert_eq!(adopted(&seen, std::slice::from_ref(&victim)), alone);
    // As after the store was lost: the one with a process is the container.
    let victims = NamespaceFact {
        key: (4, 41),
        ..namespace("/run/netns/netns-2", vec![inner("10.0.0.6")])
    };
    let mut lost = seen.clone();
    lost.namespaces[1] = victims;
    lost.containers.insert((4, 41), "victim".into());
    lost.evidence.processes.push(ProcessFact {
        process: Process {
            pid: 7,
            start_time: 1,
        },
        parent: 1,
        name: "sleep".into(),
        arguments: vec![],
        namespace: Some((4, 41)),
    });
    let apart = [
        ("unknown-40".into(), vec![ip("10.0.0.5")]),
        ("victim".into(), vec![ip("10.0.0.6")]),
    ];
    assert_eq!(adopted(&lost, &[]), apart);
    // Its own namespace is gone: it has been started again.
    seen.namespaces.pop();
    let both = vec![ip("10.0.0.6"), ip("10.0.0.5")];
    assert_eq!(adopted(&seen, &[victim]), [("victim".into(), both)]);
}

/// A container's runtime gives its interface the address of another container, which
/// netavark remembers.
#[test]
fn an_address_does_not_make_another_container_of_anybody() {
    let mut seen = survey(namespace("/proc/9/ns/net", vec![inner("10.0.0.6")]));
    let victims = NamespaceFact {
        key: (4, 41),
        ..namespace(FILE, vec![inner("10.0.0.6")])
    };
    seen.containers.insert((4, 41), "victim".into());
    seen.records
        .insert("id-n".into(), vec![record("victim", "10.0.0.6")]);
    seen.namespaces.push(victims);
    for (pid, inode) in [(9, 40), (10, 41)] {
        seen.evidence.processes.push(ProcessFact {
            process: Process { pid, start_time: 1 },
            parent: 1,
            name: "sleep".into(),
            arguments: vec![],
            namespace: Some((4, inode)),
        });
    }
    let known = |seen: &Survey| {
        let adoptions = adoptions(seen, &[], &Delegation::default(), Moment::default());
        let tenants = adoptions.into_iter().map(|adoption| adoption.tenant);
        let known = tenants.map(|tenant| {
            (
                tenant.tenancy.container_id.to_string(),
                tenant.namespace.inode,
            )
        });
        known.collect::<Vec<_>>()
    };
    assert_eq!(known(&seen), [("victim".to_owned(), 41)]);
    // With another address, it is not a container that is known.
    seen.namespaces[0].links[1].addresses = vec![ip("10.0.0.7")];
    seen.records
        .insert("id-n".into(), vec![record("victim", "10.0.0.7")]);
    assert_eq!(known(&seen), [("victim".to_owned(), 41)]);
}

#[test]
fn what_is_not_a_containers_is_not_adopted() {
    let nothing = |namespace| assert_eq!(adopted(&survey(namespace), &[]), []);
    nothing(namespace("/run/netns/admin", vec![inner("10.0.0.5")]));
    nothing(namespace(FILE, vec![inner("10.9.0.5")]));
    let alone = Link {
        peer: Some(Peer::Here(10)),
        ..inner("10.0.0.5")
    };
    nothing(namespace(FILE, vec![alone]));
    // The index is another host's: numbers repeat among namespaces.
    let other = Link {
        peer: Some(Peer::Elsewhere(1, 10)),
        ..inner("10.0.0.5")
    };
    nothing(namespace(FILE, vec![other]));
    // On another owner's bridge with the same subnet.
    let mut elsewhere = survey(namespace(FILE, vec![inner("10.0.0.5")]));
    elsewhere.links[0].name = "docker0".into();
    assert_eq!(adopted(&elsewhere, &[]), []);
    // On no bridge any more.
    elsewhere.links[1].master = None;
    assert_eq!(adopted(&elsewhere, &[]).len(), 1);
}

fn left(survey: &Survey, tenants: &[Tenant]) -> Vec<String> {
    let found = leftovers(survey, tenants);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_namespace_file_is_left_over_when_nobody_and_nothing_is_behind_it() {
    let file = format!("namespace file {FILE} without a container");
    let files = |survey: &Survey, tenants: &[Tenant]| {
        let mut left = left(survey, tenants);
        left.retain(|line| line.starts_with("namespace file"));
        left
    };
    let mut empty = survey(namespace(FILE, vec![]));
    assert_eq!(files(&empty, &[]), std::slice::from_ref(&file));
    // A tenant's file is taken down with the tenant.
    assert_eq!(files(&empty, &[tenant("c", "10.0.0.5")]), [""; 0]);
    let lives = ProcessFact {
        process: Process {
            pid: 7,
            start_time: 1,
        },
        parent: 1,
        name: "sleep".into(),
        arguments: vec![],
        namespace: Some((4, 40)),
    };
    empty.evidence.processes.push(lives);
    assert_eq!(files(&empty, &[]), [""; 0]);
    let full = survey(namespace(FILE, vec![inner("10.9.0.5")]));
    assert_eq!(files(&full, &[]), [""; 0]);
    let admins = survey(namespace("/run/netns/admin", vec![]));
    assert_eq!(files(&admins, &[]), [""; 0]);
    let mut unmounted = survey(namespace("/run/netns/other", vec![]));
    unmounted.evidence.files.insert(FILE.into(), (99, 5));
    assert_eq!(files(&unmounted, &[]), [file]);
    unmounted.evidence.doubts.push(Doubt {
        why: "no".into(),
        view: None,
    });
    unmounted.doubts.clone_from(&unmounted.evidence.doubts);
    unmounted.hidden = vec![outer()];
    assert_eq!(left(&unmounted, &[]), [""; 0]);
}

#[test]
fn a_port_of_the_bridge_is_left_over_when_no_namespace_has_its_other_end() {
    let mut seen = survey(namespace(FILE, vec![inner("10.0.0.5")]));
    let live = [tenant("c", "10.0.0.5")];
    assert_eq!(left(&seen, &live), [""; 0]);
    seen.namespaces.clear();
    let veth = "interface veth0 on network n without a container";
    assert_eq!(left(&seen, &live), [veth]);
    seen.evidence.pid_namespace = 8;
    assert_eq!(
        left(&seen, &live),
        [""; 0],
        "there are processes out of sight"
    );
    seen.evidence.pid_namespace = 9;
    seen.links[1].name = "uplink".into();
    assert_eq!(left(&seen, &live), [""; 0]);
    seen.links[1] = Link {
        peer: Some(Peer::Here(11)),
        ..outer()
    };
    assert_eq!(left(&seen, &live), [""; 0]);
}

#[test]
fn a_record_is_left_over_when_its_container_holds_no_lease() {
    let mut seen = survey(namespace(FILE, vec![inner("10.0.0.5")]));
    let live = [tenant("c", "10.0.0.5")];
    let records = vec![record("c", "10.0.0.5"), record("gone", "10.0.0.5")];
    seen.records.insert("id-n".into(), records);
    let found = leftovers(&seen, &live);
    let [Leftover::Record { record, .. }] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(record.container_id.as_str(), "gone");
    assert_eq!(record.addresses, [] as [IpAddr; 0], "another has it leased");
}

#[test]
fn a_bridge_is_left_over_when_it_has_neither_port_nor_tenant() {
    let mut idle = survey(namespace(FILE, vec![]));
    idle.namespaces.clear();
    idle.evidence.files.clear();
    idle.links.pop();
    let bridge = "bridge br-n of network n without containers";
    idle.networks[0].subnets[0].gateway = Some(ip("10.0.0.1"));
    assert_eq!(left(&idle, &[]), [""; 0], "netavark has not made it");
    idle.links[0].addresses.push(ip("10.0.0.1"));
    assert_eq!(left(&idle, &[]), [bridge]);
    assert_eq!(left(&idle, &[tenant("c", "10.0.0.5")]), [""; 0]);
    // The kernel has yet to remove the port.
    let veth = "interface veth0 on network n without a container";
    idle.links.push(outer());
    assert_eq!(left(&idle, &[]), [veth, bridge]);
    idle.links[1].name = "uplink".into();
    assert_eq!(left(&idle, &[]), [""; 0], "an administrator's port");
    idle.links.pop();
    let options = &mut idle.networks[0].options;
    options.insert("mode".into(), "unmanaged".into());
    assert_eq!(left(&idle, &[]), [""; 0]);
}
