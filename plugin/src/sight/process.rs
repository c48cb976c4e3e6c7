//! One process, as `/proc` shows it.
//!
//! A process chooses its own name and arguments, and may have as many arguments as it
//! likes. So berth reads arguments only of processes that could be at work for a
//! container, and only as far as such processes have any.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use procfs::ProcError;

use super::{NamespaceKey, ProcessFact, proc_text};
use crate::rules::lease::Process;
use crate::text;

/// Names of the processes whose arguments say for which container they are at work.
const WORKERS: [&str; 6] = ["podman", "conmon", "netavark", "berth", "buildah", "nft"];

/// Room for the arguments of a worker: the kernel takes 128 KiB for one.
const ARGUMENTS: u64 = 1 << 20;

/// Room for our own mounts: the kernel allows 100,000 in a mount namespace.
const OWN_MOUNTS: u64 = 64 << 20;

/// Returns one process, whatever its name, or `None` if it has ended or cannot be read.
/// Arguments that are too long for us count as none.
pub fn process(pid: i32) -> Option<ProcessFact> {
    let process = procfs::process::Process::new(pid).ok()?;
    let (mut fact, _) = observe(&process).ok()?;
    fact.arguments = arguments(pid).unwrap_or_default();
    Some(fact)
}

/// Returns the parent of a process, or `None` if it has no living parent but
/// the reaper that inherited it.
pub fn parent_of(child: &ProcessFact) -> Option<ProcessFact> {
    const REAPERS: [&str; 4] = ["systemd", "init", "conmon", "catatonit"];
    let parent = process(child.parent).filter(|_| child.parent > 1)?;
    (!REAPERS.contains(&parent.name.as_str())).then_some(parent)
}

/// Returns the systemd service that a process belongs to, such as `podman.service`, if it
/// is in one.
pub fn service_of(process: Process) -> Option<String> {
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
    service(&cgroups)
}

/// Returns the innermost unit that `/proc/PID/cgroup` names, unless that is a scope, as a
/// shell's is.
fn service(cgroups: &str) -> Option<String> {
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let mut parts = cgroups.lines().flat_map(|line| line.rsplit('/'));
    let unit = parts.find(is_unit)?;
    unit.ends_with(".service").then(|| unit.to_owned())
}

/// Returns a process without its arguments and, if its namespace could not be read, why.
pub(super) fn observe(
    process: &procfs::process::Process,
) -> Result<(ProcessFact, Option<String>), ProcError> {
    let stat = process.stat()?;
    let (namespace, doubt) = match fs::metadata(format!("/proc/{}/ns/net", process.pid)) {
        Ok(metadata) => (Some((metadata.dev(), metadata.ino())), None),
        // It is a zombie, or has gone since: then it is in no namespace.
        Err(error) if error.kind() == ErrorKind::NotFound || is_ending(process) => (None, None),
        Err(error) => {
            let doubt = format!("namespace of process {}: {error}", process.pid);
            (None, Some(doubt))
        }
    };
    let fact = ProcessFact {
        process: Process {
            pid: process.pid,
            start_time: stat.starttime,
        },
        parent: stat.ppid,
        name: text::foreign(&stat.comm),
        arguments: Vec::new(),
        namespace,
    };
    Ok((fact, doubt))
}

/// Returns the arguments of a process that may be at work for a container of ours. Any
/// other process gets none, so that its arguments prove nothing.
pub(super) fn arguments_of_worker(fact: &ProcessFact) -> Result<Vec<String>, String> {
    let pid = fact.process.pid;
    if !WORKERS.contains(&fact.name.as_str()) || is_foreign(pid) {
        return Ok(Vec::new());
    }
    match arguments(pid) {
        Ok(arguments) => Ok(arguments),
        // It has gone since.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(Vec::new()),
        Err(error) => Err(format!(
            "arguments of process {pid} ({}): {error}",
            fact.name
        )),
    }
}

/// Returns whether a process is certainly no podman, conmon or netavark of ours: it runs
/// as another user, or in a user namespace, pid namespace or root directory of its own.
/// Mount namespaces do not tell: systemd gives a service its own, and a rootless netavark
/// has its own.
fn is_foreign(pid: i32) -> bool {
    // These do not change while this process runs.
    static OWN: LazyLock<[Option<NamespaceKey>; 3]> = LazyLock::new(|| scope("self"));
    let user = effective_user(pid);
    user.is_some_and(|user| user != nix::unistd::geteuid().as_raw())
        || scope(&pid.to_string())
            .into_iter()
            .zip(*OWN)
            .any(|(its, own)| its.is_some() && own.is_some() && its != own)
}

