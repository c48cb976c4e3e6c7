#![allow(clippy::unwrap_used)]

use berth_share::meta::{Epoch, Meta, Subnet};
use berth_share::{Terms, host::HostRecord};

use super::*;

fn id(number: u128) -> HostId {
    HostId::new(number)
}

fn host(number: u128, name: &str, change: fn(&mut Host)) -> Host {
    let holder = Holder {
        host: id(number),
        store: "/s".into(),
        container: "c".into(),
        name: "web".into(),
        nonce: "0".into(),
    };
    let mut host = Host {
        record: HostRecord {
            host: id(number),
            name: name.into(),
            machine: String::new(),
            boot: String::new(),
            seq: 1,
            nonce: String::new(),
            stores: BTreeMap::new(),
            evicted: false,
        },
        live: true,
        addresses: [12, 9]
            .map(|last| holder.claim(IpAddr::from([10, 0, 0, last])))
            .into(),
        is_incomplete: false,
    };
    change(&mut host);
    host
}

fn picture(hosts: Vec<Host>, suspended: bool) -> Picture {
    let subnet = Subnet {
        subnet: "10.0.0.0/24".into(),
        gateway: None,
        first: IpAddr::from([10, 0, 0, 1]),
        last: IpAddr::from([10, 0, 0, 254]),
    };
    let meta = Meta {
        epoch: Epoch {
            number: 1,
            token: String::new(),
            suspended,
        },
        ..Meta::first(
            Terms {
                subnets: vec![subnet],
            },
            0,
        )
    };
    Picture {
        meta,
        hosts,
        unrecorded: host(9, "", |_| {}).addresses,
    }
}

#[test]
fn hosts_are_sorted_and_each_is_in_one_state() {
    let hosts = vec![
        host(1, "echo", |host| host.live = false),
        host(2, "delta", |host| host.record.evicted = true),
        host(3, "charlie", |host| host.is_incomplete = true),
        host(4, "alpha", |_| {}),
    ];
    let all = HostView::all(&picture(hosts, true), Some(&id(4)));
    let shown = all.iter().map(|host| {
        let HostView {
            name, state, own, ..
        } = host;
        format!("{name} {state} {own}")
    });
    let expected = [
        " unrecorded false",
        "alpha live true",
        "charlie behind false",
        "delta evicted false",
        "echo silent false",
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    let addresses = [[10, 0, 0, 9], [10, 0, 0, 12]].map(IpAddr::from);
    assert!(all.iter().all(|host| host.addresses == addresses));
}

#[test]
fn a_share_says_what_is_wrong_and_what_to_do() {
    let share: ShareName = "lan".parse().unwrap();
    let of = |picture, refusal| {
        let host = Some(id(1));
        let seen = Seen {
            picture,
            host,
            refusal,
        };
        ShareView::of(&share, &seen)
    };
    let view = |hosts: Vec<Host>, suspended| of(Some(picture(hosts, suspended)), None);
    let open = view(
        vec![host(1, "a", |_| {}), host(2, "b", |b| b.live = false)],
        false,
    );
    assert_eq!((open.state, open.trouble), (ShareState::Open, None));
    assert_eq!((open.hosts, open.live), (2, 1));
    assert_eq!((open.addresses, open.own_addresses), (6, 2));
    assert_eq!(
        (open.subnets, open.host),
        (vec!["10.0.0.0/24".into()], Some(id(1).to_string()))
    );
    let trouble = |hosts, suspended, state, expected: &str| {
        let view = view(hosts, suspended);
        assert_eq!(view.state, state);
        assert!(view.trouble.unwrap().ends_with(expected));
    };
    let behind = || host(2, "b", |b| b.is_incomplete = true);
    let accept = "back; run `berth share accept`";
    trouble(
        vec![host(1, "a", |_| {})],
        true,
        ShareState::Suspended,
        accept,
    );
    let others = "back: b; run `berth gc` there, then `berth share accept`";
    trouble(vec![behind()], true, ShareState::Suspended, others);
    let a = || vec![host(1, "a", |_| {})];
    let evicted = of(Some(picture(a(), false)), Some(Refusal::Evicted));
    assert_eq!(evicted.state, ShareState::Evicted);
    let rejoin = "this host was evicted; run `berth share rejoin`";
    assert_eq!(evicted.trouble.as_deref(), Some(rejoin));
    // Running `berth gc` here, as for a suspended share, would not help.
    let copied = of(Some(picture(a(), true)), Some(Refusal::Copied));
    assert_eq!((copied.state, copied.hosts), (ShareState::Refused, 1));
    let rejoin = "run `berth share rejoin` on the copy, `berth share rejoin --original` on the \
                  original";
    assert!(copied.trouble.unwrap().ends_with(rejoin));
    let moved = of(None, Some(Refusal::OtherMachine));
    assert_eq!(moved.state, ShareState::Refused);
    assert!(moved.trouble.unwrap().contains("made for another machine"));
    let unused = of(None, None);
    assert_eq!((unused.state, unused.trouble), (ShareState::Unused, None));
}
