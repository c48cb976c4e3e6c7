//! Pages to be written, and how a bucket is divided into them.

use std::borrow::Cow;
use std::ops::Range;

use super::page::{BRANCH, ELEMENT, HEADER, LEAF};

/// How full a page becomes if others follow. bbolt leaves half of it free, for a growing tree.
/// Podman's tree hardly grows, and the new one must fit beside the old one.
const FILL_PERCENT: usize = 80;
/// The least that bbolt puts on a page (`minKeysPerPage`): its rebalancing relies on branches
/// having two children.
const MIN_ELEMENTS: usize = 2;
/// bbolt writes fewer than 65,535 elements on a page.
const MAX_ELEMENTS: usize = 0xFFFE;

/// An element to be written.
#[derive(Clone, Debug)]
pub(super) enum Element<'a> {
    /// Of a leaf.
    Leaf {
        /// 0 or `BUCKET`.
        flags: u32,
        key: &'a [u8],
        value: Cow<'a, [u8]>,
    },
    /// Of a branch.
    Branch {
        /// The first key on the page.
        key: &'a [u8],
        child: u64,
    },
}

impl<'a> Element<'a> {
    pub(super) fn key(&self) -> &'a [u8] {
        match self {
            Self::Leaf { key, .. } | Self::Branch { key, .. } => key,
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Leaf { value, .. } => value,
            Self::Branch { .. } => &[],
        }
    }

    fn length(&self) -> usize {
        ELEMENT + self.key().len() + self.value().len()
    }
}

/// Returns how many bytes a page with these elements takes.
pub(super) fn length(elements: &[Element<'_>]) -> usize {
    HEADER + elements.iter().map(Element::length).sum::<usize>()
}

/// Writes a page, which ends after its last element, without padding.
pub(super) fn write(id: u64, overflow: u32, elements: &[Element<'_>]) -> Vec<u8> {
    let flags = match elements.first() {
        Some(Element::Branch { .. }) => BRANCH,
        Some(Element::Leaf { .. }) | None => LEAF,
    };
    // `split` makes sure that the count fits.
    let count = u16::try_from(elements.len()).unwrap_or(u16::MAX);
    let mut page = Vec::with_capacity(length(elements));
    page.extend(id.to_le_bytes());
    page.extend(flags.to_le_bytes());
    page.extend(count.to_le_bytes());
    page.extend(overflow.to_le_bytes());
    let mut data = HEADER + ELEMENT * elements.len();
    for element in elements {
        // A page whose lengths do not fit is refused when it is read back.
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let position = number(data - page.len());
        let key = number(element.key().len());
        match element {
            Element::Leaf { flags, value, .. } => {
                page.extend(flags.to_le_bytes());
                page.extend(position);
                page.extend(key);
                page.extend(number(value.len()));
            }
            Element::Branch { child, .. } => {
                page.extend(position);
                page.extend(key);
                page.extend(child.to_le_bytes());
            }
        }
        data += element.key().len() + element.value().len();
    }
    for element in elements {
        page.extend(element.key());
        page.extend(element.value());
    }
    page
}

/// Divides the elements of a bucket's level into pages, and fills each but the last, as bbolt
/// does (`node.split`). No page gets fewer than two elements.
pub(super) fn split(elements: &[Element<'_>], page_size: usize) -> Vec<Range<usize>> {
    let measure = page_size * FILL_PERCENT / 100;
    let mut pages = Vec::new();
    let mut start = 0;
    let mut rest = length(elements);
    while elements.len() - start > 2 * MIN_ELEMENTS
        && (rest > page_size || elements.len() - start > MAX_ELEMENTS)
    {
        let mut filled = HEADER;
        let mut end = start;
        while end < elements.len() - MIN_ELEMENTS && end - start < MAX_ELEMENTS {
            let length = elements[end].length();
            if end - start >= MIN_ELEMENTS && filled + length > measure {
                break;
            }
            filled += length;
            end += 1;
        }
        rest -= filled - HEADER;
        pages.push(start..end);
        start = end;
    }
    pages.push(start..elements.len());
    pages
}
