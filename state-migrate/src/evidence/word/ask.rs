//! Asks Podman: which one, how, and whether it is the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use berth::delegate;
use berth::podman::{Environment, Podman, storage_options};
use serde::Deserialize;

use super::{Known, State, Word};

/// How long Podman may take to answer. It takes a tenth of a second, or ten seconds when it
/// waits for a container that is being stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// The run directory of all of root's podmans.
const OF_ROOT: &str = "/run/containers/networks";

/// How many containers are asked about at once.
const BATCH: usize = 200;

/// Which podman commands are asked; all of them know of containers in the file.
///
/// Without root, each Podman has a file of its own. All of root's, whatever their
/// `--root`, share one (containers/common `netavarkBackendFromConf`).
///
/// `podman info` tells whether a podman's leases are in our file, but takes as long as all the
/// rest. For the podman without options the configuration tells it too, which is enough when
/// nothing is changed.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    /// Whether to ask also about containers that are not in the file.
    pub(crate) thorough: bool,
    /// Whether the answer is only shown.
    pub(crate) for_show: bool,
    commands: Vec<Vec<String>>,
    /// Whether Podman's leases are known to be in our file.
    is_known: bool,
    run_directory: PathBuf,
    rootless: bool,
}

#[derive(Deserialize)]
struct Info {
    host: InfoHost,
    store: InfoStore,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InfoHost {
    #[serde(default)]
    service_is_remote: bool,
    security: InfoSecurity,
}

#[derive(Deserialize)]
struct InfoSecurity {
    rootless: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InfoStore {
    run_root: PathBuf,
}

/// A container in the output of `podman ps`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    state: String,
    #[serde(default)]
    started_at: i64,
}

impl Asking {
    /// Finds out which commands to ask: those that the user names, each with its options;
    /// otherwise `podman` with the directories that the user names.
    pub(crate) fn new(
        podman: &Podman,
        named: &[String],
        run_directory: Option<&Path>,
        network_config_dir: Option<&Path>,
    ) -> Self {
        let mut commands: Vec<Vec<String>> = named
            .iter()
            .map(|command| command.split_whitespace().map(str::to_owned).collect())
            .collect();
        let mut is_known = false;
        if commands.is_empty() {
            is_known = has_leases_in(podman, run_directory);
            let mut command = vec!["podman".to_owned()];
            if podman.delegation.rootless {
                let options = storage_options(run_directory, network_config_dir);
                command.extend(options.iter().map(|text| text.to_string_lossy().into()));
            }
            commands.push(command);
        }
        Self {
            thorough: false,
            for_show: false,
            commands,
            is_known,
            run_directory: podman.delegation.config.clone(),
            rootless: podman.delegation.rootless,
        }
    }

    /// Returns the commands, each with its options.
    pub(super) fn commands(&self) -> &[Vec<String>] {
        &self.commands
    }

    /// Asks about these containers. No lock may be held.
    pub(crate) fn ask(&self, about: &BTreeSet<&str>) -> Word {
        let mut known = BTreeMap::new();
        for command in &self.commands {
            match self.ask_one(command, about) {
                Ok(more) => known.extend(more),
                Err(reason) => return Word::None(reason),
            }
        }
        Word::Given(known)
    }

