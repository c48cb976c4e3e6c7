//! The history file: lines are appended to it, and now and then it is rewritten without the
//! oldest ones.
//!
//! It is kept beside the leases, not among them, because nothing is decided by it. So it is not
//! flushed, a power failure may take its last lines, and a damaged line is skipped. It lies
//! where it survives a reboot, which the leases need not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::LockGuard;
use crate::rules::history::{Line, MOST_LINES, trimmed};

/// The most bytes that the file may have. Beyond that, nothing is added to it.
const MOST_BYTES: u64 = 32 << 20;

/// The most bytes that a line may have to be read. Lines that are written have less than a
/// tenth of that.
const LONGEST_LINE: u64 = 64 << 10;

/// The file is rewritten if it has a quarter more lines than are kept, or else this often.
const TRIMMED_EVERY_MS: u64 = 24 * 3600 * 1000;

/// A file of fewer bytes than this cannot have too many lines.
const FEW_BYTES: u64 = 1 << 20;

/// The history of one lease store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    path: PathBuf,
}

/// What was read from a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// In the order in which they were written.
    pub lines: Vec<Line>,
    /// How many lines could not be understood.
    pub damaged: usize,
    /// Where the next line will begin.
    pub end: Mark,
    /// Whether this is the whole file rather than only what was added since the mark.
    pub is_all: bool,
}

/// A place in a history file, valid until the file is rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    inode: u64,
    offset: u64,
}

