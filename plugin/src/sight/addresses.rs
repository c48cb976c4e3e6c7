//! Which addresses are in use, in whatever namespace.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::links::links;
use super::{Evidence, Link, NamespaceFact, Peer, namespaces, own_namespace};

/// Not every namespace could be looked into.
#[derive(Debug, Error)]
#[error("failed to look into every network namespace: {0}")]
pub struct Incomplete(String);

/// Returns the addresses that some namespace of this host holds, our own included,
/// each with a process or file that shows the namespace. Without root it is those of
/// this user's containers: see [`namespaces`].
///
/// # Errors
/// If a namespace cannot be looked into, or is hidden: then nothing can be said of
/// any address that was not found.
pub fn on_this_host(evidence: &Evidence) -> Result<HashMap<IpAddr, PathBuf>, Incomplete> {
    let own = own_namespace().map_err(|error| Incomplete(error.to_string()))?;
    let host = links().map_err(|error| Incomplete(error.to_string()))?;
    let (seen, doubt) = namespaces(evidence, own);
    if let Some(doubt) = doubt.or_else(|| hidden(&host, &seen)) {
        return Err(Incomplete(doubt));
    }
    let of_host = (PathBuf::from("/proc/self/ns/net"), host.as_slice());
    let of_others = seen
        .iter()
        .map(|fact| (fact.path.clone(), fact.links.as_slice()));
    let mut found = HashMap::new();
    for (path, links) in std::iter::once(of_host).chain(of_others) {
        let addresses = links.iter().flat_map(|link| &link.addresses);
        found.extend(addresses.map(|address| (*address, path.clone())));
    }
    Ok(found)
}

/// Returns why a namespace is hidden, if one is, with processes that are not ours to
/// see and without a file: one end of its veth pair is here.
pub fn hidden(host: &[Link], seen: &[NamespaceFact]) -> Option<String> {
    let leads_out =
        |outer: &&Link| outer.kind == "veth" && matches!(outer.peer, Some(Peer::Elsewhere(..)));
    let is_seen = |outer: &Link| {
        let mut inner = seen.iter().flat_map(|namespace| &namespace.links);
        inner.any(|link| link.peer == Some(Peer::Host(outer.index)))
    };
    let mut outers = host.iter().filter(leads_out);
    let hidden = outers.find(|outer| !is_seen(outer))?;
    Some(format!(
        "the other end of {} is in a network namespace that berth cannot see",
        hidden.name
    ))
}
