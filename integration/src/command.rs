//! One command in a lab: what was run, how it ended, and what it printed.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::Lab;

const NSENTER: &str = "failed to run nsenter (is util-linux installed?)";
const POLL: Duration = Duration::from_millis(3);

/// A command to be run in a lab.
#[must_use = "nothing runs before `run`, `ok`, `fails` or `spawn`"]
pub struct Cmd<'lab> {
    lab: &'lab Lab,
    argv: Vec<String>,
    env: Vec<String>,
    stdin: Vec<u8>,
    bound: Duration,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command as one would type it.
    pub command: String,
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

/// A command that is running.
pub struct Running<'lab> {
    cmd: Cmd<'lab>,
    child: Child,
    stdout: File,
    stderr: File,
    start: Instant,
}

impl<'lab> Cmd<'lab> {
    pub(crate) fn new(lab: &'lab Lab, program: &str) -> Self {
        Self {
            lab,
            argv: vec![program.to_owned()],
            env: Vec::new(),
            stdin: Vec::new(),
            bound: Duration::from_secs(60),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<str>) -> Self {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable. The command does not get the host's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Sets its standard input, which is empty by default.
    pub fn stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Bounds how long it may run. The default is a minute.
    pub fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Runs it and returns how it ended.
    ///
    /// # Panics
    /// If it has not ended within its bound.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    /// Runs it and returns its standard output without trailing white space.
    ///
    /// # Panics
    /// If it fails, with everything it printed.
    #[track_caller]
    pub fn ok(self) -> String {
        let outcome = self.run();
        assert!(outcome.status.success(), "this must succeed:\n{outcome}");
        outcome.stdout.trim_end().to_owned()
    }

    /// Runs it and returns how it failed.
    ///
    /// # Panics
    /// If it succeeds, or does not mention `message`.
    #[track_caller]
    pub fn fails(self, message: &str) -> Outcome {
        let outcome = self.run();
        assert!(!outcome.status.success(), "this must fail:\n{outcome}");
        assert!(
            outcome.stderr.contains(message) || outcome.stdout.contains(message),
            "this must fail with `{message}`:\n{outcome}"
        );
        outcome
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(self) -> Running<'lab> {
        let file = || {
            tempfile::tempfile_in(self.lab.directory())
                .unwrap_or_else(|err| panic!("failed to create a file for output: {err}"))
        };
        let again = |file: &File| {
            file.try_clone()
                .unwrap_or_else(|err| panic!("failed to duplicate a file: {err}"))
        };
        // Files, not pipes: if a daemon inherits the output and keeps it open, we must
        // not wait for the end of a pipe.
        let (mut stdin, stdout, stderr) = (file(), file(), file());
        stdin
            .write_all(&self.stdin)
            .and_then(|()| stdin.rewind())
            .unwrap_or_else(|err| panic!("failed to write the standard input: {err}"));
        let child = self
            .nsenter()
            .stdin(stdin)
            .stdout(again(&stdout))
            .stderr(again(&stderr))
            .spawn()
            .unwrap_or_else(|err| panic!("{NSENTER}: {err}"));
        Running {
            cmd: self,
            child,
            stdout,
            stderr,
            start: Instant::now(),
        }
    }

    /// Runs it on the caller's own standard streams, without a record or a bound.
    pub fn attached(self) -> ExitStatus {
        let status = self.nsenter().status();
        status.unwrap_or_else(|err| panic!("{NSENTER}: {err}"))
    }

    fn nsenter(&self) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter
            .args(self.lab.entry())
            .arg("--")
            .args(self.lab.identity())
            .args(["/usr/bin/env", "-i"])
            .args(self.lab.environment())
            .args(&self.env)
            .args(&self.argv);
        nsenter
    }

    fn line(&self) -> String {
        let quote = |word: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+{}".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        };
        let words: Vec<_> = self.env.iter().chain(&self.argv).map(quote).collect();
        words.join(" ")
    }
}

impl Running<'_> {
    /// Waits for its end.
    ///
    /// # Panics
    /// If it has not ended within its bound.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if self.start.elapsed() > self.cmd.bound => break None,
                Ok(None) => thread::sleep(POLL),
                Err(err) => panic!("failed to wait for nsenter: {err}"),
            }
        };
        let outcome = Outcome {
            command: self.cmd.line(),
            // It is about to be killed.
            status: status.unwrap_or_else(|| ExitStatus::from_raw(9)),
            stdout: contents(&mut self.stdout),
            stderr: contents(&mut self.stderr),
            took: self.start.elapsed(),
        };
        self.cmd.lab.record(&outcome);
        if status.is_none() {
            let processes = if self.cmd.argv[0] == "ps" {
                String::new()
            } else {
                self.cmd.lab.cmd("ps").arg("axfww").run().stdout
            };
            // The child has not been waited for yet, so the pid is still its own.
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!(
                "this has not ended within {:?}:\n{outcome}\n{processes}",
                self.cmd.bound
            );
        }
        outcome
    }
}

fn contents(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .unwrap_or_else(|err| panic!("failed to read a command's output: {err}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        for line in self.stdout.lines() {
            writeln!(f, "  {line}")?;
        }
        for line in self.stderr.lines() {
            writeln!(f, "! {line}")?;
        }
        let millis = self.took.as_millis();
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => write!(f, "= ok after {millis} ms"),
            (Some(code), _) => write!(f, "= exit code {code} after {millis} ms"),
            (None, signal) => write!(
                f,
                "= ended by signal {} after {millis} ms",
                signal.unwrap_or(0)
            ),
        }
    }
}
