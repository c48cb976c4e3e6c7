//! A store that knows nothing yet, while containers run: it was lost, or the
//! machine has booted; or it does not know a network that is in use, because its
//! configuration was removed and made again with another id. What namespaces hold
//! is adopted before anything else.

use std::path::{Path, PathBuf};

use super::{Context, LifecycleError};
use crate::lifecycle::adopt::{AdoptError, adopt};
use crate::podman;
use crate::podman::Caller;
use crate::podman::{ContainersConf, Environment};
use crate::protocol::{Network, PluginExec};
use crate::rules::lease::Tenancy;
use crate::rules::options::Plumbing;
use crate::sight::survey::{Place, Survey, SurveyError};
use crate::sight::{self, Link, PathFact};
use crate::store::Store;

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
    if let PathFact::There(key) = sight::examine(netns) {
        let container = exec.container_id.as_str().into();
        survey.containers.insert(key, container);
    }
    adopt(store, &survey, &caller.delegation, context.now)?;
    Ok(())
}

/// Returns whether the store has never leased an address of a network, but containers
/// may be on it: it was in use under another id, or with Podman's own allocation.
fn is_unknown_in_use(store: &Store<'_>, exec: &PluginExec) -> Result<bool, LifecycleError> {
    let id = Tenancy::from(exec).network_id;
    if store.begin().networks()?.contains(&id) {
        return Ok(false);
    }
    let links = sight::links().map_err(|error| AdoptError::from(SurveyError::Links(error)))?;
    Ok(may_be_in_use(&exec.network, &links))
}

/// Returns whether the host's interfaces leave room for a container on a network: the
/// same that make a sighting.
fn may_be_in_use(network: &Network, links: &[Link]) -> bool {
    let is_its_own = |link: &Link| network.network_interface.as_ref() == Some(&link.name);
    match Plumbing::of(&network.options).unwrap_or_default() {
        // A container stays at its veth's end when the bridge is gone.
        Plumbing::Bridge => links
            .iter()
            .any(|link| is_its_own(link) || (link.kind == "veth" && link.master.is_none())),
        // Without a name, netavark took the interface of the default route.
        Plumbing::Macvlan | Plumbing::Ipvlan => {
            network.network_interface.is_none() || links.iter().any(is_its_own)
        }
    }
}

/// Returns the directory of network configurations of the podman that called.
///
/// # Errors
/// If containers.conf or storage.conf cannot be read.
pub fn network_config_dir() -> Result<PathBuf, LifecycleError> {
    let environment = Environment::of_this_process();
    let conf = ContainersConf::load(&environment)?;
    Ok(podman::network_config_dir(
        &environment,
        &conf,
        &podman::callers(),
    )?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(interface: Option<&str>, driver: &str, links: &[(&str, &str)], expected: bool) {
        let network: Network = serde_json::from_value(json!({
            "name": "n", "id": "i", "driver": "berth", "network_interface": interface,
            "options": {"driver": driver},
        }))
        .expect("a network");
        let links: Vec<_> = links
            .iter()
            .map(|(name, kind)| Link {
                name: (*name).to_owned(),
                kind: (*kind).to_owned(),
                ..Link::default()
            })
            .collect();
        assert_eq!(may_be_in_use(&network, &links), expected);
    }

    #[test]
    fn whoever_may_be_on_a_network_is_looked_for() {
        let (lo, bridge, veth) = (("lo", ""), ("br", "bridge"), ("veth0", "veth"));
        check(Some("br"), "bridge", &[lo], false);
        check(Some("br"), "bridge", &[lo, bridge], true);
        check(Some("br"), "bridge", &[lo, veth], true);
        check(Some("eth0"), "macvlan", &[lo], false);
        check(Some("eth0"), "macvlan", &[lo, ("eth0", "")], true);
        check(None, "macvlan", &[lo], true);
        check(None, "ipvlan", &[lo], true);
    }
}
