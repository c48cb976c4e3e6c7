//! What a host keeps of a share on its disk, in a directory for each:
//!
//! ```text
//! /var/lib/berth/shares/lan/
//!   lock             held by the one command that speaks for the host in the share
//!   identity.json    who the host is there: see `identity`
//!   confirmed        the last beat that was answered
//!   breaker.json     until when etcd is not asked, because it has not answered
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::identity::{Identity, IdentityFile};

/// How often a lock that is held is tried again.
const POLL: Duration = Duration::from_millis(5);

/// A host's directory for one share, locked.
#[derive(Debug)]
pub struct Folder {
    directory: PathBuf,
    /// The beat that was saved last, if it is not confirmed.
    pending: Option<String>,
    #[expect(dead_code, reason = "held for the lock")]
    lock: File,
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
        let until = Instant::now() + wait;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            pending: None,
            lock,
        })
    }

    /// Returns the host's breaker for this share.
    pub fn breaker(&self) -> Breaker {
        Breaker {
            path: self.directory.join("breaker.json"),
        }
    }
}

impl IdentityFile for Folder {
    fn load(&mut self) -> io::Result<Option<Identity>> {
        let identity: Identity = match fs::read(self.directory.join("identity.json")) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Torn, lost or of an earlier beat: then this beat is repeated.
        let confirmed = fs::read(self.directory.join("confirmed")).unwrap_or_default();
        let is_confirmed = identity.pending.as_deref().map(str::as_bytes) == Some(&confirmed);
        if is_confirmed {
            return Ok(Some(identity.confirmed()));
        }
        self.pending.clone_from(&identity.pending);
        Ok(Some(identity))
    }

    fn save(&mut self, identity: &Identity) -> io::Result<()> {
        let path = self.directory.join("identity.json");
        replace(&path, &serde_json::to_vec(identity)?, true)?;
        self.pending.clone_from(&identity.pending);
        Ok(())
    }

    fn confirm(&mut self) -> io::Result<()> {
        let pending = self.pending.take().unwrap_or_default();
        fs::write(self.directory.join("confirmed"), pending)
    }
}

/// Replaces a file whole; durable on return if `synced`.
fn replace(path: &Path, text: &[u8], synced: bool) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    if synced {
        file.sync_all()?;
    }
    fs::rename(&new, path)?;
    if let Some(directory) = path.parent().filter(|_| synced) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Keeps commands from waiting for an etcd that has just not answered. Each command is a
/// process of its own, so it is a file. If that cannot be read or written, etcd is asked.
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
    /// Returns for how long etcd is not to be asked; `None` if it may be.
    pub fn is_open_for(&self) -> Option<Duration> {
        let open: Open = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        let (boot, now) = now()?;
        let is_now = open.boot == boot && (open.since..open.until).contains(&now);
        is_now.then(|| Duration::from_millis(open.until - now))
    }

    /// Lets everybody fail at once for so long.
    pub fn open(&mut self, wait: Duration) {
        let Some((boot, since)) = now() else {
            return;
        };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let until = since.saturating_add(wait);
        let open = Open { boot, since, until };
        if let Ok(text) = serde_json::to_vec(&open) {
            let _ = replace(&self.path, &text, false);
        }
    }

    /// Lets etcd be asked again.
    pub fn close(&mut self) {
        // Mostly there is none.
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
