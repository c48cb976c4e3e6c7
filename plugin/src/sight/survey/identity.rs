//! Which container lives in a namespace, as far as the running system tells.

use crate::rules::lease::ContainerId;
use crate::sight::{self, Evidence, NamespaceKey, ProcessFact};

/// Room for the mounts of a container: some 5,000.
const MOUNTS: u64 = 1 << 20;

/// How many processes of a namespace are asked.
const PROCESSES: usize = 16;

/// Returns the container of the namespace's first process that shows one: of those that
/// share a namespace, as in a pod, the one it was made for. A podman may be in there
/// before all of them, with the thread that made the namespace.
pub(super) fn container(evidence: &Evidence, key: NamespaceKey) -> Option<ContainerId> {
    let inhabitants = evidence.processes.iter();
    let mut inhabitants: Vec<_> = inhabitants
        .filter(|fact| fact.namespace == Some(key))
        .collect();
    inhabitants.sort_by_key(|fact| fact.process.start_time);
    inhabitants.into_iter().take(PROCESSES).find_map(|fact| {
        // A container may mount what it likes; its conmon is Podman's.
        monitored(evidence, fact).or_else(|| {
            let path = format!("/proc/{}/mountinfo", fact.process.pid);
            let mounts = sight::read_proc(&path, MOUNTS).ok()?;
            mounted(&String::from_utf8_lossy(&mounts))
        })
    })
}

/// Returns the container whose files are mounted: Podman mounts `resolv.conf` and
/// others from `<driver>-containers/<id>/userdata` of its storage.
///
/// What is mounted counts (mountinfo's fourth field), not where: the host has a mount
/// below each container's `userdata`.
fn mounted(mounts: &str) -> Option<ContainerId> {
    let mut sources = mounts.lines().filter_map(|line| line.split(' ').nth(3));
    sources.find_map(|source| {
        let (_, rest) = source.split_once("-containers/")?;
        let (id, rest) = rest.split_once('/')?;
        (is_id(id) && rest.starts_with("userdata/")).then(|| id.into())
    })
}

/// Returns the container that the process' parent, a conmon, watches over.
fn monitored(evidence: &Evidence, process: &ProcessFact) -> Option<ContainerId> {
    let parent = |fact: &&ProcessFact| fact.process.pid == process.parent;
    let conmon = evidence.processes.iter().find(parent)?;
    let id = option(conmon, "-c").filter(|id| is_id(id));
    id.filter(|_| conmon.name == "conmon")
        .map(ContainerId::from)
}

/// Returns a container's name, if a conmon watches over it and says one that Podman
/// allows.
pub(super) fn name(evidence: &Evidence, container: &ContainerId) -> Option<String> {
    let conmon = evidence
        .processes
        .iter()
        .find(|fact| fact.name == "conmon" && option(fact, "-c") == Some(container.as_str()))?;
    let name = option(conmon, "-n").filter(|name| is_name(name))?;
    Some(name.to_owned())
}

/// Returns the value of a short option of conmon.
fn option<'a>(fact: &'a ProcessFact, name: &str) -> Option<&'a str> {
    let mut arguments = fact.arguments.iter();
    arguments.find(|argument| *argument == name)?;
    arguments.next().map(String::as_str)
}

/// Returns whether a text can be a container's name (Podman `define.NameRegex`), and is
/// no longer than any that people give.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins && text.len() <= 253 && text.bytes().all(allowed)
}

/// Returns whether a text can be a container's id.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_podman_allows() {
        for name in ["web", "a-1_2.b", &"x".repeat(253)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a b", "a\u{1b}[2J", "ö", &"x".repeat(254)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_container_is_known_by_the_files_podman_mounts() {
        let id = "0123456789abcdef".repeat(4);
        let mounts = format!(
            "812 790 0:42 / /proc rw - proc proc rw\n\
             830 790 0:29 /containers/storage/overlay-containers/{id}/userdata/resolv.conf \
             /etc/resolv.conf rw - tmpfs tmpfs rw\n"
        );
        assert_eq!(mounted(&mounts), Some(id.as_str().into()));
        let other = "1 2 0:3 /x-containers/short/userdata/hosts /etc/hosts rw - tmpfs t rw\n";
        assert_eq!(mounted(other), None);
        assert_eq!(mounted(&mounts.replace("userdata", "merged")), None);
        // As the host, and a podman on it, see a container.
        let shm =
            format!("9 2 0:3 / /var/lib/overlay-containers/{id}/userdata/shm rw - tmpfs s rw");
        assert_eq!(mounted(&shm), None);
    }
}
