//! What the host knows about its users. An executable without shared libraries cannot use the C
//! library's own functions for this (`plugin/build.rs`).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use wait_timeout::ChildExt;

/// Knows users that are in no file, as from a directory service. It is called by its path,
/// because `PATH` may be another user's.
const GETENT: &str = "/usr/bin/getent";

/// How long getent(1) may take, because a directory service may not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns a user's home directory.
pub(super) fn home(root: &Path, uid: u32) -> Option<PathBuf> {
    let file = fs::read_to_string(root.join("etc/passwd"));
    let in_file = file.ok().and_then(|file| home_in(&file, uid));
    in_file.or_else(|| home_in(&asked(uid)?, uid))
}

fn home_in(database: &str, uid: u32) -> Option<PathBuf> {
    // NAME:PASSWORD:UID:GID:FULL NAME:HOME:SHELL
    let fields = database.lines().map(|line| line.split(':'));
    let mut homes = fields.filter_map(|mut fields| {
        let is_its = fields.nth(2)?.parse() == Ok(uid);
        fields.nth(2).filter(|home| is_its && !home.is_empty())
    });
    homes.next().map(PathBuf::from)
}

/// Returns what getent(1) says about a user.
fn asked(uid: u32) -> Option<String> {
    let mut getent = Command::new(GETENT)
        .args(["passwd", &uid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    if !matches!(getent.wait_timeout(PATIENCE), Ok(Some(_))) {
        log::warn!("{GETENT} did not report the home directory of user {uid}");
        getent.kill().and_then(|()| getent.wait()).ok()?;
        return None;
    }
    let mut said = String::new();
    getent.stdout.take()?.read_to_string(&mut said).ok()?;
    Some(said)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_by_the_users_id() {
        let database = "root:x:0:0:root:/root:/bin/sh\n\
                        broken:x\n+::::::\n\
                        none:x:8:8:::/bin/sh\n\
                        ann:x:1000:100:Ann,,,:/home/ann:/bin/sh\n\
                        twin:x:1000:100::/home/twin:/bin/sh";
        let home = |uid| home_in(database, uid);
        assert_eq!(home(0), Some("/root".into()));
        assert_eq!(home(1000), Some("/home/ann".into()));
        assert_eq!(home(100), None);
        assert_eq!(home(8), None);
    }

    #[test]
    fn getent_is_asked_of_whom_no_file_knows() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(home(empty.path(), 0), Some("/root".into()));
        assert_eq!(home(empty.path(), u32::MAX - 7), None);
    }
}
