//! berth under the name `netavark`: it serves every network of the host, without a
//! plugin.
//!
//! Podman calls it in place of netavark. Addresses on networks whose ipam driver is berth
//! are leased here, and these networks are handed on as netavark's own; every other call
//! reaches the real netavark byte for byte. One netavark serves all networks of a call.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::finish;
use super::wire::{answer, hold_back_signals, report, start_collection};
use crate::delegate::{self, Call, Connection, Ready, Started};
use crate::lifecycle::{self, LifecycleError};
use crate::podman::{
    self, ConfError, ContainersConf, Environment, NetavarkLine, Podman, PodmanError,
};
use crate::protocol::{Network, Request};
use crate::rules::attachment::Attachment;
use crate::rules::lease::Tenant;
use crate::sight::{self, front};
use crate::upkeep::host_wide;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum FrontError {
    #[error(transparent)]
    Conf(#[from] ConfError),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error("failed to run {}", .0.display())]
    Exec(PathBuf, #[source] io::Error),
    #[error("failed to read the request")]
    Read(#[source] io::Error),
    #[error("failed to hand the request on")]
    Memory(#[source] io::Error),
    #[error("failed to hold back termination signals")]
    Signals(#[source] io::Error),
    #[error("the request for network {network} cannot be used: {reason}")]
    Network { network: String, reason: String },
    #[error("the request for network {0} has no usable container id, name or interface name")]
    Names(String),
    /// The caller has a copy of the network's configuration from before a move.
    #[error(
        "network {network} has just been moved to berth or back, and this podman still uses the \
         configuration from before: start the container again{}",
        restart(service.as_deref())
    )]
    Outdated {
        network: String,
        /// The systemd unit that the podman belongs to.
        service: Option<String>,
    },
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    #[error("{0}")]
    Others(String),
}

fn restart(service: Option<&str>) -> String {
    let told = |unit| format!("; if it fails like this once more, restart {unit}");
    service.map_or_else(String::new, told)
}

/// Returns whether this program was called by the name `netavark`.
pub fn is_meant(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    name.is_some_and(|name| name == "netavark")
}

/// Runs a call of netavark to its end. `arguments` are those after the program's name.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    // By this name, others tell us from the real one (`ProcessFact::plumbs`).
    if let Err(error) = nix::sys::prctl::set_name(c"berth") {
        log::debug!("failed to set this process' name: {error}");
    }
    finish("berth", || act(&arguments), report)
}

fn act(arguments: &[OsString]) -> Result<ExitCode, FrontError> {
    let environment = Environment::of_this_process();
    let conf = ContainersConf::load(&environment)?;
    let netavark = podman::netavark(&conf)?;
    let words = std::iter::once(netavark.clone().into_os_string()).chain(arguments.to_vec());
    let line = NetavarkLine::parse(words).filter(|_| !front::is_behind_another());
    let Some((verb, namespace, line)) = line.as_ref().and_then(|line| match &*line.verb {
        [verb, namespace] if verb == "setup" => Some(("setup", Path::new(namespace), line)),
        [verb, namespace] if verb == "teardown" => Some(("teardown", Path::new(namespace), line)),
        _ => None,
    }) else {
        return Err(exec(netavark, arguments, Stdio::inherit()));
    };
    let bytes = read(line).map_err(FrontError::Read)?;
    let pass_on = |netavark| {
        let memory = delegate::memory(&bytes).map_err(FrontError::Memory)?;
        Err(exec(netavark, &without_file(arguments), memory.into()))
    };
    let Ok(request) = serde_json::from_slice::<Request>(&bytes) else {
        return pass_on(netavark);
    };
    let conf = (verb == "setup").then_some(&conf);
    let podman = Podman::in_front(netavark.clone(), line, &environment, conf)?;
    // A teardown is never refused: if the caller has a copy from before a move, the file
    // says who leases the addresses.
    let is_moved = |own: &Network| verb == "teardown" && podman.denies(own, false);
    let sorted = Sorted::of(&request, is_moved)?;
    if verb == "setup" {
        sorted.check_files(&podman)?;
        if sorted
            .others
            .iter()
            .any(|own| host_wide::is_adoption_due(&podman, own))
        {
            start_collection(&podman);
        }
    }
    if sorted.ours.is_empty() {
        return pass_on(netavark);
    }
    hold_back_signals().map_err(FrontError::Signals)?;
    let front = Front {
        call: Call {
            netavark: &podman.netavark,
            delegation: &podman.delegation,
            plugin_directories: &line.plugin_directories,
        },
        podman: &podman,
        namespace,
        request,
        sorted,
    };
    match verb {
        "setup" => front.setup(),
        _ => front.teardown(),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Reads what netavark would read.
fn read(line: &NetavarkLine) -> io::Result<Vec<u8>> {
    if let Some(file) = &line.file {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the arguments without the file to read from, which has already been read.
fn without_file(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        if ["-f", "--file"].contains(&text) {
            words.next();
        } else if !text.starts_with("--file=") && !text.starts_with("-f") {
            kept.push(word.clone());
        }
    }
    kept
}

/// Becomes the real netavark; returns only if that fails, with the reason.
fn exec(netavark: PathBuf, arguments: &[OsString], input: Stdio) -> FrontError {
    let mut command = Command::new(&netavark);
    command.args(arguments).stdin(input);
    command.env(front::VARIABLE, front::passed());
    FrontError::Exec(netavark, command.exec())
}

/// A request's networks: ours as attachments, and all others that berth understands.
struct Sorted {
    ours: Vec<Attachment>,
    others: Vec<Network>,
    /// Names of all networks that are not ours.
    other_names: Vec<String>,
}

impl Sorted {
    /// Sorts a request's networks. `is_moved` returns whether a network that is not ours
    /// according to the request is ours after all.
    fn of(request: &Request, is_moved: impl Fn(&Network) -> bool) -> Result<Self, FrontError> {
        let mut sorted = Self {
            ours: Vec::new(),
            others: Vec::new(),
            other_names: Vec::new(),
        };
        for name in request.names() {
            let Some((network, options)) = request.network(name) else {
                sorted.other_names.push(name.to_owned());
                continue;
            };
            let is_ours = network["ipam_options"]["driver"] == "berth";
            let other = (!is_ours).then(|| serde_json::from_value(network.clone()));
            let other = other.and_then(Result::ok);
            if is_ours || other.as_ref().is_some_and(&is_moved) {
                let attachment = attachment(request.container(), network, options);
                let attachment = attachment.map_err(|error| FrontError::Network {
                    network: name.to_owned(),
                    reason: error.to_string(),
                })?;
                if attachment.unusable_name().is_some() {
                    return Err(FrontError::Names(name.to_owned()));
                }
                sorted.ours.push(attachment);
            } else {
                sorted.other_names.push(name.to_owned());
                sorted.others.extend(other);
            }
        }
        Ok(sorted)
    }

    fn other_names(&self) -> Vec<&str> {
        self.other_names.iter().map(String::as_str).collect()
    }

    /// Refuses a request that contradicts a network's file: then Podman has a copy from
    /// before the network was moved. Podman reads the files again once their directory
    /// has changed.
    fn check_files(&self, podman: &Podman) -> Result<(), FrontError> {
        let ours = self.ours.iter().map(|own| (&*own.network, true));
        let others = self.others.iter().map(|own| (own, false));
        let mut all = ours.chain(others);
        let Some((network, _)) = all.find(|(own, is_ours)| podman.denies(own, *is_ours)) else {
            return Ok(());
        };
        podman.touch_networks();
        Err(FrontError::Outdated {
            network: network.name.clone(),
            service: podman.starter.and_then(sight::service_of),
        })
    }
}

/// Returns the attachment of a container to one network. The container's fields and the
/// network's come from different places in the request.
fn attachment(
    mut container: Map<String, Value>,
    network: &Value,
    options: &Value,
) -> serde_json::Result<Attachment> {
    let mut options = options.clone();
    if let Some(fields) = options.as_object_mut() {
        fields.remove("name");
    }
    container.insert("network".to_owned(), network.clone());
    container.insert("network_options".to_owned(), options);
    serde_json::from_value(Value::Object(container))
}

/// A call that concerns our networks.
struct Front<'a> {
    call: Call<'a>,
    podman: &'a Podman,
    namespace: &'a Path,
    request: Request,
    sorted: Sorted,
}

impl Front<'_> {
    /// Sets all networks up, with one netavark, and prints its answer. After a failure,
    /// no network is left set up.
    fn setup(&self) -> Result<(), FrontError> {
        let answered = Cell::new(None);
        let plumb = |netavark: Ready<'_>, tenants: &[Tenant]| {
            let addresses: Vec<_> = tenants.iter().map(Tenant::addresses).collect();
            let connections: Vec<_> = tenants
                .iter()
                .zip(&addresses)
                .map(|(tenant, addresses)| Connection {
                    attachment: &tenant.request,
                    addresses,
                })
                .collect();
            let request = self.request.clone();
            let all = delegate::setup_together(netavark, request, &connections)?;
            let of = |tenant: &Tenant| all[&tenant.request.network.name].clone();
            let status = tenants.iter().map(of).collect();
            answered.set(Some(all));
            Ok(status)
        };
        let attachments = self.sorted.ours.clone();
        let done = lifecycle::setup(self.podman, &self.call, attachments, self.namespace, plumb);
        let answered = answered.into_inner();
        let (done, status) = match (done, answered) {
            (Ok(done), status) => (done, status.unwrap_or_else(|| json!({}))),
            (Err(error), None) => return Err(error.into()),
            (Err(error), Some(_)) => {
                // netavark had set all networks up; ours have been taken down again
                // already.
                self.take_down_others()
                    .unwrap_or_else(|why| log::warn!("{why}"));
                return Err(error.into());
            }
        };
        // C7
        if let Err(error) = answer(&status) {
            self.teardown()?;
            return Err(LifecycleError::Unheard(error).into());
        }
        if done.collection_due {
            start_collection(self.podman);
        }
        Ok(())
    }

    /// Takes all networks down, with one netavark if our interfaces are where the request
    /// says.
    fn teardown(&self) -> Result<(), FrontError> {
        let others = Cell::new(None);
        let unplumb = |netavark: Started<'_>, tenants: &[Tenant]| {
            let addresses: Vec<_> = tenants.iter().map(Tenant::addresses).collect();
            let present = tenants.iter().map(|tenant| self.present(tenant));
            let connections: Vec<_> = present
                .zip(&addresses)
                .map(|(attachment, addresses)| Connection {
                    attachment,
                    addresses,
                })
                .collect();
            let mut names = self.sorted.other_names();
            names.extend(tenants.iter().map(|own| own.request.network.name.as_str()));
            let mut request = self.request.clone();
            request.retain(&names);
            let done = delegate::teardown_together(netavark, request, &connections);
            others.set(Some(done.clone()));
            done
        };
        let (podman, ours) = (self.podman, &self.sorted.ours);
        let ours = lifecycle::teardown(podman, &self.call, ours, self.namespace, unplumb);
        let others = match others.into_inner() {
            _ if self.sorted.other_names.is_empty() => Ok(()),
            Some(done) => done,
            None => self.take_down_others(),
        };
        match (ours, others) {
            (Ok(()), others) => others.map_err(FrontError::Others),
            (Err(ours), Ok(())) => Err(ours.into()),
            (Err(ours), Err(others)) => {
                let all = format!("{}; {others}", crate::chain(&ours));
                Err(FrontError::Others(all))
            }
        }
    }

    /// Has netavark take down the networks that are not ours.
    fn take_down_others(&self) -> Result<(), String> {
        let names = self.sorted.other_names();
        if names.is_empty() {
            return Ok(());
        }
        let mut request = self.request.clone();
        request.retain(&names);
        let netavark = self.call.start("teardown", self.namespace);
        delegate::teardown_together(netavark, request, &[])
    }

    /// Returns what Podman now says about a tenant.
    fn present<'t>(&'t self, tenant: &'t Tenant) -> &'t Attachment {
        let mut ours = self.sorted.ours.iter();
        let asked = ours.find(|own| own.tenancy() == tenant.tenancy);
        asked.unwrap_or(&tenant.request)
    }
}
