//! Somebody in a container, or an ordinary user of the host, tries to write to an
//! administrator's terminal, to lock others out, or to pass for another container.

mod terminal;

use berth_integration::{Driver, Lab, Network};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

/// Returns a lab with the network `n`.
fn lab() -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    (lab, network)
}
