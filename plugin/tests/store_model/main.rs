//! The store against a plain model: the same operations on maps, and the same answers, no
//! matter what is dropped, closed, rebooted or reconfigured in between.
#![allow(clippy::unwrap_used)]

mod agree;
#[path = "../fixture/mod.rs"]
mod fixture;
mod model;
mod steps;

use std::time::Duration;

use berth::rules::lease::Moment;
use berth::store::{EngineKind, LockFile, Store, StoreError};
use proptest::prelude::*;

use agree::{apply, compare, drain};
use fixture::{at, ip};
use model::Model;
use steps::{End, NETWORKS, Step, end, op};

fn run(engine: EngineKind, steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = LockFile::open(dir.path()).unwrap();
    let mut model = Model::default();
    let (mut boot, mut now, mut last_ms) = (0, at(1000), 1000);
    let mut steps = steps.iter();
    loop {
        let guard = lock.acquire(Duration::ZERO, "test", || true).unwrap();
        let store = Store::open(dir.path(), &guard, engine, &format!("boot-{boot}"), now);
        let store = store.unwrap();
        compare(&store.begin(), &model);
        assert_eq!(store.check().unwrap(), []);
        let Some(end) = session(&store, &mut model, &mut steps, &mut now, &mut last_ms) else {
            drain(&store, &mut model, now);
            return;
        };
        drop(store);
        if let End::Reboot { clock_ms } = end {
            boot += 1;
            now = at(clock_ms);
            model.reboot(last_ms, now);
            last_ms = clock_ms;
        }
    }
}

/// Takes steps until one closes the store, and returns how.
fn session<'a>(
    store: &Store<'_>,
    model: &mut Model,
    steps: &mut impl Iterator<Item = &'a Step>,
    now: &mut Moment,
    last_ms: &mut u64,
) -> Option<End> {
    for (network, ops, end) in steps {
        let network = NETWORKS[network % NETWORKS.len()];
        let mut transaction = store.begin();
        let mut staged = model.clone();
        for op in ops {
            apply(&mut transaction, &mut staged, network, op, now);
        }
        compare(&transaction, &staged);
        if *end == End::Drop {
            drop(transaction);
        } else {
            // Something the model does not see, so that every commit sets the clock.
            let subnet = "10.9.9.0/24".parse().unwrap();
            transaction
                .set_cursor(&"clock".into(), subnet, ip("10.9.9.9"))
                .unwrap();
            let mut late = store.begin();
            transaction.commit(*now).unwrap();
            *last_ms = now.boot_ms;
            *model = staged;
            late.set_cursor(&"clock".into(), subnet, ip("10.9.9.1"))
                .unwrap();
            assert!(matches!(late.commit(*now), Err(StoreError::Overtaken)));
        }
        compare(&store.begin(), model);
        assert_eq!(store.check().unwrap(), []);
        if matches!(end, End::Reopen | End::Reboot { .. }) {
            return Some(*end);
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_a_plain_model(
        steps in prop::collection::vec(
            (0..NETWORKS.len(), prop::collection::vec(op(), 1..8), end()),
            1..16,
        )
    ) {
        for engine in EngineKind::ALL {
            run(engine, &steps);
        }
    }
}
