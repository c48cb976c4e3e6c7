//! netavark's plugin protocol, version 1.0.0 (netavark `plugin-API.md`).

use std::io;
use std::path::Path;

use thiserror::Error;

use super::wire::{answer, hold_back_signals, start_collection};
use crate::delegate::{self, Call, Connection, DelegateError, Ready, Started};
use crate::lifecycle::{self, LifecycleError, create};
use crate::podman::{Podman, PodmanError};
use crate::protocol::{Info, PluginExec};
use crate::rules::attachment::Attachment;
use crate::rules::lease::Tenant;

/// Why a verb failed.
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
    /// A name in the request is empty or cannot be a name.
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
    #[error(transparent)]
    Delegate(#[from] DelegateError),
    /// This concerns a network without addresses.
    #[error("failed to take the interface down: {0}")]
    TakeDown(String),
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
/// See [`create::run`]. It never changes anything.
pub fn create() -> Result<(), PluginError> {
    answer(&create::run(&read()?)?).map_err(PluginError::Write)
}

/// Sets a container's network up and prints the status block.
///
/// If the caller does not take the answer, it is gone, perhaps killed by the same Ctrl-C
/// that we held back. Then everything is undone.
///
/// # Errors
/// See [`lifecycle::setup`]. Nothing is left behind then.
pub fn setup(netns: &Path) -> Result<(), PluginError> {
    let attachment = request("setup")?;
    hold_back_signals().map_err(PluginError::Signals)?;
    let podman = Podman::calling()?;
    if attachment.network.is_without_addresses() {
        return set_up_unleased(&podman, &attachment, netns);
    }
    let plumb = |netavark: Ready<'_>, tenants: &[Tenant]| {
        let connection = Connection {
            attachment: &tenants[0].request,
            addresses: &tenants[0].addresses(),
        };
        Ok(vec![delegate::setup(netavark, &connection)?])
    };
    let asked = vec![attachment.clone()];
    let done = lifecycle::setup(&podman, &call(&podman), asked, netns, plumb)?;
    // C7
    if let Err(error) = answer(&done.status[0]) {
        let undone = take_down(&podman, attachment, netns);
        return Err(undone.map_or_else(PluginError::from, |()| {
            LifecycleError::Unheard(error).into()
        }));
    }
    if done.collection_due {
        start_collection(&podman);
    }
    Ok(())
}

/// Takes a container's network down; prints nothing.
///
/// # Errors
/// See [`lifecycle::teardown`].
pub fn teardown(netns: &Path) -> Result<(), PluginError> {
    let attachment = request("teardown")?;
    hold_back_signals().map_err(PluginError::Signals)?;
    let podman = Podman::calling()?;
    if attachment.network.is_without_addresses() {
        return take_down_unleased(&podman, &attachment, netns);
    }
    Ok(take_down(&podman, attachment, netns)?)
}

/// Has netavark set up a container that needs no lease, because its network has no
/// addresses.
fn set_up_unleased(
    podman: &Podman,
    attachment: &Attachment,
    netns: &Path,
) -> Result<(), PluginError> {
    let connection = without_addresses(attachment);
    let netavark = call(podman).start("setup", netns)?;
    let status = delegate::setup(netavark, &connection)?;
    answer(&status).or_else(|error| {
        take_down_unleased(podman, attachment, netns)?;
        Err(PluginError::Write(error))
    })
}

fn take_down_unleased(
    podman: &Podman,
    attachment: &Attachment,
    netns: &Path,
) -> Result<(), PluginError> {
    let connection = without_addresses(attachment);
    let netavark = call(podman).start("teardown", netns);
    delegate::teardown(netavark, &connection).map_err(PluginError::TakeDown)
}

fn call(podman: &Podman) -> Call<'_> {
    Call::of(&podman.netavark, &podman.delegation)
}

fn without_addresses(attachment: &Attachment) -> Connection<'_> {
    Connection {
        attachment,
        addresses: &[],
    }
}

fn take_down(podman: &Podman, attachment: Attachment, netns: &Path) -> Result<(), LifecycleError> {
    let unplumb = |netavark: Started<'_>, tenants: &[Tenant]| {
        let tenant = &tenants[0];
        let connection = Connection {
            attachment: &tenant.request,
            addresses: &tenant.addresses(),
        };
        // As it was set up: with that firewall, whatever is configured now.
        let netavark = netavark.and_then(|netavark| netavark.with(&tenant.delegation));
        delegate::teardown(netavark, &connection)
    };
    lifecycle::teardown(podman, &call(podman), &[attachment], netns, unplumb)
}

/// Reads standard input to its end. Otherwise netavark would report a broken pipe instead
/// of our error.
fn read() -> Result<String, PluginError> {
    io::read_to_string(io::stdin()).map_err(PluginError::Read)
}

/// Reads what netavark sends with setup and teardown.
fn request(verb: &'static str) -> Result<Attachment, PluginError> {
    let exec = serde_json::from_str::<PluginExec>(&read()?);
    let exec = exec.map_err(|cause| PluginError::Parse { verb, cause })?;
    let attachment = Attachment::from(exec);
    match attachment.unusable_name() {
        Some(field) => Err(PluginError::Field { verb, field }),
        None => Ok(attachment),
    }
}
