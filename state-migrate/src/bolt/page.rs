//! Pages: a header of 16 bytes, a table of elements of 16 bytes each, and their data.
//!
//! ```text
//! header    id u64 · flags u16 · count u16 · overflow u32
//! branch    position u32 · key size u32 · child u64
//! leaf      flags u32 · position u32 · key size u32 · value size u32
//! ```
//!
//! All numbers are little-endian. A page with overflow continues over that many following
//! pages. A position counts from its element's own first byte. bbolt writes the data back to
//! back, in the elements' order (`node.write`). We require that of every page, so that no wrong
//! size or position goes unnoticed, and no two elements can claim the same bytes.

use super::Damage;

pub(super) const HEADER: usize = 16;
pub(super) const ELEMENT: usize = 16;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const META: u16 = 0x04;
pub(super) const FREELIST: u16 = 0x10;

/// The flag of a leaf's element whose value is a bucket.
pub(super) const BUCKET: u32 = 0x01;

/// bbolt refuses longer keys (`MaxKeySize`).
const MAX_KEY: usize = 32_768;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// The pages of a file, up to its high water mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    bytes: &'a [u8],
    size: usize,
    count: u64,
}

impl<'a> Pages<'a> {
    /// Returns the first `count` pages of a file, or as many as it has.
    pub(super) fn new(bytes: &'a [u8], size: usize, count: u64) -> Self {
        let there = (bytes.len() / size) as u64;
        Self {
            bytes,
            size,
            count: count.min(there),
        }
    }

    /// Returns how many pages there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns a page, with its overflow.
    pub(super) fn get(&self, id: u64) -> Result<Page<'a>, Damage> {
        let damage = |problem: String| Damage { page: id, problem };
        if id < 2 {
            return Err(damage(
                "a meta page is referenced as part of a tree".to_owned(),
            ));
        }
        if id >= self.count {
            let count = self.count;
            return Err(damage(format!(
                "it is referenced, but there are only {count} pages"
            )));
        }
        // The page is within the file, and so within memory.
        let start = usize::try_from(id)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.size);
        let page = Page::parse(self.bytes.get(start..).unwrap_or_default())
            .ok_or_else(|| damage("it has no room for its header".to_owned()))?;
        if page.id != id {
            return Err(damage(format!("it says that it is page {}", page.id)));
        }
        let overflow = page.overflow;
        if u64::from(overflow) >= self.count - id {
            let problem = format!("it goes on over {overflow} more pages, past the last one");
            return Err(damage(problem));
        }
        let pages = usize::try_from(overflow)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let end = start.saturating_add(pages.saturating_mul(self.size));
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        Ok(Page { bytes, ..page })
    }
}

/// A page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    pub(super) id: u64,
    pub(super) flags: u16,
    pub(super) count: u16,
    pub(super) overflow: u32,
    /// The whole page, the header and the overflow included.
    pub(super) bytes: &'a [u8],
}

impl<'a> Page<'a> {
    /// Reads the header of a page that has all these bytes.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
            bytes,
        })
    }

    /// Returns the elements of a branch or leaf page, or what is wrong with each.
    ///
    /// With `filled`, the last element must end where the page does.
    pub(super) fn elements(self, filled: bool) -> Result<Elements<'a>, String> {
        let count = usize::from(self.count);
        let end = HEADER + ELEMENT * count;
        if end > self.bytes.len() {
            return Err(format!("it has no room for its {count} elements"));
        }
        Ok(Elements {
            page: self,
            filled,
            next: 0,
            met: true,
            kept: end,
        })
    }

    /// Returns where an element's key begins, where its value does, and where that ends.
    fn extent(&self, index: usize) -> Option<Extent> {
        let at = HEADER + ELEMENT * index;
        let field = |offset| usize::try_from(u32_at(self.bytes, at + offset)?).ok();
        let (position, key, value) = if self.flags == BRANCH {
            (field(0)?, field(4)?, 0)
        } else {
            (field(4)?, field(8)?, field(12)?)
        };
        let start = at.checked_add(position)?;
        let middle = start.checked_add(key)?;
        let end = middle.checked_add(value)?;
        (end <= self.bytes.len()).then_some(Extent { start, middle, end })
    }
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    start: usize,
    middle: usize,
    end: usize,
}

/// An element of a branch or leaf page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Its place on the page.
    pub(super) index: usize,
    pub(super) key: &'a [u8],
    /// What the key leads to, on a leaf.
    pub(super) value: &'a [u8],
    /// The flags, on a leaf.
    pub(super) flags: u32,
    /// The child's page, on a branch.
    pub(super) child: u64,
}

/// The elements of a page, in order.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    page: Page<'a>,
    filled: bool,
    next: usize,
    /// Whether the next element begins where the one before ends.
    met: bool,
    /// Where the data of the last good element ends.
    kept: usize,
}

impl<'a> Elements<'a> {
    /// An element is good only if it meets both neighbours: if two do not meet, either may be
    /// the wrong one.
    fn element(&mut self, index: usize) -> Result<Element<'a>, String> {
        let page = self.page;
        let met = self.met;
        self.met = false;
        let Some(Extent { start, middle, end }) = page.extent(index) else {
            return Err(format!("element {index} reaches beyond the page"));
        };
        if index == 0 && start != self.kept {
            return Err("element 0 does not begin where the elements' table ends".to_owned());
        }
        if index + 1 == usize::from(page.count) {
            if self.filled && end != page.bytes.len() {
                return Err(format!("element {index} does not end where the page does"));
            }
        } else if page.extent(index + 1).is_none_or(|next| next.start != end) {
            return Err(format!(
                "element {index} does not end where the next one begins"
            ));
        } else {
            self.met = true;
        }
        if !met || start < self.kept {
            return Err(format!(
                "element {index} does not begin where the one before ends"
            ));
        }
        let key = &page.bytes[start..middle];
        if key.is_empty() {
            return Err(format!("element {index} has no key"));
        }
        if key.len() > MAX_KEY {
            return Err(format!("element {index} has a key of {} bytes", key.len()));
        }
        self.kept = end;
        let at = HEADER + ELEMENT * index;
        Ok(Element {
            index,
            key,
            value: &page.bytes[middle..end],
            flags: u32_at(page.bytes, at).unwrap_or_default(),
            child: u64_at(page.bytes, at + 8).unwrap_or_default(),
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index >= usize::from(self.page.count) {
            return None;
        }
        self.next += 1;
        Some(self.element(index))
    }
}
