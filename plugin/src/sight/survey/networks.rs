//! The networks that berth leases addresses for.

use std::io::ErrorKind;
use std::path::Path;

use super::SurveyError;
use crate::protocol::Network;
use crate::rules::lease::Tenant;

/// The `ipam_options.driver` of networks of ours, whatever does their plumbing.
const IPAM_DRIVER: &str = "berth";

/// Returns the networks of ours that have a configuration, sorted by name. The
/// directory need not exist.
///
/// # Errors
/// If a file is there and cannot be read. A file that is not a network
/// configuration is none of ours: Podman skips it too.
pub fn configured(config_dir: &Path) -> Result<Vec<Network>, SurveyError> {
    let failed = |source| SurveyError::Read {
        path: config_dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(config_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut networks = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|end| end != "json") || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|source| SurveyError::Read {
            path: path.clone(),
            source,
        })?;
        match serde_json::from_str::<Network>(&text) {
            Ok(network) if is_ours(&network) => networks.push(network),
            Ok(_) => {}
            Err(error) => log::debug!("{} is no network configuration: {error}", path.display()),
        }
    }
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(networks)
}

/// Returns whether berth leases the network's addresses.
pub fn is_ours(network: &Network) -> bool {
    let driver = network.ipam_options.get("driver");
    driver.is_some_and(|driver| driver == IPAM_DRIVER)
}

/// Adds the networks of tenants that have no configuration any more, as they were
/// at the tenant's setup.
pub(super) fn with_those_of(tenants: &[Tenant], mut networks: Vec<Network>) -> Vec<Network> {
    for tenant in tenants {
        let network = &tenant.request.network;
        if !networks.iter().any(|known| known.id == network.id) {
            networks.push(network.clone());
        }
    }
    networks
}
