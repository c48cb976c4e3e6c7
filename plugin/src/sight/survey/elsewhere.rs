//! Namespaces that are mounted in other mount namespaces only.
//!
//! A podman in a unit with `PrivateTmp` or `ProtectSystem` mounts a container's namespace where
//! the host does not see it: here the namespace's file is bare, although the container runs.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::sight::proc_text::mounts;
use crate::sight::{ProcessFact, read_proc};

/// Room for the mounts of a process, in bytes: the kernel allows 100,000 in a mount namespace.
const LIMIT: u64 = 64 << 20;

/// Returns those of these files on which a namespace is mounted in the mount namespace of a
/// process. A file counts by its name, which is random, because another mount namespace may have
/// its directory elsewhere. If the mounts of a process cannot be read, all count.
pub(super) fn mounted_elsewhere(
    files: HashSet<PathBuf>,
    processes: &[ProcessFact],
) -> HashSet<PathBuf> {
    if files.is_empty() {
        return files;
    }
    let mount_namespace = |pid: i32| Some(fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?.ino());
    // What berth cannot see at all is a doubt of its own.
    let seen = processes.iter().filter(|fact| fact.namespace.is_some());
    let each: BTreeMap<_, _> = seen
        .filter_map(|fact| Some((mount_namespace(fact.process.pid)?, fact.process.pid)))
        .collect();
    let mut names = HashSet::new();
    for pid in each.into_values() {
        match read_proc(&format!("/proc/{pid}/mountinfo"), LIMIT) {
            Ok(text) => names.extend(namespace_files(&text).map(<[u8]>::to_vec)),
            Err(error) if has_ended(&error) => {}
            Err(_) => return files,
        }
    }
    let is_mounted = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::as_bytes);
        name.is_some_and(|name| names.contains(name))
    };
    files.into_iter().filter(is_mounted).collect()
}

/// Returns whether a process shows no mounts because it has ended or is about to
/// (`mounts_open_common`, Linux 6.1).
fn has_ended(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EINVAL | Errno::ESRCH))
}

/// Returns the names of the files on which network namespaces are mounted.
fn namespace_files(mountinfo: &[u8]) -> impl Iterator<Item = &[u8]> {
    let of_namespaces = mounts(mountinfo).filter(|mount| mount.root.starts_with(b"net:["));
    of_namespaces.filter_map(|mount| {
        let name = Path::new(OsStr::from_bytes(mount.point)).file_name()?;
        Some(name.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_a_network_namespace_on_them_are_found() {
        let text = b"36 35 0:4 net:[4026532281] /run/netns/netns-1 rw shared:12 - nsfs nsfs rw\n\
            37 35 0:4 mnt:[4026532282] /run/netns/netns-2 rw - nsfs nsfs rw\n\
            38 35 0:30 / /mnt/\xff rw - tmpfs tmpfs rw\n\
            39 35 0:4 net:[4026532283] /other/netns-3 rw - nsfs nsfs rw\n";
        let found: Vec<_> = namespace_files(text).collect();
        assert_eq!(found, [&b"netns-1"[..], b"netns-3"]);
    }
}
