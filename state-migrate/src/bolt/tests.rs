//! Random contents go through the writer and back; commits end in every possible way.

#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::commit::{Medium, commit as commit_to};
use super::meta::Metas;
use super::notes::Notes;
use super::tree::Reader;
use super::{Bucket, CommitError, Item, image, read, salvage};

/// A file in memory that remembers each write, and can fail.
#[derive(Debug, Default)]
struct Memory {
    bytes: RefCell<Vec<u8>>,
    writes: RefCell<Vec<Write>>,
    /// How many writes and syncs succeed before one fails, or all of them.
    good_for: Cell<Option<usize>>,
    for_ever: bool,
}

#[derive(Clone, Debug)]
enum Write {
    Length(usize),
    Bytes(usize, Vec<u8>),
    Sync,
}

impl Memory {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RefCell::new(bytes),
            ..Self::default()
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }

    fn log(&self, write: Write) -> io::Result<()> {
        let mut writes = self.writes.borrow_mut();
        if self.good_for.get() == Some(writes.len()) {
            self.good_for
                .set(self.good_for.get().filter(|_| self.for_ever));
            return Err(ErrorKind::StorageFull.into());
        }
        apply(&mut self.bytes.borrow_mut(), &write);
        writes.push(write);
        Ok(())
    }
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => bytes.resize(*length, 0),
        Write::Bytes(at, new) => bytes[*at..at + new.len()].copy_from_slice(new),
        Write::Sync => {}
    }
}

impl Medium for Memory {
    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.bytes())
    }

    fn lengthen(&self, length: u64) -> io::Result<()> {
        self.log(Write::Length(usize::try_from(length).unwrap()))
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.log(Write::Bytes(usize::try_from(at).unwrap(), bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        self.log(Write::Sync)
    }
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 1..6),
        4 => "[a-f]{1,3}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 60..70),
        1 => vec(any::<u8>(), 900..5000),
    ]
}

fn values() -> impl Strategy<Value = Item> {
    let bytes = prop_oneof![
        8 => vec(any::<u8>(), 0..80),
        1 => vec(any::<u8>(), 3000..9000),
    ];
    bytes.prop_map(Item::Value)
}

fn buckets() -> impl Strategy<Value = Bucket> {
    let bucket = |items| {
        (prop_oneof![3 => Just(0), 1 => any::<u64>()], items)
            .prop_map(|(sequence, items)| Bucket { sequence, items })
    };
    let small = bucket(btree_map(keys(), values(), 0..8).boxed());
    let nested = small.prop_recursive(4, 200, 40, move |inner| {
        let item = prop_oneof![3 => values(), 1 => inner.prop_map(Item::Bucket)];
        bucket(btree_map(keys(), item, 0..40).boxed())
    });
    let large = bucket(btree_map(vec(any::<u8>(), 4), values(), 300..600).boxed());
    prop_oneof![8 => nested, 1 => large]
}

/// Checks what `bbolt`'s own check does: every page is used once, or free.
fn check(bytes: &[u8]) {
    let meta = Metas::read(bytes).unwrap().current;
    let mut reader = Reader::new(bytes, &meta, Notes::Refuse).unwrap();
    reader.root(&meta).unwrap();
    let (usage, _) = reader.finish();
    for page in 2..meta.high_water {
        let used = usage.get(page).unwrap();
        assert_ne!(
            used,
            super::usage::Use::Unnamed,
            "page {page} is neither used nor free"
        );
    }
}

