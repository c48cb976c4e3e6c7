//! netavark's rules for published ports: does each of them lead to a container?
//!
//! The rules are in the nftables table `inet netavark`, in a chain `…_dnat` for each
//! network (netavark 1.14 `firewall/nft.rs`). If netavark uses another firewall, or `nft`
//! cannot be asked, there are no findings.

use std::net::IpAddr;

use serde_json::Value;

use super::finding::Finding;
use super::programs;
use crate::podman::Podman;
use crate::upkeep::overview::Overview;

/// A rule that leads to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    chain: String,
    handle: u64,
    address: IpAddr,
}

/// Judges the rules that lead to addresses of our networks. They are listed both before and
/// after the leases are read, because a setup makes its leases before its rules, and a
/// teardown removes its rules first.
pub(super) fn examine(podman: &Podman) -> Vec<Finding> {
    let before = list();
    if before.is_empty() {
        return Vec::new();
    }
    // Other checks report what is wrong with the store.
    let Ok(overview) = Overview::take(podman) else {
        return Vec::new();
    };
    let after = list();
    let lasting = before.into_iter().filter(|rule| after.contains(rule));
    judge(lasting, &overview)
}

fn judge(rules: impl Iterator<Item = Rule>, overview: &Overview) -> Vec<Finding> {
    let astray = rules.filter_map(|rule| {
        let mut networks = overview.networks.iter();
        let network = networks.find(|network| network.covers(rule.address))?;
        let mut holders = overview.holders.iter();
        let is_leased = holders.any(|(tenant, _)| tenant.has_leased(rule.address));
        (!is_leased).then(|| {
            let Rule {
                chain,
                handle,
                address,
            } = rule;
            let name = &network.name;
            Finding::problem(
                "firewall",
                format!("a published port leads to {address} on network {name}, which no container has"),
            )
            .because("netavark was killed after it dropped its record of the port, before it removed the rule")
            .repair(format!(
                "nft delete rule inet netavark {chain} handle {handle}"
            ))
        })
    });
    astray.collect()
}

fn list() -> Vec<Rule> {
    let table = ["--json", "list", "table", "inet", "netavark"];
    let text = programs::say("nft", &table).unwrap_or_default();
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    rules(&document)
}

/// Returns the rules that lead to an address.
fn rules(document: &Value) -> Vec<Rule> {
    let items = document["nftables"].as_array().into_iter().flatten();
    let read = |item: &Value| {
        let rule = &item["rule"];
        let mut expressions = rule["expr"].as_array()?.iter();
        let address = expressions.find_map(|expression| expression["dnat"]["addr"].as_str())?;
        Some(Rule {
            chain: rule["chain"].as_str()?.to_owned(),
            handle: rule["handle"].as_u64()?,
            address: address.parse().ok()?,
        })
    };
    items.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_lead_somewhere_are_read() {
        let dnat = |to: Value| {
            let expressions = json!([{"match": {}}, {"dnat": {"family": "ip", "addr": to}}]);
            json!({"rule": {"family": "inet", "table": "netavark", "chain": "nv_1_dnat",
                "handle": 41, "expr": expressions}})
        };
        let document = json!({"nftables": [
            {"metainfo": {}}, {"chain": {"name": "nv_1_dnat"}},
            {"rule": {"chain": "nv_1_dnat", "handle": 40, "expr": [{"jump": {"target": "x"}}]}},
            dnat(json!("10.0.0.9")), dnat(json!({"map": {}})),
        ]});
        let expected = Rule {
            chain: "nv_1_dnat".to_owned(),
            handle: 41,
            address: [10, 0, 0, 9].into(),
        };
        assert_eq!(rules(&document), [expected]);
        assert_eq!(rules(&Value::Null), []);
    }
}
