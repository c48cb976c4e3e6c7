//! The networks that collections do not adopt although berth is in front of netavark, because
//! `berth-migrate rollback` or `berth host-wide off` has moved them back to Podman.
//!
//! Each is a file, `<network config dir>/berth-exempt/<id>`, and so survives a reboot and belongs
//! to the same Podman. Podman does not take a directory for a network (`loadNetworks`, 5.4).

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::rules::lease::is_id;

/// The name of the directory.
const DIRECTORY: &str = "berth-exempt";

/// The name of the file that stands for every network.
const ALL: &str = "all";

/// Returns whether collections leave a network with Podman. `directory` is Podman's for networks.
pub fn is_exempt(directory: &Path, id: &str) -> bool {
    let own = directory.join(DIRECTORY);
    own.join(ALL).exists() || is_id(id) && own.join(id).exists()
}

/// Makes collections leave a network with Podman. On return it is durable.
///
/// # Errors
/// If the file cannot be written.
pub fn exempt(directory: &Path, id: &str) -> io::Result<()> {
    if is_id(id) {
        write(directory, id)
    } else {
        Ok(())
    }
}

/// Makes collections leave every network with Podman. On return it is durable.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn exempt_all(directory: &Path) -> io::Result<()> {
    write(directory, ALL)
}

/// Ends what [`exempt`] has begun.
///
/// # Errors
/// If the file cannot be removed.
pub fn end(directory: &Path, id: &str) -> io::Result<()> {
    if is_id(id) {
        gone(fs::remove_file(directory.join(DIRECTORY).join(id)))?;
    }
    // It does no harm if the directory stays: it may have other files.
    let _ = fs::remove_dir(directory.join(DIRECTORY));
    Ok(())
}

/// Ends all exemptions.
///
/// # Errors
/// If the directory cannot be removed.
pub(super) fn end_all(directory: &Path) -> io::Result<()> {
    gone(fs::remove_dir_all(directory.join(DIRECTORY)))
}

fn write(directory: &Path, name: &str) -> io::Result<()> {
    let own = directory.join(DIRECTORY);
    fs::create_dir_all(&own)?;
    File::create(own.join(name))?.sync_all()?;
    for directory in [PathBuf::as_path(&own), directory] {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// It is no failure to remove what is not there.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_exemption_lasts_until_it_is_ended_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let [one, other] = ["1", "2"].map(|digit| digit.repeat(64));
        let exempted = || [&one, &other].map(|id| is_exempt(directory, id));
        assert_eq!(exempted(), [false, false]);
        exempt(directory, &one).unwrap();
        assert_eq!(exempted(), [true, false]);
        exempt_all(directory).unwrap();
        assert_eq!(exempted(), [true, true]);
        end_all(directory).unwrap();
        end_all(directory).unwrap();
        exempt(directory, &other).unwrap();
        end(directory, &one).unwrap();
        assert_eq!(exempted(), [false, true]);
        end(directory, &other).unwrap();
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        exempt(directory.path(), "../x").unwrap();
        end(directory.path(), "../x").unwrap();
        assert!(!is_exempt(directory.path(), "../x"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
