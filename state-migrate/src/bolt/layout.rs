//! What a commit writes: a pure function of the content and of the free space.

use std::borrow::Cow;

use super::meta::Meta;
use super::node::{self, Element};
use super::page::{BUCKET, FREELIST, HEADER};
use super::space::Space;
use super::tree::BUCKET_HEADER;
use super::{Bucket, Item, freelist};

/// The pages of a commit, without the meta page that makes them the file's content.
#[derive(Debug)]
pub(super) struct Layout {
    /// Where in the file to write what.
    pub(super) pages: Vec<(u64, Vec<u8>)>,
    /// The meta page, which must be written last.
    pub(super) meta: Meta,
}

impl Layout {
    /// Lays out a commit that follows another.
    pub(super) fn new(root: &Bucket, last: &Meta, space: Space) -> Self {
        let mut writer = Writer {
            page_size: last.page_size,
            space,
            pages: Vec::new(),
        };
        let page = writer.tree(root);
        let freelist = writer.freelist();
        // The transaction's number decides which meta page is written: bbolt writes them in turn.
        let step = if (last.transaction.wrapping_add(1)) % 2 == last.page {
            2
        } else {
            1
        };
        let transaction = last.transaction.wrapping_add(step);
        let meta = Meta {
            page: transaction % 2,
            page_size: last.page_size,
            root: page,
            sequence: root.sequence,
            freelist: Some(freelist),
            high_water: writer.space.high_water(),
            transaction,
        };
        Self {
            pages: writer.pages,
            meta,
        }
    }

    /// Returns how long the file must be.
    pub(super) fn length(&self) -> u64 {
        self.meta
            .high_water
            .saturating_mul(self.meta.page_size as u64)
    }
}

struct Writer {
    page_size: usize,
    space: Space,
    pages: Vec<(u64, Vec<u8>)>,
}

impl Writer {
    /// Writes a bucket onto pages of its own and returns its root.
    fn tree(&mut self, bucket: &Bucket) -> u64 {
        let items = bucket.items.iter();
        let leaves = items
            .map(|(key, item)| self.leaf(key, item))
            .collect::<Vec<_>>();
        let mut level = self.level(&leaves);
        while level.len() > 1 {
            level = self.level(&level);
        }
        match level.first() {
            Some(Element::Branch { child, .. }) => *child,
            // A level has at least one page.
            Some(Element::Leaf { .. }) | None => 0,
        }
    }

    fn leaf<'a>(&mut self, key: &'a [u8], item: &'a Item) -> Element<'a> {
        let (flags, value) = match item {
            Item::Value(value) => (0, Cow::Borrowed(value.as_slice())),
            Item::Bucket(bucket) => (BUCKET, Cow::Owned(self.bucket(bucket))),
        };
        Element::Leaf { flags, key, value }
    }

    /// Returns a bucket's value, with the bucket itself in it if it is small, by bbolt's rule
    /// (`inlineable`).
    fn bucket(&mut self, bucket: &Bucket) -> Vec<u8> {
        let root = match inline(bucket, self.page_size / 4) {
            Some(page) => [
                0u64.to_le_bytes().as_slice(),
                &bucket.sequence.to_le_bytes(),
                &page,
            ]
            .concat(),
            None => {
                let root = self.tree(bucket);
                [root.to_le_bytes(), bucket.sequence.to_le_bytes()].concat()
            }
        };
        debug_assert!(root.len() >= BUCKET_HEADER);
        root
    }

    /// Writes elements onto pages, and returns the elements that lead to these pages.
    fn level<'a>(&mut self, elements: &[Element<'a>]) -> Vec<Element<'a>> {
        let pages = node::split(elements, self.page_size);
        let write = |page: std::ops::Range<usize>| {
            let elements = &elements[page];
            let key = elements.first().map(Element::key).unwrap_or_default();
            let child = self.node(elements);
            Element::Branch { key, child }
        };
        pages.into_iter().map(write).collect()
    }

    fn node(&mut self, elements: &[Element<'_>]) -> u64 {
        let pages = node::length(elements).div_ceil(self.page_size);
        let id = self.space.take(pages as u64);
        self.push(id, node::write(id, overflow(pages), elements), pages);
        id
    }

    /// Writes the list of all pages that are free once this is the file's content. The pages of
    /// earlier commits are among them.
    fn freelist(&mut self) -> u64 {
        // The pages that the list itself takes make it shorter, never longer.
        let longest = freelist::length(self.space.untaken().len());
        let pages = longest.div_ceil(self.page_size);
        let id = self.space.take(pages as u64);
        let free = self.space.untaken();
        let mut page = vec![0; pages * self.page_size];
        let count = freelist::write(&free, &mut page);
        page[..8].copy_from_slice(&id.to_le_bytes());
        page[8..10].copy_from_slice(&FREELIST.to_le_bytes());
        page[10..12].copy_from_slice(&count.to_le_bytes());
        page[12..HEADER].copy_from_slice(&overflow(pages).to_le_bytes());
        self.push(id, page, pages);
        id
    }

    fn push(&mut self, id: u64, mut page: Vec<u8>, pages: usize) {
        page.resize(pages * self.page_size, 0);
        self.pages
            .push((id.saturating_mul(self.page_size as u64), page));
    }
}

fn overflow(pages: usize) -> u32 {
    u32::try_from(pages - 1).unwrap_or(u32::MAX)
}

/// Returns a bucket as a page within another, if it has only values, and only few.
fn inline(bucket: &Bucket, limit: usize) -> Option<Vec<u8>> {
    let mut length = HEADER;
    let mut elements = Vec::new();
    for (key, item) in &bucket.items {
        let Item::Value(value) = item else {
            return None;
        };
        length += super::page::ELEMENT + key.len() + value.len();
        if length > limit {
            return None;
        }
        elements.push(Element::Leaf {
            flags: 0,
            key,
            value: Cow::Borrowed(value),
        });
    }
    Some(node::write(0, 0, &elements))
}