    fn ask_one(
        &self,
        podman: &[String],
        about: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Known>, String> {
        if !(self.is_known && self.for_show) {
            let info = run(podman, &["info", "--format", "json"])?;
            let info: Info =
                serde_json::from_str(&info).map_err(|error| garbled("info", &error))?;
            self.verify(&info)?;
        }
        let rows = run(podman, &["ps", "--all", "--no-trunc", "--format", "json"])?;
        let rows: Vec<Row> = serde_json::from_str(&rows).map_err(|error| garbled("ps", &error))?;
        let mut known: BTreeMap<String, Known> = rows.into_iter().map(Row::into_known).collect();
        let unclear: Vec<String> = known
            .iter()
            .filter(|(_, known)| known.state != State::Up)
            .map(|(id, _)| id.clone())
            .filter(|id| self.thorough || about.contains(id.as_str()))
            .collect();
        for batch in unclear.chunks(BATCH) {
            for (id, status, sandbox) in details(podman, batch)? {
                if let Some(known) = known.get_mut(&id) {
                    known.state = State::of(&status, &sandbox);
                    known.status = status;
                }
            }
        }
        Ok(known)
    }

    /// Makes sure that this is the Podman whose leases are in our file.
    fn verify(&self, info: &Info) -> Result<(), String> {
        if info.host.service_is_remote {
            return Err("podman is a client of another host's podman".to_owned());
        }
        if info.host.security.rootless != self.rootless {
            let whose = if self.rootless { "root" } else { "a user" };
            return Err(format!("the podman that was asked is {whose}'s"));
        }
        let theirs = if self.rootless {
            info.store.run_root.join("networks")
        } else {
            PathBuf::from(OF_ROOT)
        };
        if is_same(&theirs, &self.run_directory) {
            return Ok(());
        }
        Err(format!(
            "the podman that was asked has its leases in {}, not in {}; name the right one with \
             its options, as in --podman 'podman --root … --runroot …'",
            theirs.display(),
            self.run_directory.display()
        ))
    }

    /// Has Podman clean up after a container that does not run. No lock may be held.
    ///
    /// # Errors
    /// What Podman says.
    pub(crate) fn clean_up(&self, container: &str) -> Result<(), String> {
        let mut said = String::new();
        for podman in &self.commands {
            match run(podman, &["container", "cleanup", container]) {
                Ok(_) => return Ok(()),
                Err(reason) => said = reason,
            }
        }
        Err(said)
    }
}

/// Returns whether the `podman` of this user has its leases in our file, as far as we know
/// without asking it. Root's podmans all have them in one place. Another user's Podman told us
/// its run root when it let us into its namespaces, or we tell it which one to use.
fn has_leases_in(podman: &Podman, run_directory: Option<&Path>) -> bool {
    let own = &podman.delegation.config;
    if !podman.delegation.rootless {
        return is_same(Path::new(OF_ROOT), own);
    }
    let is_told = |directory: &Path| directory.ends_with("networks");
    let told = Environment::of_this_process().told_run_root();
    match run_directory {
        Some(directory) => is_told(directory) && is_same(directory, own),
        None => told.is_some_and(|root| is_same(&root.join("networks"), own)),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    resolved(one) == resolved(other)
}

impl Row {
    fn into_known(self) -> (String, Known) {
        let state = match State::of(&self.state, "") {
            State::Up => State::Up,
            // `ps` does not tell whether it has a namespace.
            State::Down | State::Pending(_) | State::Unclear => State::Unclear,
        };
        let known = Known {
            name: self.names.into_iter().next().unwrap_or_default(),
            status: self.state,
            state,
            started: Some(self.started_at).filter(|at| *at > 0),
        };
        (self.id, known)
    }
}

/// Returns the id, state and namespace of containers, without those that are gone by now.
fn details(podman: &[String], ids: &[String]) -> Result<Vec<(String, String, String)>, String> {
    const FORMAT: &str = "{{.Id}} {{.State.Status}} {{.NetworkSettings.SandboxKey}}";
    let mut arguments = vec!["container", "inspect", "--format", FORMAT];
    arguments.extend(ids.iter().map(String::as_str));
    let answer = answer(podman, &arguments)?;
    // It fails if one of them is gone, but still answers for the others.
    let lines = answer.lines().filter_map(|line| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?))
    });
    Ok(lines.collect())
}

fn garbled(verb: &str, error: &serde_json::Error) -> String {
    format!("failed to understand the answer of `podman {verb}`: {error}")
}

/// Runs podman and returns what it wrote.
pub(super) fn run(podman: &[String], arguments: &[&str]) -> Result<String, String> {
    let (ended, output, line) = attempt(podman, arguments)?;
    if ended.success() {
        return Ok(output);
    }
    Err(format!("`{line}` ended with {ended}"))
}

/// Like [`run`], but returns what podman wrote even if it fails.
fn answer(podman: &[String], arguments: &[&str]) -> Result<String, String> {
    attempt(podman, arguments).map(|(_, output, _)| output)
}

fn attempt(
    podman: &[String],
    arguments: &[&str],
) -> Result<(std::process::ExitStatus, String, String), String> {
    let Some((program, options)) = podman.split_first() else {
        return Err("no podman is named".to_owned());
    };
    let mut command = Command::new(program);
    command.args(options);
    // A client of another host would answer about other containers.
    command
        .env_remove("CONTAINER_HOST")
        .env_remove("CONTAINER_CONNECTION")
        .arg("--remote=false")
        // A podman that can only be a client does not know this option, and fails.
        .arg("--syslog=false")
        .args(arguments);
    // podman says on the user's terminal why it fails; warnings would only get in the way.
    command.stderr(Stdio::inherit());
    let line = format!("{} {}", podman.join(" "), arguments[0]);
    match delegate::ask(command, b"", PATIENCE) {
        Ok(Some((ended, output))) => Ok((ended, output, line)),
        Ok(None) => Err(format!(
            "`{line}` did not end within {}s and was killed",
            PATIENCE.as_secs()
        )),
        Err(error) => Err(format!("failed to run `{line}`: {error}")),
    }
}
