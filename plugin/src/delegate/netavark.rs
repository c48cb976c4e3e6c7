//! Runs the real netavark, and understands what it answers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use wait_timeout::ChildExt;

use super::orphan;
use super::request::SeveralPerSubnet;
use crate::protocol::Request;
use crate::rules::lease::Delegation;
use crate::sight::front;

/// How long netavark may take. It needs some 30 ms for a setup and 90 ms for a teardown;
/// Podman holds its network lock meanwhile, so there must be a limit.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the plumbing failed.
#[derive(Debug, Error)]
pub enum DelegateError {
    /// netavark could not be started, spoken to or waited for.
    #[error("failed to run {}", netavark.display())]
    Run {
        netavark: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} {verb} did not end within {}s and was killed", netavark.display(), PATIENCE.as_secs())]
    TimedOut {
        netavark: PathBuf,
        verb: &'static str,
    },
    #[error("{0}")]
    Refused(String),
    /// netavark would refuse this as well, but its teardown would remove the interface.
    #[error("{} {verb} ended with {status} and answered {answer:?}", netavark.display())]
    Answer {
        netavark: PathBuf,
        verb: &'static str,
        status: ExitStatus,
        /// The beginning of what it wrote.
        answer: String,
    },
}

impl DelegateError {
    /// Returns the failures netavark reports that mean more than "already gone".
    ///
    /// A teardown that finds no interface, DNS entry or file to remove says so
    /// with `ENODEV` or `ENOENT` (netavark 1.14 `remove_link`, `delete_entry`).
    pub(super) fn serious(&self) -> Option<String> {
        let Self::Refused(text) = self else {
            return Some(crate::chain(self));
        };
        const GONE: [&str; 2] = [
            "No such device (os error 19)",
            "No such file or directory (os error 2)",
        ];
        let text = text
            .strip_prefix("netavark encountered multiple errors:")
            .unwrap_or(text);
        let failures: Vec<&str> = text
            .split("\n\t- ")
            .map(str::trim)
            .filter(|failure| {
                !failure.is_empty() && !GONE.iter().any(|gone| failure.ends_with(gone))
            })
            .collect();
        (!failures.is_empty()).then(|| failures.join("; "))
    }
}

/// The netavark to run in place of the one that Podman has called.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub netavark: &'a Path,
    pub delegation: &'a Delegation,
    /// Where it finds the plugins for networks that are not ours.
    pub plugin_directories: &'a [PathBuf],
}

impl Call<'_> {
    pub(super) fn run(
        &self,
        verb: &'static str,
        namespace: &Path,
        request: Request,
    ) -> Result<Value, DelegateError> {
        let (netavark, directories) = (self.netavark, self.plugin_directories);
        let request = request.into_value();
        run(
            netavark,
            self.delegation,
            directories,
            verb,
            namespace,
            &request,
        )
    }
}

/// Runs netavark and returns what it answered.
pub(super) fn run(
    netavark: &Path,
    delegation: &Delegation,
    plugin_directories: &[PathBuf],
    verb: &'static str,
    namespace: &Path,
    request: &Value,
) -> Result<Value, DelegateError> {
    log::debug!(
        "running {} {verb} {} with {request}",
        netavark.display(),
        namespace.display()
    );
    let mut command = Command::new(netavark);
    command
        .env(front::VARIABLE, front::passed())
        .arg("--config")
        .arg(&delegation.config)
        .arg(format!("--rootless={}", delegation.rootless));
    if let Some(aardvark) = &delegation.aardvark_binary {
        command.arg("--aardvark-binary").arg(aardvark);
    }
    if let Some(driver) = &delegation.firewall_driver {
        command.arg("--firewall-driver").arg(driver);
    }
    if let Some(port) = &delegation.dns_port {
        command.env("NETAVARK_DNS_PORT", port);
    }
    // Each in one word: in two, the call would look like Podman's own
    // (`ProcessFact::is_called_by_podman`).
    for directory in plugin_directories {
        let mut word = OsString::from("--plugin-directory=");
        word.push(directory);
        command.arg(word);
    }
    command.arg(verb).arg(namespace);
    let (status, text) = answer(command, verb, request.to_string().as_bytes())?;
    understand(status, &text).ok_or_else(|| DelegateError::Answer {
        netavark: netavark.to_owned(),
        verb,
        status,
        answer: text.chars().take(200).collect(),
    })?
}

/// Runs netavark to its end, within [`PATIENCE`], and returns what it wrote.
fn answer(
    command: Command,
    verb: &'static str,
    input: &[u8],
) -> Result<(ExitStatus, String), DelegateError> {
    let netavark = PathBuf::from(command.get_program());
    match ask(command, input, PATIENCE) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(DelegateError::TimedOut { netavark, verb }),
        Err(source) => Err(DelegateError::Run { netavark, source }),
    }
}

