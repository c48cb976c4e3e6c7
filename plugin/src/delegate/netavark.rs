//! Runs the real netavark, and understands what it answers.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::program::{Answer, Program};
use super::request::{Connection, SeveralPerSubnet};
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
    /// netavark ended without an answer that berth understands.
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

/// How the real netavark is called in place of the one that Podman has called.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub netavark: &'a Path,
    pub delegation: &'a Delegation,
    /// Where it finds the plugins for networks that are not ours.
    pub plugin_directories: &'a [PathBuf],
}

/// A netavark that has been started, and does nothing before it gets its request: it reads
/// that to the end first (netavark 1.14 `setup.rs`, `NetworkOptions::load`). If it gets none,
/// it ends.
#[derive(Debug)]
pub struct Ready<'a> {
    call: Call<'a>,
    verb: &'static str,
    namespace: &'a Path,
    program: Program,
}

/// A netavark, unless it could not be started.
pub type Started<'a> = Result<Ready<'a>, DelegateError>;

impl<'a> Call<'a> {
    /// Returns how netavark is called for networks that need no plugin.
    pub fn of(netavark: &'a Path, delegation: &'a Delegation) -> Self {
        Self {
            netavark,
            delegation,
            plugin_directories: &[],
        }
    }

    /// Starts netavark. It takes two milliseconds before it reads its request, so a caller that
    /// will have a request starts netavark first.
    ///
    /// The caller must hold the store's lock, unless nothing is leased: whoever has the lock
    /// takes any other netavark of these directories for one whose berth was killed.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(self, verb: &'static str, namespace: &'a Path) -> Started<'a> {
        let mut command = Command::new(self.netavark);
        command
            .env(front::VARIABLE, front::passed())
            .arg("--config")
            .arg(&self.delegation.config)
            .arg(format!("--rootless={}", self.delegation.rootless));
        if let Some(aardvark) = &self.delegation.aardvark_binary {
            command.arg("--aardvark-binary").arg(aardvark);
        }
        if let Some(driver) = &self.delegation.firewall_driver {
            command.arg("--firewall-driver").arg(driver);
        }
        if let Some(port) = &self.delegation.dns_port {
            command.env("NETAVARK_DNS_PORT", port);
        }
        // Each in one word: in two, the call would look like Podman's own
        // (`ProcessFact::is_called_by_podman`).
        for directory in self.plugin_directories {
            let mut word = OsString::from("--plugin-directory=");
            word.push(directory);
            command.arg(word);
        }
        command.arg(verb).arg(namespace);
        let program = Program::start(command).map_err(|source| self.failed(source))?;
        Ok(Ready {
            call: self,
            verb,
            namespace,
            program,
        })
    }

    fn failed(&self, source: io::Error) -> DelegateError {
        DelegateError::Run {
            netavark: self.netavark.to_owned(),
            source,
        }
    }

    /// Returns how this netavark takes several addresses of one subnet: as they are from 2.0
    /// on; before that, each with a subnet entry.
    fn version(&self) -> Result<SeveralPerSubnet, DelegateError> {
        let mut command = Command::new(self.netavark);
        command.env(front::VARIABLE, front::passed());
        command.arg("--version");
        let program = Program::start(command).map_err(|source| self.failed(source))?;
        let (status, text) = self.answer(program, "--version", b"")?;
        let major = text
            .split_whitespace()
            .nth(1)
            .and_then(|version| version.split('.').next());
        match major.and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major < 2 => Ok(SeveralPerSubnet::RepeatedSubnets),
            Some(_) => Ok(SeveralPerSubnet::AsTheyAre),
            None => Err(self.garbled("--version", status, &text)),
        }
    }

    /// Has netavark work to its end, within [`PATIENCE`], and returns what it wrote.
    fn answer(
        &self,
        program: Program,
        verb: &'static str,
        input: &[u8],
    ) -> Result<Answer, DelegateError> {
        match program.ask(input, PATIENCE) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(DelegateError::TimedOut {
                netavark: self.netavark.to_owned(),
                verb,
            }),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn garbled(&self, verb: &'static str, status: ExitStatus, text: &str) -> DelegateError {
        DelegateError::Answer {
            netavark: self.netavark.to_owned(),
            verb,
            status,
            answer: text.chars().take(200).collect(),
        }
    }
}

impl<'a> Ready<'a> {
    /// Returns a netavark that is called as another tenancy's was: this one, or another one
    /// if that makes a difference.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn with(self, delegation: &'a Delegation) -> Started<'a> {
        if self.call.delegation == delegation {
            return Ok(self);
        }
        let call = Call {
            delegation,
            ..self.call
        };
        call.start(self.verb, self.namespace)
    }

    /// Returns how this netavark wants several addresses of one subnet. netavark's version
    /// is asked for only if there are any.
    pub(super) fn several(
        &self,
        connections: &[Connection<'_>],
    ) -> Result<SeveralPerSubnet, DelegateError> {
        let mut connections = connections.iter();
        if connections.any(Connection::has_several_per_subnet) {
            self.call.version()
        } else {
            Ok(SeveralPerSubnet::AsTheyAre)
        }
    }

    /// Gives netavark its request, and returns what it answers.
    pub(super) fn run(self, request: &Value) -> Result<Value, DelegateError> {
        let (call, verb) = (self.call, self.verb);
        log::debug!(
            "running {} {verb} {} with {request}",
            call.netavark.display(),
            self.namespace.display()
        );
        let (status, text) = call.answer(self.program, verb, request.to_string().as_bytes())?;
        understand(status, &text).ok_or_else(|| call.garbled(verb, status, &text))?
    }
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
