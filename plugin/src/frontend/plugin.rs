//! netavark's plugin protocol, version 1.0.0 (netavark `plugin-API.md`).
//!
//! One JSON document on standard output, errors included; all else goes to
//! standard error, which is the user's terminal.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

use crate::delegate::{self, Connection};
use crate::lifecycle::{self, LifecycleError, create};
use crate::podman::{Podman, PodmanError};
use crate::protocol::{Info, PluginExec, error_envelope};
use crate::rules::attachment::Attachment;
use crate::rules::lease::Tenant;
use crate::upkeep::collect;

/// Failure of a verb.
#[derive(Debug, Error)]
pub enum PluginError {
    #[error("failed to read the request from standard input")]
    Read(#[source] io::Error),
    #[error(
        "failed to understand the {verb} request on standard input ({cause}); this verb is for \
         netavark, not for people"
    )]
    Parse {
        verb: &'static str,
        cause: serde_json::Error,
    },
    /// A name in it is empty or cannot be a name.
    #[error("the {verb} request has no usable {field}")]
    Field {
        verb: &'static str,
        field: &'static str,
    },
    #[error("failed to hold back termination signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Create(#[from] create::Error),
    #[error(transparent)]
    Podman(#[from] PodmanError),
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    #[error("failed to write the answer to standard output")]
    Write(#[source] io::Error),
}

/// Prints what this plugin is.
///
/// # Errors
/// If standard output is closed.
pub fn info() -> Result<(), PluginError> {
    answer(&Info::current()).map_err(PluginError::Write)
}

/// Completes the network configuration on standard input and prints it.
///
/// # Errors
/// See [`create::run`]; nothing has been changed then, nor otherwise.
pub fn create() -> Result<(), PluginError> {
    answer(&create::run(&read()?)?).map_err(PluginError::Write)
}

/// Sets a container's network up and prints the status block.
///
/// A caller that does not take the answer is gone, killed perhaps by the same
/// Ctrl-C that we held back: then everything is undone.
///
/// # Errors
/// See [`lifecycle::setup`]; nothing is left behind then.
pub fn setup(netns: &Path) -> Result<(), PluginError> {
    let attachment = request("setup")?;
    hold_back_signals()?;
    let podman = Podman::calling()?;
    let plumb = |tenants: &[Tenant]| {
        let status = tenants.iter().map(|tenant| {
            let connection = Connection {
                attachment: &tenant.request,
                addresses: &tenant.addresses(),
            };
            delegate::setup(&podman.netavark, &tenant.delegation, &connection, netns)
        });
        status.collect()
    };
    let done = lifecycle::setup(&podman, vec![attachment.clone()], netns, plumb)?;
    // C7
    if let Err(error) = answer(&done.status[0]) {
        let undone = lifecycle::teardown(&podman, &attachment, netns);
        return Err(undone.map_or_else(PluginError::from, |()| {
            LifecycleError::Unheard(error).into()
        }));
    }
    if done.collection_due {
        start_collection(&podman);
    }
    Ok(())
}

/// Starts a collection beside us. The container has its network, come what may.
fn start_collection(podman: &Podman) {
    let directory = podman.network_config_dir();
    let started = directory
        .map_err(|error| crate::chain(&error))
        .and_then(|directory| {
            let started = collect::start(&podman.delegation.config, directory);
            started.map_err(|error| error.to_string())
        });
    if let Err(reason) = started {
        log::warn!("failed to start a collection: {reason}");
    }
}

/// Takes a container's network down; prints nothing.
///
/// # Errors
/// See [`lifecycle::teardown`].
pub fn teardown(netns: &Path) -> Result<(), PluginError> {
    let attachment = request("teardown")?;
    hold_back_signals()?;
    Ok(lifecycle::teardown(
        &Podman::calling()?,
        &attachment,
        netns,
    )?)
}

/// Prints an error the way netavark and Podman expect it.
pub fn report(message: &str) {
    if let Err(error) = answer(&error_envelope(message)) {
        log::error!("{message} (and failed to write that to standard output: {error})");
    }
}

/// Reads standard input to its end: netavark would report a broken pipe instead
/// of our error.
fn read() -> Result<String, PluginError> {
    io::read_to_string(io::stdin()).map_err(PluginError::Read)
}

/// Reads what netavark sends with setup and teardown.
fn request(verb: &'static str) -> Result<Attachment, PluginError> {
    let exec = serde_json::from_str(&read()?);
    let exec = exec.map_err(|cause| PluginError::Parse { verb, cause })?;
    check(&exec, verb)?;
    Ok(exec.into())
}

/// Refuses a request whose names cannot identify a tenancy.
fn check(exec: &PluginExec, verb: &'static str) -> Result<(), PluginError> {
    let fields = [
        ("container_id", &exec.container_id),
        ("network id", &exec.network.id),
        ("network name", &exec.network.name),
        ("interface_name", &exec.network_options.interface_name),
    ];
    let bad = |text: &str| text.is_empty() || text.contains(['\0', '/']);
    match fields.into_iter().find(|(_, text)| bad(text)) {
        Some((field, _)) => Err(PluginError::Field { verb, field }),
        None => Ok(()),
    }
}

/// Holds back SIGTERM, SIGINT and SIGHUP until we are done: half a setup or
/// teardown helps nobody, and every wait in it has an end.
fn hold_back_signals() -> Result<(), PluginError> {
    let noted = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&noted)).map_err(PluginError::Signals)?;
    }
    Ok(())
}

/// Writes one JSON document to standard output. Nothing else does.
///
/// Past the standard library's buffer: a document that could not be written would
/// stay there, and be written before the error that says so.
fn answer<T: Serialize>(document: &T) -> io::Result<()> {
    let mut text = serde_json::to_vec(document)?;
    text.push(b'\n');
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(&text)
}
