//! A table of damage: what berth-migrate says about it, on which page, and what is
//! salvaged.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::meta::{Meta, Metas};
use super::{Bucket, Item, image, read, salvage};

const PAGE: usize = 4096;

fn value(number: u32) -> Item {
    Item::Value(format!("{number:0100}").into_bytes())
}

/// Three networks: one inline, one with a single leaf, one with a branch of five leaves.
fn sample() -> Bucket {
    let network = |count: u32| {
        let items = (0..count).map(|key| (key.to_be_bytes().to_vec(), value(key)));
        Item::Bucket(Bucket {
            sequence: 0,
            items: items.collect(),
        })
    };
    let names = [("inline", 3), ("large", 150), ("small", 20)];
    let items = names.map(|(name, count)| (name.as_bytes().to_vec(), network(count)));
    Bucket {
        sequence: 0,
        items: BTreeMap::from(items),
    }
}

/// A file to be damaged.
struct Broken {
    bytes: Vec<u8>,
    meta: Meta,
}

impl Broken {
    fn new() -> Self {
        let bytes = image(&sample());
        let meta = Metas::read(&bytes).unwrap().current;
        Self { bytes, meta }
    }

    /// Returns the first page that leads to a key's bytes, by its kind.
    fn page(&self, flags: u16, key: &[u8]) -> usize {
        let pages = 2..usize::try_from(self.meta.high_water).unwrap();
        let found = pages.into_iter().find(|page| {
            let page = &self.bytes[page * PAGE..][..PAGE];
            page[8..10] == flags.to_le_bytes() && page.windows(key.len()).any(|at| at == key)
        });
        found.unwrap()
    }

