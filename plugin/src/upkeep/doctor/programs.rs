//! The programs that have to be there: the plugin, netavark, podman, the timer.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::finding::Finding;
use crate::delegate::ask;
use crate::podman::{NETAVARK_VARIABLE, list};

/// How long a program may take to report its version. It normally takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The plugin's file name, which is the networks' driver.
pub(super) const PLUGIN: &str = "berth";

/// The oldest netavark and podman that we work with.
const NETAVARK: (u32, u32) = (1, 6);
const PODMAN: (u32, u32) = (4, 5);

/// This program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The systemd unit that runs collections.
const TIMER: &str = "berth-gc.timer";

/// What a program said, or why it said nothing.
pub(super) type Said = Result<String, String>;

/// Runs a program, for a bounded time, and returns what it said.
pub(super) fn say(program: impl AsRef<OsStr>, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::null());
    match ask(command, b"", PATIENCE) {
        Ok(Some((status, text))) if status.success() => Ok(text.trim().to_owned()),
        Ok(Some((status, text))) if text.trim().is_empty() => Err(status.to_string()),
        Ok(Some((status, text))) => Err(format!("{status}: {}", text.trim())),
        Ok(None) => Err(format!(
            "it did not answer within {}",
            humantime::format_duration(PATIENCE)
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// The plugin, as Podman looks for it.
#[derive(Clone, Debug)]
pub(super) struct PluginFacts {
    /// `netavark_plugin_dirs`.
    directories: Vec<PathBuf>,
    file: Option<PluginFile>,
}

#[derive(Clone, Debug)]
struct PluginFile {
    path: PathBuf,
    executable: bool,
    /// Whether it is the file this program was started from.
    own: bool,
    /// Its answer to `info`, unless it is our own.
    info: Said,
}

impl PluginFacts {
    pub(super) fn gather(directories: &[PathBuf]) -> Self {
        let identity = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        let own = identity(Path::new("/proc/self/exe"));
        let file = directories.iter().find_map(|directory| {
            let path = directory.join(PLUGIN);
            let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let executable = metadata.permissions().mode() & 0o111 != 0;
            let own = own.is_some() && identity(&path) == own;
            let info = if executable && !own {
                say(&path, &["info"])
            } else {
                Ok(String::new())
            };
            Some(PluginFile {
                path,
                executable,
                own,
                info,
            })
        });
        Self {
            directories: directories.to_owned(),
            file,
        }
    }
}

/// Judges whether Podman finds this plugin.
pub(super) fn plugin(facts: &PluginFacts) -> Option<Finding> {
    const CHECK: &str = "plugin";
    let Some(file) = &facts.file else {
        return Some(
            Finding::problem(CHECK, "Podman does not find the plugin")
                .because(format!("there is no {PLUGIN} in {}", list(&facts.directories)))
                .repair(
                    "install it there, or name its directory in netavark_plugin_dirs of containers.conf",
                ),
        );
    };
    let path = file.path.display();
    if !file.executable {
        return Some(
            Finding::problem(CHECK, format!("Podman cannot run the plugin {path}"))
                .because("the file is not executable")
                .repair(format!("chmod 755 {path}")),
        );
    }
    if file.own {
        return None;
    }
    let repair = "install the same berth in both places";
    let version = match &file.info {
        Ok(text) => serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .and_then(|info| Some(info["version"].as_str()?.to_owned()))
            .ok_or_else(|| format!("it answered {text:?}")),
        Err(reason) => Err(reason.clone()),
    };
    match version {
        Ok(version) if version == VERSION => None,
        Ok(version) => Some(
            Finding::problem(
                CHECK,
                format!(
                    "the plugin {path} is version {version}, this is {}",
                    VERSION
                ),
            )
            .because("two are installed")
            .repair(repair),
        ),
        Err(reason) => Some(
            Finding::problem(CHECK, format!("the plugin {path} does not work"))
                .because(reason)
                .repair(repair),
        ),
    }
}

/// Asks netavark for its version; `None` if no netavark was found.
pub(super) fn ask_netavark(path: Option<&Path>) -> Option<Said> {
    path.map(|path| say(path, &["--version"]))
}

/// Judges netavark by what it said.
pub(super) fn netavark(
    path: Option<&Path>,
    directories: &[PathBuf],
    said: Option<&Said>,
) -> Option<Finding> {
    const CHECK: &str = "netavark";
    let (Some(path), Some(said)) = (path, said) else {
        return Some(
            Finding::problem(CHECK, "there is no netavark")
                .because(format!("none is in {}", list(directories)))
                .repair(format!(
                    "install it, or name it in the environment variable {NETAVARK_VARIABLE}"
                )),
        );
    };
    let name = format!("netavark {}", path.display());
    version(CHECK, &name, NETAVARK, said)
}

/// Asks the podman of this `PATH` for its version, for which podman takes no lock. podman is
/// slow to start, so it runs while the caller works. Returns a function that waits for the
/// answer.
pub(super) fn ask_podman() -> impl FnOnce() -> Said {
    let ask = || say("podman", &["--version"]);
    let asked = thread::Builder::new().spawn(ask);
    move || match asked {
        Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Err(_) => ask(),
    }
}

/// Judges podman by what it said.
pub(super) fn podman(said: &Said) -> Option<Finding> {
    version("podman", "podman", PODMAN, said)
}

fn version(check: &'static str, name: &str, least: (u32, u32), said: &Said) -> Option<Finding> {
    let (major, minor) = least;
    let repair = format!("install {major}.{minor} or newer");
    let text = match said {
        Ok(text) => text,
        Err(reason) => {
            return Some(
                Finding::problem(check, format!("{name} does not tell its version"))
                    .because(reason)
                    .repair(repair),
            );
        }
    };
    match parse_version(text) {
        Some(found) if found >= least => None,
        Some(_) => Some(
            Finding::problem(check, format!("{name} is too old"))
                .because(format!("it says {text:?}"))
                .repair(repair),
        ),
        None => Some(
            Finding::note(check, format!("{name} has an unknown version"))
                .because(format!("it says {text:?}"))
                .repair(format!("check that it is {major}.{minor} or newer")),
        ),
    }
}

/// Returns the first two numbers of the first word that begins with a digit.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let mut parts = number.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Asks systemd whether a timer runs collections; `None` if systemd does not run here.
pub(super) fn ask_systemd(rootless: bool) -> Option<Said> {
    // sd_booted(3)
    Path::new("/run/systemd/system").is_dir().then(|| {
        let user: &[&str] = if rootless { &["--user"] } else { &[] };
        say("systemctl", &[user, &["is-active", TIMER]].concat())
    })
}

/// Judges whether a timer runs collections.
pub(super) fn timer(said: Option<&Said>, rootless: bool) -> Option<Finding> {
    const CHECK: &str = "timer";
    let user = if rootless { " --user" } else { "" };
    let enable = format!("systemctl{user} enable --now {TIMER}");
    match said {
        None => Some(
            Finding::note(CHECK, "no timer runs collections")
                .because(
                    "systemd does not run here; a container that starts sets one off, if there was none for 150 s",
                )
                .repair("have something run `berth gc` every minute"),
        ),
        Some(Ok(_)) => None,
        Some(Err(reason)) if reason.contains("failed") => Some(
            Finding::problem(CHECK, format!("the timer {TIMER} has failed"))
                .because(reason)
                .repair(format!("systemctl{user} status {TIMER}; then {enable}")),
        ),
        Some(Err(reason)) => Some(
            Finding::note(CHECK, format!("the timer {TIMER} is not active"))
                .because(reason)
                .repair(enable),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        Ok(text.to_owned())
    }

    fn line(finding: Option<Finding>) -> String {
        finding.map_or_else(String::new, |finding| finding.to_string())
    }

    #[test]
    fn old_versions_are_problems_and_unknown_ones_notes() {
        for (text, expected) in [
            ("podman version 5.4.2", ""),
            ("podman version 4.5.0-dev", ""),
            (
                "podman version 4.3.1",
                "problem: podman is too old (it says \"podman version 4.3.1\"); install 4.5 or newer",
            ),
            (
                "podman version x",
                "note: podman has an unknown version (it says \"podman version x\"); check that it is 4.5 or newer",
            ),
        ] {
            assert_eq!(line(podman(&said(text))), expected);
        }
        let path = Path::new("/n");
        assert_eq!(
            line(netavark(Some(path), &[], Some(&said("netavark 1.14.0")))),
            ""
        );
        assert_eq!(
            line(netavark(Some(path), &[], Some(&said("netavark 1.5.0")))),
            "problem: netavark /n is too old (it says \"netavark 1.5.0\"); install 1.6 or newer"
        );
        assert_eq!(
            line(netavark(None, &["/a".into(), "/b".into()], None)),
            "problem: there is no netavark (none is in /a, /b); install it, or name it in the \
             environment variable BERTH_NETAVARK"
        );
    }

    #[test]
    fn a_plugin_that_podman_cannot_use_is_a_problem() {
        let facts = |executable, own, info: Said| PluginFacts {
            directories: vec!["/a".into()],
            file: Some(PluginFile {
                path: "/a/berth".into(),
                executable,
                own,
                info,
            }),
        };
        let same = format!("{{\"version\":{:?}}}", VERSION);
        assert_eq!(line(plugin(&facts(true, true, said("")))), "");
        assert_eq!(line(plugin(&facts(true, false, Ok(same)))), "");
        let missing = PluginFacts {
            file: None,
            ..facts(true, true, said(""))
        };
        for (facts, what) in [
            (
                missing,
                "Podman does not find the plugin (there is no berth in /a)",
            ),
            (
                facts(false, false, said("")),
                "Podman cannot run the plugin /a/berth",
            ),
            (
                facts(true, false, said("{\"version\":\"0.0.1\"}")),
                "the plugin /a/berth is version 0.0.1, this is",
            ),
            (
                facts(true, false, said("hello")),
                "does not work (it answered \"hello\")",
            ),
            (
                facts(true, false, Err("killed".into())),
                "does not work (killed)",
            ),
        ] {
            let line = line(plugin(&facts));
            assert!(
                line.starts_with("problem: ") && line.contains(what),
                "{line}"
            );
        }
    }

    #[test]
    fn a_timer_that_is_not_active_is_told_with_its_command() {
        assert_eq!(timer(Some(&said("active")), false), None);
        let inactive = Err("exit status: 3: inactive".to_owned());
        assert!(
            line(timer(Some(&inactive), true))
                .ends_with("systemctl --user enable --now berth-gc.timer")
        );
        let failed = Err("exit status: 3: failed".to_owned());
        assert!(line(timer(Some(&failed), false)).starts_with("problem: "));
        assert!(line(timer(None, false)).starts_with("note: no timer"));
    }
}
