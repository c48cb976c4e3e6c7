//! What a host keeps on its disk for each share, in a directory of its own:
//!
//! ```text
//! /var/lib/berth/shares/lan/
//!   lock             held by the one command that speaks for the host in the share
//!   identity.0, .1   the host's identity in the share, twice: see `identity`
//!   confirmed        the last beat that was answered
//!   breaker.json     until when etcd is not asked, because it has not answered
//! ```
//!
//! Each beat waits for the disk. So it overwrites the older of the two identities in place, in
//! whole blocks, which needs one flush; a new file and its rename need several times that. If the
//! write is torn, its checksum shows it, and the other identity counts.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{Identity, IdentityFile};
use crate::poll;

/// The pause before a held lock is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// A host's directory for one share, locked.
#[derive(Debug)]
pub struct Folder {
    directory: PathBuf,
    /// The number of the last saved identity, and its beat if that is not confirmed.
    number: u64,
    pending: Option<String>,
    lock: File,
}

impl Drop for Folder {
    /// Closing the file is not enough: a child that another thread has just forked keeps it open
    /// until it executes its program.
    fn drop(&mut self) {
        // This fails only for a bad descriptor.
        let _ = self.lock.unlock();
    }
}

impl Folder {
    /// Makes the directory if need be, and waits for its lock.
    ///
    /// # Errors
    /// If the directory cannot be made, or the lock is not free within `wait`
    /// ([`io::ErrorKind::TimedOut`]).
    pub fn lock(directory: &Path, wait: Duration) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(directory.join("lock"))?;
        let taken = poll(wait, PAUSE, || match lock.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => Some(Err(error)),
            Ok(()) => Some(Ok(())),
        });
        taken.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(Self {
            directory: directory.to_owned(),
            number: 0,
            pending: None,
            lock,
        })
    }

    /// Returns the host's identity in the share whose directory this is, without taking the lock;
    /// `None` if the host has never taken part. Another command may change it meanwhile.
    ///
    /// # Errors
    /// If the identity exists and cannot be read.
    pub fn peek(directory: &Path) -> io::Result<Option<Identity>> {
        let newest = newest(directory)?;
        Ok(newest.map(|(_, identity)| with_note(directory, identity)))
    }

    /// Returns the host's breaker for this share.
    pub fn breaker(&self) -> Breaker {
        Breaker::of(&self.directory)
    }
}

fn slot(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("identity.{}", number % 2))
}