/// Returns a process's user and pid namespace and its root directory, as far as they are
/// visible.
fn scope(process: &str) -> [Option<NamespaceKey>; 3] {
    ["ns/user", "ns/pid", "root"].map(|name| {
        let file = fs::metadata(format!("/proc/{process}/{name}")).ok()?;
        Some((file.dev(), file.ino()))
    })
}

/// Returns whether a process runs as our own effective user, in our user and pid namespace
/// and root directory.
pub fn is_of_our_user(pid: i32) -> bool {
    effective_user(pid).is_some() && !is_foreign(pid)
}

fn effective_user(pid: i32) -> Option<u32> {
    proc_text::effective_user(&read(&format!("/proc/{pid}/status"), 1 << 16).ok()?)
}

fn arguments(pid: i32) -> io::Result<Vec<String>> {
    let bytes = read(&format!("/proc/{pid}/cmdline"), ARGUMENTS)?;
    Ok(proc_text::arguments(&bytes))
}

/// Returns the content of a file in `/proc` that others can fill.
///
/// # Errors
/// If it is longer than `limit`, or unreadable.
pub(super) fn read(path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::other(format!("longer than {} KiB", limit >> 10)));
    }
    Ok(bytes)
}

/// Reads our own `mountinfo` (proc(5)). With a thousand containers, it is longer than a MiB.
///
/// # Errors
/// As [`read`].
pub(super) fn own_mounts() -> io::Result<Vec<u8>> {
    read("/proc/self/mountinfo", OWN_MOUNTS)
}

/// Returns whether a process is a zombie or gone: while it ends, reading its namespace
/// fails with one error or another.
fn is_ending(process: &procfs::process::Process) -> bool {
    process
        .stat()
        .map_or(true, |stat| matches!(stat.state, 'Z' | 'X'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sight::processes::Processes;

    #[test]
    fn a_process_belongs_to_the_innermost_service() {
        for (cgroups, expected) in [
            ("0::/system.slice/podman.service", Some("podman.service")),
            (
                "0::/system.slice/web.service/runtime\n",
                Some("web.service"),
            ),
            (
                "0::/user.slice/user@7.service/app.slice/api.service",
                Some("api.service"),
            ),
            ("0::/user.slice/user@7.service/app.slice/shell.scope", None),
            ("1:name=systemd:/user.slice/session-1.scope\n0::/", None),
            ("0::/", None),
            ("", None),
        ] {
            assert_eq!(service(cgroups).as_deref(), expected, "{cgroups}");
        }
    }

    #[test]
    fn a_worker_of_another_user_or_in_a_container_is_none() {
        let user = ["--reuid=1000", "--regid=1000", "--clear-groups"];
        let mut stranger = Command::new("setpriv");
        stranger.args(user).args(["sleep", "99"]);
        let mut contained = Command::new("unshare");
        contained.args(["--pid", "--fork", "--kill-child", "sleep", "99"]);
        let mut ours = Command::new("sleep");
        ours.arg("99");
        for (mut command, expected) in [(stranger, true), (contained, true), (ours, false)] {
            let mut child = command.spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            let sleeper = loop {
                let mut facts = Processes::all().facts.into_iter();
                let pid = i32::try_from(child.id()).unwrap();
                let is_it = |fact: &ProcessFact| {
                    fact.name == "sleep" && (fact.process.pid == pid || fact.parent == pid)
                };
                if let Some(fact) = facts.find(is_it) {
                    break fact;
                }
                assert!(Instant::now() < deadline, "it sleeps");
                thread::sleep(Duration::from_millis(5));
            };
            assert_eq!(is_foreign(sleeper.process.pid), expected, "{command:?}");
            child.kill().and_then(|()| child.wait()).unwrap();
        }
    }

    #[test]
    fn an_empty_argument_is_one() {
        let mut child = Command::new("sh")
            .args(["-c", "read line", "name", ""])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let pid = i32::try_from(child.id()).expect("a pid");
        // In the middle of its exec, a process has none.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut seen = arguments(pid).unwrap();
        while seen.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            seen = arguments(pid).unwrap();
        }
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert_eq!(seen, ["sh", "-c", "read line", "name", ""]);
    }
}
