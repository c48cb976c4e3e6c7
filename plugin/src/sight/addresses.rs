//! Which interfaces and addresses there are, in all namespaces.

use std::io;
use std::net::IpAddr;

use super::links::links;
use super::survey::may_be_port_of;
use super::{
    Doubt, Evidence, Link, NamespaceFact, NamespaceKey, Seen, namespaces, own_namespace, unseen,
};
use crate::protocol::Network;
use crate::rules::doubt::{doubt_about, hidden, hides};

/// Every namespace of this host that can be looked into.
#[derive(Clone, Debug)]
pub struct Everywhere {
    /// The interfaces of our own namespace.
    pub(super) host: Vec<Link>,
    pub(super) others: Vec<NamespaceFact>,
    doubts: Vec<Doubt>,
    /// The host's interfaces that lead into a namespace that was not seen.
    hidden: Vec<Link>,
}

impl Everywhere {
    /// Looks into all of them. Without root, these are the namespaces of this user's
    /// containers: see [`namespaces`].
    ///
    /// # Errors
    /// If our own namespace or its interfaces cannot be read.
    pub fn look(evidence: &Evidence) -> io::Result<Self> {
        let Seen {
            found: others,
            mut doubts,
            unlisted,
        } = namespaces(evidence, own_namespace()?);
        doubts.extend(unlisted.into_iter().map(|(_, why)| unseen(why)));
        let host = links()?;
        Ok(Self {
            hidden: hidden(&host, &others),
            host,
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

    /// Leaves out one namespace.
    #[must_use]
    pub fn without(mut self, namespace: NamespaceKey) -> Self {
        self.others.retain(|other| other.key != namespace);
        self
    }

    /// Returns why an address of a network may be in use although it was not found.
    pub fn doubt_about(&self, network: &Network) -> Option<String> {
        let is_its = |outer: &&Link| may_be_port_of(outer, network, &self.host);
        doubt_about(network, &self.doubts, &self.host, &self.hidden)
            .or_else(|| self.hidden.iter().find(is_its).map(hides))
    }
}
