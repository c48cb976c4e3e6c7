//! A network configuration, as Podman stores it and netavark passes it on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A network configuration (netavark `types::Network`, Podman `types.Network`).
///
/// Maps and lists that are absent or `null` read as empty, and are written back only if they
/// are not empty. Unknown fields are kept in `rest`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Unique within one Podman; also the stem of the configuration's file name.
    pub name: String,
    /// 64 hexadecimal digits. A network that is created again under its old name has a new id.
    pub id: String,
    /// For berth's networks, the plugin's file name.
    pub driver: String,
    /// Bridge name, or parent interface of macvlan and ipvlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<String>,
    /// Subnets, in the order in which netavark wants addresses.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub subnets: Vec<Subnet>,
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub routes: Vec<Route>,
    /// Whether the network has an IPv6 subnet, or was asked to have one.
    #[serde(default)]
    pub ipv6_enabled: bool,
    #[serde(default)]
    pub internal: bool,
    /// Whether aardvark-dns answers for this network.
    #[serde(default)]
    pub dns_enabled: bool,
    /// Upstream servers of aardvark-dns for this network.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub network_dns_servers: Vec<IpAddr>,
    /// Driver options, including ours (`ipam_…`, `driver`).
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub options: BTreeMap<String, String>,
    /// IPAM options; `driver` says who hands out addresses.
    #[serde(
        default,
        deserialize_with = "null_as_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub ipam_options: BTreeMap<String, String>,
    /// Everything else (`created`, `labels`, fields of newer versions).
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Network {
    /// Returns whether this is the network's name or id.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.id == name
    }

    /// Returns the gateways of its subnets. A subnet may have none.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.subnets.iter().filter_map(|subnet| subnet.gateway)
    }
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet. Host bits may be set, as the user typed them: see [`crate::rules::pool`].
    pub subnet: IpNetwork,
    /// The gateway's address, the bridge's own; absent on some internal networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Limits dynamic leases; static ones may lie outside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_range: Option<LeaseRange>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The lease range of a subnet, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRange {
    /// First address; the subnet's first if absent.
    #[serde(
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub start_ip: Option<IpAddr>,
    /// Last address; the subnet's last if absent.
    #[serde(
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub end_ip: Option<IpAddr>,
}

/// A static route of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub destination: IpNetwork,
    /// Next hop; absent for routes of newer versions that lead nowhere (`route_type`
    /// `blackhole`, `unreachable`, `prohibit`).
    #[serde(
        default,
        deserialize_with = "empty_as_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub gateway: Option<IpAddr>,
    /// Metric; the kernel's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Everything else (`route_type` of newer versions).
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Reads `null` as the type's empty value, because Go writes nil maps and slices as
/// `null`.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads `null` and `""` as absent: Go writes an unset `net.IP` as `""`.
fn empty_as_none<'de, D>(deserializer: D) -> Result<Option<IpAddr>, D::Error>
where
    D: Deserializer<'de>,
{
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive_a_round_trip() {
        let text = serde_json::json!({
            "name": "n", "id": "i", "driver": "berth", "created": "0001-01-01T00:00:00Z",
            "subnets": [{"subnet": "10.0.0.0/24", "future": 1}],
            "routes": [{"destination": "10.1.0.0/16", "gateway": "10.0.0.9", "route_type": "unicast"},
                {"destination": "10.2.0.0/16", "route_type": "blackhole"}],
            "ipv6_enabled": false, "internal": false, "dns_enabled": true,
            "labels": {"a": "b"}, "from_the_future": [1, 2]
        });
        let network: Network = serde_json::from_value(text.clone()).expect("valid");
        assert_eq!(serde_json::to_value(network).expect("serialises"), text);
    }

    #[test]
    fn null_and_absent_read_as_empty() {
        let text = r#"{"name":"n","id":"i","driver":"d","subnets":null,"routes":null,
            "options":null,"ipam_options":null,"network_interface":null,"network_dns_servers":null}"#;
        let network: Network = serde_json::from_str(text).expect("valid");
        assert!(network.subnets.is_empty() && network.options.is_empty());
        assert!(network.network_interface.is_none() && !network.dns_enabled);
    }

    #[test]
    fn an_empty_lease_range_end_is_absent() {
        let range: LeaseRange =
            serde_json::from_str(r#"{"start_ip":"10.0.0.9","end_ip":""}"#).expect("valid");
        assert_eq!(range.end_ip, None);
    }
}
