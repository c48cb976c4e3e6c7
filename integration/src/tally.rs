//! Counts what is left of a network's containers.

use crate::{Driver, Lab, Network};

/// Numbers of leftovers of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Addresses that no container has and that none can get.
    pub addresses: usize,
    /// Names that aardvark-dns still answers.
    pub names: usize,
    /// Interfaces of containers, and the network's own bridge.
    pub interfaces: usize,
    /// Firewall rules.
    pub rules: usize,
    /// Containers whose published ports netavark remembers.
    pub ports: usize,
    /// Namespace files without a process.
    pub namespaces: usize,
    /// Everything that is left, one line each, except addresses of Podman's own
    /// allocation.
    pub lines: Vec<String>,
}

impl Tally {
    /// What is counted, in the order of [`Tally::counts`].
    pub const NAMES: [&'static str; 6] = [
        "leaked addresses",
        "stale DNS names",
        "ghost interfaces",
        "stale firewall rules",
        "remembered ports",
        "leaked namespaces",
    ];

    /// Counts what is there although there is no container.
    #[track_caller]
    pub fn take(lab: &Lab, network: &Network, driver: Driver) -> Self {
        let left = lab.leftovers(network);
        let count = |kind: &str| left.iter().filter(|line| line.starts_with(kind)).count();
        Self {
            addresses: match driver {
                Driver::Bridge => lab.allocated(&network.name).len(),
                Driver::Berth | Driver::HostWide => count("lease "),
            },
            names: count("DNS name "),
            interfaces: count("interface "),
            rules: count("firewall rule "),
            ports: count("remembered ports "),
            namespaces: count("namespace "),
            lines: left,
        }
    }

    /// Returns the numbers.
    pub fn counts(&self) -> [usize; 6] {
        [
            self.addresses,
            self.names,
            self.interfaces,
            self.rules,
            self.ports,
            self.namespaces,
        ]
    }

    /// Returns whether nothing is left.
    pub fn is_zero(&self) -> bool {
        self.counts() == [0; 6]
    }
}
