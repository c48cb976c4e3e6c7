//! An attacker in a container, or an ordinary user of the host, tries to write to an
//! administrator's terminal, to lock others out, or to pass for another container.

mod claims;
mod files;
mod greed;
mod identity;
mod others;
mod sight;
mod terminal;

use std::time::Duration;

use berth_integration::{Driver, Lab, Network, wait_until};

const SUBNET: [&str; 2] = ["--subnet", "10.77.0.0/24"];

/// Returns a lab with the network `n`.
fn lab() -> (Lab, Network) {
    let lab = Lab::start();
    let network = lab.network(Driver::Berth, "n", &SUBNET);
    (lab, network)
}

/// Runs a shell script as an ordinary user of the lab, until the lab ends. Returns once the
/// script has called `ready`.
#[track_caller]
fn stranger(lab: &Lab, script: &str) {
    let ready = "/tmp/stranger-is-ready";
    lab.sh(&format!("rm -f {ready}"));
    let script = format!("ready() {{ : >{ready}; }}; {script}");
    let user = ["--reuid=1000", "--regid=1000", "--clear-groups"];
    let command = lab
        .cmd("setpriv")
        .args(user)
        .args(["bash", "-euc", &script]);
    let _ = command.within(Duration::from_secs(600)).spawn();
    wait_until("a stranger's process", Duration::from_secs(20), || {
        lab.names("/tmp")
            .contains(&"stranger-is-ready".to_owned())
            .then_some(())
    });
}
