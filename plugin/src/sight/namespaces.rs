//! Every network namespace of this host that berth can see, and what is in it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::links::links_in;
use super::reach::Sight;
use super::{Doubt, Evidence, NamespaceFact, NamespaceKey, PathFact, examine};

/// Returns the namespace of the calling thread.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn own_namespace() -> io::Result<NamespaceKey> {
    let metadata = fs::metadata("/proc/thread-self/ns/net")?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns the namespaces with a process or a file, except our `own`, and those that
/// could not be looked into.
///
/// The files are those beside the tenants' ([`Evidence::named`]). A file on which
/// nothing is mounted shows no namespace and is left out. Without root, so are the
/// namespaces that we may not join: the host's own, and those made in an earlier user
/// namespace of ours, whose containers are on bridges that we cannot reach.
pub(super) fn namespaces(
    evidence: &Evidence,
    own: NamespaceKey,
) -> (Vec<NamespaceFact>, Vec<Doubt>) {
    let mut doubts = evidence.doubts.clone();
    doubts.extend(
        evidence
            .unreadable
            .clone()
            .map(|why| Doubt { why, view: None }),
    );
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
    let mut seen = HashSet::from([own]);
    let mut found = Vec::new();
    for (key, path, named) in files.chain(processes) {
        if !seen.insert(key) {
            continue;
        }
        match links_in(&path, key) {
            Ok(links) => found.push(NamespaceFact {
                key,
                path,
                named,
                links,
            }),
            // It has gone since, with its last process or file.
            Err(_) if examine(&path) != PathFact::There(key) => {}
            Err(error) if is_refusal(&error) && sight.excludes_unjoinable() => {}
            Err(error) => doubts.push(Doubt {
                why: format!("namespace {}: {error}", path.display()),
                view: None,
            }),
        }
    }
    (found, doubts)
}

/// Returns whether the kernel does not let us join a namespace (setns(2)).
fn is_refusal(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::Error::EPERM as i32)
}
