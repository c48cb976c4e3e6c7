//! The engines against each other: the same operations give the same answers.

use std::ops::Bound;

use proptest::collection::{btree_map, vec as many};
use proptest::prelude::*;

use super::*;
use crate::store::engine::{self, Engine};
use crate::store::overlay::Overlay;

#[derive(Clone, Debug)]
enum Step {
    Apply(Writes),
    Look(Vec<u8>),
    Reopen,
}

/// Keys of few bytes, so that some are equal, prefixes of each other, or at the ends.
fn key() -> impl Strategy<Value = Vec<u8>> {
    many(prop::sample::select(vec![0, 1, 7, 255]), 1..4)
}

/// Values of up to a few pages.
fn value() -> impl Strategy<Value = Vec<u8>> {
    (
        any::<u8>(),
        prop_oneof![0..40_usize, 0..3000_usize, Just(20_000)],
    )
        .prop_map(|(byte, length)| vec![byte; length])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => btree_map(key(), prop::option::of(value()), 0..12).prop_map(Step::Apply),
        4 => key().prop_map(Step::Look),
        1 => Just(Step::Reopen),
    ]
}

/// Compares what an engine says about a key with the truth.
fn look(engine: &dyn Engine, plain: &BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8]) {
    let entry = |found: Option<(&Vec<u8>, &Vec<u8>)>| found.map(|(k, v)| (k.clone(), v.clone()));
    assert_eq!(engine.get(key).unwrap().as_ref(), plain.get(key));
    let from = (Bound::Included(key), Bound::Unbounded);
    let above = plain.range::<[u8], _>(from);
    let begin = above
        .clone()
        .take_while(|(found, _)| found.starts_with(key));
    let begin: Vec<_> = begin.map(|found| entry(Some(found)).unwrap()).collect();
    assert_eq!(Overlay::new(engine).scan(key).unwrap(), begin);
    assert_eq!(
        engine.at_or_above(key).unwrap(),
        entry(above.clone().next())
    );
    let before = (Bound::Unbounded, Bound::Excluded(key));
    let below = plain.range::<[u8], _>(before).next_back();
    assert_eq!(engine.below(key).unwrap(), entry(below));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn all_engines_give_the_same_answers(steps in many(step(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let open = |kind| engine::open(dir.path(), kind).unwrap();
        for kind in EngineKind::ALL {
            engine::create(dir.path(), kind, &Writes::new()).unwrap();
        }
        let mut engines = EngineKind::ALL.map(|kind| Some(open(kind)));
        let mut plain = BTreeMap::new();
        for step in steps {
            match &step {
                Step::Apply(writes) => for (key, value) in writes {
                    match value {
                        Some(value) => plain.insert(key.clone(), value.clone()),
                        None => plain.remove(key),
                    };
                },
                Step::Look(_) | Step::Reopen => {}
            }
            for (kind, engine) in EngineKind::ALL.into_iter().zip(&mut engines) {
                let now = engine.take().unwrap();
                match &step {
                    Step::Apply(writes) => now.apply(writes).unwrap(),
                    Step::Look(key) => look(&*now, &plain, key),
                    Step::Reopen => {
                        drop(now);
                        *engine = Some(open(kind));
                        continue;
                    }
                }
                *engine = Some(now);
            }
        }
        let all: Vec<_> = plain.into_iter().collect();
        for engine in engines.iter().flatten() {
            assert_eq!(Overlay::new(&**engine).scan(&[]).unwrap(), all);
        }
    }
}
