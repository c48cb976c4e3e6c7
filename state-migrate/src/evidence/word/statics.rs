//! Which addresses were requested explicitly for a container: with `--ip`, by compose, or at
//! `podman network connect`.
//!
//! `podman inspect` does not show them (5.4); `podman generate spec` does, because it
//! writes what is needed to make the same container again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;

use super::ask::{Asking, run};

/// The addresses that were requested explicitly: container id, network name, addresses.
pub(crate) type Statics = BTreeMap<String, BTreeMap<String, Vec<IpAddr>>>;

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "Networks", default)]
    networks: Option<BTreeMap<String, SpecNetwork>>,
}

#[derive(Deserialize)]
struct SpecNetwork {
    #[serde(default)]
    static_ips: Option<Vec<IpAddr>>,
}

impl Asking {
    /// Asks about these containers. A container about which there is no answer is left out, and
    /// its addresses count as dynamic. No lock may be held.
    pub(crate) fn statics(&self, containers: &BTreeSet<&str>) -> Statics {
        let mut statics = Statics::new();
        for container in containers {
            let spec = ["generate", "spec", "--compact", container];
            let answers = self.commands().iter().map(|podman| run(podman, &spec));
            for answer in answers {
                match answer.map(|text| parse(&text)) {
                    Ok(Some(networks)) => {
                        statics.insert((*container).to_owned(), networks);
                    }
                    Ok(None) => log::debug!("failed to understand podman's spec of {container}"),
                    Err(reason) => log::debug!("no spec of {container}: {reason}"),
                }
            }
        }
        statics
    }
}

fn parse(text: &str) -> Option<BTreeMap<String, Vec<IpAddr>>> {
    let spec: Spec = serde_json::from_str(text).ok()?;
    let networks = spec.networks.unwrap_or_default().into_iter();
    Some(
        networks
            .map(|(name, network)| (name, network.static_ips.unwrap_or_default()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_asked_for_by_name_are_read_from_a_spec() {
        let text = r#"{"name":"c","Networks":{"m":{"static_ips":["10.78.0.40","fd00::4"],
            "aliases":["a4653c58070b"],"interface_name":"eth1"},"n":{"interface_name":"eth0"}}}"#;
        let networks = parse(text).unwrap_or_default();
        let addresses: Vec<_> = networks["m"].iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.78.0.40", "fd00::4"]);
        assert!(networks["n"].is_empty());
        assert_eq!(parse("{}"), Some(BTreeMap::new()));
        assert_eq!(parse("Error"), None);
    }
}
