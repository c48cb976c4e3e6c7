//! The form in which a tenant is stored: everything that is in its request only once.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Delegation, LeasedAddress, Moment, Namespace, Phase, Process, Tenant};
use crate::protocol::{Network, ReadOnce, Shared};
use crate::rules::attachment::Attachment;

/// A tenant as it is stored. Everything that is in its request is stored only once, because the
/// time to open a store grows with the size of its records.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored<N = Shared<Network>, D = Shared<Delegation>> {
    phase: Phase,
    #[serde(rename = "holdings")]
    leased: Vec<LeasedAddress>,
    namespace: Namespace,
    pid_namespace: u64,
    starter: Option<Process>,
    boot_id: String,
    created: Moment,
    renewed: Moment,
    expires: Moment,
    mac_address: Option<String>,
    request: Attachment<N>,
    delegation: D,
}

/// Reads stored tenants. Most of them are on a few networks and were set up by one netavark, so
/// the parts that describe these are parsed once and shared.
#[derive(Debug, Default)]
pub struct TenantReader {
    networks: ReadOnce<Network>,
    delegations: ReadOnce<Delegation>,
}

impl TenantReader {
    /// Returns a tenant from its JSON, or `None` if this is not a tenant.
    pub fn read(&mut self, json: &[u8]) -> Option<Tenant> {
        // UTF-8 is checked once, not for each of the strings.
        let json = str::from_utf8(json).ok()?;
        let stored: Stored<&RawValue, &RawValue> = serde_json::from_str(json).ok()?;
        let network = self.networks.read(stored.request.network)?;
        let delegation = self.delegations.read(stored.delegation)?;
        Some(stored.with(network, delegation).into())
    }
}

impl<N, D> Stored<N, D> {
    /// Returns the same tenant with these two parts in another form.
    fn with<M, E>(self, network: M, delegation: E) -> Stored<M, E> {
        Stored {
            phase: self.phase,
            leased: self.leased,
            namespace: self.namespace,
            pid_namespace: self.pid_namespace,
            starter: self.starter,
            boot_id: self.boot_id,
            created: self.created,
            renewed: self.renewed,
            expires: self.expires,
            mac_address: self.mac_address,
            request: self.request.on(network),
            delegation,
        }
    }
}

impl From<Tenant> for Stored {
    fn from(tenant: Tenant) -> Self {
        Self {
            phase: tenant.phase,
            leased: tenant.leased,
            namespace: tenant.namespace,
            pid_namespace: tenant.pid_namespace,
            starter: tenant.starter,
            boot_id: tenant.boot_id,
            created: tenant.created,
            renewed: tenant.renewed,
            expires: tenant.expires,
            mac_address: tenant.mac_address,
            request: tenant.request,
            delegation: tenant.delegation,
        }
    }
}

impl From<Stored> for Tenant {
    fn from(stored: Stored) -> Self {
        Self {
            tenancy: stored.request.tenancy(),
            network_name: stored.request.network.name.as_str().into(),
            container_name: stored.request.container_name.clone(),
            phase: stored.phase,
            leased: stored.leased,
            namespace: stored.namespace,
            pid_namespace: stored.pid_namespace,
            starter: stored.starter,
            boot_id: stored.boot_id,
            created: stored.created,
            renewed: stored.renewed,
            expires: stored.expires,
            mac_address: stored.mac_address,
            request: stored.request,
            delegation: stored.delegation,
        }
    }
}