/// Returns the content below the meta page that is not current.
fn before(bytes: &[u8]) -> Bucket {
    let other = Metas::read(bytes).unwrap().other.unwrap();
    Reader::new(bytes, &other, Notes::Refuse)
        .unwrap()
        .root(&other)
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_new_file_reads_as_it_was_written(root in buckets()) {
        let file = image(&root);
        check(&file);
        prop_assert_eq!(read(&file).unwrap(), root.clone());
        prop_assert_eq!(before(&file), Bucket::default());
        let salvaged = salvage(&file).unwrap();
        prop_assert_eq!(salvaged.skipped, []);
        prop_assert_eq!(salvaged.root, root);
    }

    #[test]
    fn every_commit_keeps_the_one_before(roots in vec(buckets(), 2..6)) {
        let file = Memory::new(image(&roots[0]));
        for pair in roots.windows(2) {
            commit_to(&file, &pair[1]).unwrap();
            check(&file.bytes());
            prop_assert_eq!(read(&file.bytes()).unwrap(), pair[1].clone());
            prop_assert_eq!(before(&file.bytes()), pair[0].clone());
        }
    }

    #[test]
    fn wherever_a_commit_ends_the_old_content_is_there_or_the_new(
        roots in vec(buckets(), 3),
        cut in any::<prop::sample::Index>(),
    ) {
        let start = Memory::new(image(&roots[0]));
        commit_to(&start, &roots[1]).unwrap();
        let old = start.bytes();
        let file = Memory::new(old.clone());
        commit_to(&file, &roots[2]).unwrap();

        // Killed: a prefix of the writes, and of the last of them.
        let writes = file.writes.borrow().clone();
        let last_sync = writes.len() - 1;
        let near_the_end = writes.len().saturating_sub(4);
        let ends = [0, cut.index(writes.len())].into_iter().chain(near_the_end..=writes.len());
        for end in ends.clone() {
            let mut bytes = old.clone();
            writes[..end].iter().for_each(|write| apply(&mut bytes, write));
            if let Some(Write::Bytes(at, torn)) = writes.get(end) {
                let torn = &torn[..cut.index(torn.len())];
                let mut bytes = bytes.clone();
                apply(&mut bytes, &Write::Bytes(*at, torn.to_vec()));
                let content = read(&bytes).unwrap();
                prop_assert!(content == roots[1] || content == roots[2]);
            }
            let content = read(&bytes).unwrap();
            let wanted = if end < last_sync { &roots[1] } else { &roots[2] };
            if end < last_sync {
                // Until the last moment, the commit before can be restored, too.
                prop_assert!(before(&bytes) == roots[0]);
            }
            prop_assert!(content == *wanted, "after {} of {} writes", end, writes.len());
        }

        // Refused: an error, and the old content, the meta page included.
        for good_for in ends.filter(|end| *end < writes.len()) {
            for for_ever in [false, true] {
                let good_for = Cell::new(Some(good_for));
                let file = Memory { good_for, for_ever, ..Memory::new(old.clone()) };
                let failed = commit_to(&file, &roots[2]).unwrap_err();
                let content = read(&file.bytes()).unwrap();
                // The last sync failed, and the meta page could not be restored.
                let unknown = for_ever && at_the_meta_page(&file, &writes);
                prop_assert_eq!(matches!(failed, CommitError::Unknown { .. }), unknown);
                prop_assert!(unknown || content == roots[1]);
            }
        }
    }
}

/// Returns whether the meta page was written, or was about to be.
fn at_the_meta_page(file: &Memory, writes: &[Write]) -> bool {
    file.writes.borrow().len() + 2 >= writes.len()
}

#[test]
fn a_file_that_has_room_does_not_grow() {
    let ids = |from: u32| {
        let key = |number: u32| format!("{number:064}").into_bytes();
        let items = (from..from + 500).map(|n| (key(n), Item::Value(vec![b'a'; 14])));
        Bucket {
            sequence: 0,
            items: BTreeMap::from_iter(items),
        }
    };
    let file = Memory::new(image(&ids(0)));
    commit_to(&file, &ids(1)).unwrap();
    commit_to(&file, &ids(2)).unwrap();
    let length = file.bytes().len();
    for from in 3..40 {
        commit_to(&file, &ids(from)).unwrap();
        assert_eq!(read(&file.bytes()).unwrap(), ids(from));
    }
    assert_eq!(file.bytes().len(), length);
}

#[test]
fn keys_that_bbolt_refuses_are_not_committed() {
    for key in [vec![], vec![b'k'; 32_769]] {
        let file = Memory::new(image(&Bucket::default()));
        let items = BTreeMap::from([(key, Item::Value(Vec::new()))]);
        let refused = commit_to(&file, &Bucket { sequence: 0, items });
        assert!(
            matches!(refused, Err(CommitError::ReadBack(_))),
            "{refused:?}"
        );
        assert_eq!(read(&file.bytes()).unwrap(), Bucket::default());
    }
}
