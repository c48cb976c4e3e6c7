//! What a podman was told to do, judged by its arguments: which commands may start a container,
//! and which cannot. No I/O.

use super::evidence::ProcessFact;

/// Podman's global options that take a value (podman 4.9 to 6.1, `podman --help`).
const WITH_VALUE: [&str; 29] = [
    "-c",
    "--cgroup-manager",
    "--cdi-spec-dir",
    "--config",
    "--conmon",
    "--connection",
    "--cpu-profile",
    "--events-backend",
    "--hooks-dir",
    "--identity",
    "--imagestore",
    "--log-level",
    "--memory-profile",
    "--module",
    "--network-cmd-path",
    "--network-config-dir",
    "--out",
    "--root",
    "--runroot",
    "--runtime",
    "--runtime-flag",
    "--ssh",
    "--storage-driver",
    "--storage-opt",
    "--tmpdir",
    "--tls-ca",
    "--tls-cert",
    "--tls-key",
    "--url",
];

/// Podman's global options that take no value.
const FLAGS: [&str; 7] = [
    "-r",
    "--debug",
    "--noout",
    "--remote",
    "--syslog",
    "--trace",
    "--transient-store",
];

/// Commands that never start a container, alone or after `container`, `image`, `pod` or
/// `system`.
const BYSTANDERS: [&str; 57] = [
    "artifact",
    "attach",
    "check",
    "commit",
    "completion",
    "connection",
    "cp",
    "df",
    "diff",
    "events",
    "exec",
    "exists",
    "export",
    "healthcheck",
    "help",
    "history",
    "images",
    "import",
    "info",
    "inspect",
    "kill",
    "list",
    "load",
    "login",
    "logout",
    "logs",
    "ls",
    "machine",
    "manifest",
    "mount",
    "network",
    "pause",
    "port",
    "prune",
    "ps",
    "pull",
    "push",
    "rename",
    "rm",
    "rmi",
    "save",
    "scp",
    "search",
    "secret",
    "sign",
    "stats",
    "stop",
    "tag",
    "top",
    "tree",
    "trust",
    "umount",
    "unmount",
    "untag",
    "version",
    "volume",
    "wait",
];

impl ProcessFact {
    /// Returns whether a podman was told to do something that never starts a container; `false`
    /// when in doubt.
    pub(super) fn only_looks_on(&self) -> bool {
        let Some(words) = self.command() else {
            return false;
        };
        let mut words = words.iter().map(String::as_str);
        let is_bystander = |word: Option<&str>| word.is_some_and(|word| BYSTANDERS.contains(&word));
        match words.next() {
            Some("container" | "image" | "pod" | "system") => is_bystander(words.next()),
            word => is_bystander(word),
        }
    }

    /// Returns whether a podman names its own storage or another host, so that it may know
    /// containers that a podman without these options does not.
    pub fn has_other_containers(&self) -> bool {
        const OPTIONS: [&str; 6] = ["--root", "--runroot", "--module", "--config", "--url", "-c"];
        self.arguments.iter().skip(1).any(|argument| {
            let name = argument
                .split_once('=')
                .map_or(&**argument, |(name, _)| name);
            OPTIONS.contains(&name)
        })
    }

    /// Returns the command and what follows it; `None` if there is none, or if an option before
    /// it is unknown to us.
    fn command(&self) -> Option<&[String]> {
        let mut rest = self.arguments.get(1..)?;
        loop {
            let first = rest.first()?.as_str();
            rest = match first {
                word if !word.starts_with('-') => return Some(rest),
                option if WITH_VALUE.contains(&option) => rest.get(2..)?,
                option if FLAGS.contains(&option) => &rest[1..],
                option => {
                    let name = option.split_once('=')?.0;
                    let is_known = WITH_VALUE.contains(&name) || FLAGS.contains(&name);
                    is_known.then_some(&rest[1..])?
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::lease::Process;

    fn podman(line: &str) -> ProcessFact {
        ProcessFact {
            process: Process {
                pid: 7,
                start_time: 1,
            },
            parent: 1,
            name: "podman".to_owned(),
            arguments: line.split(' ').map(str::to_owned).collect(),
            namespace: None,
        }
    }

    #[test]
    fn only_a_known_command_behind_known_options_starts_nothing() {
        let check = |line: &str, expected: bool| {
            assert_eq!(podman(line).only_looks_on(), expected, "{line}");
        };
        check("podman events", true);
        check("podman --log-level debug stats --all", true);
        check("podman --log-level=debug --syslog wait c", true);
        check("podman container logs -f c", true);
        check("podman system df", true);
        check("podman exec c podman run x", true);
        check("podman run ps", false);
        check("podman --log-level info run x", false);
        check("podman --unknown ps run x", false);
        check("podman --unknown=ps ps", false);
        check("podman container cleanup c", false);
        check("podman container restore c", false);
        check("podman image build .", false);
        check("podman system service", false);
        check("podman build .", false);
        check("podman kube play x", false);
        check("podman", false);
        check("podman --root", false);
    }

    #[test]
    fn options_that_name_another_storage_are_seen() {
        assert!(podman("podman --root /x system service").has_other_containers());
        assert!(podman("podman --runroot=/x run y").has_other_containers());
        assert!(!podman("podman system service").has_other_containers());
    }
}
