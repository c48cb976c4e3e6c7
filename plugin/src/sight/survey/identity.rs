//! Which container lives in a namespace, as far as the running system tells.

use crate::rules::lease::ContainerId;
use crate::sight::{self, Evidence, NamespaceKey, ProcessFact};

/// Room for the mounts of a container: some 5,000.
const MOUNTS: u64 = 1 << 20;

/// Returns the container of the namespace's first process: of those that share a
/// namespace, as in a pod, the one it was made for.
pub(super) fn container(evidence: &Evidence, key: NamespaceKey) -> Option<ContainerId> {
    let first = evidence
        .processes
        .iter()
        .filter(|fact| fact.namespace == Some(key))
        .min_by_key(|fact| fact.process.start_time)?;
    let mounts = sight::read_proc(&format!("/proc/{}/mountinfo", first.process.pid), MOUNTS);
    mounts
        .ok()
        .and_then(|bytes| mounted(&String::from_utf8_lossy(&bytes)))
        .or_else(|| monitored(evidence, first))
}

/// Returns the container whose files are mounted: Podman mounts `resolv.conf` and
/// others from `<driver>-containers/<id>/userdata` of its storage.
fn mounted(mounts: &str) -> Option<ContainerId> {
    mounts.split("-containers/").skip(1).find_map(|rest| {
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

/// Returns a container's name, if a conmon watches over it.
pub(super) fn name(evidence: &Evidence, container: &ContainerId) -> Option<String> {
    let conmon = evidence
        .processes
        .iter()
        .find(|fact| fact.name == "conmon" && option(fact, "-c") == Some(container.as_str()))?;
    option(conmon, "-n").map(str::to_owned)
}

/// Returns the value of a short option of conmon.
fn option<'a>(fact: &'a ProcessFact, name: &str) -> Option<&'a str> {
    let mut arguments = fact.arguments.iter();
    arguments.find(|argument| *argument == name)?;
    arguments.next().map(String::as_str)
}

/// Returns whether a text can be a container's id.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
