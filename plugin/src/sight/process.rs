//! Processes, as `/proc` shows them.
//!
//! A process chooses its own name and arguments, and may have as many arguments as it
//! likes. So berth reads arguments only of processes that could be at work for a
//! container, and only as far as such processes have any.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use procfs::ProcError;

use super::proc_net::view_of;
use super::reach::{Sight, Stranger};
use super::{Doubt, NamespaceKey, ProcessFact, View, proc_text};
use crate::rules::lease::Process;
use crate::text;

/// Names of the processes whose arguments say for which container they are at work.
const WORKERS: [&str; 6] = ["podman", "conmon", "netavark", "berth", "buildah", "nft"];

/// Room for the arguments of a worker: the kernel takes 128 KiB for one.
const ARGUMENTS: u64 = 1 << 20;

/// How many threads of a process are looked at.
const THREADS: usize = 1 << 16;

/// All processes but ourselves and our netavark, and what could not be read about some of
/// them.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) facts: Vec<ProcessFact>,
    /// What could not be read about a process that may be in any container.
    pub(super) unreadable: Option<String>,
    /// What is known of the namespaces of processes that may be in any container.
    pub(super) doubts: Vec<Doubt>,
    /// What could not be read about a process that may be in a container of an earlier
    /// user namespace of ours.
    pub(super) elsewhere: Option<String>,
}

impl Processes {
    /// Reads them from `/proc`. A process that ends meanwhile is left out, because it is
    /// gone.
    pub(super) fn all() -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let sight = Sight::of_this_process();
        let host = LazyCell::new(|| view_of("thread-self"));
        let mut all = Self::default();
        if let Some(doubt) = sight.blind_spot() {
            all.doubt(sight.hidden(), doubt);
        }
        let listing = match procfs::process::all_processes() {
            Ok(listing) => listing,
            Err(error) => {
                all.doubt(Stranger::Suspect, error.to_string());
                return all;
            }
        };
        for entry in listing {
            match entry.and_then(|process| observe(&process)) {
                Ok((fact, _)) if fact.process.pid == own || is_run_by(own, &fact) => {}
                Ok((mut fact, mut doubt)) => {
                    let pid = fact.process.pid;
                    if fact.namespace.is_none() && doubt.is_none() {
                        let found = threads(&fact);
                        all.facts.extend(found.0);
                        doubt = found.1;
                    }
                    if let Some(why) = doubt {
                        all.unplaced(sight.stranger(pid), pid, why, host.as_ref().ok());
                    }
                    match arguments_of_worker(&fact) {
                        Ok(arguments) => fact.arguments = arguments,
                        Err(doubt) => all.doubt(sight.stranger(pid), doubt),
                    }
                    all.facts.push(fact);
                }
                Err(ProcError::NotFound(_)) => {}
                // Only `hidepid` causes this refusal.
                Err(error @ ProcError::PermissionDenied(_)) => {
                    all.doubt(sight.hidden(), error.to_string());
                }
                Err(error) => all.doubt(Stranger::Suspect, error.to_string()),
            }
        }
        all
    }

    /// Notes that a process does not show which namespace it is in.
    fn unplaced(&mut self, stranger: Stranger, pid: i32, why: String, host: Option<&View>) {
        if stranger == Stranger::Outsider {
            return;
        }
        let view = view_of(&pid.to_string()).ok();
        match (&view, host, stranger) {
            (Some(view), Some(host), _) if view.is_beside_the_point(host) => {}
            // It may have ended, or show nothing while it ends.
            (None, _, Stranger::Sibling) => self.elsewhere = Some(why),
            _ => self.doubts.push(Doubt { why, view }),
        }
    }

    fn doubt(&mut self, stranger: Stranger, doubt: String) {
        match stranger {
            Stranger::Suspect => self.unreadable = Some(doubt),
            Stranger::Sibling => self.elsewhere = Some(doubt),
            Stranger::Outsider => {}
        }
    }
}

/// Returns the visible processes with one of these names, except ourselves and our netavark.
/// Of all others, only the name is read.
pub fn processes_named(names: &[&str]) -> Vec<ProcessFact> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let listing = fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = listing.filter_map(pid).filter(|pid| {
        let name = read(&format!("/proc/{pid}/comm"), 64).unwrap_or_default();
        *pid != own
            && names
                .iter()
                .any(|known| known.as_bytes() == name.trim_ascii_end())
    });
    let facts = named.filter_map(|pid| {
        let process = procfs::process::Process::new(pid).ok()?;
        let (mut fact, _) = observe(&process).ok()?;
        fact.arguments = arguments_of_worker(&fact).unwrap_or_default();
        (!is_run_by(own, &fact)).then_some(fact)
    });
    facts.collect()
}

