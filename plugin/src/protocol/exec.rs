//! What netavark passes to a plugin at setup and teardown.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::network::{Network, null_as_empty};

/// Standard input of `setup` and `teardown` (netavark `types::NetworkPluginExec`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginExec {
    /// Full container id; in a pod, the infra container's.
    pub container_id: String,
    /// Container name; in a pod, the pod's.
    pub container_name: String,
    /// Published ports, passed on as they are.
    #[serde(default)]
    pub port_mappings: Value,
    pub network: Network,
    pub network_options: PerNetworkOptions,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a container wants on one network (netavark `types::PerNetworkOptions`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerNetworkOptions {
    pub interface_name: String,
    /// The addresses asked for: in any order, possibly partial, repeated or outside every
    /// subnet; empty (or `null`) if the user named none, and on teardown.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub static_ips: Vec<IpAddr>,
    /// Everything else (`aliases`, `static_mac`, `options`).
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
