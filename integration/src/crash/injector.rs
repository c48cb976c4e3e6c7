//! Puts strace between a program and its caller, when armed.
//!
//! The executable is the real one: a script of the same name, in a directory that is searched
//! first, starts it under strace.

use std::time::Duration;

use super::{Hit, Verb};
use crate::syscalls::{Injury, Point};
use crate::{Lab, wait_until};

const DIRECTORY: &str = "/opt/crash";
const BOUND: Duration = Duration::from_secs(15);

/// A program that can be injured at the next run of one of its verbs.
#[derive(Debug)]
pub struct Injector {
    program: String,
    state: String,
}

impl Injector {
    /// Puts a script of the same name before the program at this path.
    #[track_caller]
    pub fn before(lab: &Lab, path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        Self::at(lab, &format!("{DIRECTORY}/{name}"), path)
    }

    /// Puts a script at `program`, in a directory of its own, that runs the program at
    /// `path`.
    #[track_caller]
    pub(super) fn at(lab: &Lab, program: &str, path: &str) -> Self {
        let state = format!("{program}.state");
        let script = format!(
            r#"#!/bin/bash
# In the program's place. Armed by a file of strace's options; only one run takes it.
for word; do
  if mv "{state}/armed-$word" {state}/fired 2>/dev/null; then
    # -D: the caller stays the parent of the program.
    read -r options <{state}/fired
    # shellcheck disable=SC2086 # these are several words
    exec strace -D -q -o {state}/trace $options {path} "$@"
  fi
done
exec {path} "$@"
"#
        );
        lab.write_executable(program, &script);
        lab.sh(&format!("mkdir -p {state}"));
        Self {
            program: program.to_owned(),
            state,
        }
    }

    /// Returns the directory of the script.
    pub const fn directory() -> &'static str {
        DIRECTORY
    }

    /// Returns the path of the script, which takes the program's arguments.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Arms it for the next run of a verb, which is one of its arguments.
    #[track_caller]
    pub(super) fn arm(&self, lab: &Lab, verb: Verb, options: &str) {
        let Self { state, .. } = self;
        let file = format!("{state}/armed-{}", verb.word());
        let script = format!("rm -f {state}/fired {state}/trace; printf '%s\\n' \"$1\" >{file}");
        let arm = lab.cmd("bash");
        arm.args(["-euc", &script, "bash", options]).ok();
    }

    /// Lets later runs pass, whether or not a run was injured.
    #[track_caller]
    pub(super) fn disarm(&self, lab: &Lab) {
        lab.sh(&format!("rm -f {}/armed-*", self.state));
    }

    /// Waits for strace, which outlives the program for a moment.
    #[track_caller]
    pub fn await_strace(&self, lab: &Lab) {
        wait_until("the end of strace", BOUND, || {
            lab.pids("strace").is_empty().then_some(())
        });
    }

    /// Returns what strace has written.
    #[track_caller]
    pub(super) fn trace(&self, lab: &Lab) -> String {
        lab.cmd("cat").arg(format!("{}/trace", self.state)).ok()
    }
}

/// Returns whether a trace shows the injury.
pub(super) fn hit(trace: &str, point: &Point) -> Hit {
    let sign = match point.injury {
        Injury::Kill => "killed by SIGKILL",
        Injury::Fail(_) | Injury::FailFromThenOn(_) => "(INJECTED)",
    };
    if trace.contains(sign) {
        Hit::Yes
    } else {
        Hit::NotReached
    }
}
