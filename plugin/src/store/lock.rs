//! The lock beside the store: it admits one process at a time, and names that process.
//!
//! It is a separate file that is never unlinked, so that all contenders always contend for the
//! same inode. sled has a lock too, but writes before taking it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::ops::DerefMut;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_share::poll;
use fd_lock::{RwLock, RwLockWriteGuard};
use nix::libc;

use super::error::StoreError;
use crate::text;

/// Name of the lock file in the state directory.
pub const LOCK: &str = "lock";

/// Pause between two attempts. Podman serialises its calls to us, so we contend only with an
/// operator's command or a collection, which take milliseconds.
const PAUSE: Duration = Duration::from_millis(5);

/// The lock file, open but not locked.
pub struct LockFile {
    path: PathBuf,
    lock: RwLock<File>,
}

/// The right to open the store. Its holder has the state directory to itself until the guard is
/// dropped.
pub struct LockGuard<'a> {
    guard: RwLockWriteGuard<'a, File>,
    /// Whether everything that a killed holder started has ended.
    settled: bool,
}

impl LockFile {
    /// Opens `<dir>/lock`, creating the directory (mode 0700) and the file if they are missing.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file system refuses, or if the file is not one that we have
    /// made, because taking the lock empties it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| StoreError::Io {
                action: "create state directory",
                path: dir.to_owned(),
                source,
            })?;
        let path = dir.join(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)
            .and_then(checked)
            .map_err(|source| StoreError::Io {
                action: "open lock file",
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            path,
            lock: RwLock::new(file),
        })
    }

    /// Takes the lock, waiting no longer than `wait` (zero: one attempt). `who` tells others
    /// what the holder is doing, as in `setup of container 1f2e3d4c5b6a on network web`.
    ///
    /// If the last holder was killed, what it started may still be at work. Then `settle` is
    /// called with the lock held: it waits, within bounds, for that work to end, and returns
    /// whether it has. If it has not, the mark of the kill stays for the next holder of the
    /// lock.
    ///
    /// # Errors
    /// [`StoreError::LockTimeout`] with the holder's name; [`StoreError::Io`] if the file
    /// system refuses.
    pub fn acquire(
        &mut self,
        wait: Duration,
        who: &str,
        settle: impl FnOnce() -> bool,
    ) -> Result<LockGuard<'_>, StoreError> {
        let is_held = |error: &io::Error| {
            use io::ErrorKind::{Interrupted, WouldBlock};
            matches!(error.kind(), Interrupted | WouldBlock)
        };
        // The borrow checker does not let a guard leave a loop. So the lock stays taken without
        // one, and is taken again below: flock(2) grants it again on the same descriptor.
        let taken = poll(wait, PAUSE, || match self.lock.try_write() {
            Err(error) if is_held(&error) => None,
            done => Some(done.map(std::mem::forget)),
        });
        let taken = taken.ok_or_else(|| StoreError::LockTimeout {
            holder: holder(&self.path),
            path: self.path.clone(),
            wait,
        })?;
        let guard = taken.and_then(|()| self.lock.try_write());
        let mut guard = guard.map_err(|source| StoreError::Io {
            action: "lock",
            path: self.path.clone(),
            source,
        })?;
        // A holder that ends normally empties the file.
        let follows_a_kill = guard.metadata().is_ok_and(|file| file.len() > 0);
        // The holder's name is for error messages only: a full file system must not keep us
        // from releasing leases.
        if let Err(error) = sign(&mut guard, who) {
            log::debug!("cannot sign {}: {error}", self.path.display());
        }
        Ok(LockGuard {
            guard,
            settled: !follows_a_kill || settle(),
        })
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        if !self.settled {
            return;
        }
        if let Err(error) = self.guard.deref_mut().set_len(0) {
            log::debug!("cannot clear the lock file: {error}");
        }
    }
}

/// Returns the file if it can be a lock file: a regular file of our own, with one name only.
fn checked(file: File) -> io::Result<File> {
    let metadata = file.metadata()?;
    let user = nix::unistd::geteuid().as_raw();
    let wrong = match (metadata.is_file(), metadata.nlink(), metadata.uid()) {
        (true, 1, owner) if owner == user => return Ok(file),
        (false, ..) => "it is not a regular file".to_owned(),
        (_, 1, owner) => format!("it belongs to user {owner}"),
        (_, links, _) => format!("it has {links} names"),
    };
    Err(io::Error::other(format!("{wrong}; remove it")))
}