/// Returns the newest whole identity with its number; `None` if there never was one.
fn newest(directory: &Path) -> io::Result<Option<(u64, Identity)>> {
    let mut found = Vec::new();
    for number in [0, 1] {
        match fs::read(slot(directory, number)) {
            Ok(text) => found.push(parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let is_new = found.is_empty();
    let newest = found
        .into_iter()
        .flatten()
        .max_by_key(|(number, _)| *number);
    if newest.is_none() && !is_new {
        let whose = directory.join("identity.0 and .1");
        let told = format!("{} are damaged", whose.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, told));
    }
    Ok(newest)
}

/// Returns the identity with its pending beat confirmed, if a note says so. If the note is torn,
/// lost or about an earlier beat, this beat is repeated.
fn with_note(directory: &Path, identity: Identity) -> Identity {
    let confirmed = fs::read(directory.join("confirmed")).unwrap_or_default();
    if identity.pending.as_deref().map(str::as_bytes) == Some(&confirmed) {
        identity.confirmed()
    } else {
        identity
    }
}

/// What the disk writes in one piece.
const BLOCK: usize = 4096;

/// Returns a file of whole blocks: checksum, number, identity, spaces.
fn render(number: u64, identity: &Identity) -> io::Result<Vec<u8>> {
    let body = format!("{number} {}", serde_json::to_string(identity)?);
    let mut text = format!("{:08x} {body}", crc32fast::hash(body.as_bytes())).into_bytes();
    // Room to grow into, so that the file's size does not change with each beat.
    text.resize((text.len() + BLOCK).div_ceil(BLOCK) * BLOCK, b' ');
    Ok(text)
}

fn parse(text: &[u8]) -> Option<(u64, Identity)> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches(' ');
    let (sum, body) = text.split_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let (number, identity) = body.split_once(' ')?;
    Some((number.parse().ok()?, serde_json::from_str(identity).ok()?))
}

impl IdentityFile for Folder {
    fn load(&mut self) -> io::Result<Option<Identity>> {
        let Some((number, identity)) = newest(&self.directory)? else {
            return Ok(None);
        };
        self.number = number;
        let identity = with_note(&self.directory, identity);
        self.pending.clone_from(&identity.pending);
        Ok(Some(identity))
    }

    fn save(&mut self, identity: &Identity) -> io::Result<()> {
        let number = self.number + 1;
        let path = slot(&self.directory, number);
        let is_new = !path.exists();
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        let text = render(number, identity)?;
        file.write_all(&text)?;
        // The size changes only when the identity has grown a lot, or has shrunk.
        if file.metadata()?.len() != text.len() as u64 {
            file.set_len(text.len() as u64)?;
        }
        file.sync_data()?;
        if is_new {
            File::open(&self.directory)?.sync_all()?;
        }
        self.number = number;
        self.pending.clone_from(&identity.pending);
        Ok(())
    }

    fn confirm(&mut self) -> io::Result<()> {
        let pending = self.pending.take().unwrap_or_default();
        fs::write(self.directory.join("confirmed"), pending)
    }
}

/// Keeps commands from waiting for an etcd that has just failed to answer. It is a file, because
/// each command is a process of its own. If the file cannot be read or written, etcd is asked.
#[derive(Debug)]
pub struct Breaker {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Open {
    boot: String,
    /// In milliseconds since that boot.
    since: u64,
    until: u64,
}

impl Breaker {
    /// Returns the breaker in a host's directory for a share.
    pub fn of(directory: &Path) -> Self {
        Self {
            path: directory.join("breaker.json"),
        }
    }

    /// Returns for how long etcd must not be asked; `None` if it may be.
    pub fn is_open_for(&self) -> Option<Duration> {
        let open: Open = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        let (boot, now) = now()?;
        let is_now = open.boot == boot && (open.since..open.until).contains(&now);
        is_now.then(|| Duration::from_millis(open.until - now))
    }

    /// Makes all commands fail at once for this long.
    pub fn open(&mut self, wait: Duration) {
        let Some((boot, since)) = now() else {
            return;
        };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let until = since.saturating_add(wait);
        let open = Open { boot, since, until };
        if let Ok(text) = serde_json::to_vec(&open) {
            let new = self.path.with_extension("new");
            let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        }
    }

    /// Lets etcd be asked again.
    pub fn close(&mut self) {
        // Usually there is no file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the boot id, and the milliseconds since the boot.
fn now() -> Option<(String, u64)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let hundredths: u64 = hundredths.parse().ok()?;
    Some((boot.trim().to_owned(), seconds * 1000 + hundredths * 10))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn identity(seq: u64) -> Identity {
        Identity {
            seq,
            pending: Some(format!("beat {seq}")),
            ..Identity::new("machine", 7)
        }
    }

    fn folder(directory: &tempfile::TempDir) -> Folder {
        Folder::lock(directory.path(), Duration::ZERO).unwrap()
    }

    #[test]
    fn an_identity_outlives_its_process_and_a_torn_write() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(folder(&directory).load().unwrap(), None);
        for seq in 1..=5 {
            let mut folder = folder(&directory);
            folder.load().unwrap();
            folder.save(&identity(seq)).unwrap();
        }
        assert_eq!(folder(&directory).load().unwrap(), Some(identity(5)));
        let newest = directory.path().join("identity.1");
        let mut text = fs::read(&newest).unwrap();
        text[40] ^= 1;
        fs::write(&newest, &text).unwrap();
        assert_eq!(folder(&directory).load().unwrap(), Some(identity(4)));
        // Damage is not absence: with a new identity the host would lose its addresses.
        fs::write(directory.path().join("identity.0"), "").unwrap();
        let told = folder(&directory).load().unwrap_err().to_string();
        assert!(told.ends_with("identity.0 and .1 are damaged"), "{told}");
    }

    #[test]
    fn a_confirmed_beat_is_remembered_and_an_earlier_one_confirms_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = folder(&directory);
        first.save(&identity(1)).unwrap();
        first.confirm().unwrap();
        drop(first);
        assert_eq!(
            folder(&directory).load().unwrap(),
            Some(identity(1).confirmed())
        );
        let mut second = folder(&directory);
        second.load().unwrap();
        second.save(&identity(2)).unwrap();
        drop(second);
        assert_eq!(folder(&directory).load().unwrap(), Some(identity(2)));
    }

    #[test]
    fn one_command_at_a_time_speaks_for_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let first = folder(&directory);
        let refused = Folder::lock(directory.path(), Duration::from_millis(20)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        let _inherited = first.lock.try_clone().unwrap();
        drop(first);
        folder(&directory);
    }

    #[test]
    fn a_breaker_closes_after_its_time_or_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut breaker = folder(&directory).breaker();
        assert_eq!(breaker.is_open_for(), None);
        breaker.open(Duration::from_secs(100));
        assert!(breaker.is_open_for().unwrap() > Duration::from_secs(90));
        breaker.close();
        assert_eq!(breaker.is_open_for(), None);
        breaker.open(Duration::ZERO);
        assert_eq!(breaker.is_open_for(), None);
        // From another boot, or from a clock that was further ahead.
        fs::write(
            &breaker.path,
            r#"{"boot":"other","since":0,"until":18446744073709551615}"#,
        )
        .unwrap();
        assert_eq!(breaker.is_open_for(), None);
    }
}
