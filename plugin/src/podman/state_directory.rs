//! Where the lease store lives.

use std::env;
use std::path::{Path, PathBuf};

use super::PodmanError;
use crate::rules::settings::Item;
use crate::sight::hands;

/// Overrides where the store lives.
pub const STATE_VARIABLE: &str = "BERTH_STATE_DIR";

/// Returns the store's directory: as the environment or berth.conf (`set`) says, else `berth`
/// in the network run directory, so that rootful, rootless and a custom runroot each have
/// their own.
///
/// # Errors
/// If one of them is set to a path that is not absolute, or leads through a
/// directory that somebody else can write to. The directory's own mode is left to `berth
/// doctor`, which repairs it.
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