/// Returns whether a process is the netavark that we have started ourselves. It waits for us,
/// so it is no sign of life.
fn is_run_by(own: i32, fact: &ProcessFact) -> bool {
    fact.parent == own && fact.name == "netavark"
}

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
fn observe(process: &procfs::process::Process) -> Result<(ProcessFact, Option<String>), ProcError> {
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
fn arguments_of_worker(fact: &ProcessFact) -> Result<Vec<String>, String> {
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

/// Returns the namespaces of a process's threads if its first thread has ended: that one
/// is a zombie, and shows no namespace. Also returns what could not be read about them.
fn threads(fact: &ProcessFact) -> (Vec<ProcessFact>, Option<String>) {
    let pid = fact.process.pid;
    let (mut found, mut doubt) = (Vec::new(), None);
    if !is_survived_by_threads(pid) {
        return (found, doubt);
    }
    let listing = fs::read_dir(format!("/proc/{pid}/task"));
    let mut seen = HashSet::<NamespaceKey>::new();
    for (count, entry) in listing.into_iter().flatten().flatten().enumerate() {
        if count == THREADS {
            doubt = Some(format!("process {pid} has more than {THREADS} threads"));
            break;
        }
        let thread = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let namespace = fs::metadata(entry.path().join("ns/net"));
        if let Err(error) = &namespace
            && error.kind() == ErrorKind::PermissionDenied
        {
            doubt = Some(format!("namespace of process {pid}: {error}"));
        }
        if let (Some(thread), Ok(namespace)) = (thread, namespace) {
            let namespace = (namespace.dev(), namespace.ino());
            if seen.insert(namespace) {
                found.push(ProcessFact {
                    process: Process {
                        pid: thread,
                        ..fact.process
                    },
                    arguments: Vec::new(),
                    namespace: Some(namespace),
                    ..fact.clone()
                });
            }
        }
    }
    (found, doubt)
}

fn is_survived_by_threads(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.num_threads > 1)
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
    use std::io::BufRead;
    use std::io::BufReader;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

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

    /// A program in C, for what Rust cannot do without `unsafe`. It runs, says `ready`,
    /// and ends with this value.
    struct Program {
        child: Child,
        _directory: tempfile::TempDir,
    }

    impl Program {
        fn run(name: &str, source: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let (code, program) = (directory.path().join("x.c"), directory.path().join(name));
            fs::write(&code, source).unwrap();
            let mut cc = Command::new("cc");
            let made = cc
                .args(["-pthread", "-o"])
                .arg(&program)
                .arg(&code)
                .status();
            assert!(made.unwrap().success(), "cc compiles it");
            let mut child = Command::new(&program)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert_eq!(lines.next().unwrap().unwrap(), "ready");
            Self {
                child,
                _directory: directory,
            }
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.child.id()).unwrap()
        }

        fn facts(&self) -> (Vec<ProcessFact>, Option<String>) {
            let all = Processes::all();
            let mut facts = all.facts;
            let is_its = |fact: &ProcessFact| {
                let task = format!("/proc/{}/task/{}", self.pid(), fact.process.pid);
                Path::new(&task).exists()
            };
            facts.retain(is_its);
            (facts, all.unreadable)
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Its arguments are a gigabyte of zeros that nobody has written: each of them
    /// would be a string.
    const BOMB: &str = r#"
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/prctl.h>
static uint64_t field(const char *stat, int wanted) {
    const char *at = strrchr(stat, ')') + 2;
    uint64_t value = 0;
    for (int n = 3; n < wanted; n++) at = strchr(at, ' ') + 1;
    sscanf(at, "%lu", &value);
    return value;
}
int main(void) {
    char stat[4096] = {0};
    FILE *file = fopen("/proc/self/stat", "r");
    fread(stat, 1, sizeof stat - 1, file);
    uint64_t size = 1UL << 30;
    char *map = mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct prctl_mm_map mm = {
        .start_code = field(stat, 26), .end_code = field(stat, 27),
        .start_data = field(stat, 45), .end_data = field(stat, 46),
        .start_brk = field(stat, 47), .brk = (uint64_t)sbrk(0),
        .start_stack = field(stat, 28),
        .arg_start = (uint64_t)map, .arg_end = (uint64_t)map + size,
        .env_start = field(stat, 50), .env_end = field(stat, 51), .exe_fd = -1,
    };
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &mm, sizeof mm, 0)) perror("prctl");
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}"#;

    #[test]
    fn endless_arguments_are_a_doubt_and_cost_nothing() {
        let bomb = Program::run("podman", BOMB);
        let (facts, doubt) = bomb.facts();
        assert_eq!((facts.len(), facts[0].name.as_str()), (1, "podman"));
        assert_eq!(facts[0].arguments, [""; 0]);
        let pid = bomb.pid();
        let expected = format!("arguments of process {pid} (podman): longer than 1024 KiB");
        assert_eq!(doubt, Some(expected));
        assert_eq!(process(pid).unwrap().arguments, [""; 0]);
        let bystander = Program::run("bystander", BOMB);
        drop(bomb);
        let doubt = bystander.facts().1.unwrap_or_default();
        assert!(
            !doubt.contains("arguments"),
            "nobody asks for them: {doubt}"
        );
    }

    const LEADERLESS: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *rest(void *unused) {
    sleep(1);
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, rest, 0);
    pthread_exit(0);
}"#;

    #[test]
    fn a_process_whose_first_thread_has_ended_lives_where_its_threads_do() {
        let program = Program::run("leaderless", LEADERLESS);
        let (facts, _) = program.facts();
        let own = crate::sight::own_namespace().unwrap();
        let namespaces: Vec<_> = facts.iter().map(|fact| fact.namespace).collect();
        assert_eq!(namespaces, [Some(own), None]);
        let path = facts[0].namespace_path();
        assert!(fs::metadata(path).is_ok(), "it can be opened");
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
