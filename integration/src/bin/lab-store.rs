//! Prints berth's store as JSON: `lab-store [NETWORK-ID…]`.
//!
//! All tenants, the holds of the networks named, and whatever contradicts itself.
//! It reads `$BERTH_STATE_DIR`, by default where berth keeps its state as root. A
//! store that is not there yet is an empty one.
#![allow(
    clippy::print_stdout,
    reason = "standard output is what this program is for"
)]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use berth::evidence;
use berth::store::{LockFile, Store};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match read() {
        Ok(store) => {
            println!("{store:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lab-store: {}", berth::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn read() -> Result<Value, Box<dyn std::error::Error>> {
    let directory = env::var_os("BERTH_STATE_DIR").map_or_else(
        || PathBuf::from("/run/containers/networks/berth"),
        PathBuf::from,
    );
    if !directory.exists() {
        return Ok(json!({"tenants": [], "holds": [], "violations": []}));
    }
    let mut lock = LockFile::open(&directory)?;
    let guard = lock.acquire(Duration::from_secs(10), "lab-store")?;
    let store = Store::open(&directory, guard, &evidence::boot_id()?, evidence::now()?)?;
    let transaction = store.begin();
    let mut holds = Vec::new();
    for network in env::args().skip(1) {
        for (address, hold) in transaction.holds(&network.as_str().into())? {
            holds.push(json!({"network": network, "address": address, "hold": hold}));
        }
    }
    let violations = store.check()?;
    let violations: Vec<_> = violations.iter().map(ToString::to_string).collect();
    Ok(json!({
        "tenants": transaction.all_tenants()?,
        "holds": holds,
        "violations": violations,
    }))
}
