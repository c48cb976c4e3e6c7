//! Clearing away what no lease speaks of.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::delegate::{self, Plan};
use crate::lifecycle::reclaim;
use crate::podman::Caller;
use crate::protocol::{Network, PerNetworkOptions, PluginExec};
use crate::rules::lease::ContainerId;
use crate::rules::options::Plumbing;
use crate::sight::survey::{Leftover, Record};
use crate::sight::{self, PathFact};

/// Clears one thing away.
///
/// # Errors
/// Why it is still there, or part of it.
pub(super) fn clear(leftover: &Leftover, caller: &Caller) -> Result<(), String> {
    match leftover {
        Leftover::NamespaceFile { path, key } => {
            if sight::examine(path) != PathFact::There(*key) {
                return Ok(());
            }
            reclaim::remove_file(path).map_err(|error| error.to_string())
        }
        Leftover::Veth { index, .. } => {
            sight::remove_link(*index).map_err(|error| error.to_string())
        }
        Leftover::Record { network, record } => take_down(network, record, caller),
        Leftover::Bridge { network } => {
            let nobody = Record {
                container_id: ContainerId::from("nobody"),
                names: Vec::new(),
                addresses: Vec::new(),
                port_mappings: Value::Null,
            };
            take_down(network, &nobody, caller)
        }
    }
}

/// Has netavark take down what it remembers of a container that is gone: DNS names,
/// firewall rules, published ports, and the bridge if nobody is on it any more.
fn take_down(network: &Network, record: &Record, caller: &Caller) -> Result<(), String> {
    let exec = PluginExec {
        container_id: record.container_id.0.clone(),
        container_name: record.names.first().cloned().unwrap_or_default(),
        port_mappings: record.port_mappings.clone(),
        network: network.clone(),
        network_options: PerNetworkOptions {
            interface_name: "eth0".to_owned(),
            static_ips: Vec::<IpAddr>::new(),
            rest: Map::new(),
        },
        rest: Map::new(),
    };
    let plan = Plan {
        exec: &exec,
        plumbing: Plumbing::of(&network.options).unwrap_or_default(),
        addresses: &record.addresses,
    };
    delegate::teardown_in_stand_in(&caller.netavark, &caller.delegation, &plan)
}
