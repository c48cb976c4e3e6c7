//! Checks that nothing of a network is left when its containers are gone.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Lab, Network};

/// A container's cleanup runs in parallel with the `podman rm` that asked for it.
const CLEANUP: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);

impl Lab {
    /// Returns what is left of a network's containers, one line for each thing.
    ///
    /// netavark's own chains may stay; Podman leaves them as well.
    #[track_caller]
    pub fn leftovers(&self, network: &Network) -> Vec<String> {
        let mut left = Vec::new();
        for link in self.links() {
            let ours = link.name == network.interface && link.kind() == "bridge";
            if ours || link.master.as_deref() == Some(&network.interface) {
                left.push(format!("interface {} ({})", link.name, link.kind()));
            }
        }
        for (name, addresses) in self.dns_entries(&network.name) {
            left.push(format!("DNS name {name} for {addresses:?}"));
        }
        // A chain is called nv_<beginning of the network's id>_…; a rule names the subnet, an
        // address in it, or the bridge.
        let words: Vec<_> = [format!("nv_{}", &network.id[..8])]
            .into_iter()
            .chain([format!("\"{}\"", network.interface)])
            .chain(network.subnets.iter().map(|subnet| stem(subnet)))
            .collect();
        let ruleset = self.ruleset();
        let mut lines = ruleset.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let is_empty = line.starts_with("chain ") && lines.peek() == Some(&"}");
            if !is_empty && words.iter().any(|word| line.contains(word)) {
                left.push(format!("firewall rule `{line}`"));
            }
        }
        for name in self.remembered_ports(network) {
            left.push(format!("remembered ports {name}"));
        }
        for name in self.empty_namespaces() {
            left.push(format!("namespace {name} with nobody in it"));
        }
        let leases = self.leases(network);
        left.extend(
            leases
                .of(network)
                .iter()
                .map(|lease| format!("lease {lease}")),
        );
        left.sort();
        left
    }

    /// Asserts that nothing is left of a network's containers, within a bound.
    #[track_caller]
    pub fn assert_clean(&self, network: &Network) {
        let start = Instant::now();
        loop {
            let left = self.leftovers(network);
            if left.is_empty() {
                return;
            }
            assert!(
                start.elapsed() < CLEANUP,
                "this is left of network {} after {CLEANUP:?}:\n{}",
                network.name,
                left.join("\n")
            );
            thread::sleep(STEP);
        }
    }
}

/// Returns the text that every address of a subnet begins with, up to the last whole group:
/// `10.77.0.` for `10.77.0.0/24`.
fn stem(subnet: &str) -> String {
    let (address, prefix) = subnet.split_once('/').unwrap_or((subnet, "32"));
    let prefix: usize = prefix.parse().unwrap_or(32);
    if address.contains(':') {
        let groups: Vec<_> = address.trim_end_matches(':').split(':').collect();
        let whole = (prefix / 16).clamp(1, groups.len());
        return format!("{}:", groups[..whole].join(":"));
    }
    let groups: Vec<_> = address.split('.').collect();
    let whole = (prefix / 8).clamp(1, 3);
    format!("{}.", groups[..whole].join("."))
}
