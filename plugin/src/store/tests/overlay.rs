//! Staged changes read as if they were stored.

use super::*;
use crate::store::engine::Entry;
use crate::store::overlay::{Ordered, OrderedMut, Overlay};

#[test]
fn staged_changes_read_as_if_they_were_made() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            // Keys apart from the store's own; every third is stored, and runs of them
            // are deleted, replaced and added.
            let key = |number: u8| vec![200, number];
            let mut plain: BTreeMap<_, _> = (0..60).step_by(3).map(|n| (key(n), vec![1])).collect();
            let stored = plain
                .iter()
                .map(|(key, value)| (key.clone(), Some(value.clone())));
            store.engine.apply(&stored.collect()).unwrap();
            let mut overlay = Overlay::new(&*store.engine);
            for number in (0..12).chain(30..34).chain(54..60) {
                overlay.delete(key(number));
                plain.remove(&key(number));
            }
            for number in [2, 9, 21, 22, 40, 59] {
                overlay.put(key(number), vec![2]);
                plain.insert(key(number), vec![2]);
            }
            let own = |entry: Option<Entry>| entry.filter(|(key, _)| key[0] == 200);
            let clone = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
            for number in 0..70 {
                let key = key(number);
                assert_eq!(overlay.get(&key).unwrap(), plain.get(&key).cloned());
                assert_eq!(
                    own(overlay.at_or_above(&key).unwrap()),
                    plain.range(key.clone()..).next().map(clone),
                    "at or above {number}"
                );
                assert_eq!(
                    own(overlay.at_or_below(&key).unwrap()),
                    plain.range(..=key).next_back().map(clone),
                    "at or below {number}"
                );
            }
            let all: Vec<_> = plain.into_iter().collect();
            assert_eq!(overlay.scan(&[200]).unwrap(), all);
        });
    });
}
