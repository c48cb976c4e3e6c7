//! berth under the name `netavark`, in front of the real one: which netavark is the real
//! one, and which of these fronts a call has already passed.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::hands;

/// Names the executables, as `device:inode`, that a call has passed on its way to the
/// real netavark. A front that finds it set passes the call on as it is, so that two
/// copies of berth never call each other.
pub const VARIABLE: &str = "BERTH_FRONT";

/// The executable's name, under which it is installed.
const NAME: &str = "berth";

/// How much of a file is searched for what only berth contains, in bytes.
const PROGRAM: u64 = 1 << 28;

/// Returns whether a berth has called this process.
pub fn is_behind_another() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Returns the value of [`VARIABLE`] for everything that this process starts.
pub fn passed() -> OsString {
    let mut passed = env::var_os(VARIABLE).unwrap_or_default();
    if let Some(own) = identity(Path::new("/proc/self/exe")) {
        passed.push(format!("{own},"));
    }
    passed
}

/// Returns the first netavark in these directories after the last berth: one before a berth
/// may be a script that calls it. If there is none after the last berth, it is the first
/// one before. Files that cannot be executed are passed over, as Podman does; so are those
/// that another user has a hand on.
pub fn real_netavark(directories: &[PathBuf]) -> Option<PathBuf> {
    let passed = passed();
    let passed = passed.to_string_lossy();
    let is_passed = |path: &Path| {
        let own = identity(path);
        own.is_some_and(|own| passed.split(',').any(|one| one == own))
    };
    let candidates = directories.iter().map(|dir| dir.join("netavark"));
    let candidates = candidates.filter(|path| is_executable(path));
    let candidates: Vec<_> = candidates.filter(|path| is_ours(path)).collect();
    let is_front = |path: &PathBuf| is_berth(path) || is_passed(path);
    let fronts: Vec<_> = candidates.iter().map(is_front).collect();
    let after = fronts
        .iter()
        .rposition(|front| *front)
        .map_or(0, |at| at + 1);
    let mut real = (after..candidates.len()).chain(0..after);
    let real = real.find(|at| !fronts[*at])?;
    candidates.into_iter().nth(real)
}

fn is_ours(path: &Path) -> bool {
    let Some((place, reason)) = hands::on_program(path) else {
        return true;
    };
    let (path, place) = (path.display(), place.display());
    log::warn!("passing over {path}: {place} {reason}");
    false
}

/// Returns the first netavark in these directories, which is the one Podman runs, if it
/// leads to berth or is a copy of it. Reads the whole file if the name does not tell.
pub fn link(directories: &[PathBuf]) -> Option<PathBuf> {
    let mut candidates = directories.iter().map(|dir| dir.join("netavark"));
    let first = candidates.find(|path| is_executable(path));
    first.filter(|path| is_berth(path) || is_copy(path))
}

/// Returns whether a file is a program that knows [`VARIABLE`], as does every berth that
/// can be in front of netavark.
fn is_copy(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PROGRAM).read_to_end(&mut bytes));
    read.is_ok()
        && bytes.starts_with(b"\x7fELF")
        && memchr::memmem::find(&bytes, VARIABLE.as_bytes()).is_some()
}

/// Returns whether a path leads to a berth.
fn is_berth(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|file| is_named_berth(&file))
}

/// Returns whether a file has the name under which berth is installed.
pub fn is_named_berth(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == NAME)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn identity(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_real_netavark_is_the_first_that_is_no_berth_and_can_be_executed() {
        let root = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let program = |path: &Path, mode| {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let [link_dir, dangling, own, bare, real] =
            ["link", "dangling", "own", "bare", "real"].map(directory);
        program(&root.path().join("berth"), 0o755);
        symlink("../berth", link_dir.join("netavark")).unwrap();
        symlink("../nothing", dangling.join("netavark")).unwrap();
        symlink("/proc/self/exe", own.join("netavark")).unwrap();
        program(&bare.join("netavark"), 0o644);
        program(&real.join("netavark"), 0o755);
        let all = [&dangling, &link_dir, &own, &bare, &real].map(Clone::clone);
        assert_eq!(real_netavark(&all), Some(real.join("netavark")));
        assert_eq!(real_netavark(&all[..4]), None);
        program(&bare.join("netavark"), 0o755);
        let script_first = [&bare, &link_dir, &real].map(Clone::clone);
        assert_eq!(real_netavark(&script_first), Some(real.join("netavark")));
        let nothing_after = &script_first[..2];
        assert_eq!(real_netavark(nothing_after), Some(bare.join("netavark")));
        assert_eq!(link(&all), Some(link_dir.join("netavark")));
        assert_eq!(link(&all[2..]), Some(own.join("netavark")));
        assert_eq!(link(&all[3..]), None);
    }

    #[test]
    fn a_copy_of_berth_is_known_by_what_is_in_it_and_a_script_is_none() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("netavark");
        let is_link = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            link(&[root.path().to_owned()]).is_some()
        };
        let own = fs::read("/proc/self/exe").unwrap();
        assert!(is_link(&own));
        assert!(!is_link(b"#!/bin/sh\nBERTH_FRONT= exec berth\n"));
        assert!(!is_link(&fs::read("/bin/sh").unwrap()));
    }
}
