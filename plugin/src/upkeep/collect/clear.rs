//! Clears away what no lease mentions.

use nix::libc::ENODEV;

use crate::delegate::{self, Reach};
use crate::lifecycle::namespace_file::remove_file;
use crate::lifecycle::takedown::take_down_record;
use crate::podman::Podman;
use crate::sight::survey::{Leftover, Record};
use crate::sight::{self, PathFact};

/// Clears one thing away.
///
/// # Errors
/// Why it, or part of it, is still there.
pub(super) fn clear(leftover: &Leftover, reach: Reach, podman: &Podman) -> Result<(), String> {
    match leftover {
        Leftover::NamespaceFile { path, key } => {
            if sight::examine(path) != PathFact::There(*key) {
                return Ok(());
            }
            remove_file(path).map_err(|error| error.to_string())
        }
        Leftover::Veth { index, .. } => match delegate::remove_link(*index) {
            // The kernel takes a moment to remove it with its namespace.
            Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(()),
            done => done.map_err(|error| error.to_string()),
        },
        Leftover::Record { network, record } => take_down_record(podman, network, record, reach),
        Leftover::Bridge { network } => {
            take_down_record(podman, network, &Record::nothing("nobody".into()), reach)
        }
    }
}
