//! Waits for the file's lock for a limited time, and finds out who holds it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use berth_share::poll;
use nix::sys::stat::{major, minor};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::FileError;

/// The pause between two attempts. Holders keep the lock for milliseconds.
const PAUSE: Duration = Duration::from_millis(5);

/// Locks an open file until it is closed, waiting no longer than `wait` (zero: one
/// attempt). `kind` must not wait itself.
pub(super) fn take(
    file: &File,
    path: &Path,
    kind: FlockOperation,
    wait: Duration,
) -> Result<(), FileError> {
    let taken = poll(wait, PAUSE, || match flock(file, kind) {
        Err(Errno::INTR | Errno::WOULDBLOCK) => None,
        done => Some(done),
    });
    let taken = taken.ok_or_else(|| FileError::Locked {
        path: path.to_owned(),
        wait,
        holder: holder(file),
    })?;
    taken.map_err(|errno| FileError::Io {
        action: "lock",
        path: path.to_owned(),
        source: errno.into(),
    })
}

/// Returns which process has a file locked, according to the kernel.
fn holder(file: &File) -> String {
    let unknown = || "an unknown process".to_owned();
    let Ok(metadata) = file.metadata() else {
        return unknown();
    };
    let (device, inode) = (metadata.dev(), metadata.ino());
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let Some(pid) = holder_of(&locks, &file) else {
        return unknown();
    };
    let fact = berth::sight::process(pid);
    fact.map_or_else(unknown, |fact| {
        format!("pid {pid} ({})", fact.arguments.join(" "))
    })
}

/// Returns the process that has a file locked by flock(2), from proc_locks(5). The lines of
/// waiting processes have an arrow, and do not count; nor does a process of another pid
/// namespace.
fn holder_of(locks: &str, file: &str) -> Option<i32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, of, ..] = words[..] else {
            return None;
        };
        let pid = pid.parse().ok().filter(|pid| *pid > 0)?;
        (of == file).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_told_from_those_who_wait() {
        let locks = "\
1: POSIX  ADVISORY  WRITE 11 00:1a:77 0 EOF
2: FLOCK  ADVISORY  WRITE 12 00:1a:78 0 EOF
3: FLOCK  ADVISORY  WRITE 13 00:1a:77 0 EOF
3: -> FLOCK  ADVISORY  WRITE 14 00:1a:77 0 EOF
4: FLOCK  ADVISORY  READ  -1 00:1a:79 0 EOF
";
        assert_eq!(holder_of(locks, "00:1a:77"), Some(13));
        assert_eq!(holder_of(locks, "00:1a:79"), None);
        assert_eq!(holder_of(locks, "00:1a:80"), None);
    }
}
