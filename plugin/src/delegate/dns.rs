//! The name server that netavark starts, where it has outlived its network
//! namespace.
//!
//! Without root, Podman removes the namespace of its bridges, and the directories of
//! the mount namespace in which netavark ran, with the last container it knows of. A
//! ghost is none, and its name keeps aardvark-dns alive in both: it finds its files
//! no more, so that it does not even see that nobody is left to be served. netavark
//! tells a running server to read its files again, wherever it runs, and starts
//! another one only when there is none: no name would resolve.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sight;

/// How long aardvark-dns may take to end; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Ends a name server in another network namespace than ours that has nobody to
/// serve. One with names is left alone: they may be those of living containers.
pub fn end_stray(run_directory: &Path) {
    let directory = run_directory.join("aardvark-dns");
    let start = Instant::now();
    while let Some(pid) = stray(&directory) {
        let told = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let refused = told.err().filter(|errno| *errno != Errno::ESRCH);
        if refused.is_some() || start.elapsed() > PATIENCE {
            log::warn!(
                "aardvark-dns (pid {pid}) serves no name, in another network namespace, and does \
                 not end: names will not resolve until it is killed"
            );
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Returns the pid of a name server that serves nobody, where nobody can ask it.
fn stray(directory: &Path) -> Option<i32> {
    const PID: &str = "aardvark.pid";
    let pid = fs::read_to_string(directory.join(PID)).ok()?;
    let server = sight::process(pid.trim().parse().ok()?)?;
    let own = sight::process(i32::try_from(std::process::id()).ok()?)?;
    let is_elsewhere = server.name.starts_with("aardvark") && server.namespace? != own.namespace?;
    let mut files = fs::read_dir(directory).ok()?;
    let is_idle = !files.any(|file| file.is_ok_and(|file| file.file_name() != PID));
    (is_elsewhere && is_idle).then_some(server.process.pid)
}
