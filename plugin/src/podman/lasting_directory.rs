//! Where berth keeps what must survive a reboot.

use std::path::{Path, PathBuf};

use super::{Environment, STATE_VARIABLE};

/// Returns the history file of a store. It survives a reboot: it is in the state directory if
/// the environment names one, otherwise in `berth` in `/var/lib` or, for a rootless Podman, in
/// `XDG_STATE_HOME`. There its name tells the stores of different Podmans apart.
pub(super) fn history_file(
    state_directory: &Path,
    rootless: bool,
    environment: &Environment,
) -> PathBuf {
    if environment.path(STATE_VARIABLE).is_some() {
        return state_directory.join("history");
    }
    let mut name = String::new();
    for c in state_directory.to_string_lossy().trim_matches('/').chars() {
        match c {
            '/' => name.push('-'),
            '-' => name.push_str("%2d"),
            '%' => name.push_str("%25"),
            c => name.push(c),
        }
    }
    lasting_directory(rootless, environment).join(format!("{name}.history"))
}

/// Returns the directory in which berth keeps what must survive a reboot.
pub(super) fn lasting_directory(rootless: bool, environment: &Environment) -> PathBuf {
    let directory = match environment.state_home().filter(|_| rootless) {
        Some(home) => home,
        None => environment.root().join("var/lib"),
    };
    directory.join("berth")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: &str, rootless: bool, variables: &[(&str, &str)], expected: &str) {
        let environment = Environment::imagined("/", 1000, variables.iter().copied());
        let file = history_file(Path::new(state), rootless, &environment);
        assert_eq!(file, Path::new(expected));
    }

    #[test]
    fn every_store_has_a_history_that_lasts() {
        let state = "/run/containers/networks/berth";
        let name = "run-containers-networks-berth.history";
        check(state, false, &[], &format!("/var/lib/berth/{name}"));
        let home = [("HOME", "/home/ann")];
        check(
            state,
            true,
            &home,
            &format!("/home/ann/.local/state/berth/{name}"),
        );
        let chosen = [("XDG_STATE_HOME", "/s"), ("HOME", "/home/ann")];
        check(state, true, &chosen, &format!("/s/berth/{name}"));
        check("/s/b", true, &[(STATE_VARIABLE, "/s/b")], "/s/b/history");
        check("/run/a-b", false, &[], "/var/lib/berth/run-a%2db.history");
    }
}
