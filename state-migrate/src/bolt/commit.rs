//! A commit in place, as bbolt commits.
//!
//! 1. Read the file, and refuse a damaged one.
//! 2. Write the new tree and its free list onto pages that neither meta page needs; the
//!    file grows if there are too few. Sync.
//! 3. Read them back, and compare. Nothing leads to them yet: if the commit ends before
//!    here, the old content stays.
//! 4. Write the meta page that is not current, and sync. It is one page, and its checksum
//!    shows if the write was torn: a reader finds the content of the old meta page or of the
//!    new one.
//!
//! bbolt reuses the pages of the commit before the last. We leave those alone, too, so that
//! both meta pages stay good until the last write, and one of them after it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use super::layout::Layout;
use super::meta::{Meta, Metas};
use super::notes::Notes;
use super::space::Space;
use super::tree::Reader;
use super::usage::Use;
use super::{Bucket, CommitError, Damage, MAX_SIZE};

/// bbolt's smallest file after it has grown, and the most it grows by at once.
const MIN_SIZE: u64 = 32 * 1024;
const MAX_GROWTH: u64 = 16 * 1024 * 1024;

/// The file operations that a commit needs.
pub(super) trait Medium {
    fn read(&self) -> io::Result<Vec<u8>>;
    fn lengthen(&self, length: u64) -> io::Result<()>;
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn read(&self) -> io::Result<Vec<u8>> {
        let length = self.metadata()?.len();
        if length > MAX_SIZE {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn lengthen(&self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Replaces a file's content.
pub(super) fn commit(file: &impl Medium, root: &Bucket) -> Result<(), CommitError> {
    let io = |action| move |source| CommitError::Io { action, source };
    let bytes = file.read().map_err(io("read it"))?;
    let metas = Metas::read(&bytes)?;
    let space = space(&bytes, &metas)?;
    let layout = Layout::new(root, &metas.current, space);

    if layout.length() > bytes.len() as u64 {
        let length = grown(layout.length()).map_err(io("make it longer"))?;
        file.lengthen(length).map_err(io("make it longer"))?;
    }
    for (at, page) in &layout.pages {
        file.write(page, *at).map_err(io("write its new pages"))?;
    }
    file.sync().map_err(io("sync its new pages"))?;

    let back = file.read().map_err(io("read it back"))?;
    read_back(&back, &metas.current, &layout.meta, root).map_err(CommitError::ReadBack)?;

    let at = layout.meta.page * layout.meta.page_size as u64;
    let made = file
        .write(&layout.meta.to_page(), at)
        .and_then(|()| file.sync());
    made.map_err(|source| {
        // Nothing shows whether the page has reached the disk, so put the old one back.
        let old = usize::try_from(at)
            .ok()
            .and_then(|at| bytes.get(at..at + layout.meta.page_size));
        let undone = old.map(|old| file.write(old, at).and_then(|()| file.sync()));
        match undone {
            Some(Ok(())) => CommitError::Io {
                action: "write its meta page",
                source,
            },
            Some(Err(_)) | None => CommitError::Unknown { source },
        }
    })
}

/// Finds the pages that neither meta page needs.
fn space(bytes: &[u8], metas: &Metas) -> Result<Space, Damage> {
    let mut reader = Reader::new(bytes, &metas.current, Notes::Refuse)?;
    reader.root(&metas.current)?;
    let (usage, _) = reader.finish();
    let mut high_water = metas.current.high_water;
    let mut before = None;
    if let Ok(other) = &metas.other {
        // Read it as far as possible: bbolt may have overwritten some of it.
        let mut reader = Reader::new(bytes, other, Notes::keep())?;
        reader.root(other)?;
        before = Some(reader.finish().0);
        high_water = high_water.max(other.high_water.min((bytes.len() / other.page_size) as u64));
    }
    let needed = |page: u64| {
        let usages = [Some(&usage), before.as_ref()];
        let uses = usages
            .into_iter()
            .flatten()
            .filter_map(|usage| usage.get(page));
        uses.into_iter().any(Use::needed)
    };
    Ok(Space::new(
        (2..high_water).filter(|page| !needed(*page)),
        high_water,
    ))
}

/// Checks that what was written reads as it should, and that nothing else has changed the file.
fn read_back(bytes: &[u8], last: &Meta, new: &Meta, root: &Bucket) -> Result<(), Damage> {
    let damage = |page: u64, problem: &str| Damage {
        page,
        problem: problem.to_owned(),
    };
    if Metas::read(bytes)?.current != *last {
        return Err(damage(
            last.page,
            "another program has written to it in the meantime",
        ));
    }
    let written = Reader::new(bytes, new, Notes::Refuse)?.root(new)?;
    if written != *root {
        return Err(damage(
            new.root,
            "it leads to something other than what was written",
        ));
    }
    Ok(())
}

/// Returns the length of a file that needs at least this much, grown as bbolt grows it.
pub(super) fn grown(length: u64) -> io::Result<u64> {
    let grown = if length <= MAX_GROWTH {
        length.next_power_of_two().max(MIN_SIZE)
    } else {
        length.saturating_add(MAX_GROWTH)
    };
    match grown {
        ..=MAX_SIZE => Ok(grown),
        _ => Err(ErrorKind::FileTooLarge.into()),
    }
}
