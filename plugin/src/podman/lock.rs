//! Podman's network lock, which it holds whenever it calls netavark.
//!
//! It is a POSIX record lock on a whole file (containers/storage `lockfile_unix.go`,
//! `F_SETLKW`). Podman holds it when it calls us, so a command that also needs the store's lock
//! must take this one first.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_share::poll;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use thiserror::Error;

use super::PodmanError;
use crate::text;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// Failure to take Podman's network lock.
#[derive(Debug, Error)]
pub enum NetworkLockError {
    #[error("failed to {action} Podman's network lock {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(
        "timed out after {} waiting for Podman's network lock {}, held by {holder}; try again, \
         or end that process",
        humantime::format_duration(*wait),
        path.display()
    )]
    Timeout {
        path: PathBuf,
        wait: Duration,
        /// `pid <pid> (<its command>)`, or `an unknown process`.
        holder: String,
    },
}

/// Podman's network lock, held until it is dropped. While it is held, no container of this
/// Podman starts, stops or changes its networks.
///
/// The kernel releases a record lock when the process closes *any* descriptor of the file, so
/// nothing else in this process may open the file meanwhile.
#[derive(Debug)]
pub struct NetworkLock {
    _file: File,
}

impl NetworkLock {
    /// Takes the lock, waiting no longer than `wait` (zero: one attempt).
    ///
    /// # Errors
    /// [`NetworkLockError::Timeout`] with the holder's name.
    pub fn acquire(path: &Path, wait: Duration) -> Result<Self, NetworkLockError> {
        let failed = |action| {
            move |source| NetworkLockError::Io {
                action,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(directory) = path.parent() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o755).create(directory);
            made.map_err(failed("create the directory of"))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // Any user who can read the file can lock everyone else out with a read lock.
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed("open"))?;
        let take = || fcntl(&file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK)));
        let taken = poll(wait, PAUSE, || match take() {
            Err(Errno::EINTR | Errno::EACCES | Errno::EAGAIN) => None,
            done => Some(done),
        });
        match taken {
            Some(Ok(_)) => Ok(Self { _file: file }),
            Some(Err(errno)) => Err(failed("take")(errno.into())),
            None => Err(NetworkLockError::Timeout {
                path: path.to_owned(),
                wait,
                holder: holder(&file),
            }),
        }
    }
}

/// Returns a lock on a whole file, however long.
fn whole(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Returns who holds the lock, according to the kernel.
fn holder(file: &File) -> String {
    let mut lock = whole(libc::F_WRLCK);
    let told = fcntl(file, FcntlArg::F_GETLK(&mut lock));
    if told.is_err() || lock.l_type == i16::try_from(libc::F_UNLCK).unwrap_or_default() {
        return "an unknown process".to_owned();
    }
    let pid = lock.l_pid;
    match crate::sight::process(pid) {
        Some(fact) => format!("pid {pid} ({})", text::foreign(&fact.arguments.join(" "))),
        // The kernel gives 0 for a process in another pid namespace.
        None => "an unknown process".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::env;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    const PATH: &str = "BERTH_TEST_NETWORK_LOCK";

    /// The other process of the test below. It is needed because record locks do not exclude
    /// each other within one process.
    #[test]
    #[ignore = "the child half of the_holder_is_named"]
    fn child_holds_the_lock() {
        let path = env::var_os(PATH).map(PathBuf::from).unwrap();
        let lock = NetworkLock::acquire(&path, Duration::ZERO).unwrap();
        eprintln!("held");
        io::stdin().lines().for_each(drop);
        drop(lock);
    }

    #[test]
    fn the_file_is_its_users_alone_and_no_link_is_followed() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/netavark.lock");
        drop(NetworkLock::acquire(&path, Duration::ZERO).unwrap());
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        let link = directory.path().join("link");
        let elsewhere = directory.path().join("elsewhere");
        symlink(&elsewhere, &link).unwrap();
        let error = NetworkLock::acquire(&link, Duration::ZERO).unwrap_err();
        assert!(crate::chain(&error).contains("symbolic links"), "{error}");
        assert!(!elsewhere.exists());
    }

    #[test]
    fn the_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock/netavark.lock");
        drop(NetworkLock::acquire(&path, Duration::ZERO).unwrap());
        let name = "podman::lock::tests::child_holds_the_lock";
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .env(PATH, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"));
        let wait = Duration::from_millis(30);
        let error = NetworkLock::acquire(&path, wait).unwrap_err().to_string();
        let named = format!("held by pid {} (", child.id());
        assert!(error.contains(&named), "{error}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        NetworkLock::acquire(&path, Duration::ZERO).unwrap();
    }
}
