//! A program that berth runs: it is started, given its input, and waited for.

use std::fs::File;
use std::io::{self, ErrorKind, PipeWriter, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use wait_timeout::ChildExt;

use super::orphan;

/// How a program ended, and what it wrote.
pub(super) type Answer = (ExitStatus, String);

/// A program that waits for its input. If that never comes, because this is dropped or berth
/// is killed, the program ends without it.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    input: Option<PipeWriter>,
    output: File,
}

impl Program {
    /// Starts a program.
    ///
    /// Its output is a file in memory, so it never waits for us to read. Its standard error is
    /// ours, which is the user's terminal, unless the command says otherwise. It runs in a
    /// process group of its own, so that a Ctrl-C at that terminal does not stop it half-way.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let output = memory(b"")?;
        let (its_end, input) = io::pipe()?;
        fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        command
            .stdin(its_end)
            .stdout(Stdio::from(output.try_clone()?))
            .process_group(0);
        Ok(Self {
            child: command.spawn()?,
            input: Some(input),
            output,
        })
    }

    /// Gives the program its input and waits for it to end. Returns `None` if it did not end
    /// within `patience` and was killed.
    ///
    /// # Errors
    /// If it cannot be spoken to or waited for. It is then killed.
    pub(super) fn ask(mut self, input: &[u8], patience: Duration) -> io::Result<Option<Answer>> {
        let deadline = Instant::now() + patience;
        if let Some(pipe) = self.input.take() {
            give(pipe, input, deadline)?;
        }
        let Some(status) = self.child.wait_timeout(left(deadline))? else {
            self.child.kill().and_then(|()| self.child.wait())?;
            orphan::await_group(self.child.id());
            return Ok(None);
        };
        if status.signal().is_some() {
            orphan::await_group(self.child.id());
        }
        let mut bytes = Vec::new();
        self.output.rewind()?;
        self.output.read_to_end(&mut bytes)?;
        Ok(Some((status, String::from_utf8_lossy(&bytes).into_owned())))
    }
}

impl Drop for Program {
    /// Ends the program if it still runs.
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            log::debug!("failed to end process {}: {error}", self.child.id());
        }
    }
}

/// Runs a command to its end and returns how it ended and what it wrote, or `None` if it did
/// not end within `patience` and was killed. See [`Program::start`].
///
/// # Errors
/// If it cannot be started, spoken to or waited for.
pub fn ask(command: Command, input: &[u8], patience: Duration) -> io::Result<Option<Answer>> {
    Program::start(command)?.ask(input, patience)
}

/// Writes to a pipe and closes it. Gives up at the deadline, or when the reader has ended. Neither
/// is an error here: whoever waits for the program finds out.
fn give(mut pipe: PipeWriter, mut input: &[u8], deadline: Instant) -> io::Result<()> {
    while !input.is_empty() && Instant::now() < deadline {
        match pipe.write(input) {
            Ok(written) => input = &input[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let wait = PollTimeout::try_from(left(deadline)).unwrap_or(PollTimeout::MAX);
                match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], wait) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_program_gets_more_than_a_pipe_holds() {
        let input = vec![b'x'; 1 << 20];
        let (status, text) = ask(Command::new("cat"), &input, PATIENCE).unwrap().unwrap();
        assert!(status.success());
        assert_eq!(text.len(), input.len());
    }

    #[test]
    fn a_program_that_reads_nothing_answers_all_the_same() {
        let mut command = Command::new("sh");
        command.args(["-c", "exec <&-; echo done"]);
        let (status, text) = ask(command, &vec![b'x'; 1 << 20], PATIENCE)
            .unwrap()
            .unwrap();
        assert!(status.success());
        assert_eq!(text, "done\n");
    }

    #[test]
    fn a_program_that_takes_no_input_is_killed_in_the_end() {
        let mut command = Command::new("sleep");
        command.arg("999");
        let patience = Duration::from_millis(100);
        assert!(
            ask(command, &vec![b'x'; 1 << 20], patience)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_program_that_is_not_asked_is_ended() {
        let program = Program::start(Command::new("cat")).unwrap();
        let process = format!("/proc/{}", program.child.id());
        assert!(std::path::Path::new(&process).exists());
        drop(program);
        assert!(!std::path::Path::new(&process).exists());
    }
}
