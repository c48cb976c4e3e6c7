//! What the front ends that netavark or Podman calls have in common: one JSON document on
//! standard output, even for an error. Everything else goes to standard error, which is
//! the user's terminal.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::podman::Podman;
use crate::protocol::error_envelope;
use crate::text;
use crate::upkeep::collect;

/// Prints an error the way netavark and Podman expect it.
pub fn report(message: &str) {
    // netavark and Podman print the message as it is.
    let message = text::lines(message);
    if let Err(error) = answer(&error_envelope(&message)) {
        log::error!("{message} (and failed to write that to standard output: {error})");
    }
}

/// Writes one JSON document to standard output. Nothing else writes there.
///
/// It bypasses the standard library's buffer: a document that could not be written would
/// stay in there, and be written before the error that reports this.
pub(super) fn answer<T: Serialize>(document: &T) -> io::Result<()> {
    let mut text = serde_json::to_vec(document)?;
    text.push(b'\n');
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(&text)
}

/// Holds back SIGTERM, SIGINT and SIGHUP until we are done: half a setup or teardown is
/// of no use, and every wait in it has an end.
pub(super) fn hold_back_signals() -> io::Result<()> {
    let noted = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&noted))?;
    }
    Ok(())
}

/// Starts a collection beside us. The container has its network whether or not that
/// succeeds.
pub(super) fn start_collection(podman: &Podman) {
    let directory = podman.make_network_config_dir();
    let started = directory
        .map_err(|error| crate::chain(&error))
        .and_then(|directory| {
            let started = collect::start(&podman.delegation.config, directory);
            started.map_err(|error| error.to_string())
        });
    if let Err(reason) = started {
        log::warn!("failed to start a collection: {reason}");
    }
}
