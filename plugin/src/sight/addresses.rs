//! Which addresses are in use, in whatever namespace.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use thiserror::Error;

use super::links::links;
use super::{Evidence, Link, NamespaceFact, NamespaceKey, Peer, namespaces, own_namespace};

/// Not every namespace could be looked into.
#[derive(Debug, Error)]
#[error("failed to look into every network namespace: {0}")]
pub struct Incomplete(String);

/// Every namespace of this host that can be looked into.
pub(super) struct Everywhere {
    /// The interfaces of our own namespace.
    pub(super) host: Vec<Link>,
    pub(super) others: Vec<NamespaceFact>,
    /// Why there may be namespaces that were not seen.
    doubt: Option<String>,
}

impl Everywhere {
    /// Looks into all of them. Without root it is those of this user's containers: see
    /// [`namespaces`].
    pub(super) fn look(evidence: &Evidence) -> io::Result<Self> {
        let (others, doubt) = namespaces(evidence, own_namespace()?);
        let host = links()?;
        Ok(Self {
            doubt: doubt.or_else(|| hidden(&host, &others)),
            host,
            others,
        })
    }

    /// Returns the addresses that some namespace holds, or why there may be others.
    pub(super) fn held(&self) -> Result<HashSet<IpAddr>, Incomplete> {
        if let Some(doubt) = &self.doubt {
            return Err(Incomplete(doubt.clone()));
        }
        let others = self.others.iter().flat_map(|other| &other.links);
        let links = self.host.iter().chain(others);
        Ok(links.flat_map(|link| link.addresses.clone()).collect())
    }
}

/// Returns the addresses that some namespace of this host holds, our own included.
///
/// # Errors
/// If a namespace cannot be looked into, or is hidden: then nothing can be said of
/// any address that was not found.
pub fn on_this_host(evidence: &Evidence) -> Result<HashSet<IpAddr>, Incomplete> {
    let seen = Everywhere::look(evidence);
    seen.map_err(|error| Incomplete(error.to_string()))?.held()
}

/// Returns the addresses that other namespaces than this one hold.
///
/// # Errors
/// As [`on_this_host`].
pub fn outside(
    evidence: &Evidence,
    namespace: NamespaceKey,
) -> Result<HashSet<IpAddr>, Incomplete> {
    let seen = Everywhere::look(evidence);
    let mut seen = seen.map_err(|error| Incomplete(error.to_string()))?;
    let doubt = seen.held().err();
    seen.others.retain(|other| other.key != namespace);
    match doubt {
        Some(doubt) => Err(doubt),
        None => seen.held(),
    }
}

/// Returns why a namespace is hidden, if one is, with processes that are not ours to
/// see and without a file: one end of its veth pair is here.
pub(super) fn hidden(host: &[Link], seen: &[NamespaceFact]) -> Option<String> {
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
