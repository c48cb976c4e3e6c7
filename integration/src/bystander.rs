//! A container that must not notice what happens beside it.

use std::time::Duration;

use crate::{Driver, Lab, Network, ip, wait_until};

const BOUND: Duration = Duration::from_secs(10);

/// The bystander's address.
pub const BYSTANDERS_ADDRESS: &str = "10.77.0.7";

impl Lab {
    /// Starts a lab with the network `n` (10.77.0.0/24) of berth, and the container
    /// `bystander` on it, with a published port.
    #[track_caller]
    pub fn with_bystander() -> (Self, Network) {
        let lab = Self::start();
        let network = lab.network(Driver::Berth, "n", &["--subnet", "10.77.0.0/24"]);
        let run = lab.container("bystander", &["n"]).ip(BYSTANDERS_ADDRESS);
        run.option("--publish", "7070:80").start();
        (lab, network)
    }

    /// Asserts that a container has its address, its DNS name and its published port.
    #[track_caller]
    pub fn assert_has_all(&self, container: &str, address: &str) {
        assert_eq!(self.addresses(container, "eth0"), [ip(address)]);
        assert_eq!(self.dns_entries("n")[container], [ip(address)]);
        let rule = format!("dnat ip to {address}:80");
        assert!(self.ruleset().contains(&rule), "{rule} is gone");
    }

    /// Asserts that the bystander still has everything and that no other container has
    /// anything; then removes it, and asserts that nothing is left.
    #[track_caller]
    pub fn assert_only_bystander(&self, network: &Network) {
        self.assert_has_all("bystander", BYSTANDERS_ADDRESS);
        let lease = format!("[{BYSTANDERS_ADDRESS}] bound to bystander");
        assert_eq!(self.leases(network).of(network), [lease]);
        let names = self.dns_entries("n");
        let is_its = |addresses: &Vec<_>| *addresses == [ip(BYSTANDERS_ADDRESS)];
        assert!(names.values().all(is_its), "{names:?}");
        assert_eq!(self.remembered_ports(network).len(), 1);
        // Podman's cleanups run in parallel with the removals that asked for them.
        wait_until("the end of all other plumbing", BOUND, || {
            let left = self.leftovers(network).join("\n");
            let is_alone = left.matches("(veth)").count() == 1;
            (is_alone && !left.contains("with nobody in it")).then_some(())
        });
        self.remove("bystander");
        self.assert_clean(network);
    }
}
