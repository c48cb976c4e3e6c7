//! What a process is at work for, judged by its name and arguments. [`crate::sight`] reads only
//! the arguments of processes that can be at work for one of our containers, so no others count
//! here.

use std::path::Path;

use super::evidence::ProcessFact;

/// podman's arguments for running a command in the namespace that has a user's bridges.
pub const INTO_USER_NAMESPACE: [&str; 2] = ["unshare", "--rootless-netns"];

/// The verbs of a podman that starts, stops or removes a container.
const VERBS: [&str; 10] = [
    "start",
    "restart",
    "run",
    "init",
    "restore",
    "cleanup",
    "stop",
    "kill",
    "rm",
    "checkpoint",
];

impl ProcessFact {
    /// Returns whether a process works for a container: its conmon, a buildah, or a
    /// podman that starts, stops or removes it.
    pub fn works_for(&self, container: &str) -> bool {
        let at_work = match self.name.as_str() {
            "conmon" | "buildah" => true,
            "podman" => VERBS.iter().any(|verb| self.mentions(verb)),
            _ => false,
        };
        at_work && self.mentions(container)
    }

    /// Returns whether a process that has asked for a container's addresses ends once the
    /// container is started or has failed to start, however long that takes: relabelling a
    /// volume (`:Z`) and hooks come after netavark. It is a podman that starts containers by
    /// itself; one that serves the API runs for ever.
    pub fn ends_with_its_start(&self) -> bool {
        let mut verbs = ["run", "start", "restart", "init", "play", "restore"].iter();
        let mut pairs = self.arguments.windows(2);
        self.name == "podman"
            && verbs.any(|verb| self.mentions(verb))
            && !pairs.any(|pair| pair == ["system", "service"])
    }

    /// Returns whether a process may make a namespace before netavark is called: a podman or
    /// buildah, except one that only keeps a user namespace (without arguments), one that runs
    /// a command there, such as a collection, and one that only looks on.
    pub fn is_maker(&self) -> bool {
        let mut arguments = self.arguments.iter().skip(1);
        ["podman", "buildah"].contains(&self.name.as_str())
            && arguments.any(|argument| !argument.is_empty())
            && !(self.name == "podman" && self.only_looks_on())
            && !self
                .arguments
                .windows(2)
                .any(|pair| pair == INTO_USER_NAMESPACE)
    }

    /// Returns whether a process is a netavark or berth at work in a namespace. A netavark in a
    /// stand-in ([`crate::delegate::StandIn`]) may be at work for any container. A netavark
    /// that Podman called is never in one, although `podman build` names a descriptor, too.
    pub fn plumbs(&self, namespace: &Path) -> bool {
        let stand_in = |word: &String| word.starts_with("/proc/") && word.contains("/fd/");
        let is_worker = ["netavark", "berth"].contains(&self.name.as_str());
        is_worker && namespace.to_str().is_some_and(|path| self.mentions(path))
            || self.name == "netavark"
                && !self.is_called_by_podman()
                && self.arguments.iter().any(stand_in)
    }

    /// Returns whether a process is a netavark that sets up or tears down containers on the
    /// networks of this run directory.
    pub fn is_netavark_of(&self, run_directory: &Path) -> bool {
        self.name == "netavark"
            && run_directory
                .to_str()
                .is_some_and(|path| self.mentions(path))
            && ["setup", "teardown"].iter().any(|verb| self.mentions(verb))
    }

    /// Returns whether Podman called this netavark. Podman passes `--plugin-directory` and its
    /// value as two words, berth as one.
    pub fn is_called_by_podman(&self) -> bool {
        let mut words = self.arguments.iter();
        words.any(|word| word == "--plugin-directory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::lease::Process;

    fn fact(line: &str) -> ProcessFact {
        let arguments: Vec<_> = line.split(' ').map(str::to_owned).collect();
        ProcessFact {
            process: Process {
                pid: 7,
                start_time: 1,
            },
            parent: 1,
            name: arguments[0].clone(),
            arguments,
            namespace: None,
        }
    }

    #[test]
    fn whoever_starts_or_watches_a_container_works_for_it() {
        let check = |line: &str, expected: bool| {
            assert_eq!(fact(line).works_for("c1"), expected, "{line}");
        };
        check("conmon -c c1 -n web", true);
        check("conmon -c c2", false);
        check("podman start c1", true);
        check("podman container cleanup c1", true);
        check("podman logs c1", false);
        check("buildah run c1", true);
        check("bash run c1", false);
    }

    #[test]
    fn a_podman_ends_with_its_start_unless_it_serves_others() {
        let check = |line: &str, expected: bool| {
            assert_eq!(fact(line).ends_with_its_start(), expected, "{line}");
        };
        check("podman run -v /data:/data:Z lab", true);
        check("podman --log-level debug container start c1", true);
        check("podman system service --time=0", false);
        check("podman run --name service lab", true);
        check("bash run c1", false);
        check("podman", false);
    }

    #[test]
    fn a_podman_makes_namespaces_unless_it_only_runs_a_command() {
        let check = |line: &str, expected: bool| {
            assert_eq!(fact(line).is_maker(), expected, "{line}");
        };
        check("podman run lab", true);
        check("podman system service", true);
        check("buildah bud .", true);
        check("podman", false);
        check("podman events --stream", false);
        check("podman unshare --rootless-netns berth gc", false);
        check("bash podman run", false);
    }

    #[test]
    fn a_netavark_plumbs_where_its_arguments_say() {
        let netns = Path::new("/run/netns/netns-1");
        let check = |line: &str, expected: bool| {
            assert_eq!(fact(line).plumbs(netns), expected, "{line}");
        };
        check("netavark --config /r setup /run/netns/netns-1", true);
        check("berth setup /run/netns/netns-1", true);
        check("netavark --config /r setup /run/netns/netns-2", false);
        check("netavark --config /r teardown /proc/9/fd/4", true);
        let of_podman = "netavark --plugin-directory /p --config /r setup";
        check(&format!("{of_podman} /proc/9/fd/4"), false);
        check(&format!("{of_podman} /run/netns/netns-1"), true);
        check("bash /run/netns/netns-1", false);
        let at_work = |line: &str| fact(line).is_netavark_of(Path::new("/r"));
        assert!(at_work("netavark --config /r setup /n"));
        assert!(!at_work("netavark --config /q setup /n"));
        assert!(!at_work("netavark --config /r --version"));
    }
}