/// Replaces the file's text with our pid and task.
fn sign(file: &mut File, who: &str) -> io::Result<()> {
    let who = who.replace(char::is_control, " ");
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("pid {} {who}\n", std::process::id()).as_bytes())
}

/// Returns who holds the lock according to the file's text, unless that process is gone: a
/// killed holder leaves its text behind.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text));
    let signed = read.ok().and_then(|_| parse_signature(&text));
    match signed {
        Some((pid, who)) if Path::new("/proc").join(pid.to_string()).exists() => {
            format!("pid {pid} ({})", text::foreign(who))
        }
        Some(_) | None => "an unknown process".to_owned(),
    }
}

/// Splits `pid <pid> <who>`.
fn parse_signature(text: &str) -> Option<(u32, &str)> {
    let (pid, who) = text.trim_end().strip_prefix("pid ")?.split_once(' ')?;
    Some((pid.parse().ok()?, who))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    #[test]
    fn a_second_contender_waits_then_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deep/berth");
        let (mut first, mut second) = (
            LockFile::open(&state).unwrap(),
            LockFile::open(&state).unwrap(),
        );
        let guard = first
            .acquire(Duration::ZERO, "setup of\ncontainer 1f2e3d4c5b6a", || true)
            .unwrap();
        let start = Instant::now();
        let error = second.acquire(SHORT, "gc", || true).err().unwrap();
        assert!(start.elapsed() >= SHORT);
        assert_eq!(
            error.to_string(),
            format!(
                "timed out after 30ms waiting for {}/lock, held by pid {} (setup of container 1f2e3d4c5b6a); try again, or end that process",
                state.display(),
                std::process::id()
            )
        );
        drop(guard);
        drop(second.acquire(Duration::ZERO, "gc", || true).unwrap());
        drop(first.acquire(Duration::ZERO, "again", || true).unwrap());
    }

    #[test]
    fn a_waiting_contender_gets_the_lock_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = LockFile::open(dir.path()).unwrap();
        let guard = first.acquire(Duration::ZERO, "setup", || true).unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut second = LockFile::open(dir.path()).unwrap();
                second
                    .acquire(Duration::from_secs(20), "gc", || true)
                    .is_ok()
            });
            thread::sleep(SHORT);
            assert!(!waiter.is_finished());
            drop(guard);
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn what_is_no_lock_file_is_not_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "a year's work").unwrap();
        let path = dir.path().join(LOCK);
        let refused = || {
            let error = LockFile::open(dir.path()).err().unwrap();
            std::fs::remove_file(&path).unwrap();
            crate::chain(&error)
        };
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        assert!(refused().contains("symbolic links"));
        std::fs::hard_link(&precious, &path).unwrap();
        assert!(refused().ends_with("it has 2 names; remove it"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refused().ends_with("it is not a regular file; remove it"));
        std::fs::write(&path, "").unwrap();
        if std::os::unix::fs::chown(&path, Some(7), None).is_ok() {
            assert!(refused().ends_with("it belongs to user 7; remove it"));
        }
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "a year's work");
    }

    #[test]
    fn the_text_of_a_dead_holder_does_not_mislead() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = LockFile::open(dir.path()).unwrap();
        let _guard = first.acquire(Duration::ZERO, "setup", || true).unwrap();
        for text in ["", "pid", "pid x gc", "pid 4194999 a long dead command\n"] {
            std::fs::write(dir.path().join(LOCK), text).unwrap();
            let mut second = LockFile::open(dir.path()).unwrap();
            let error = second.acquire(Duration::ZERO, "gc", || true).err().unwrap();
            assert!(
                error.to_string().contains("held by an unknown process;"),
                "{text}: {error}"
            );
        }
    }

    /// Leaves the file as a killed holder would: signed.
    fn killed(dir: &Path) {
        std::fs::write(dir.join(LOCK), "pid 4194999 setup\n").unwrap();
    }

    #[test]
    fn the_mark_of_a_kill_stays_until_somebody_has_seen_the_end_of_what_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = LockFile::open(dir.path()).unwrap();
        let mut asked = |over: bool| {
            let mut asked = false;
            let settle = || {
                asked = true;
                over
            };
            drop(lock.acquire(Duration::ZERO, "doctor", settle).unwrap());
            asked
        };
        assert!(!asked(true), "nobody was killed");
        killed(dir.path());
        assert!(asked(false), "it has not ended yet");
        assert!(asked(true), "so the next one waits as well");
        assert!(!asked(true), "and then it is over");
    }
}
