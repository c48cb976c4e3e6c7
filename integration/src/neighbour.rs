//! Neighbours on a link: network namespaces with addresses, linked to the namespace of the calling
//! thread. For tests that need a link but no Podman.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait_until;

const BOUND: Duration = Duration::from_secs(10);

/// Runs a shell command line in the thread's namespaces, and returns what it printed.
///
/// # Panics
/// If it fails, with what it printed.
#[track_caller]
pub fn run(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output();
    let output = output.unwrap_or_else(|error| panic!("no shell: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {text}{error}");
    text
}

/// A process that ends with this value, together with what it started. If the thread that started
/// it ends first, the process ends alone.
pub struct Process(Child);

impl Process {
    /// Starts a shell command line.
    ///
    /// # Panics
    /// If there is no setpriv.
    pub fn start(line: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "sh", "-ec", line]);
        let child = command.stdout(Stdio::null()).process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("no setpriv: {error}")))
    }

    /// Returns its pid.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended, and returns whether it succeeded.
    pub fn succeeds(mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once it was waited for, another process may have its pid, and so its group's number.
        if matches!(self.0.try_wait(), Ok(None)) {
            let group = Pid::from_raw(self.0.id().cast_signed());
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

/// A neighbour on the link, in a network namespace of its own, with an interface `eth0`.
pub struct Neighbour(Process);

impl Neighbour {
    /// Makes a neighbour. `link` is a shell command line that makes its interface, called `new`.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn new(link: &str, addresses: &[&str]) -> Self {
        let process = Process::start("exec unshare --net sleep 300");
        let pid = process.id();
        let own = fs::read_link("/proc/thread-self/ns/net").ok();
        wait_until("a namespace", BOUND, || {
            let theirs = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
            (theirs.is_some() && theirs != own).then_some(())
        });
        run(&format!("{link}; ip link set new netns {pid}"));
        let neighbour = Self(process);
        neighbour.run("ip link set new name eth0; ip link set lo up; ip link set eth0 up");
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            neighbour.run(&format!("ip address add {address} dev eth0 {nodad}"));
        }
        neighbour
    }

    /// Makes a neighbour on a bridge.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn on(bridge: &str, addresses: &[&str]) -> Self {
        let port = format!("p{}", fastrand::u32(..));
        let link = format!(
            "ip link add {port} type veth peer name new; ip link set {port} master {bridge} up"
        );
        Self::new(&link, addresses)
    }

    /// Runs a shell command line in its namespace.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        run(&self.inside(line))
    }

    /// Returns a shell command line that runs another one in its namespace.
    pub fn inside(&self, line: &str) -> String {
        format!("nsenter --net=/proc/{}/ns/net sh -ec '{line}'", self.0.id())
    }
}
