//! Every network namespace of this host that berth can see, and what is in it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::links::links_in_by;
use super::reach::Sight;
use super::{Doubt, Evidence, NamespaceFact, NamespaceKey, PathFact, examine};
use crate::netlink::deadline;

/// Returns the namespace of the calling thread.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn own_namespace() -> io::Result<NamespaceKey> {
    let metadata = fs::metadata("/proc/thread-self/ns/net")?;
    Ok((metadata.dev(), metadata.ino()))
}

/// What a look into every namespace shows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The namespaces and their interfaces.
    pub(super) found: Vec<NamespaceFact>,
    /// What could not be looked into.
    pub(super) doubts: Vec<Doubt>,
    /// Namespaces without a file whose interfaces could not be listed, each with the reason.
    /// Whoever owns one can see to that, with too many interfaces or endless changes.
    pub(super) unlisted: Vec<(NamespaceKey, String)>,
}

/// Looks into the namespaces with a process or a file, except our `own`.
///
/// The files are those beside the tenants' ([`Evidence::named`]). A file on which
/// nothing is mounted shows no namespace and is left out. Without root, so are the
/// namespaces that we may not join: the host's own, and those made in an earlier user
/// namespace of ours, whose containers are on bridges that we cannot reach.
pub(super) fn namespaces(evidence: &Evidence, own: NamespaceKey) -> Seen {
    let unreadable = evidence.unreadable.iter();
    let mut all = Seen {
        doubts: evidence.doubts.clone(),
        ..Seen::default()
    };
    all.doubts.extend(unreadable.cloned().map(unseen));
    let sight = Sight::of_this_process();
    // All namespaces are on one device; files on another are where one was once
    // mounted.
    let files = evidence
        .named
        .iter()
        .filter(|(key, _)| key.0 == own.0)
        .map(|(key, path)| (*key, path.clone(), true));
    let processes = evidence
        .processes
        .iter()
        .filter_map(|fact| Some((fact.namespace?, fact.namespace_path(), false)));
    let mut together = None;
    let mut seen = HashSet::from([own]);
    for (key, path, named) in files.chain(processes) {
        if !seen.insert(key) {
            continue;
        }
        // Anybody can have any number of namespaces without a file, and slow ones.
        let by = match named {
            true => deadline(),
            false => *together.get_or_insert_with(deadline),
        };
        match links_in_by(&path, key, by) {
            Ok(links) => all.found.push(NamespaceFact {
                key,
                path,
                named,
                links,
            }),
            // It has gone since, with its last process or file.
            Err(_) if examine(&path) != PathFact::There(key) => {}
            Err(error) if is_refusal(&error) && sight.excludes_unjoinable() => {}
            Err(error) => {
                let why = format!("namespace {}: {error}", path.display());
                match named {
                    true => all.doubts.push(unseen(why)),
                    false => all.unlisted.push((key, why)),
                }
            }
        }
    }
    all
}

/// Returns the doubt about a namespace of which nothing can be seen.
pub const fn unseen(why: String) -> Doubt {
    Doubt { why, view: None }
}

/// Returns whether the kernel does not let us join a namespace (setns(2)).
fn is_refusal(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::Error::EPERM as i32)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    #[test]
    fn nothing_is_looked_into_once_the_time_is_over() {
        let own = own_namespace().expect("/proc");
        let path = Path::new("/proc/thread-self/ns/net");
        let late = links_in_by(path, own, Instant::now());
        assert!(late.is_err_and(|error| error.to_string().contains("was over")));
    }
}
