//! What Podman passes to netavark at setup and teardown: a container with all its networks.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Standard input of netavark's own `setup` and `teardown` (netavark `types::NetworkOptions`).
/// Only the fields of single networks are ever changed; everything else keeps its order and
/// form.
///
/// Up to Podman 5, `networks` and `network_info` are objects keyed by network name; from 6 on,
/// `networks` is a list whose entries have a `name`. Either form is kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Request(Map<String, Value>);

const OPTIONS: &str = "networks";
const INFO: &str = "network_info";

impl Request {
    /// Returns the names of the networks, in the request's order.
    pub fn names(&self) -> Vec<&str> {
        match self.0.get(OPTIONS) {
            Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|entry| entry["name"].as_str())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Returns a network's configuration and what the container wants there.
    pub fn network(&self, name: &str) -> Option<(&Value, &Value)> {
        let find = |field| match self.0.get(field)? {
            Value::Object(map) => map.get(name),
            Value::Array(list) => list.iter().find(|entry| entry["name"] == name),
            _ => None,
        };
        Some((find(INFO)?, find(OPTIONS)?))
    }

    /// Replaces a network's configuration and what the container wants there.
    pub fn replace(&mut self, name: &str, network: Value, mut options: Value) {
        if let Some(Value::Array(_)) = self.0.get(OPTIONS) {
            options["name"] = name.into();
        }
        for (field, new) in [(INFO, network), (OPTIONS, options)] {
            let old = match self.0.get_mut(field) {
                Some(Value::Object(map)) => map.get_mut(name),
                Some(Value::Array(list)) => list.iter_mut().find(|entry| entry["name"] == name),
                _ => None,
            };
            if let Some(old) = old {
                *old = new;
            }
        }
    }

    /// Removes all networks except those with these names.
    pub fn retain(&mut self, names: &[&str]) {
        for field in [OPTIONS, INFO] {
            match self.0.get_mut(field) {
                Some(Value::Object(map)) => map.retain(|name, _| names.contains(&name.as_str())),
                Some(Value::Array(list)) => list.retain(|entry| {
                    entry["name"]
                        .as_str()
                        .is_some_and(|name| names.contains(&name))
                }),
                _ => {}
            }
        }
    }

    /// Returns the fields about the container itself.
    pub fn container(&self) -> Map<String, Value> {
        let own = |(name, _): &(&String, &Value)| ![OPTIONS, INFO].contains(&name.as_str());
        let own = self.0.iter().filter(own);
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Returns the request as one value.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requests() -> [Request; 2] {
        let info = json!({"a": {"name": "a", "id": "1"}, "b": {"name": "b", "id": "2"}});
        let old = json!({"container_id": "c", "future": [1], "network_info": info.clone(),
            "networks": {"a": {"interface_name": "eth0"}, "b": {"interface_name": "eth1"}}});
        let new = json!({"container_id": "c", "future": [1], "network_info": info,
            "networks": [{"name": "a", "interface_name": "eth0"},
                {"name": "b", "interface_name": "eth1"}]});
        [old, new].map(|value| serde_json::from_value(value).expect("a request"))
    }

    #[test]
    fn networks_are_found_and_replaced_in_both_forms() {
        for mut request in requests() {
            assert_eq!(request.names(), ["a", "b"]);
            let (network, options) = request.network("b").expect("it is there");
            assert_eq!(network["id"], "2");
            assert_eq!(options["interface_name"], "eth1");
            assert!(request.network("c").is_none());
            let before = request.clone().into_value();
            request.replace("b", json!({"name": "b", "id": "9"}), json!({"x": 1}));
            let after = request.clone().into_value();
            assert_eq!(after["network_info"]["b"]["id"], "9");
            let listed = after["networks"].is_array();
            assert_eq!(listed, before["networks"].is_array(), "the form is kept");
            let (_, options) = request.network("b").expect("it is still there");
            assert_eq!(options["x"], 1);
            let unchanged: Request = serde_json::from_value(before).expect("a request");
            assert_eq!(request.network("a"), unchanged.network("a"));
        }
    }

    #[test]
    fn networks_are_left_out_in_both_forms_and_the_rest_stays() {
        for mut request in requests() {
            request.retain(&["b"]);
            assert_eq!(request.names(), ["b"]);
            assert!(request.network("a").is_none());
            let container = request.container();
            assert_eq!(container["future"], json!([1]));
            assert_eq!(container.len(), 2);
        }
    }
}
