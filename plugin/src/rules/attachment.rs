//! What a container asks for on one network.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lease::{ContainerId, ContainerName, InterfaceName, Tenancy};
use crate::protocol::{Network, PluginExec, Shared, null_as_empty};

/// A container's request for one network, whichever front end it came through. It is stored
/// with the tenant, so that the plumbing can be torn down long afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment<N = Shared<Network>> {
    pub container_id: ContainerId,
    pub container_name: ContainerName,
    #[serde(default)]
    pub port_mappings: Value,
    pub network: N,
    #[serde(rename = "network_options")]
    pub options: AttachmentOptions,
    /// Fields that a newer Podman adds for the container.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a container wants on one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachmentOptions {
    #[serde(rename = "interface_name")]
    pub interface: InterfaceName,
    /// The addresses asked for: in any order, possibly partial, repeated or outside every
    /// subnet. Empty if the user named none, and on teardown.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub static_ips: Vec<IpAddr>,
    /// Aliases, the MAC address, and what a newer Podman adds.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Attachment {
    /// Returns a container's attachment with nothing but these fields.
    pub fn new(container_id: ContainerId, network: Network, interface: InterfaceName) -> Self {
        Self {
            container_id,
            container_name: "".into(),
            port_mappings: Value::Null,
            network: network.into(),
            options: AttachmentOptions {
                interface,
                static_ips: Vec::new(),
                rest: Map::new(),
            },
            rest: Map::new(),
        }
    }

    /// Returns the first of its names that cannot identify a tenancy or name a file, as the
    /// field is called in requests.
    pub fn unusable_name(&self) -> Option<&'static str> {
        let names = [
            ("container_id", self.container_id.as_str()),
            ("network id", &self.network.id),
            ("network name", &self.network.name),
            ("interface_name", self.options.interface.as_str()),
        ];
        let bad = |text: &str| text.is_empty() || text.contains(['\0', '/']);
        let mut names = names.into_iter();
        names.find(|(_, text)| bad(text)).map(|(field, _)| field)
    }

    /// Returns the identity of its leases.
    pub fn tenancy(&self) -> Tenancy {
        Tenancy {
            network_id: self.network.id.as_str().into(),
            container_id: self.container_id.clone(),
            interface: self.options.interface.clone(),
        }
    }
}

impl<N> Attachment<N> {
    /// Returns the same attachment with the network in another form.
    pub(super) fn on<M>(self, network: M) -> Attachment<M> {
        Attachment {
            container_id: self.container_id,
            container_name: self.container_name,
            port_mappings: self.port_mappings,
            network,
            options: self.options,
            rest: self.rest,
        }
    }
}

impl From<PluginExec> for Attachment {
    fn from(exec: PluginExec) -> Self {
        Self {
            container_id: exec.container_id.into(),
            container_name: exec.container_name.into(),
            port_mappings: exec.port_mappings,
            network: exec.network.into(),
            options: AttachmentOptions {
                interface: exec.network_options.interface_name.into(),
                static_ips: exec.network_options.static_ips,
                rest: exec.network_options.rest,
            },
            rest: exec.rest,
        }
    }
}