    fn put(&mut self, page: usize, at: usize, bytes: &[u8]) {
        self.bytes[page * PAGE + at..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Changes the meta page, and gives it a correct checksum.
    fn meta(&mut self, change: impl FnOnce(&mut Meta)) {
        change(&mut self.meta);
        let page = self.meta.to_page();
        self.put(usize::try_from(self.meta.page).unwrap(), 0, &page);
    }

    /// Asserts what is reported first, and how many leases each network has left.
    #[track_caller]
    fn check(&self, page: usize, problem: &str, left: &[usize]) {
        let damage = read(&self.bytes).unwrap_err();
        assert_eq!(damage.page, page as u64, "{damage}");
        assert!(damage.problem.contains(problem), "{damage}");
        let salvaged = salvage(&self.bytes).unwrap();
        let told = salvaged
            .skipped
            .iter()
            .any(|note| note.problem.contains(problem));
        assert!(told, "{:?}", salvaged.skipped);
        let networks = salvaged.root.items.values();
        let leases = networks.map(|network| match network {
            Item::Bucket(network) => network.items.len(),
            Item::Value(_) => 0,
        });
        assert_eq!(leases.collect::<Vec<_>>(), left, "{:?}", salvaged.skipped);
    }
}

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const FREELIST: u16 = 16;

/// The root leaf, the branch of `large`, and one of its leaves.
fn places(file: &Broken) -> (usize, usize, usize) {
    let root = usize::try_from(file.meta.root).unwrap();
    let branch = file.page(BRANCH, &[0; 4]);
    let leaf = file.page(LEAF, format!("{:0100}", 149).as_bytes());
    (root, branch, leaf)
}

#[test]
fn the_sample_is_sound() {
    assert_eq!(read(&Broken::new().bytes).unwrap(), sample());
}

#[test]
fn headers_of_pages() {
    let (root, branch, leaf) = places(&Broken::new());
    let lost = |leaves: usize| [3, leaves, 20];
    let leases = on_leaf(leaf);
    for (at, bytes, problem) in [
        (0, &99u64.to_le_bytes()[..], "it says that it is page 99"),
        (8, &[4, 0], "it has type 0x4"),
        (8, &[3, 0], "it has type 0x3"),
        (10, &[255, 255], "no room for its 65535 elements"),
        (12, &[255, 255, 0, 0], "past the last one"),
    ] {
        let mut file = Broken::new();
        file.put(leaf, at, bytes);
        file.check(leaf, problem, &lost(150 - leases));
    }
    let mut file = Broken::new();
    file.put(branch, 10, &[0, 0]);
    file.check(branch, "a branch without a child", &lost(0));
    let mut file = Broken::new();
    file.put(root, 8, &[16, 0]);
    // Nothing of it is left, so the commit before is shown, which is empty.
    file.check(root, "it has type 0x10", &[]);
}

/// Returns how many leases are on a leaf.
fn on_leaf(leaf: usize) -> usize {
    let file = Broken::new();
    usize::from(file.bytes[leaf * PAGE + 10])
}

#[test]
fn elements() {
    let (_, _, leaf) = places(&Broken::new());
    let second = 16 + 16;
    for (at, bytes, problem, gone) in [
        // A position: the elements on both sides of it no longer meet.
        (
            second + 4,
            &[1u8, 0, 0, 0][..],
            "element 0 does not end where the next one begins",
            3,
        ),
        (second + 4, &[255; 4], "element 0 does not end", 3),
        (second + 8, &[255; 4], "element 0 does not end", 3),
        // A size: again, the elements on both sides no longer meet.
        (
            second + 12,
            &[99, 0, 0, 0],
            "element 1 does not end where the next one begins",
            2,
        ),
        (second, &[2, 0, 0, 0], "element 1 has unknown flags 0x2", 1),
        (second, &[1, 0, 0, 0], "", 0),
    ] {
        let mut file = Broken::new();
        file.put(leaf, at, bytes);
        if !problem.is_empty() {
            file.check(leaf, problem, &[3, 150 - gone, 20]);
        }
        assert!(read(&file.bytes).is_err());
    }
}

#[test]
fn what_leads_to_a_page_twice_or_in_a_circle() {
    let (root, branch, leaf) = places(&Broken::new());
    let count = on_leaf(leaf);
    // The last child of the branch is the branch; the root; a meta page; another leaf.
    let children = usize::from(Broken::new().bytes[branch * PAGE + 10]);
    let child = 16 * children + 8;
    for (number, at, problem) in [
        (branch, branch, "it is part of a tree already"),
        (root, root, "it is part of a tree already"),
        (1, 1, "a meta page is referenced"),
        (leaf + 1000, leaf + 1000, "there are only"),
    ] {
        let mut file = Broken::new();
        file.put(branch, child, &(number as u64).to_le_bytes());
        file.check(at, problem, &[3, 150 - count, 20]);
    }
}

#[test]
fn keys_out_of_order_are_read_all_the_same() {
    let (_, branch, leaf) = places(&Broken::new());
    let mut file = Broken::new();
    let table = 16 + 16 * on_leaf(leaf);
    file.put(leaf, table, &[9]);
    file.check(leaf, "element 1 is not above the one before", &[3, 150, 20]);
    let mut file = Broken::new();
    let table = 16 + 16 * usize::from(file.bytes[branch * PAGE + 10]);
    // The branch says that its second child begins later than it does.
    let position = file.bytes[branch * PAGE + 16 + 16];
    let key = 16 + 16 + usize::from(position);
    assert!(key >= table);
    file.put(branch, key + 3, &[file.bytes[branch * PAGE + key + 3] + 1]);
    let first = file.bytes[branch * PAGE + 16 + 16 + 8];
    file.check(
        usize::from(first),
        "element 0 is below what leads to the page",
        &[3, 150, 20],
    );
}

#[test]
fn free_lists() {
    let list = usize::try_from(Broken::new().meta.freelist.unwrap()).unwrap();
    let (_, branch, _) = places(&Broken::new());
    let all = &[3, 150, 20];
    let mut file = Broken::new();
    file.put(list, 8, &LEAF.to_le_bytes());
    file.check(list, "it should be the free list, but has type 0x2", all);
    let mut file = Broken::new();
    file.put(list, 10, &[254, 255]);
    file.check(list, "no room for as many free pages as it counts", all);
    let mut file = Broken::new();
    file.put(list, 10, &[255, 255]);
    file.put(list, 16, &[255; 8]);
    file.check(list, "no room for as many free pages as it counts", all);
    let mut file = Broken::new();
    let second: [u8; 8] = file.bytes[list * PAGE + 24..][..8].try_into().unwrap();
    file.put(list, 16, &second);
    file.check(list, "twice", all);
    let mut file = Broken::new();
    file.put(list, 16, &0u64.to_le_bytes());
    file.check(list, "it names page 0, which is a meta page", all);
    let mut file = Broken::new();
    file.put(list, 16, &(branch as u64).to_le_bytes());
    file.check(branch, "it is on the free list", all);
    let mut file = Broken::new();
    file.meta(|meta| meta.freelist = Some(FREELIST.into()));
    assert!(read(&file.bytes).is_err());
}

#[test]
fn a_bucket_that_became_a_value_is_missed() {
    let (root, ..) = places(&Broken::new());
    let mut file = Broken::new();
    // `large` is the second of the root's elements.
    file.put(root, 16 + 16, &[0]);
    let damage = read(&file.bytes).unwrap_err();
    assert!(
        damage.problem.contains("what led to it is lost"),
        "{damage}"
    );
}

#[test]
fn without_a_free_list_nothing_is_missed() {
    let mut file = Broken::new();
    file.meta(|meta| meta.freelist = None);
    assert_eq!(read(&file.bytes).unwrap(), sample());
}

#[test]
fn meta_pages() {
    // The last commit's meta page is torn: the content is that of the commit before.
    let mut file = Broken::new();
    let page = usize::try_from(file.meta.page).unwrap();
    file.put(page, 16 + 48, &[77]);
    assert_eq!(read(&file.bytes).unwrap(), Bucket::default());
    let salvaged = salvage(&file.bytes).unwrap();
    assert_eq!(
        salvaged.skipped[0].to_string(),
        "page 0: its checksum does not match"
    );
    // Both meta pages are torn.
    file.put(1 - page, 16 + 48, &[77]);
    let damage = salvage(&file.bytes).unwrap_err();
    assert_eq!(damage.to_string(), "page 0: its checksum does not match");
    for (length, problem) in [
        (0, "the file ends before its meta page does"),
        (79, "the file ends before its meta page does"),
        (8191, "too short for two pages"),
        (8192, "the file ends before it"),
    ] {
        let damage = read(&Broken::new().bytes[..length]).unwrap_err();
        assert!(damage.problem.contains(problem), "{length}: {damage}");
    }
    let mut file = Broken::new();
    file.meta(|meta| meta.high_water = u64::MAX);
    assert!(
        read(&file.bytes)
            .unwrap_err()
            .problem
            .contains("the file ends before it")
    );
    let mut file = Broken::new();
    file.meta(|meta| meta.root = u64::MAX - 1);
    assert!(
        read(&file.bytes)
            .unwrap_err()
            .problem
            .contains("there are only")
    );
    // A file of another byte order.
    let mut file = Broken::new();
    for page in [0, 1] {
        let magic: [u8; 4] = file.bytes[page * PAGE + 16..][..4].try_into().unwrap();
        file.put(page, 16, &[magic[3], magic[2], magic[1], magic[0]]);
    }
    assert!(
        read(&file.bytes)
            .unwrap_err()
            .problem
            .contains("other byte order")
    );
}

#[test]
fn the_commit_before_is_shown_if_it_is_whole_and_holds_more() {
    // As bbolt commits: only the leaf of the last change is new, and that leaf is damaged.
    let mut file = Broken::new();
    let before = file.meta.clone();
    let (root, ..) = places(&file);
    let copy = usize::try_from(before.high_water).unwrap();
    let mut page = file.bytes[root * PAGE..][..PAGE].to_vec();
    page[..8].copy_from_slice(&(copy as u64).to_le_bytes());
    file.bytes.resize((copy + 1) * PAGE, 0);
    file.put(copy, 0, &page);
    file.meta(|meta| {
        meta.page = 1 - meta.page;
        meta.transaction += 1;
        meta.root = copy as u64;
        meta.freelist = None;
        meta.high_water += 1;
    });
    assert_eq!(read(&file.bytes).unwrap(), sample());
    file.put(copy, 10, &[1, 0]);
    assert!(read(&file.bytes).is_err());
    let salvaged = salvage(&file.bytes).unwrap();
    assert_eq!(salvaged.root, sample());
    let last = salvaged.skipped.last().unwrap();
    assert!(last.problem.contains("the commit before it"), "{last}");
}

#[test]
fn depth_is_bounded() {
    let mut root = Bucket::default();
    for _ in 0..400 {
        let items = BTreeMap::from([(vec![b'b'], Item::Bucket(root))]);
        root = Bucket { sequence: 1, items };
    }
    let damage = read(&image(&root)).unwrap_err();
    assert!(
        damage.problem.contains("more than 256 pages deep"),
        "{damage}"
    );
    let salvaged = salvage(&image(&root)).unwrap();
    assert!(!salvaged.skipped.is_empty());
}
