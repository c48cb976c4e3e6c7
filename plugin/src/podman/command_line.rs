//! Who called us: the command lines above this process.

use std::path::{Path, PathBuf};

use crate::sight;

/// The command line of a process, which begins with the program's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl CommandLine {
    /// Returns the file name of the program.
    pub fn program(&self) -> Option<&str> {
        Path::new(self.0.first()?).file_name()?.to_str()
    }

    /// Returns whether the program is netavark.
    pub fn is_netavark(&self) -> bool {
        self.program() == Some("netavark")
    }

    /// Returns the value of a long option, given as `--name value` or `--name=value`. If it is
    /// given more than once, the last one counts, as in Podman. Nothing after `--` counts.
    pub fn option(&self, name: &str) -> Option<PathBuf> {
        let given = self
            .0
            .iter()
            .skip(1)
            .take_while(|argument| *argument != "--");
        let given: Vec<&str> = given.map(String::as_str).collect();
        let value = |index: usize| match given[index].strip_prefix(name)? {
            "" => given.get(index + 1).copied(),
            rest => rest.strip_prefix('='),
        };
        let found = (0..given.len()).rev().find_map(value);
        found.filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

/// Returns the command line of `pid` and, if that is a netavark (Podman 6 lets it call us),
/// that of its parent.
pub(super) fn above(pid: i32) -> Vec<CommandLine> {
    let nearest = sight::process(pid);
    let next = nearest
        .as_ref()
        .and_then(|fact| sight::process(fact.parent));
    let mut lines = nearest
        .into_iter()
        .chain(next)
        .map(|fact| CommandLine(fact.arguments));
    let first = lines.next();
    let second = lines
        .next()
        .filter(|_| first.as_ref().is_some_and(CommandLine::is_netavark));
    first.into_iter().chain(second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_both_spellings_the_last_one_counting() {
        let check = |text: &str, expected: Option<&str>| {
            let line = CommandLine(text.split(' ').map(Into::into).collect());
            let found = line.option("--network-config-dir");
            assert_eq!(found, expected.map(PathBuf::from), "{text}");
        };
        check("podman --network-config-dir /a network create ", Some("/a"));
        check(
            "podman --network-config-dir=/a network create x",
            Some("/a"),
        );
        check(
            "podman --network-config-dir=/a --network-config-dir /b",
            Some("/b"),
        );
        check(
            "podman network create x --network-config-dir=/a",
            Some("/a"),
        );
        check("podman network create", None);
        check("podman --network-config-dir", None);
        check("podman --network-config-dir=", None);
        check("podman --network-config-dirs=/a", None);
        check("podman run -- --network-config-dir=/a", None);
        check("--network-config-dir=/a", None);
        check("", None);
    }

    #[test]
    fn our_own_command_line_can_be_read() {
        let lines = above(std::process::id().cast_signed());
        let me = std::env::current_exe().ok();
        let me = me
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        assert_eq!(lines.first().and_then(CommandLine::program), me);
        assert_eq!(lines.len(), 1, "no netavark, so its parent does not matter");
    }
}