impl History {
    /// Returns the history in a file, which need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds lines: all of them, or perhaps only a part if the disk is full. They outlive this
    /// process, but not a crash of the machine within the next seconds. Creates the file and
    /// its directory if they are missing.
    ///
    /// The caller should have the store's lock, so that [`trim`](Self::trim) is not at work.
    /// Without it, an added line may be lost.
    ///
    /// # Errors
    /// If the file system refuses, or the file has grown beyond its limit.
    pub fn add(&self, lines: &[Line]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        let mut file = self.open()?;
        let length = file.metadata()?.len();
        if length > MOST_BYTES {
            return Err(io::Error::other(format!(
                "it has grown to {length} bytes, and no collection has trimmed it"
            )));
        }
        // A line that a full disk cut short must not spoil the next one.
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            bytes.insert(0, b'\n');
        }
        file.write_all(&bytes)
    }

    fn open(&self) -> io::Result<File> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            options.open(&self.path)
        };
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directory()?;
                open()
            }
            done => done,
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
    }

    /// Returns the present contents of the file, to be read later.
    ///
    /// # Errors
    /// If the file exists but cannot be opened.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Snapshot(None)),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let end = Mark {
            inode: metadata.ino(),
            offset: metadata.len(),
        };
        Ok(Snapshot(Some((file, end))))
    }

    /// Rewrites the file without the oldest lines, if that is due. `now` is by the wall clock,
    /// in milliseconds since the Unix epoch, and `boot` is the present boot.
    ///
    /// # Errors
    /// If the file cannot be read or written; it is then as it was.
    pub fn trim(&self, _guard: &LockGuard<'_>, now: u64, boot: &str) -> io::Result<()> {
        if !self.is_trim_due(now)? {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for line in trimmed(self.snapshot()?.read(Mark::default())?.lines, now, boot) {
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::Builder::new()
            .prefix(".history-")
            .tempfile_in(directory)?;
        file.write_all(&bytes)?;
        // After a power failure, a name without contents would be worse than old lines.
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn is_trim_due(&self, now: u64) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut first = Vec::new();
        BufReader::new((&file).take(LONGEST_LINE)).read_until(b'\n', &mut first)?;
        // If the first line is not a tally, this is when the file was begun.
        let since = serde_json::from_slice(&first).map_or(0, |line: Line| line.at());
        if now.saturating_sub(since) >= TRIMMED_EVERY_MS {
            return Ok(true);
        }
        let length = file.metadata()?.len();
        if length < FEW_BYTES {
            return Ok(false);
        }
        file.rewind()?;
        let (mut lines, mut part) = (0, vec![0; 1 << 16]);
        loop {
            match file.read(&mut part)? {
                0 => return Ok(lines > MOST_LINES + MOST_LINES / 4),
                length => lines += part[..length].iter().filter(|byte| **byte == b'\n').count(),
            }
        }
    }
}

/// The contents of a history file at one moment, whatever happens to the file afterwards.
#[derive(Debug)]
pub struct Snapshot(Option<(File, Mark)>);

impl Snapshot {
    /// Reads what was added since a mark, or everything if the file was rewritten since or the
    /// mark is the default one. Nothing if there was no file. A last line that does not end yet
    /// is not read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(self, since: Mark) -> io::Result<Recorded> {
        let mut recorded = Recorded::default();
        let Some((mut file, whole)) = self.0 else {
            return Ok(recorded);
        };
        recorded.is_all = whole.inode != since.inode || whole.offset < since.offset;
        recorded.end.inode = whole.inode;
        if !recorded.is_all {
            recorded.end.offset = file.seek(SeekFrom::Start(since.offset))?;
        }
        let mut reader = BufReader::new(file.take(whole.offset - recorded.end.offset));
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut line = (&mut reader).take(LONGEST_LINE);
            let length = line.read_until(b'\n', &mut bytes)?;
            let is_whole = bytes.pop() == Some(b'\n');
            if length == 0 || (!is_whole && (length as u64) < LONGEST_LINE) {
                return Ok(recorded);
            }
            recorded.end.offset += length as u64;
            match serde_json::from_slice(&bytes) {
                Ok(line) if is_whole => recorded.lines.push(line),
                Ok(_) => recorded.damaged += 1,
                Err(_) if bytes.is_empty() && is_whole => {}
                Err(_) => recorded.damaged += 1,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::rules::history::{End, Ended, Work};
    use crate::rules::lease::fixture_of;
    use crate::store::LockFile;

    const NOW: u64 = 1_700_000_000_000;

    fn began(container: &str) -> Line {
        Line::began(&fixture_of(container, "10.0.0.9"), false, None)
    }

    fn scratch() -> (tempfile::TempDir, History) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/one.history");
        (directory, History::at(path))
    }

    fn all(history: &History) -> Recorded {
        history.snapshot().unwrap().read(Mark::default()).unwrap()
    }

    #[test]
    fn what_is_added_is_read_in_order() {
        let (_directory, history) = scratch();
        assert_eq!(all(&history), Recorded::default());
        history
            .add(&[began("a"), began("b\n\u{1b}[2J\u{2028}")])
            .unwrap();
        let first = all(&history);
        assert_eq!(first.lines, [began("a"), began("b\n\u{1b}[2J\u{2028}")]);
        history.add(&[began("c")]).unwrap();
        let rest = history.snapshot().unwrap().read(first.end).unwrap();
        assert_eq!((rest.lines, rest.is_all), (vec![began("c")], false));
        assert_eq!(all(&history).lines.len(), 3);
    }

    #[test]
    fn a_damaged_line_takes_no_other_with_it() {
        let (_directory, history) = scratch();
        history.add(&[began("a")]).unwrap();
        let whole = fs::read(history.path()).unwrap();
        let long = vec![b'x'; 3 * usize::try_from(LONGEST_LINE).unwrap()];
        for damage in [&b"\xff\xfe\x00"[..], b"{}", b"\n\n{\"began\":", &long] {
            fs::write(history.path(), [&whole[..], damage].concat()).unwrap();
            // The unended line may still be being written.
            assert_eq!(all(&history).lines, [began("a")]);
            history.add(&[began("b")]).unwrap();
            let recorded = all(&history);
            assert_eq!(recorded.lines, [began("a"), began("b")]);
            assert!(recorded.damaged > 0, "{damage:?}");
        }
    }

    #[test]
    fn a_file_out_of_all_bounds_is_not_added_to() {
        let (_directory, history) = scratch();
        history.add(&[began("a")]).unwrap();
        let file = OpenOptions::new().write(true).open(history.path()).unwrap();
        file.set_len(MOST_BYTES + 1).unwrap();
        assert!(history.add(&[began("b")]).is_err());
    }

    #[test]
    fn old_lines_go_and_stay_counted() {
        let (directory, history) = scratch();
        let mut lock = LockFile::open(directory.path()).unwrap();
        let guard = lock.acquire(Duration::ZERO, "gc", || true).unwrap();
        history.trim(&guard, NOW, "boot").unwrap();
        assert!(!history.path().exists(), "it makes none");
        let failed = Line::failed(Work::Setup, NOW, "the pool is full");
        history.add(&[failed, began("a")]).unwrap();
        history.trim(&guard, NOW + 1000, "boot").unwrap();
        assert_eq!(all(&history).lines.len(), 2, "it is not time yet");
        let ended = |number: usize| {
            let Line::Began(own) = began(&number.to_string()) else {
                panic!("it began");
            };
            Line::Ended(Ended {
                at: NOW,
                since: NOW,
                holder: own.holder,
                end: End::Released,
                reason: String::new(),
            })
        };
        let many: Vec<_> = (0..MOST_LINES + MOST_LINES / 4).map(ended).collect();
        history.add(&many).unwrap();
        history.trim(&guard, NOW + 1000, "boot").unwrap();
        let lines = all(&history).lines;
        assert_eq!(lines.len(), MOST_LINES + 1);
        let Line::Tally(tally) = &lines[0] else {
            panic!("{:?}", lines[0]);
        };
        assert_eq!(tally.failures[&Work::Setup], 1);
        assert_eq!(tally.ends[&End::Released], (MOST_LINES / 4) as u64);
        assert_eq!(lines.last(), many.last());
        let end = all(&history).end;
        let later = NOW + 31 * TRIMMED_EVERY_MS;
        history.trim(&guard, later, "boot").unwrap();
        assert!(history.snapshot().unwrap().read(end).unwrap().is_all);
        assert_eq!(all(&history).lines.len(), 1, "all are too old");
    }
}