/// Runs a command to its end and returns how it ended and what it wrote, or
/// `None` if it did not end within `patience` and was killed.
///
/// Input and output are files in memory: neither side can block the other, and
/// an early exit cannot break a pipe. Its standard error is ours, which is the
/// user's terminal, unless the command says otherwise. It runs in a process group
/// of its own, so that a Ctrl-C at that terminal does not stop it half-way.
///
/// # Errors
/// If it cannot be started or waited for.
pub fn ask(
    mut command: Command,
    input: &[u8],
    patience: Duration,
) -> io::Result<Option<(ExitStatus, String)>> {
    let mut output = memory(b"")?;
    command
        .stdin(Stdio::from(memory(input)?))
        .stdout(Stdio::from(output.try_clone()?))
        .process_group(0);
    let mut child = command.spawn()?;
    let Some(status) = child.wait_timeout(patience)? else {
        child.kill().and_then(|()| child.wait())?;
        orphan::await_group(child.id());
        return Ok(None);
    };
    if status.signal().is_some() {
        orphan::await_group(child.id());
    }
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(Some((status, String::from_utf8_lossy(&bytes).into_owned())))
}

/// Returns what an answer says, or `None` if the text is not an answer.
fn understand(status: ExitStatus, text: &str) -> Option<Result<Value, DelegateError>> {
    #[derive(Deserialize)]
    struct Envelope {
        error: String,
    }
    if status.success() {
        let text = if text.trim().is_empty() { "null" } else { text };
        return serde_json::from_str(text).ok().map(Ok);
    }
    let envelope: Envelope = serde_json::from_str(text)
        .ok()
        .filter(|_| status.signal().is_none())?;
    Some(Err(DelegateError::Refused(envelope.error)))
}

/// Returns a file in memory that holds these bytes, to be read from the start.
///
/// # Errors
/// If the kernel refuses.
pub fn memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("berth", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Returns how this netavark takes several addresses of one subnet: as they are from 2.0
/// on; before that, each with a subnet entry.
pub(super) fn version(netavark: &Path) -> Result<SeveralPerSubnet, DelegateError> {
    let mut command = Command::new(netavark);
    command.env(front::VARIABLE, front::passed());
    command.arg("--version");
    let (status, text) = answer(command, "--version", b"")?;
    let major = text
        .split_whitespace()
        .nth(1)
        .and_then(|version| version.split('.').next());
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major < 2 => Ok(SeveralPerSubnet::RepeatedSubnets),
        Some(_) => Ok(SeveralPerSubnet::AsTheyAre),
        None => Err(DelegateError::Answer {
            netavark: netavark.to_owned(),
            verb: "--version",
            status,
            answer: text.chars().take(200).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serious(text: &str) -> Option<String> {
        DelegateError::Refused(text.to_owned()).serious()
    }

    #[test]
    fn what_is_gone_already_is_no_failure_of_a_teardown() {
        let gone = "netavark encountered multiple errors:\n\t- remove aardvark entries: IO error: \
                    No such file or directory (os error 2)\n\t- failed to delete container veth \
                    eth0: Netlink error: No such device (os error 19)";
        assert_eq!(serious(gone), None);
        assert_eq!(
            serious("remove aardvark entries: IO error: No such file or directory (os error 2)"),
            None
        );
    }

    #[test]
    fn every_other_failure_of_a_teardown_is_reported() {
        let mixed = "netavark encountered multiple errors:\n\t- a: No such device (os error 19)\n\t- \
                     nft failed\n\t- b: Operation not permitted (os error 1)";
        assert_eq!(
            serious(mixed).as_deref(),
            Some("nft failed; b: Operation not permitted (os error 1)")
        );
        assert_eq!(serious("plain").as_deref(), Some("plain"));
    }

    #[test]
    fn an_answer_is_understood_only_when_it_is_one() {
        let (good, bad) = (ExitStatus::from_raw(0), ExitStatus::from_raw(1 << 8));
        assert_eq!(
            understand(good, "").expect("empty").expect("good"),
            Value::Null
        );
        let refused = understand(bad, r#"{"error":"no"}"#).expect("an envelope");
        assert_eq!(refused.expect_err("an error").to_string(), "no");
        assert!(understand(bad, "panicked").is_none());
        assert!(understand(good, "{").is_none());
        assert!(understand(ExitStatus::from_raw(9), r#"{"error":"no"}"#).is_none());
    }
}
