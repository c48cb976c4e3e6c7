//! What berth could not see, and what that may hide. A process that berth cannot look at casts
//! no doubt on most tenants, nor on most networks. No I/O.

use std::collections::HashSet;

use super::bridge;
use super::evidence::{Doubt, Link, NamespaceFact, Peer, View, is_given_by_kernel};
use super::lease::Tenant;
use super::options::Plumbing;
use crate::protocol::Network;

impl Doubt {
    /// Returns whether this may be the namespace of a tenant, with the tenant's interface in
    /// it.
    pub fn may_hide(&self, tenant: &Tenant) -> bool {
        let Some(view) = &self.view else {
            return true;
        };
        let interface = tenant.tenancy.interface.as_str().as_bytes();
        let holds_one = view.addresses.iter().any(|held| tenant.has_leased(*held));
        holds_one || view.is_bare() && view.interfaces.contains(interface)
    }

    /// Returns whether something in the namespace may have an address of a network.
    fn may_be_on(&self, network: &Network) -> bool {
        let on = |view: &View| view.addresses.iter().any(|held| network.covers(*held));
        self.view.as_ref().is_none_or(on)
    }
}

impl View {
    /// Returns whether nothing in this namespace can belong to a container on a network of
    /// `host`: either it is the host's own namespace, or looks just like it and has no address
    /// that the host lacks; or the loopback is its only interface.
    pub fn is_beside_the_point(&self, host: &Self) -> bool {
        let is_alone = self.interfaces.iter().all(|name| name == b"lo");
        let is_host = self.interfaces == host.interfaces;
        // A zombie shows nothing at all.
        !self.interfaces.is_empty()
            && (is_alone || is_host && self.addresses.is_subset(&host.addresses))
    }

    /// Returns whether the kernel assigned all its addresses by itself.
    fn is_bare(&self) -> bool {
        self.addresses.iter().all(is_given_by_kernel)
    }
}

/// Returns why there may be a container on a network that berth has not seen, or `None` if
/// there cannot be one. `host` are the interfaces beside the network's bridge, and `hidden` are
/// those of them that [`hidden`] returns.
///
/// Everything on a bridge is connected to one of its ports. If the other end of each port was
/// seen, nothing is hidden there.
pub fn doubt_about(
    network: &Network,
    doubts: &[Doubt],
    host: &[Link],
    hidden: &[Link],
) -> Option<String> {
    let doubt = match Plumbing::of(network).unwrap_or_default() {
        Plumbing::Bridge => {
            let bridge = bridge::of(network, host)?;
            let mut hidden = hidden.iter();
            let has_hidden_port = hidden.any(|port| port.master == Some(bridge.index));
            doubts.first().filter(|_| has_hidden_port)
        }
        Plumbing::Macvlan | Plumbing::Ipvlan => {
            doubts.iter().find(|doubt| doubt.may_be_on(network))
        }
    };
    doubt.map(|doubt| doubt.why.clone())
}

/// Returns the host's ends of veth pairs whose other ends were not `seen`. Those other ends are
/// in namespaces without a file, whose processes berth cannot see or which only an open
/// descriptor keeps alive.
pub fn hidden(host: &[Link], seen: &[NamespaceFact]) -> Vec<Link> {
    let leads_out = |outer: &&Link| match outer.peer {
        Some(Peer::Here(_)) => false,
        Some(Peer::Host(_) | Peer::Elsewhere(..)) | None => outer.kind == "veth",
    };
    let inside = seen_inside(seen);
    let outers = host.iter().filter(leads_out);
    outers
        .filter(|outer| !inside.contains(&outer.index))
        .cloned()
        .collect()
}

/// Says what cannot be known because of a hidden namespace.
pub fn hides(outer: &Link) -> String {
    format!(
        "the other end of {} is in a network namespace that berth cannot see; `lsof -w | grep \
         net:` shows which process keeps it open",
        outer.name
    )
}

/// Returns the numbers of the host's interfaces whose other ends are in namespaces that berth
/// looked into.
pub fn seen_inside(seen: &[NamespaceFact]) -> HashSet<u32> {
    let inner = seen.iter().flat_map(|namespace| &namespace.links);
    let outer = inner.filter_map(|link| match link.peer? {
        Peer::Host(index) => Some(index),
        Peer::Here(_) | Peer::Elsewhere(..) => None,
    });
    outer.collect()
}

#[cfg(test)]
mod tests;
