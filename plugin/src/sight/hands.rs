//! Whether another user has a hand on a path: owns a part of it, or can change what is in a
//! directory on the way to it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The owner that the kernel shows if a user namespace has no id for the real one. For an
/// ordinary user's Podman, `/` is such a case.
const NOBODY: u32 = 65_534;

/// Returns a place on the way to a path that another user has a hand on, if there is one,
/// and the reason, as in "belongs to user 7". A directory counts if others can change what
/// is in it. Only places at or below `top` are examined; of the path itself, only the
/// owner.
pub fn on_the_way_to(path: &Path, top: &Path) -> Option<(PathBuf, String)> {
    let is_open = |mode: u32| mode & 0o022 != 0;
    fault(way(path, 1), top, is_open).or_else(|| fault(vec![path.to_owned()], top, |_| false))
}

/// As [`on_the_way_to`], for a program that is to be run, and all the way from `/`. The
/// group of a directory counts as its administrators, and where the sticky bit is set,
/// nobody can replace files of others.
pub fn on_program(path: &Path) -> Option<(PathBuf, String)> {
    let is_open = |mode: u32| mode & 0o002 != 0 && mode & 0o1000 == 0;
    fault(way(path, 0), Path::new("/"), is_open)
}

/// Returns the ancestors of a path, from the `nth` on, and those of the place it leads to,
/// each once.
fn way(path: &Path, nth: usize) -> Vec<PathBuf> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let above = |path: &'_ Path| path.ancestors().skip(nth).map(Path::to_owned).collect();
    let mut way: Vec<_> = above(path);
    let beyond: Vec<_> = above(&target);
    let other = beyond.into_iter().filter(|place| !way.contains(place));
    let other: Vec<_> = other.collect();
    way.extend(other);
    way
}

fn fault(
    places: Vec<PathBuf>,
    top: &Path,
    is_open: impl Fn(u32) -> bool,
) -> Option<(PathBuf, String)> {
    let below = places.into_iter().filter(|place| place.starts_with(top));
    below.into_iter().find_map(|place| {
        let reason = on_file(&fs::metadata(&place).ok()?, &is_open)?;
        Some((place, reason))
    })
}

/// Returns why another user has a hand on a file, as in "belongs to user 7"; `is_open`
/// tells whether a mode lets others change the file.
pub fn on_file(metadata: &Metadata, is_open: impl Fn(u32) -> bool) -> Option<String> {
    let user = nix::unistd::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let is_ours = [0, user].contains(&owner) || owner == NOBODY && !has_all_ids();
    match (is_ours, is_open(mode)) {
        (true, false) => None,
        (true, true) => Some(format!("has mode {mode:04o}")),
        (false, _) => Some(format!("belongs to user {owner}")),
    }
}

/// Returns whether every user of the host has an id in our user namespace.
fn has_all_ids() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().any(|word| word == "4294967295")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn with_mode(path: PathBuf, mode: u32) -> PathBuf {
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_place_that_others_can_write_to_is_told() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let told = |path: &Path| Some(on_the_way_to(path, home)?.1);
        assert_eq!(told(&home.join("deep/berth")), None);
        let open = with_mode(home.join("open"), 0o1777);
        let has_mode = Some("has mode 1777".to_owned());
        for path in ["berth", "deep/berth"] {
            assert_eq!(told(&open.join(path)), has_mode);
        }
        // It leads to a place of ours, but others could change that.
        symlink(home, open.join("link")).unwrap();
        assert_eq!(told(&open.join("link/berth")), has_mode);
        symlink(&open, home.join("way")).unwrap();
        assert_eq!(told(&home.join("way/berth")), has_mode);
        // Its own mode does not count; its owner does.
        assert_eq!(told(&open), None);
        let other = with_mode(home.join("other"), 0o755);
        if chown(&other, Some(7), None).is_ok() {
            for path in [other.clone(), other.join("berth")] {
                assert_eq!(told(&path).as_deref(), Some("belongs to user 7"));
            }
        }
    }

    #[test]
    fn a_program_of_another_user_is_told() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let told = |path: &Path| Some(on_program(path)?.1);
        let program = home.join("netavark");
        fs::write(&program, "").unwrap();
        assert_eq!(told(&program), None, "/tmp is sticky");
        let open = with_mode(home.join("open"), 0o777);
        assert_eq!(
            told(&open.join("netavark")).as_deref(),
            Some("has mode 0777")
        );
        symlink(&program, home.join("link")).unwrap();
        if chown(&program, Some(7), None).is_ok() {
            for path in [program, home.join("link")] {
                assert_eq!(told(&path).as_deref(), Some("belongs to user 7"));
            }
        }
    }
}
