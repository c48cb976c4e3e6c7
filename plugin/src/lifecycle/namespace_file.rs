//! The file on which a namespace is mounted, and which Podman lost track of when it was
//! killed.

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

/// Removes a namespace file that is no longer used. If that fails, nothing leaks but the
/// file.
pub(super) fn remove(namespace: &Namespace) {
    let path = &namespace.path;
    let is_its = match sight::examine(path) {
        // On another device, it is the bare file that its namespace was once mounted on.
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

/// Removes a namespace file and unmounts the namespace that may be mounted on it, here or
/// elsewhere: when the file goes, the kernel removes the mounts on it in all other mount
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
        // Rootless Podman runs us in a mount namespace where a new /run covers the old
        // one, so something is mounted on the file in a place to which no path leads.
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => unlink_from_afar(path),
        done => done,
    }
}

/// Removes a file on which something may be mounted.
fn unlink_from_afar(path: &Path) -> io::Result<()> {
    from_afar(path, |file| fs::remove_file(file))
}

/// Returns when a namespace file was made, by the wall clock. A namespace mounted on the
/// file hides that.
///
/// # Errors
/// The kernel's refusal.
pub fn file_made(path: &Path) -> io::Result<SystemTime> {
    from_afar(path, |file| fs::metadata(file)?.modified())
}

/// Calls `act` on a file, in a new mount namespace that contains only the file's
/// directory, with nothing mounted in it.
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
        // Without the mounts below the directory.
        mount(Some(directory), directory, none, bare, none)?;
        chdir(directory)?;
        // Puts the old and the new root on one directory, and unmounts the old one: see
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
