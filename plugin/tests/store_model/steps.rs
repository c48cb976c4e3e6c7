//! What may happen to a store, chosen at random.

use std::net::IpAddr;

use berth::rules::lease::{Kind, Moment, Reservation};
use berth::rules::pool::{Family, Pool, number};
use proptest::prelude::*;

use crate::fixture::{ip, pool, reservation};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Prepare {
        pools: usize,
    },
    Lease {
        container: usize,
        wanted: Vec<(usize, bool)>,
    },
    LeaseNext {
        container: usize,
        from: usize,
    },
    Update {
        container: usize,
        stale: bool,
    },
    Release {
        container: usize,
        address: usize,
        stale: bool,
        reserve_ms: Option<u64>,
    },
    Cursor {
        address: usize,
    },
    Forget,
    Wait {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Commit,
    Drop,
    Reopen,
    Reboot { clock_ms: u64 },
}

pub(crate) type Step = (usize, Vec<Op>, End);

pub(crate) const NETWORKS: [&str; 3] = ["web", "we", "webb"];
pub(crate) const CONTAINERS: usize = 6;

/// Returns the pool definitions a network may be configured with.
pub(crate) fn configuration(choice: usize) -> Vec<Pool> {
    let v4 = || pool("10.0.0.0/28", "10.0.0.1", "", &[]);
    let v6 = || pool("fd00::/124", "fd00::1", "", &[]);
    match choice {
        0 => vec![v4()],
        1 => vec![pool(
            "10.0.0.0/28",
            "10.0.0.1",
            "10.0.0.3-10.0.0.9",
            &["10.0.0.5"],
        )],
        2 => vec![v4(), v6()],
        3 => vec![
            v6(),
            pool("10.0.0.16/28", "10.0.0.17", "", &["10.0.0.20-10.0.0.23"]),
        ],
        4 => vec![pool("10.0.0.0/28", "10.0.0.1", "", &["10.0.0.0-10.0.0.15"])],
        _ => vec![],
    }
}

/// Returns one of the addresses tests ask for, inside and outside of pools.
pub(crate) fn address(choice: usize) -> IpAddr {
    let offset = (choice % 64) as u128;
    match offset {
        0..40 => Family::V4.address(number(ip("10.0.0.0")) + offset),
        _ => Family::V6.address(number(ip("fd00::")) + offset - 40),
    }
}

pub(crate) fn container(choice: usize) -> String {
    format!("c{}", choice % CONTAINERS)
}

/// Gives two containers one name, and one none.
fn name_of(container: &str) -> &'static str {
    match container {
        "c0" | "c1" => "shop",
        "c2" => "",
        _ => "other",
    }
}

pub(crate) fn left_by(container: &str, kind: Kind, now: Moment, lasts_ms: u64) -> Reservation {
    Reservation {
        container_name: name_of(container).into(),
        ..reservation(container, kind, now, lasts_ms)
    }
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let who = 0..CONTAINERS;
    let wish = prop_oneof![3 => 0..16usize, 1 => 0..64usize];
    let wanted = prop::collection::vec((wish, any::<bool>()), 0..4);
    prop_oneof![
        2 => (0..6usize).prop_map(|pools| Op::Prepare { pools }),
        4 => (who.clone(), wanted).prop_map(|(container, wanted)| Op::Lease { container, wanted }),
        4 => (who.clone(), 0..64usize)
            .prop_map(|(container, from)| Op::LeaseNext { container, from }),
        1 => (who.clone(), any::<bool>())
            .prop_map(|(container, stale)| Op::Update { container, stale }),
        5 => (
            who,
            0..64usize,
            prop::bool::weighted(0.1),
            prop::option::weighted(0.7, 0..5000u64),
        )
            .prop_map(|(container, address, stale, reserve_ms)| Op::Release {
                container,
                address,
                stale,
                reserve_ms
            }),
        1 => (0..64usize).prop_map(|address| Op::Cursor { address }),
        1 => Just(Op::Forget),
        2 => (0..3000u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

pub(crate) fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        8 => Just(End::Commit),
        2 => Just(End::Drop),
        1 => Just(End::Reopen),
        1 => (0..4000u64).prop_map(|clock_ms| End::Reboot { clock_ms }),
    ]
}
