//! A new file.

use super::Bucket;
use super::commit::grown;
use super::layout::Layout;
use super::meta::Meta;
use super::node;
use super::page::{FREELIST, HEADER};
use super::space::Space;

/// The page size that bbolt uses where the kernel's pages have 4 KiB.
const PAGE_SIZE: usize = 4096;

/// Returns the bytes of a new file: what bbolt writes when it creates one (`db.init`), followed
/// by a commit.
pub(super) fn image(root: &Bucket) -> Vec<u8> {
    let empty = Meta {
        page: 0,
        page_size: PAGE_SIZE,
        root: 3,
        sequence: 0,
        freelist: Some(2),
        high_water: 4,
        transaction: 0,
    };
    let last = Meta {
        page: 1,
        transaction: 1,
        ..empty.clone()
    };
    let mut freelist = node::write(2, 0, &[]);
    freelist[8..10].copy_from_slice(&FREELIST.to_le_bytes());
    debug_assert_eq!(freelist.len(), HEADER);
    let leaf = node::write(3, 0, &[]);
    let mut file = Vec::new();
    for mut page in [empty.to_page(), last.to_page(), freelist, leaf] {
        page.resize(PAGE_SIZE, 0);
        file.extend(page);
    }
    let layout = Layout::new(root, &last, Space::new([], last.high_water));
    let length = grown(layout.length()).unwrap_or_else(|_| layout.length());
    // Content that does not fit in memory never gets here.
    file.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
    let meta = (layout.meta.page * PAGE_SIZE as u64, layout.meta.to_page());
    for (at, page) in layout.pages.into_iter().chain([meta]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        file[at..at + page.len()].copy_from_slice(&page);
    }
    file
}
