//! Reads what can be read of a damaged file.
//!
//! Every problem is noted, and what it concerns is left out: an element that does not fit
//! its neighbours, a page that is not what it should be, and everything below that page.
//! Three things are noted but read anyway, because nothing shows which side is wrong:
//! keys out of order, pages in use that are also on the free list, and a bucket with two
//! contents.
//!
//! The commit before the last is still in the file, under the other meta page. It replaces
//! the last one only if part of the last one's tree is damaged, the earlier one is whole, and
//! it holds more than could be read of the last. Then the damage hit what the last commit
//! wrote, and the file is shown as it was before that commit.

use super::meta::{Meta, Metas};
use super::notes::Notes;
use super::tree::Reader;
use super::{Bucket, Damage, Item, Salvaged};

/// Reads what can be read of a file.
///
/// # Errors
/// If there is no valid meta page to begin with.
pub(super) fn salvage(bytes: &[u8]) -> Result<Salvaged, Damage> {
    let Metas { current, other } = Metas::read(bytes)?;
    let mut last = tree(bytes, &current);
    match other {
        Err(damage) => last.skipped.insert(0, damage),
        Ok(other) if !last.skipped.is_empty() && !whole_without_list(bytes, &current) => {
            let before = tree(bytes, &other);
            if before.skipped.is_empty() && values(&before.root) > values(&last.root) {
                last.skipped.push(Damage {
                    page: current.page,
                    problem: "what it leads to is damaged: this is the content of the commit \
                              before it, which is whole"
                        .to_owned(),
                });
                last.root = before.root;
            }
        }
        Ok(_) => {}
    }
    Ok(last)
}

/// Returns whether only the free list or the file's end is damaged, and the content is whole.
fn whole_without_list(bytes: &[u8], meta: &Meta) -> bool {
    let content = Meta {
        freelist: None,
        high_water: meta.high_water.min((bytes.len() / meta.page_size) as u64),
        ..meta.clone()
    };
    tree(bytes, &content).skipped.is_empty()
}

fn values(bucket: &Bucket) -> usize {
    let items = bucket.items.values().map(|item| match item {
        Item::Value(_) => 1,
        Item::Bucket(bucket) => values(bucket),
    });
    items.sum()
}

fn tree(bytes: &[u8], meta: &Meta) -> Salvaged {
    let read = || -> Result<Salvaged, Damage> {
        let mut reader = Reader::new(bytes, meta, Notes::keep())?;
        let root = reader.root(meta)?;
        Ok(Salvaged {
            root,
            skipped: reader.finish().1,
        })
    };
    // With notes that are kept, damage never ends the reading.
    read().unwrap_or_else(|damage| Salvaged {
        skipped: vec![damage],
        ..Salvaged::default()
    })
}
