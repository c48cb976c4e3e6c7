//! Starts, enters and ends a lab.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::command::{Cmd, Outcome};
use crate::rootless::User;

/// How long a lab may take to end. Usually that takes milliseconds.
const END: Duration = Duration::from_secs(10);

/// Where the plugin is mounted in a lab: in one of netavark's default directories.
const PLUGIN: &str = "/usr/libexec/netavark/berth";

/// Where Prometheus' own checker of metrics and rules is mounted.
const PROMTOOL: &str = "/usr/local/bin/promtool";

/// A machine of its own, as Podman sees it: mount, network, pid, ipc, UTS and cgroup
/// namespaces over a root that nothing else writes to.
///
/// Commands run in it as root, or as an ordinary user: see [`Lab::user`]. It ends
/// when it is dropped, and when the process that started it is killed.
pub struct Lab {
    machine: Arc<Machine>,
    user: Option<User>,
}

/// The machine that all views of a lab share. It ends with the last of them.
struct Machine {
    /// The process of `unshare`, which waits for the lab's init.
    starter: Child,
    /// The lab's init reads the other end, and ends the lab when this end is closed.
    lifeline: Option<ChildStdin>,
    /// The pid of the lab's init on the host.
    init: u32,
    directory: PathBuf,
    /// What was run; `None` if it is not recorded.
    transcript: Mutex<Option<Vec<Outcome>>>,
}

