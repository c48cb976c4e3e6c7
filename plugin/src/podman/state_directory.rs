//! Where the lease store lives, and whether others could put another one there.

use std::env;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::PodmanError;

/// Overrides where the store lives.
pub const STATE_VARIABLE: &str = "BERTH_STATE_DIR";

/// Whom the kernel names where a user namespace has no id for the owner, as of `/` for an
/// ordinary user's Podman.
const NOBODY: u32 = 65_534;

/// Returns the store's directory: `berth` in the network run directory, so that
/// rootful, rootless and a custom runroot each have their own.
///
/// # Errors
/// If [`STATE_VARIABLE`] is set to a path that is not absolute, or leads through a
/// directory that somebody else can write to.
pub fn state_directory(run_directory: &Path) -> Result<PathBuf, PodmanError> {
    match env::var_os(STATE_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
    {
        None => Ok(run_directory.join("berth")),
        Some(named) if named.is_absolute() => check(named, Path::new("/")),
        Some(named) => Err(PodmanError::StateDirectory(named)),
    }
}

/// Refuses a directory that is within another user's reach, by what is at or below `top`.
/// What is missing of it we make ourselves.
///
/// Its own mode is left to `berth doctor`: it says which, and repairs it.
fn check(path: PathBuf, top: &Path) -> Result<PathBuf, PodmanError> {
    let user = nix::unistd::geteuid().as_raw();
    let target = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let above = |path: &Path| path.ancestors().skip(1).map(Path::to_owned).collect();
    // The directories that a link is in, and those it leads to.
    let mut places: Vec<PathBuf> = above(&path);
    places.extend::<Vec<_>>(above(&target));
    places.retain(|place| place.starts_with(top));
    let fault = |place: PathBuf| {
        let metadata = fs::metadata(&place).ok()?;
        Some((place, reason(&metadata, user)?))
    };
    let own = || {
        let metadata = fs::metadata(&path).ok()?;
        Some((path.clone(), stranger(metadata.uid(), user)?))
    };
    match places.into_iter().find_map(fault).or_else(own) {
        None => Ok(path),
        Some((place, reason)) => Err(PodmanError::OpenStateDirectory {
            path,
            place,
            reason,
        }),
    }
}

/// Returns why others can change what is in a directory, if they can.
fn reason(directory: &Metadata, user: u32) -> Option<String> {
    let mode = directory.mode() & 0o7777;
    let is_open = (mode & 0o022 != 0).then(|| format!("has mode {mode:04o}"));
    is_open.or_else(|| stranger(directory.uid(), user))
}

fn stranger(owner: u32, user: u32) -> Option<String> {
    let is_fine = [0, user, NOBODY].contains(&owner);
    (!is_fine).then(|| format!("belongs to user {owner}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn a_place_that_others_can_write_to_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let refused = |path: &Path| {
            let error = check(path.to_owned(), home).err()?;
            Some(error.to_string())
        };
        assert_eq!(refused(&home.join("deep/berth")), None);
        let open = home.join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        for path in [open.join("berth"), open.join("deep/berth")] {
            let said = refused(&path).unwrap();
            assert!(said.contains("open has mode 1777; choose"), "{said}");
        }
        // It leads to a place of ours, but not for ever.
        symlink(home, open.join("link")).unwrap();
        assert!(refused(&open.join("link/berth")).is_some());
        symlink(&open, home.join("way")).unwrap();
        assert!(refused(&home.join("way/berth")).is_some());
        let other = home.join("other");
        fs::create_dir(&other).unwrap();
        if chown(&other, Some(7), None).is_ok() {
            for path in [other.clone(), other.join("berth")] {
                let said = refused(&path).unwrap();
                assert!(said.contains("other belongs to user 7; "), "{said}");
            }
        }
    }
}
