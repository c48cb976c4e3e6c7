//! The time, the boot, and the pid namespace: where and when we are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use thiserror::Error;

use crate::rules::lease::Moment;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const PID_NAMESPACE: &str = "/proc/self/ns/pid";

/// Why the time, the boot or the pid namespace is not known.
#[derive(Debug, Error)]
pub enum ClockError {
    /// The boot id is unreadable.
    #[error("failed to read {BOOT_ID} (is /proc mounted?)")]
    BootId(#[source] io::Error),
    /// The pid namespace is unreadable.
    #[error("failed to examine {PID_NAMESPACE} (is /proc mounted?)")]
    PidNamespace(#[source] io::Error),
    /// The kernel refuses `CLOCK_BOOTTIME`.
    #[error("failed to read the boot clock")]
    BootClock(#[source] nix::Error),
}

/// Returns the current moment on both clocks.
///
/// # Errors
/// If the kernel does not know `CLOCK_BOOTTIME` (before Linux 2.6.39).
pub fn now() -> Result<Moment, ClockError> {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(ClockError::BootClock)?;
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Moment {
        wall_ms: milliseconds(wall),
        boot_ms: milliseconds(boot.into()),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the inode of our pid namespace: `/proc` shows its processes, and no others.
///
/// # Errors
/// If `/proc` is not mounted or not readable.
pub fn pid_namespace() -> Result<u64, ClockError> {
    let metadata = fs::metadata(PID_NAMESPACE).map_err(ClockError::PidNamespace)?;
    Ok(metadata.ino())
}

/// Returns the id of the current boot, a UUID.
///
/// # Errors
/// If `/proc` is not mounted or not readable.
pub fn boot_id() -> Result<String, ClockError> {
    let text = fs::read_to_string(BOOT_ID).map_err(ClockError::BootId)?;
    Ok(text.trim().to_owned())
}
