//! Processes, as `/proc` shows them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use procfs::ProcError;

use super::ProcessFact;
use super::reach::{Sight, Stranger};
use crate::rules::lease::Process;

/// All processes but ourselves, and what could not be read about some of them.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) facts: Vec<ProcessFact>,
    /// Of one that may be in any container.
    pub(super) unreadable: Option<String>,
    /// Of one that may be in a container of an earlier user namespace of ours.
    pub(super) elsewhere: Option<String>,
}

impl Processes {
    /// Takes them from `/proc`. A process that ends meanwhile is left out: it is gone.
    pub(super) fn all() -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let sight = Sight::of_this_process();
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
                Ok((fact, _)) if fact.process.pid == own => {}
                Ok((fact, doubt)) => {
                    if let Some(doubt) = doubt {
                        all.doubt(sight.stranger(fact.process.pid), doubt);
                    }
                    all.facts.push(fact);
                }
                Err(ProcError::NotFound(_)) => {}
                // Only `hidepid` refuses this.
                Err(error @ ProcError::PermissionDenied(_)) => {
                    all.doubt(sight.hidden(), error.to_string());
                }
                Err(error) => all.doubt(Stranger::Suspect, error.to_string()),
            }
        }
        all
    }

    fn doubt(&mut self, stranger: Stranger, doubt: String) {
        match stranger {
            Stranger::Suspect => self.unreadable = Some(doubt),
            Stranger::Sibling => self.elsewhere = Some(doubt),
            Stranger::Outsider => {}
        }
    }
}

/// Returns one process, or `None` if it has ended or cannot be read.
pub fn process(pid: i32) -> Option<ProcessFact> {
    let process = procfs::process::Process::new(pid).ok()?;
    observe(&process).ok().map(|(fact, _)| fact)
}

/// Returns the parent of a process, or `None` if it has no living parent but
/// the reaper that inherited it.
pub fn parent_of(child: &ProcessFact) -> Option<ProcessFact> {
    const REAPERS: [&str; 4] = ["systemd", "init", "conmon", "catatonit"];
    let parent = process(child.parent).filter(|_| child.parent > 1)?;
    (!REAPERS.contains(&parent.name.as_str())).then_some(parent)
}

/// Returns a process and, if its namespace could not be read, why.
fn observe(process: &procfs::process::Process) -> Result<(ProcessFact, Option<String>), ProcError> {
    let stat = process.stat()?;
    let (namespace, doubt) = match fs::metadata(format!("/proc/{}/ns/net", process.pid)) {
        Ok(metadata) => (Some((metadata.dev(), metadata.ino())), None),
        // A zombie, or gone since: it lives nowhere.
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
        name: stat.comm,
        arguments: arguments(process.pid),
        namespace,
    };
    Ok((fact, doubt))
}

/// Returns a process' arguments, empty ones included: conmon calls podman with
/// `--network-config-dir ''`.
fn arguments(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let Some(text) = text.strip_suffix('\0') else {
        return Vec::new();
    };
    text.split('\0').map(str::to_owned).collect()
}

/// Returns whether a process is a zombie or gone: while it ends, its namespace
/// fails with one error or another.
fn is_ending(process: &procfs::process::Process) -> bool {
    process
        .stat()
        .map_or(true, |stat| matches!(stat.state, 'Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn an_empty_argument_is_one() {
        let mut child = Command::new("sh")
            .args(["-c", "read line", "name", ""])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let pid = i32::try_from(child.id()).expect("a pid");
        // In the midst of its exec, a process has none.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut seen = arguments(pid);
        while seen.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            seen = arguments(pid);
        }
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert_eq!(seen, ["sh", "-c", "read line", "name", ""]);
    }
}
