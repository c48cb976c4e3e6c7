//! Which container's files a process has mounted, out of those that Podman keeps for each
//! container in the run root of its storage:
//!
//! ```text
//! <run root>/<driver>-containers/<container id>/userdata/    hosts, resolv.conf, pidfile, …
//! ```
//!
//! A process may mount anything, and give it any name. But it can mount only what it can
//! see, and of the files there, Podman shows each container only its own. So berth compares
//! the device, and the path on it, with those of Podman's directory as berth sees it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::rules::lease::{ContainerId, is_id};
use crate::sight::proc_text::mounts;
use crate::sight::{self, Evidence};

/// Room for the mounts of a container: some 5,000.
const MOUNTS: u64 = 1 << 20;

/// Podman's run roots, each by its device and its path on that device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunRoots(BTreeSet<(Vec<u8>, PathBuf)>);

impl RunRoots {
    /// Finds those that are in use: the default ones beside netavark's run directory
    /// (containers/common `NetworkBackend`), and those of the running conmons.
    pub(super) fn of_host(run_directory: &Path, evidence: &Evidence) -> Self {
        let above = run_directory.parent().unwrap_or(run_directory);
        let mut paths = BTreeSet::from([above.to_owned(), above.join("storage")]);
        let conmons = evidence
            .processes
            .iter()
            .filter(|fact| fact.name == "conmon");
        paths.extend(conmons.filter_map(|conmon| {
            let words = &conmon.arguments;
            let at = words.iter().position(|word| word == "-p")?;
            run_root(Path::new(words.get(at + 1)?))
        }));
        match sight::own_mounts() {
            Ok(own) => Self::on(&own, &paths),
            Err(_) => Self::default(),
        }
    }

    fn on(own: &[u8], paths: &BTreeSet<PathBuf>) -> Self {
        let found = paths.iter().filter_map(|path| on_device(own, path));
        Self(found.collect())
    }

    /// Returns the container whose files a process has mounted.
    pub(super) fn container_of(&self, pid: i32) -> Option<ContainerId> {
        let mounts = sight::read_proc(&format!("/proc/{pid}/mountinfo"), MOUNTS);
        self.mounted(&mounts.ok()?)
    }

    /// A blank in a path is escaped in `mountinfo`, so a run root with a blank in its path is
    /// not recognised.
    fn mounted(&self, mountinfo: &[u8]) -> Option<ContainerId> {
        mounts(mountinfo).find_map(|mount| {
            let mut roots = self.0.iter().filter(|root| root.0 == mount.device);
            roots.find_map(|(_, root)| owner(path(mount.root).strip_prefix(root).ok()?))
        })
    }
}

/// Returns the container that a file belongs to, by the file's path in a run root.
fn owner(path: &Path) -> Option<ContainerId> {
    let mut names = path.iter().map(|name| name.to_str());
    let (directory, id, userdata) = (names.next()??, names.next()??, names.next()??);
    let is_podmans = directory.ends_with("-containers") && userdata == "userdata";
    let is_file = is_podmans && names.next().is_some();
    (is_file && is_id(id)).then(|| id.into())
}

/// Returns the run root of a conmon's pid file.
fn run_root(pid_file: &Path) -> Option<PathBuf> {
    let root = pid_file.ancestors().nth(4)?;
    owner(pid_file.strip_prefix(root).ok()?)?;
    Some(root.to_owned())
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Returns the device that a path is on, and the path on that device. Of the mounts above
/// the path, the longest counts; of several with that length, the last.
fn on_device(own: &[u8], run_root: &Path) -> Option<(Vec<u8>, PathBuf)> {
    let above = mounts(own).filter(|mount| run_root.starts_with(path(mount.point)));
    let mount = above.max_by_key(|mount| mount.point.len())?;
    let below = run_root.strip_prefix(path(mount.point)).ok()?;
    Some((mount.device.to_owned(), path(mount.root).join(below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[u8] = b"\
22 1 0:20 / / rw - overlay overlay rw
30 22 0:29 / /run rw - tmpfs tmpfs rw
31 30 0:40 /sub /run/containers rw - tmpfs tmpfs rw
32 22 0:29 /user/1000 /elsewhere rw - tmpfs tmpfs rw
33 22 0:41 / /\xff rw - tmpfs tmpfs rw
";

    fn roots(paths: &[&str]) -> RunRoots {
        RunRoots::on(OWN, &paths.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn a_run_root_is_known_by_its_device() {
        let check = |path: &str, device: &str, there: &str| {
            let device = device.as_bytes().to_owned();
            let expected = RunRoots(BTreeSet::from([(device, there.into())]));
            assert_eq!(roots(&[path]), expected, "{path}");
        };
        check("/run/containers/storage", "0:40", "/sub/storage");
        check("/run/user/1000/containers", "0:29", "/user/1000/containers");
        check("/elsewhere/containers", "0:29", "/user/1000/containers");
        check("/var/run2", "0:20", "/var/run2");
    }

    #[test]
    fn a_container_is_known_by_the_files_that_podman_mounts_and_nobody_elses() {
        let id = "0123456789abcdef".repeat(4);
        let roots = roots(&["/run/containers/storage"]);
        let check = |device: &str, source: &str, expected: bool| {
            let mounts = format!(
                "812 790 0:42 / /proc rw - proc proc rw\n\
                 830 790 {device} {source} /etc/resolv.conf rw - tmpfs tmpfs rw\n"
            );
            let found = roots.mounted(mounts.as_bytes());
            assert_eq!(found, expected.then(|| id.as_str().into()), "{source}");
        };
        let file = format!("overlay-containers/{id}/userdata/resolv.conf");
        check("0:40", &format!("/sub/storage/{file}"), true);
        // What a container can make itself: in a volume, on a file system of its own.
        check("0:41", &format!("/sub/storage/{file}"), false);
        check("0:40", &format!("/sub/storage/x/{file}"), false);
        check("0:40", &format!("/sub/{file}"), false);
        check("0:40", &format!("/sub/storage/../storage/{file}"), false);
        check(
            "0:40",
            "/sub/storage/x-containers/short/userdata/hosts",
            false,
        );
        let merged = format!("/sub/storage/overlay-containers/{id}/merged/hosts");
        check("0:40", &merged, false);
        // As the host, and a podman on it, see a container.
        let all = format!("/sub/storage/overlay-containers/{id}/userdata");
        check("0:40", &all, false);
    }

    #[test]
    fn a_conmon_tells_its_run_root() {
        let id = "0123456789abcdef".repeat(4);
        let check = |path: &str, expected: Option<&str>| {
            let found = run_root(Path::new(&path.replace("ID", &id)));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        };
        check("/r/overlay-containers/ID/userdata/pidfile", Some("/r"));
        check("/overlay-containers/ID/userdata/pidfile", Some("/"));
        check("/r/overlay-containers/ID/pidfile", None);
        check("pidfile", None);
    }
}
