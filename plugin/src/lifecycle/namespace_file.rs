//! The file that shows a namespace, which Podman lost track of when it was killed.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

use crate::rules::lease::Namespace;
use crate::sight::{self, PathFact, is_namespace_file};

/// Removes a namespace file that nobody uses any more. Failing to remove it leaks nothing
/// but the file.
pub(super) fn remove(namespace: &Namespace) {
    let path = &namespace.path;
    let is_its = match sight::examine(path) {
        // Another device: the file that its namespace was once mounted on.
        PathFact::There((device, inode)) => device != namespace.device || inode == namespace.inode,
        PathFact::Missing | PathFact::Unreadable(_) => false,
    };
    if !is_its || !is_namespace_file(path) {
        return;
    }
    if let Err(error) = remove_file(path) {
        log::warn!(
            "failed to remove the namespace file {}: {error}",
            path.display()
        );
    }
}

/// Removes a namespace file, with the namespace that may be mounted on it, here or
/// elsewhere: with the file, the kernel removes the mounts on it from all other mount
/// namespaces.
///
/// # Errors
/// The kernel's refusal; the file is still there then.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not mounted.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(errno.into()),
    }
    match fs::remove_file(path) {
        // Podman without root runs us in a mount namespace where a new /run covers the
        // old one, so that something is mounted on the file where no path leads.
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => unlink_from_afar(path),
        done => done,
    }
}

/// Removes a file that something may be mounted on.
fn unlink_from_afar(path: &Path) -> io::Result<()> {
    from_afar(path, |file| fs::remove_file(file))
}

/// Returns when a namespace file was made, by the wall clock. The namespace that is
/// mounted on it does not show that.
///
/// # Errors
/// The kernel's refusal.
pub fn file_made(path: &Path) -> io::Result<SystemTime> {
    from_afar(path, |file| fs::metadata(file)?.modified())
}

/// Does something with a file in a mount namespace of its own, which has only the
/// directory that the file is in, and nothing mounted in there.
fn from_afar<T: Send>(path: &Path, act: impl Fn(&Path) -> io::Result<T> + Sync) -> io::Result<T> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::EINVAL.into());
    };
    let none: Option<&str> = None;
    let bare = MsFlags::MS_BIND;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let enter = || -> io::Result<T> {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, private, none)?;
        // Without the mounts below it.
        mount(Some(directory), directory, none, bare, none)?;
        chdir(directory)?;
        // Puts old and new root on one directory, and unmounts the old one: see
        // pivot_root(2), `pivot_root(".", ".")`.
        pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        act(&Path::new("/").join(name))
    };
    // A thread leaves its mount namespace only when it ends.
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, enter)?;
        thread.join().unwrap_or_else(|_| Err(Errno::EINTR.into()))
    })
}
