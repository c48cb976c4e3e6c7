//! Who called us: the command lines above this process.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The command line of a process, the program's name first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine(pub Vec<OsString>);

impl CommandLine {
    /// Reads the text of `/proc/<pid>/cmdline` (proc(5)): each argument ends in NUL.
    fn parse(text: &[u8]) -> Self {
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        Self(
            text.split(|byte| *byte == 0)
                .map(|argument| OsStr::from_bytes(argument).to_owned())
                .collect(),
        )
    }

    /// Returns the file name of the program.
    pub fn program(&self) -> Option<&OsStr> {
        Path::new(self.0.first()?).file_name()
    }

    /// Returns the value of a long option, given as `--name value` or
    /// `--name=value`; of the last one, as Podman does. Nothing after `--` counts.
    pub fn option(&self, name: &str) -> Option<PathBuf> {
        let options: Vec<&OsString> = self
            .0
            .iter()
            .skip(1)
            .take_while(|argument| *argument != "--")
            .collect();
        let value = |index: usize| {
            let rest = options[index].as_bytes().strip_prefix(name.as_bytes())?;
            match rest {
                [] => options.get(index + 1).map(|value| value.as_os_str()),
                [b'=', value @ ..] => Some(OsStr::from_bytes(value)),
                _ => None,
            }
        };
        (0..options.len())
            .rev()
            .find_map(value)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }
}

/// Returns the command line of `pid` and, where that is a netavark (Podman 6 lets it
/// call us), that of its parent.
pub(super) fn above(pid: u32) -> Vec<CommandLine> {
    let Some(nearest) = read(pid) else {
        return Vec::new();
    };
    let podman = if nearest.program() == Some(OsStr::new("netavark")) {
        parent(pid).and_then(read)
    } else {
        None
    };
    std::iter::once(nearest).chain(podman).collect()
}

fn read(pid: u32) -> Option<CommandLine> {
    let text = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(CommandLine::parse(&text))
}

fn parent(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_both_spellings_the_last_one_counting() {
        let check = |text: &str, expected: Option<&str>| {
            let line = CommandLine::parse(text.replace(' ', "\0").as_bytes());
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
        let lines = above(std::process::id());
        let me = std::env::current_exe().ok();
        assert_eq!(
            lines.first().and_then(CommandLine::program),
            me.as_deref().and_then(Path::file_name)
        );
        assert!(parent(std::process::id()).is_some());
    }
}
