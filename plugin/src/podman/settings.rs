//! Reads berth.conf.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Environment, layers};
use crate::rules::settings::{Concern, Mistake, Origin, Settings, keys};
use crate::sight::hands;

/// Reads and layers the files of this environment. Absent files are not a mistake.
///
/// For root, a file counts only if no other user can have written it: the file and its
/// directory must belong to root, and be writable by no group and no other user. Any other file
/// may hide what root has set, so it counts as a mistake, and so does a file that cannot be
/// read.
pub fn settings(environment: &Environment) -> Settings {
    let mut settings = Settings::default();
    let files = match layers::files(environment, &layers::BERTH) {
        Ok(files) => files,
        Err(unlisted) => {
            let mistake = unread(unlisted.path, &unlisted.source);
            settings.mistakes.push(mistake);
            return settings;
        }
    };
    for (path, variable) in files {
        match read(&path, environment) {
            Ok(text) => add(&mut settings, environment, &path, &text),
            Err(error) if error.kind() == ErrorKind::NotFound && variable.is_none() => {}
            Err(error) => settings.mistakes.push(unread(path, &error)),
        }
    }
    settings
}

fn unread(path: PathBuf, error: &io::Error) -> Mistake {
    Mistake {
        origin: Origin { path, line: None },
        what: error.to_string(),
        concern: Concern::Everything,
    }
}

/// Adds a file. The system's files set the place of the leases for root only, because another
/// user could not write there.
fn add(settings: &mut Settings, environment: &Environment, path: &Path, text: &str) {
    let before = settings.general.get(keys::STATE_DIRECTORY).cloned();
    settings.add(path, text);
    let is_systems = ["usr/share", "etc"]
        .iter()
        .any(|system| path.starts_with(environment.root().join(system)));
    if environment.rootless() && is_systems {
        match before {
            Some(before) => settings.general.insert(keys::STATE_DIRECTORY, before),
            None => settings.general.remove(keys::STATE_DIRECTORY),
        };
    }
}

fn read(path: &Path, environment: &Environment) -> io::Result<String> {
    let mut file = File::open(path)?;
    if !environment.rootless() {
        let directory = path.parent().unwrap_or(path).metadata()?;
        for (what, metadata) in [("it", file.metadata()?), ("its directory", directory)] {
            if let Some(why) = hands::on_file(&metadata, |mode| mode & 0o022 != 0) {
                let advice =
                    "root's configuration must belong to root and be writable by root alone";
                return Err(io::Error::other(format!("{what} {why}; {advice}")));
            }
        }
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    const ETC: &str = "etc/containers/berth.conf";

    /// Returns a user's settings from the files below this root.
    fn load(root: &Path, uid: u32) -> Settings {
        let home = root.join("home");
        settings(&Environment::imagined(root, uid, [("HOME", home)]))
    }

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn state(settings: &Settings) -> Option<&str> {
        settings.state_directory().map(|item| item.text.as_str())
    }

    #[test]
    fn later_files_win_and_the_systems_place_is_roots_alone() {
        let etc = (ETC, "state_directory = '/etc'\n[waits]\nlock = 1");
        let drop_in = (
            "etc/containers/berth.conf.d/1.conf",
            "state_directory = '/1'",
        );
        let own = (
            "home/.config/containers/berth.conf",
            "state_directory = '/own'",
        );
        let root = host(&[etc, drop_in]);
        assert_eq!(state(&load(root.path(), 0)), Some("/1"));
        let user = load(root.path(), 1000);
        assert_eq!(state(&user), None);
        assert_eq!(user.lock_wait().as_secs(), 1);
        let engine = (ETC, "state_directory = '/etc'\nengine = 'sled'");
        let user = load(host(&[engine]).path(), 1000);
        assert_eq!((state(&user), user.engine()), (None, Some("sled")));
        let root = host(&[etc, drop_in, own]);
        assert_eq!(state(&load(root.path(), 1000)), Some("/own"));
    }

    #[test]
    fn roots_file_counts_only_if_nobody_else_can_have_written_it() {
        let root = host(&[(ETC, "state_directory = '/etc'")]);
        let path = root.path().join(ETC);
        let check = |mode, expected: Option<&str>| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let settings = load(root.path(), 0);
            let said = settings.blinding().map(|mistake| mistake.what.clone());
            assert_eq!(said.as_deref(), expected);
            assert_eq!(state(&settings).is_none(), expected.is_some());
        };
        check(0o644, None);
        check(
            0o664,
            Some(
                "it has mode 0664; root's configuration must belong to root and be writable by root alone",
            ),
        );
        check(
            0o646,
            Some(
                "it has mode 0646; root's configuration must belong to root and be writable by root alone",
            ),
        );
        check(0o600, None);
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(1000), None).unwrap();
            let what = "it belongs to user 1000; root's configuration must belong to root and be \
                        writable by root alone";
            check(0o644, Some(what));
            chown(&path, Some(0), None).unwrap();
        }
        let directory = path.parent().unwrap();
        fs::set_permissions(directory, Permissions::from_mode(0o777)).unwrap();
        let what = "its directory has mode 0777; root's configuration must belong to root and be \
                    writable by root alone";
        check(0o644, Some(what));
        assert!(
            load(root.path(), 1000).mistakes.is_empty(),
            "a user's is the user's"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_mistake_and_none_is_none() {
        let root = host(&[]);
        assert!(load(root.path(), 0).mistakes.is_empty());
        fs::create_dir_all(root.path().join(ETC)).unwrap();
        let settings = load(root.path(), 0);
        let mistake = settings.blinding().unwrap();
        assert!(
            mistake
                .to_string()
                .ends_with("berth.conf: Is a directory (os error 21)")
        );
        let variable = [("BERTH_CONF", root.path().join("gone.conf"))];
        let named = super::settings(&Environment::imagined(root.path(), 0, variable));
        assert!(
            named
                .blinding()
                .unwrap()
                .to_string()
                .contains("gone.conf: No such file")
        );
    }
}