impl Lab {
    /// Starts a lab with the plugin in it, and everything else as Debian ships it.
    ///
    /// # Panics
    /// If no lab can be started here; the message says what to do.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_beside(&[])
    }

    /// As [`start`](Self::start), with files and directories of the host in it, each at the
    /// path given with it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn start_beside(others: &[(PathBuf, String)]) -> Self {
        let directory = prepared();
        assert!(
            nix::unistd::geteuid().is_root(),
            "a lab needs root: run the tests as root"
        );
        assert!(
            directory.join("storage.stamp").exists(),
            "there is no lab in {}: run `{}integration/lab/prepare` as root, or `make test`",
            directory.display(),
            chosen().map_or_else(String::new, |name| format!("BERTH_LAB={name} "))
        );
        let mut start = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/start"));
        start.env("BERTH_LAB_DIR", &directory);
        for (name, target) in [
            ("berth", PLUGIN),
            ("berth", "/usr/local/bin/berth"),
            ("berth-migrate", "/usr/local/bin/berth-migrate"),
            ("berth-manual", "/usr/local/bin/berth-manual"),
            ("lab-store", "/usr/local/bin/lab-store"),
        ] {
            start.arg("--bind").arg(executable(name)).arg(target);
        }
        for (source, target) in others {
            start.arg("--bind").arg(source).arg(target);
        }
        let promtool = directory.join("promtool");
        if promtool.exists() {
            start.arg("--bind").arg(promtool).arg(PROMTOOL);
        }
        let mut starter = start
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|err| panic!("failed to run integration/lab/start: {err}"));
        let lifeline = starter.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = starter.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let Some(init) = line
            .strip_prefix("ready ")
            .and_then(|pid| pid.trim_end().parse().ok())
        else {
            drop(lifeline);
            let status = starter.wait();
            panic!("the lab has not started: {status:?}; see standard error");
        };
        let machine = Machine {
            starter,
            lifeline,
            init,
            directory,
            transcript: Mutex::new(Some(Vec::new())),
        };
        Self {
            machine: Arc::new(machine),
            user: None,
        }
    }

    /// Returns the same lab, as this user sees it.
    pub(crate) fn seen_by(&self, user: Option<User>) -> Self {
        let machine = Arc::clone(&self.machine);
        Self { machine, user }
    }

    /// Returns the user who runs commands here; `None` for root.
    pub(crate) fn who(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Stops recording what is run, so that it is not printed when a test fails.
    #[must_use]
    pub fn unrecorded(self) -> Self {
        if let Ok(mut transcript) = self.machine.transcript.lock() {
            *transcript = None;
        }
        self
    }

    /// Forgets what was run so far.
    pub fn forget(&self) {
        if let Ok(mut transcript) = self.machine.transcript.lock()
            && let Some(outcomes) = &mut *transcript
        {
            outcomes.clear();
        }
    }

    /// Returns a command to be run in this lab.
    pub fn cmd(&self, program: &str) -> Cmd<'_> {
        Cmd::new(self, program)
    }

    /// Runs a shell script in this lab and returns its standard output.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        self.cmd("bash").args(["-euc", script]).ok()
    }

    /// Writes a file, and makes the directories above it. They belong to root, whichever user
    /// uses the lab, and every user may read them.
    #[track_caller]
    pub fn write(&self, path: &str, contents: &str) {
        let script = r#"mkdir -p "${1%/*}"; cat >"$1""#;
        self.seen_by(None)
            .cmd("bash")
            .args(["-euc", script, "bash", path])
            .stdin(contents)
            .ok();
    }

    /// Writes an executable file, and makes the directories above it.
    #[track_caller]
    pub fn write_executable(&self, path: &str, contents: &str) {
        self.write(path, contents);
        self.seen_by(None).cmd("chmod").args(["755", path]).ok();
    }

    /// Returns the names in a directory, sorted; none if there is no directory.
    #[track_caller]
    pub fn names(&self, directory: &str) -> Vec<String> {
        let script = r#"if [ -d "$1" ]; then ls -A "$1"; fi"#;
        let names = self
            .cmd("bash")
            .args(["-euc", script, "bash", directory])
            .ok();
        names.lines().map(str::to_owned).collect()
    }

    /// Returns the pid by which the host knows the lab's init.
    pub fn init(&self) -> u32 {
        self.machine.init
    }

    /// Returns the arguments with which `nsenter` enters this lab.
    pub(crate) fn entry(&self) -> [String; 7] {
        [
            format!("--target={}", self.machine.init),
            "--mount".to_owned(),
            "--net".to_owned(),
            "--uts".to_owned(),
            "--ipc".to_owned(),
            "--pid".to_owned(),
            "--cgroup".to_owned(),
        ]
    }

    /// Returns the directory on the host for a test's own files.
    pub(crate) fn directory(&self) -> &Path {
        &self.machine.directory
    }

    pub(crate) fn record(&self, outcome: &Outcome) {
        if let Ok(mut transcript) = self.machine.transcript.lock()
            && let Some(outcomes) = &mut *transcript
        {
            outcomes.push(outcome.clone());
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(transcript) = self.transcript.lock()
            && let Some(outcomes) = &*transcript
        {
            eprintln!("-- all that was run in this lab --");
            for outcome in outcomes {
                eprintln!("{outcome}");
            }
        }
        drop(self.lifeline.take());
        let start = Instant::now();
        while start.elapsed() < END {
            if !matches!(self.starter.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Killing unshare kills its child, the lab's init, and so the lab.
        let _ = self.starter.kill();
        let _ = self.starter.wait();
    }
}

/// Returns the Podman that `BERTH_LAB` chooses, if it is set.
fn chosen() -> Option<String> {
    env::var("BERTH_LAB").ok().filter(|name| !name.is_empty())
}

/// Returns the directory that `integration/lab/prepare` fills.
pub(crate) fn prepared() -> PathBuf {
    if let Some(directory) = env::var_os("BERTH_LAB_DIR") {
        return directory.into();
    }
    match chosen().as_deref() {
        None => prepared_for("trixie"),
        Some(name) => prepared_for(name),
    }
}

/// Returns the directory that `prepare` fills for a lab of this name, unless `BERTH_LAB_DIR`
/// names another one.
pub(crate) fn prepared_for(name: &str) -> PathBuf {
    built().join(match name {
        "trixie" => "lab".to_owned(),
        name => format!("lab-{name}"),
    })
}

/// Returns the path of a file in the root that labs are started from, if it exists: a
/// program that Debian ships and that a benchmark compares with.
pub fn debian_file(path: &str) -> Option<PathBuf> {
    let directory = prepared();
    let lower = fs::read_to_string(directory.join("lower")).ok()?;
    let file = directory.join(lower.trim_end()).join(path);
    file.exists().then_some(file)
}

/// Returns the directory that cargo builds into, `target` unless another is configured.
fn built() -> PathBuf {
    profile()
        .parent()
        .map(Path::to_owned)
        .unwrap_or_else(|| panic!("{} has no parent", profile().display()))
}

/// Returns the directory of the executables built together with the running one,
/// such as `target/debug`.
pub(crate) fn profile() -> PathBuf {
    let own = env::current_exe().unwrap_or_else(|err| panic!("which program is this: {err}"));
    let directory = own
        .ancestors()
        .skip(1)
        .find(|directory| !directory.ends_with("deps"));
    directory
        .map(Path::to_owned)
        .unwrap_or_else(|| panic!("{} is in no directory", own.display()))
}

/// Returns the path of one of the workspace's executables.
///
/// # Panics
/// If it is missing, or older than one of its sources: a test must not pass because of
/// yesterday's executable.
#[track_caller]
pub fn executable(name: &str) -> PathBuf {
    let path = profile().join(name);
    let built = modified(&path).unwrap_or_else(|| {
        panic!(
            "{} is missing: run `cargo build` first (with --release for a release build)",
            path.display()
        )
    });
    // Written by cargo: `EXECUTABLE: SOURCE SOURCE …`
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    for source in sources.split_whitespace().skip(1).map(Path::new) {
        assert!(
            modified(source).is_none_or(|changed| changed <= built),
            "{} is older than {}: run `cargo build` first",
            path.display(),
            source.display()
        );
    }
    path
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
