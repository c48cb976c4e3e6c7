//! Which addresses are in use, in whatever namespace.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use thiserror::Error;

use super::links::links;
use super::survey::may_be_port_of;
use super::{Evidence, Link, NamespaceFact, NamespaceKey, Peer, namespaces, own_namespace};
use crate::protocol::Network;

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
    /// The host's interfaces that lead into such a namespace.
    hidden: Vec<Link>,
}

impl Everywhere {
    /// Looks into all of them. Without root it is those of this user's containers: see
    /// [`namespaces`].
    pub(super) fn look(evidence: &Evidence) -> io::Result<Self> {
        let (others, doubt) = namespaces(evidence, own_namespace()?);
        let host = links()?;
        Ok(Self {
            doubt,
            hidden: hidden(&host, &others),
            host,
            others,
        })
    }

    /// Returns the addresses that some namespace holds, or why there may be others.
    fn held(&self) -> Result<HashSet<IpAddr>, Incomplete> {
        let hidden = || self.hidden.first().map(hides);
        match self.doubt.clone().or_else(hidden) {
            Some(doubt) => Err(Incomplete(doubt)),
            None => Ok(self.seen()),
        }
    }

    /// Returns whether there may be a namespace on a network that was not seen.
    pub(super) fn may_lack_one_on(&self, network: &Network) -> bool {
        let mut hidden = self.hidden.iter();
        self.doubt.is_some() || hidden.any(|outer| may_be_port_of(outer, network, &self.host))
    }

    /// Returns the addresses that the namespaces hold that were seen.
    pub(super) fn seen(&self) -> HashSet<IpAddr> {
        let others = self.others.iter().flat_map(|other| &other.links);
        let links = self.host.iter().chain(others);
        links.flat_map(|link| link.addresses.clone()).collect()
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

/// Returns the host's ends of veth pairs whose other ends are in namespaces that are hidden,
/// with processes that are not ours to see and without a file, or with nothing but a
/// descriptor that keeps them.
pub(super) fn hidden(host: &[Link], seen: &[NamespaceFact]) -> Vec<Link> {
    let leads_out =
        |outer: &&Link| outer.kind == "veth" && matches!(outer.peer, Some(Peer::Elsewhere(..)));
    let is_seen = |outer: &Link| {
        let mut inner = seen.iter().flat_map(|namespace| &namespace.links);
        inner.any(|link| link.peer == Some(Peer::Host(outer.index)))
    };
    let outers = host.iter().filter(leads_out);
    outers.filter(|outer| !is_seen(outer)).cloned().collect()
}

/// Returns what cannot be known because of a hidden namespace.
pub fn hides(outer: &Link) -> String {
    format!(
        "the other end of {} is in a network namespace that berth cannot see",
        outer.name
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, master: Option<u32>, peer: Option<Peer>) -> Link {
        Link {
            index,
            name: name.into(),
            kind: "veth".into(),
            master,
            peer,
            ..Link::default()
        }
    }

    #[test]
    fn a_hidden_namespace_is_a_doubt_about_its_own_bridge_only() {
        let network = |bridge: &str| -> Network {
            let text = format!(
                r#"{{"name": "n", "id": "n", "driver": "berth", "network_interface": "{bridge}"}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let leads_out = Some(Peer::Elsewhere(0, 2));
        let host = vec![
            link(3, "br3", None, None),
            link(10, "veth0", Some(3), leads_out),
            link(11, "veth1", Some(3), leads_out),
        ];
        let seen = NamespaceFact {
            key: (4, 40),
            path: "/proc/9/ns/net".into(),
            named: false,
            links: vec![link(2, "eth0", None, Some(Peer::Host(10)))],
        };
        let everywhere = Everywhere {
            hidden: hidden(&host, std::slice::from_ref(&seen)),
            host,
            others: vec![seen],
            doubt: None,
        };
        assert_eq!(everywhere.hidden, everywhere.host[2..]);
        assert!(everywhere.may_lack_one_on(&network("br3")));
        assert!(!everywhere.may_lack_one_on(&network("br4")));
        let said = everywhere.held().unwrap_err().to_string();
        assert!(said.contains("the other end of veth1 is in"), "{said}");
    }
}
