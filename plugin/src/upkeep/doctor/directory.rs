//! The state directory: where it is, who owns it, and what is in it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::finding::Finding;
use crate::store::{Name, Store};

const CHECK: &str = "state-directory";
const MODE: &str = "state-directory-mode";
const LEFT_OVER: &str = "unfinished-store";

/// What the state directory looks like.
#[derive(Clone, Debug)]
pub(super) struct DirectoryFacts {
    path: PathBuf,
    /// The user who runs this.
    user: u32,
    /// The directory itself: `None` if it is not there, an error if that cannot be told.
    there: Result<Option<There>, String>,
}

#[derive(Clone, Debug)]
struct There {
    owner: u32,
    mode: u32,
    directory: bool,
    /// Whether it is on a tmpfs, if that can be told.
    tmpfs: Option<bool>,
}

impl DirectoryFacts {
    pub(super) fn gather(path: &Path) -> Self {
        let there = match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(There {
                owner: metadata.uid(),
                mode: metadata.permissions().mode() & 0o7777,
                directory: metadata.is_dir(),
                tmpfs: statfs(path)
                    .ok()
                    .map(|facts| facts.filesystem_type() == TMPFS_MAGIC),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        Self {
            path: path.to_owned(),
            user: nix::unistd::geteuid().as_raw(),
            there,
        }
    }

    /// Returns whether there is a directory to look into.
    pub(super) fn is_there(&self) -> bool {
        matches!(&self.there, Ok(Some(there)) if there.directory)
    }
}

/// Judges the directory.
pub(super) fn judge(facts: &DirectoryFacts) -> Vec<Finding> {
    let path = facts.path.display();
    let there = match &facts.there {
        Ok(Some(there)) => there,
        Ok(None) => return vec![no_store(&facts.path)],
        Err(reason) => {
            return vec![
                Finding::problem(CHECK, format!("cannot examine the state directory {path}"))
                    .because(reason)
                    .repair("run this as the user who runs podman"),
            ];
        }
    };
    if !there.directory {
        return vec![
            Finding::problem(CHECK, format!("{path} is not a directory"))
                .because("something else made it")
                .repair("remove it: the next container's start makes the directory"),
        ];
    }
    let mut found = Vec::new();
    if there.owner != facts.user {
        found.push(
            Finding::problem(
                CHECK,
                format!("{path} belongs to user {}, not {}", there.owner, facts.user),
            )
            .because("another user made it, or this is not the user who runs podman")
            .repair(format!(
                "run this as the user who runs podman, or chown -R {} {path}",
                facts.user
            )),
        );
    }
    let others = there.mode & 0o077;
    if others != 0 {
        let what = format!("{path} has mode {:04o}", there.mode);
        let finding = if others & 0o022 == 0 {
            Finding::note(MODE, what).because("other users can read the leases")
        } else {
            Finding::problem(MODE, what).because("other users can change the leases")
        };
        found.push(finding.repair(format!("chmod 700 {path}")));
    }
    if there.tmpfs == Some(false) {
        found.push(
            Finding::note(CHECK, format!("{path} is not on a tmpfs")).because(
                "leases survive a reboot there; they then count as dead, and reservations stay in force",
            ),
        );
    }
    found
}

/// Reports that there is no store.
pub(super) fn no_store(path: &Path) -> Finding {
    Finding::note(
        "no-store",
        format!("there is no lease store in {}", path.display()),
    )
    .because("no container was started on a network of berth's since the last boot")
}

/// Judges the names in the directory. The caller holds the store's lock, so that no other
/// command is making a store.
pub(super) fn judge_names(path: &Path, names: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in names {
        let file = path.join(name);
        let file = file.display();
        match Name::of(name) {
            Name::Lock | Name::Store => {}
            Name::Unfinished => found.push(
                Finding::note(LEFT_OVER, format!("{file} is left over"))
                    .because("a command was killed while it made the store; the next one to make one removes it")
                    .repair("berth doctor --repair removes it"),
            ),
            Name::Aside => found.push(
                Finding::note("store-aside", format!("{file} is a store that was moved aside"))
                    .because("it was damaged")
                    .repair(format!("remove it once you no longer need it: rm -r {file}")),
            ),
            Name::Foreign => found.push(
                Finding::note(CHECK, format!("{file} does not belong to berth"))
                    .because("something else put it there; it does no harm")
                    .repair("remove it"),
            ),
        }
    }
    found
}

/// Returns the names in the directory, sorted.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Finding> {
    let failed = |error: io::Error| {
        Finding::problem(CHECK, format!("cannot list {}", path.display()))
            .because(error.to_string())
            .repair("run this as the user who runs podman")
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Repairs what can be repaired among these findings: the mode, and a store that was never
/// finished.
pub(super) fn repair(path: &Path, findings: &mut [Finding]) {
    for finding in findings {
        let done = if finding.check == LEFT_OVER {
            Store::remove_unfinished(path).map_err(|error| crate::chain(&error))
        } else if finding.check == MODE {
            change_mode(path, 0o700).map_err(|error| error.to_string())
        } else {
            continue;
        };
        finding.settle(done);
    }
}

/// Changes the mode of a file or directory of our own; never that of a link's target.
pub(super) fn change_mode(path: &Path, mode: u32) -> io::Result<()> {
    // The descriptor only names the file: closing it drops no lock.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_symlink() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other("it is a link, or another user's"));
    }
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(name, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(there: Result<Option<There>, String>, expected: &[&str]) {
        let facts = DirectoryFacts {
            path: "/run/b".into(),
            user: 0,
            there,
        };
        let found: Vec<_> = judge(&facts).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (line, beginning) in found.iter().zip(expected) {
            assert!(line.starts_with(beginning), "{line}");
        }
    }

    #[test]
    fn owner_mode_and_place_are_judged() {
        let there = |owner, mode, tmpfs| {
            Ok(Some(There {
                owner,
                mode,
                directory: true,
                tmpfs,
            }))
        };
        check(there(0, 0o700, Some(true)), &[]);
        check(there(0, 0o700, None), &[]);
        check(
            there(0, 0o700, Some(false)),
            &["note: /run/b is not on a tmpfs"],
        );
        check(there(0, 0o755, Some(true)), &["note: /run/b has mode 0755"]);
        check(
            there(0, 0o1777, Some(true)),
            &["problem: /run/b has mode 1777"],
        );
        check(
            there(7, 0o700, Some(true)),
            &["problem: /run/b belongs to user 7, not 0"],
        );
        check(Ok(None), &["note: there is no lease store in /run/b"]);
        check(
            Err("no".into()),
            &["problem: cannot examine the state directory /run/b (no)"],
        );
    }

    #[test]
    fn no_mode_is_changed_through_a_link() {
        let place = tempfile::tempdir().expect("a directory");
        let (own, link) = (place.path().join("own"), place.path().join("link"));
        fs::create_dir(&own).expect("a directory");
        let mode = || fs::metadata(&own).expect("it is there").mode() & 0o7777;
        change_mode(&own, 0o755).expect("it is ours");
        std::os::unix::fs::symlink(&own, &link).expect("a link");
        assert!(change_mode(&link, 0o700).is_err());
        assert_eq!(mode(), 0o755);
        change_mode(&own, 0o700).expect("it is ours");
        assert_eq!(mode(), 0o700);
        if std::os::unix::fs::chown(&own, Some(7), None).is_ok() {
            assert!(change_mode(&own, 0o755).is_err());
        }
    }

    #[test]
    fn names_that_do_not_belong_are_told() {
        let names = [
            "lock",
            "leases.sled",
            "leases.sled.new",
            "leases.sled.x",
            "leases.redb",
            "core",
        ];
        let names = names.map(str::to_owned);
        let found = judge_names(Path::new("/b"), &names);
        let found: Vec<_> = found.iter().map(|found| found.check).collect();
        assert_eq!(found, [LEFT_OVER, "store-aside", CHECK]);
    }
}
