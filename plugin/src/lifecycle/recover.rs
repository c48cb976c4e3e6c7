//! A store that knows nothing yet, while containers run: it was lost, or the
//! machine has booted; or it does not know a network that is in use, because its
//! configuration was removed and made again with another id. What namespaces hold
//! is adopted before anything else.

use std::path::{Path, PathBuf};

use super::{Context, LifecycleError};
use crate::containers_conf::{ContainersConf, Environment};
use crate::delegate::Caller;
use crate::evidence::{self, PathFact};
use crate::host;
use crate::lease::Tenancy;
use crate::protocol::PluginExec;
use crate::store::Store;
use crate::survey::{self, AdoptError, Place, Survey, SurveyError};

/// Adopts what live namespaces hold, unless that was done in the life of this
/// store and boot, and for this network. On return it is durable.
///
/// # Errors
/// If not everything can be seen: then no address may be leased.
pub(super) fn recover(
    store: &Store<'_>,
    exec: &PluginExec,
    netns: &Path,
    caller: &Caller,
    context: &Context<'_>,
) -> Result<(), LifecycleError> {
    if store.is_surveyed() && !is_unknown_in_use(store, exec)? {
        return Ok(());
    }
    let network_config_dir = network_config_dir()?;
    let place = Place {
        network_config_dir: &network_config_dir,
        run_directory: &caller.delegation.config,
        namespace_directory: netns.parent().unwrap_or(netns),
        asked: Some(&exec.network),
    };
    let tenants = store.begin().all_tenants()?;
    let survey = Survey::take(&place, &tenants, &context.boot_id, context.now);
    let mut survey = survey.map_err(AdoptError::from)?;
    // Whose namespace this is, we are told.
    if let PathFact::There(key) = evidence::examine(netns) {
        let container = exec.container_id.as_str().into();
        survey.containers.insert(key, container);
    }
    survey::adopt(store, &survey, &caller.delegation, context.now)?;
    Ok(())
}

/// Returns whether the store has never leased an address of a network, but its
/// interface is on the host, so that containers may be on it.
fn is_unknown_in_use(store: &Store<'_>, exec: &PluginExec) -> Result<bool, LifecycleError> {
    let id = Tenancy::from(exec).network_id;
    if store.begin().networks()?.contains(&id) {
        return Ok(false);
    }
    let Some(name) = &exec.network.network_interface else {
        return Ok(false);
    };
    let links = evidence::links().map_err(|error| AdoptError::from(SurveyError::Links(error)))?;
    Ok(links.iter().any(|link| link.name == *name))
}

/// Returns the directory of network configurations of the podman that called.
///
/// # Errors
/// If containers.conf or storage.conf cannot be read.
pub fn network_config_dir() -> Result<PathBuf, LifecycleError> {
    let environment = Environment::of_this_process();
    let conf = ContainersConf::load(&environment)?;
    Ok(host::network_config_dir(
        &environment,
        &conf,
        &host::callers(),
    )?)
}
