//! Everything that has an address, in whatever namespace.

use std::io;
use std::net::IpAddr;

use super::links::links;
use super::{Evidence, Link, NamespaceFact, Peer, namespaces, own_namespace};
use crate::protocol::Network;
use crate::rules::doubt::{Doubt, doubt_about, hidden_port, is_seen_inside};

/// Every namespace of this host that can be looked into.
#[derive(Clone, Debug)]
pub struct Everywhere {
    /// The interfaces of our own namespace.
    pub(super) host: Vec<Link>,
    pub(super) others: Vec<NamespaceFact>,
    doubts: Vec<Doubt>,
}

impl Everywhere {
    /// Looks into all of them. Without root it is those of this user's containers: see
    /// [`namespaces`].
    ///
    /// # Errors
    /// If our own namespace or its interfaces cannot be read.
    pub fn look(evidence: &Evidence) -> io::Result<Self> {
        let (others, doubts) = namespaces(evidence, own_namespace()?);
        Ok(Self {
            host: links()?,
            others,
            doubts,
        })
    }

    /// Returns all addresses that were found, our own namespace's included.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let others = self.others.iter().flat_map(|other| &other.links);
        let links = self.host.iter().chain(others);
        links.flat_map(|link| link.addresses.iter().copied())
    }

    /// Returns why an address of a network may be in use that was not found.
    pub fn doubt_about(&self, network: &Network) -> Option<String> {
        doubt_about(network, &self.doubts, &self.host, &self.others).or_else(|| {
            let port = hidden_port(network, &self.host, &self.others)?;
            Some(behind(port))
        })
    }
}

/// Returns why a namespace is hidden, if one is, with processes that are not ours to
/// see and without a file: one end of its veth pair is here.
pub fn hidden(host: &[Link], seen: &[NamespaceFact]) -> Option<String> {
    let leads_out =
        |outer: &&Link| outer.kind == "veth" && matches!(outer.peer, Some(Peer::Elsewhere(..)));
    let mut outers = host.iter().filter(leads_out);
    outers
        .find(|outer| !is_seen_inside(outer, seen))
        .map(behind)
}

fn behind(outer: &Link) -> String {
    format!(
        "the other end of {} is in a network namespace that berth cannot see",
        outer.name
    )
}
