//! Podman's network lock: who owns it, and who else could take it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::directory::change_mode;
use super::finding::Finding;

const CHECK: &str = "network-lock-mode";

/// What the file looks like.
#[derive(Clone, Copy, Debug)]
struct LockFacts {
    is_file: bool,
    owner: u32,
    mode: u32,
}

/// Examines the file, and repairs its mode if `repair` says so. A file that is not there
/// is no finding: the first command that takes the lock makes it.
///
/// Nothing here opens the file for reading: closing it would drop the lock.
pub(super) fn examine(path: &Path, repair: bool) -> Option<Finding> {
    let facts = match fs::symlink_metadata(path) {
        Ok(metadata) => LockFacts {
            is_file: metadata.is_file(),
            owner: metadata.uid(),
            mode: metadata.permissions().mode() & 0o7777,
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            let what = format!("cannot examine Podman's network lock {}", path.display());
            return Some(Finding::problem(CHECK, what).because(error.to_string()));
        }
    };
    let user = nix::unistd::geteuid().as_raw();
    let mut finding = judge(path, facts, user)?;
    if repair && facts.is_file && facts.owner == user {
        finding.settle(change_mode(path, 0o600).map_err(|error| error.to_string()));
    }
    Some(finding)
}

fn judge(path: &Path, facts: LockFacts, user: u32) -> Option<Finding> {
    let path = path.display();
    let LockFacts {
        is_file,
        owner,
        mode,
    } = facts;
    let lock = format!("Podman's network lock {path}");
    if !is_file {
        let finding = Finding::problem(CHECK, format!("{lock} is not a regular file"));
        return Some(
            finding
                .because("something other than Podman put it there, and may keep every container from starting")
                .repair(format!("remove it while no podman runs: rm {path}")),
        );
    }
    if owner != user {
        let what = format!("{lock} belongs to user {owner}, with mode {mode:04o}");
        return Some(
            Finding::problem(CHECK, what)
                .because("that user can keep every container from starting")
                .repair(format!("remove it while no podman runs: rm {path}")),
        );
    }
    if mode & 0o077 == 0 {
        return None;
    }
    let what = format!("{lock} has mode {mode:04o}");
    let finding = match mode & 0o022 {
        0 => Finding::note(CHECK, what).because(
            "Podman creates it with this mode; any user who can read it can keep every container from starting",
        ),
        _ => Finding::problem(CHECK, what)
            .because("any user who can write to it can keep every container from starting"),
    };
    Some(finding.repair(format!("chmod 600 {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_others_can_take_is_told() {
        let check = |is_file, owner, mode, expected: Option<&str>| {
            let facts = LockFacts {
                is_file,
                owner,
                mode,
            };
            let found = judge(Path::new("/run/l"), facts, 0);
            let found = found.map(|finding| finding.to_string());
            let found = found.as_deref();
            match expected {
                None => assert_eq!(found, None),
                Some(beginning) => assert!(found.is_some_and(|text| text.starts_with(beginning))),
            }
        };
        check(true, 0, 0o600, None);
        check(
            true,
            0,
            0o644,
            Some(
                "note: Podman's network lock /run/l has mode 0644 (Podman creates it with this mode; ",
            ),
        );
        check(
            true,
            0,
            0o666,
            Some("problem: Podman's network lock /run/l has mode 0666"),
        );
        check(
            true,
            7,
            0o600,
            Some("problem: Podman's network lock /run/l belongs to user 7, with mode 0600"),
        );
        check(
            false,
            0,
            0o777,
            Some("problem: Podman's network lock /run/l is not a regular file"),
        );
    }
}
