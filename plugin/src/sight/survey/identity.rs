//! Which container is in a namespace, as far as the running system tells.

use super::storage::RunRoots;
use crate::rules::lease::{ContainerId, is_id};
use crate::rules::roster::Roster;
use crate::sight::{NamespaceKey, ProcessFact};

/// How many processes of a namespace are examined.
const PROCESSES: usize = 16;

/// Returns the container of the first process in the namespace that shows one. If
/// several containers share the namespace, as in a pod, that is the one it was made
/// for. A podman may be in there before all of them, with the thread that made the
/// namespace.
pub(super) fn container(
    roster: &Roster<'_>,
    roots: &RunRoots,
    key: NamespaceKey,
) -> Option<ContainerId> {
    let mut inhabitants: Vec<_> = roster.inhabitants(key).collect();
    inhabitants.sort_by_key(|fact| fact.process.start_time);
    inhabitants.into_iter().take(PROCESSES).find_map(|fact| {
        // Podman started its conmon. If it has none, go by the files that Podman mounted.
        monitored(roster, fact).or_else(|| roots.container_of(fact.process.pid))
    })
}

/// Returns the container that the process's parent, a conmon, watches over.
fn monitored(roster: &Roster<'_>, process: &ProcessFact) -> Option<ContainerId> {
    let conmon = roster.with_pid(process.parent)?;
    let id = option(conmon, "-c").filter(|id| is_id(id));
    id.filter(|_| conmon.name == "conmon")
        .map(ContainerId::from)
}

/// Returns a container's name, if a conmon watches over it and gives a name that Podman
/// allows.
pub(super) fn name(roster: &Roster<'_>, container: &ContainerId) -> Option<String> {
    let id = container.as_str();
    let mut told = roster.told(id);
    let conmon = told.find(|fact| fact.name == "conmon" && option(fact, "-c") == Some(id))?;
    let name = option(conmon, "-n").filter(|name| is_name(name))?;
    Some(name.to_owned())
}

/// Returns the value of a short option of conmon.
fn option<'a>(fact: &'a ProcessFact, name: &str) -> Option<&'a str> {
    let mut arguments = fact.arguments.iter();
    arguments.find(|argument| *argument == name)?;
    arguments.next().map(String::as_str)
}

/// Returns whether a text can be a container's name (Podman `define.NameRegex`) and is
/// no longer than any that people choose.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins && text.len() <= 253 && text.bytes().all(allowed)
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
}
