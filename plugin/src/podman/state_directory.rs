//! Where the lease store is.

use std::env;
use std::path::{Path, PathBuf};

use super::PodmanError;
use crate::rules::settings::Item;
use crate::sight::hands;

/// Overrides where the store is.
pub const STATE_VARIABLE: &str = "BERTH_STATE_DIR";

/// Returns the store's directory: the one that the environment or berth.conf (`set`) names,
/// otherwise `berth` in the network run directory, so that rootful, rootless and custom-runroot
/// Podmans each have their own.
///
/// # Errors
/// If the environment or berth.conf names a path that is not absolute, or that leads through a
/// directory that another user can write to. The mode of the directory itself is left to
/// `berth doctor`, which repairs it.
pub fn state_directory(run_directory: &Path, set: Option<&Item>) -> Result<PathBuf, PodmanError> {
    let named = env::var_os(STATE_VARIABLE).filter(|value| !value.is_empty());
    let set = || set.map(|set| PathBuf::from(&set.text));
    let Some(path) = named.map(PathBuf::from).or_else(set) else {
        return Ok(run_directory.join("berth"));
    };
    if !path.is_absolute() {
        return Err(PodmanError::StateDirectory(path));
    }
    match hands::on_the_way_to(&path, Path::new("/")) {
        None => Ok(path),
        Some((place, reason)) => Err(PodmanError::OpenStateDirectory {
            path,
            place,
            reason,
        }),
    }
}
