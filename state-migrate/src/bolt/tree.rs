//! The tree of buckets below a meta page.
//!
//! Each bucket is a tree of branch and leaf pages; a small one lies inline, in its parent's
//! leaf, as a page without a number. Every page is visited once, however often it is
//! referenced, and the path to it is bounded. So the work is bounded by the file's size.
//!
//! Two readers share the walk, and differ only in what they do on damage ([`Notes`]).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::meta::Meta;
use super::notes::Notes;
use super::page::{BRANCH, BUCKET, Element, HEADER, LEAF, Page, Pages, u64_at};
use super::usage::{Usage, Use};
use super::{Bucket, Damage, Item, freelist};

/// How many pages, those of inline buckets included, may lie on the path from the root to a
/// key. A tree of two billion keys has at most 31, and Podman nests two buckets.
const MAX_DEPTH: usize = 256;

/// The length of the head of a bucket's value: the root's page (0: inline), and the sequence.
pub(super) const BUCKET_HEADER: usize = 16;

/// A reader of one meta page's tree.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pages: Pages<'a>,
    usage: Usage,
    notes: Notes,
    /// Whether there is a free list, and it could be read.
    listed: bool,
    /// The keys of the buckets around what is read.
    path: Vec<&'a [u8]>,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Begins to read: reads everything but the tree.
    ///
    /// # Errors
    /// At the first damage, if the notes say so.
    pub(super) fn new(bytes: &'a [u8], meta: &Meta, notes: Notes) -> Result<Self, Damage> {
        let pages = Pages::new(bytes, meta.page_size, meta.high_water);
        let usage = Usage::new(pages.count());
        let mut reader = Self {
            pages,
            usage,
            notes,
            listed: false,
            path: Vec::new(),
            depth: 0,
        };
        if pages.count() < meta.high_water {
            let there = pages.count();
            let problem = format!(
                "the file ends before it: it has {there} of {} pages",
                meta.high_water
            );
            reader.note(Damage {
                page: there,
                problem,
            })?;
        }
        if let Some(page) = meta.freelist {
            match freelist::read(page, &pages, &mut reader.usage) {
                Ok(()) => reader.listed = true,
                Err(damage) => reader.note(damage)?,
            }
        }
        Ok(reader)
    }

    /// Reads the tree.
    ///
    /// # Errors
    /// At the first damage, if the notes say so.
    pub(super) fn root(&mut self, meta: &Meta) -> Result<Bucket, Damage> {
        let root = self.tree(meta.root, meta.sequence)?;
        if self.listed && self.notes.is_empty() {
            self.nothing_lost()?;
        }
        Ok(root)
    }

    /// Notes lost pages. With a free list, every page is either in use or on the list. A page
    /// that is neither was once used by something that no longer leads to it: for example a
    /// bucket that one flipped bit has turned into a value. bbolt's own check does the same.
    fn nothing_lost(&mut self) -> Result<(), Damage> {
        let lost = |page: &u64| self.usage.get(*page) == Some(Use::Unnamed);
        match (0..self.pages.count()).find(lost) {
            Some(page) => self.problem(
                page,
                "it is neither in use nor on the free list: what led to it is lost",
            ),
            None => Ok(()),
        }
    }

    /// Returns what each page is used for, and what was noted.
    pub(super) fn finish(self) -> (Usage, Vec<Damage>) {
        (self.usage, self.notes.finish())
    }

    fn note(&mut self, damage: Damage) -> Result<(), Damage> {
        self.notes.take(damage, &self.path)
    }

    fn problem(&mut self, page: u64, problem: impl Into<String>) -> Result<(), Damage> {
        self.note(Damage {
            page,
            problem: problem.into(),
        })
    }

    /// Reads a bucket with pages of its own.
    fn tree(&mut self, root: u64, sequence: u64) -> Result<Bucket, Damage> {
        let mut bucket = Bucket {
            sequence,
            items: BTreeMap::new(),
        };
        self.subtree(root, Bounds::default(), &mut bucket.items)?;
        Ok(bucket)
    }

    /// Reads a page, and what is below it.
    fn subtree(&mut self, id: u64, bounds: Bounds<'a>, items: &mut Items) -> Result<(), Damage> {
        let page = match self.pages.get(id) {
            Ok(page) => page,
            Err(damage) => return self.note(damage),
        };
        if page.flags != BRANCH && page.flags != LEAF {
            let problem = format!("a tree leads to it, but it has type {:#x}", page.flags);
            return self.problem(id, problem);
        }
        if let Some((taken, by)) = self.usage.first(id, page.overflow, Use::needed) {
            let problem = format!("a tree leads to it, but it is {} already", by.name());
            return self.problem(taken, problem);
        }
        // If a page is in use and the list says that it is free, the page is right.
        if let Some((free, _)) = self
            .usage
            .first(id, page.overflow, |page| page == Use::Free)
        {
            self.problem(free, "a tree leads to it, but it is on the free list")?;
        }
        self.usage.set(id, page.overflow, Use::Tree);
        self.page(id, page, false, bounds, items)
    }

    /// Reads a bucket that lies within a page, as a page of its own.
    fn inline(&mut self, on: u64, bytes: &'a [u8], sequence: u64) -> Result<Bucket, Damage> {
        let mut bucket = Bucket {
            sequence,
            items: BTreeMap::new(),
        };
        match Page::parse(bytes) {
            Some(page) if page.id == 0 && page.flags == LEAF && page.overflow == 0 => {
                self.page(on, page, true, Bounds::default(), &mut bucket.items)?;
            }
            _ => self.problem(on, "an inline bucket is not a leaf page")?,
        }
        Ok(bucket)
    }

    fn page(
        &mut self,
        id: u64,
        page: Page<'a>,
        inline: bool,
        bounds: Bounds<'a>,
        items: &mut Items,
    ) -> Result<(), Damage> {
        if self.depth == MAX_DEPTH {
            return self.problem(id, format!("it lies more than {MAX_DEPTH} pages deep"));
        }
        self.depth += 1;
        let read = match page.flags {
            BRANCH => self.branch(id, page, bounds, items),
            _ => self.leaf(id, page, inline, bounds, items),
        };
        self.depth -= 1;
        read
    }

    fn branch(
        &mut self,
        id: u64,
        page: Page<'a>,
        bounds: Bounds<'a>,
        items: &mut Items,
    ) -> Result<(), Damage> {
        let elements = match page.elements(false) {
            Ok(elements) if page.count > 0 => elements,
            Ok(_) => return self.problem(id, "it is a branch without a child"),
            Err(problem) => return self.problem(id, problem),
        };
        let mut elements = elements.peekable();
        let mut last = None;
        while let Some(element) = elements.next() {
            let element = match element {
                Ok(element) => element,
                Err(problem) => {
                    self.problem(id, problem)?;
                    continue;
                }
            };
            self.ordered(id, &element, last, bounds)?;
            last = Some(element.key);
            let next = elements
                .peek()
                .and_then(|next| Some(next.as_ref().ok()?.key));
            let within = Bounds {
                from: Some(element.key),
                to: next.or(bounds.to),
            };
            self.subtree(element.child, within, items)?;
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        id: u64,
        page: Page<'a>,
        inline: bool,
        bounds: Bounds<'a>,
        items: &mut Items,
    ) -> Result<(), Damage> {
        let elements = match page.elements(inline) {
            Ok(elements) => elements,
            Err(problem) => return self.problem(id, problem),
        };
        if inline && page.count == 0 && page.bytes.len() != HEADER {
            self.problem(id, "an empty inline bucket has content")?;
        }
        let mut last = None;
        for element in elements {
            let element = match element {
                Ok(element) => element,
                Err(problem) => {
                    self.problem(id, problem)?;
                    continue;
                }
            };
            self.ordered(id, &element, last, bounds)?;
            last = Some(element.key);
            let Some(item) = self.item(id, &element)? else {
                continue;
            };
            match items.entry(element.key.to_vec()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(item);
                }
                Entry::Occupied(_) => {
                    let problem =
                        format!("element {} has a key that is there already", element.index);
                    self.problem(id, problem)?;
                }
            }
        }
        Ok(())
    }

    fn item(&mut self, id: u64, element: &Element<'a>) -> Result<Option<Item>, Damage> {
        match element.flags {
            0 => Ok(Some(Item::Value(element.value.to_vec()))),
            BUCKET => {
                self.path.push(element.key);
                let bucket = self.bucket(id, element);
                self.path.pop();
                Ok(bucket?.map(Item::Bucket))
            }
            flags => {
                let problem = format!("element {} has unknown flags {flags:#x}", element.index);
                self.problem(id, problem).map(|()| None)
            }
        }
    }

    fn bucket(&mut self, id: u64, element: &Element<'a>) -> Result<Option<Bucket>, Damage> {
        let value = element.value;
        let header = u64_at(value, 0).zip(u64_at(value, 8));
        let Some((root, sequence)) = header else {
            let problem = format!("element {} has no room for a bucket", element.index);
            return self.problem(id, problem).map(|()| None);
        };
        let inline = &value[BUCKET_HEADER..];
        if root == 0 {
            return self.inline(id, inline, sequence).map(Some);
        }
        if !inline.is_empty() {
            let problem = format!("element {} has a bucket in two places", element.index);
            self.problem(id, problem)?;
        }
        self.tree(root, sequence).map(Some)
    }

    /// Notes a key that is out of order. The key is read anyway: the page may be right, and
    /// the branch above it wrong.
    fn ordered(
        &mut self,
        id: u64,
        element: &Element<'_>,
        last: Option<&[u8]>,
        bounds: Bounds<'_>,
    ) -> Result<(), Damage> {
        let key = element.key;
        let index = element.index;
        if last.is_some_and(|last| key <= last) {
            self.problem(id, format!("element {index} is not above the one before"))?;
        } else if bounds.from.is_some_and(|from| key < from) {
            self.problem(
                id,
                format!("element {index} is below what leads to the page"),
            )?;
        } else if bounds.to.is_some_and(|to| key >= to) {
            self.problem(id, format!("element {index} belongs to the page after it"))?;
        }
        Ok(())
    }
}

type Items = BTreeMap<Vec<u8>, Item>;

/// The keys that can be on a page: from the first on, below the second.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds<'a> {
    from: Option<&'a [u8]>,
    to: Option<&'a [u8]>,
}
