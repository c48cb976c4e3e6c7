//! Whether a host's addresses may be given to others: only if probes of its network show that
//! nothing uses them, and if the same probes would have shown the contrary.
//!
//! An expired etcd lease proves nothing: a host that is cut off from etcd keeps using its
//! addresses on the LAN.

use std::net::IpAddr;

use thiserror::Error;

/// How many times each address is probed before its silence counts.
pub const PROBES: u32 = 3;

/// What the share says of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the host's `live` key exists.
    pub beats: bool,
    /// Whether the share may lack addresses that the host has: etcd was restored, and the host has
    /// not put its leases back. Nothing would probe those addresses.
    pub is_incomplete: bool,
}

/// What the probes of the link have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Whether, at each place from which the host's addresses were probed, the gateway or some
    /// address known to be in use has answered.
    pub link_answers: bool,
    /// From which places of the link the addresses were probed. It takes both, because each hears
    /// what the other cannot: on macvlan the parent does not hear its own children, and a sibling
    /// does not hear the parent.
    pub from_parent: bool,
    pub from_sibling: bool,
    /// Each address of the host, with how often it was probed and whether anything answered.
    pub addresses: Vec<Probed>,
}

impl Evidence {
    /// Joins the evidence of two links that the host's addresses may be on: an address is silent
    /// only if it is silent on both, and answers if it answers on either.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.link_answers &= other.link_answers;
        self.from_parent &= other.from_parent;
        self.from_sibling &= other.from_sibling;
        self.addresses.append(&mut other.addresses);
        self
    }
}

/// What the probes of one address have shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub address: IpAddr,
    pub probes: u32,
    pub answered: bool,
}

/// Why a host is not evicted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Doubt {
    #[error("it reported in lately: wait until its lease in etcd has run out, or stop berth there")]
    Beats,
    #[error(
        "etcd was restored from a backup, and the host has not put its leases back: what it \
         has is not known; see `berth share accept --without`"
    )]
    Incomplete,
    #[error(
        "{0} answers on the link: something there still has it; switch that off, or take it \
         off this network, and evict again"
    )]
    Answers(IpAddr),
    #[error(
        "nothing answers on the link, not even the gateway or an address that is in use: \
         silence proves nothing there; evict from a host that reaches the gateway"
    )]
    DeafLink,
    #[error(
        "the link cannot be probed from this host, so silence proves nothing; a warning says \
         why: fix that, or evict from another host"
    )]
    LinkNotProbed,
    #[error(
        "the link could be probed only from {0}, which does not hear every host; a warning \
         says why: fix that, or evict from another host"
    )]
    LinkHalfProbed(&'static str),
    #[error(
        "{0} could not be probed {PROBES} times: evict again, or from another host; \
         BERTH_LOG=debug says why"
    )]
    TooFewProbes(IpAddr),
}

impl Standing {
    /// Decides whether the host's addresses are worth probing.
    ///
    /// # Errors
    /// If the share itself speaks against the eviction.
    pub fn decide(self) -> Result<(), Doubt> {
        match self {
            Self { beats: true, .. } => Err(Doubt::Beats),
            Self {
                is_incomplete: true,
                ..
            } => Err(Doubt::Incomplete),
            Self { .. } => Ok(()),
        }
    }
}

/// Decides on an eviction by what the link has shown.
///
/// # Errors
/// If anything shows that the host is still there, or too little shows that it is gone.
pub fn decide(evidence: &Evidence) -> Result<(), Doubt> {
    let addresses = &evidence.addresses;
    if let Some(answered) = addresses.iter().find(|probed| probed.answered) {
        return Err(Doubt::Answers(answered.address));
    }
    if addresses.is_empty() {
        return Ok(());
    }
    match (evidence.from_parent, evidence.from_sibling) {
        (true, true) => {}
        (true, false) => return Err(Doubt::LinkHalfProbed("the parent interface")),
        (false, true) => return Err(Doubt::LinkHalfProbed("a temporary interface")),
        (false, false) => return Err(Doubt::LinkNotProbed),
    }
    if let Some(probed) = addresses.iter().find(|one| one.probes < PROBES) {
        return Err(Doubt::TooFewProbes(probed.address));
    }
    if evidence.link_answers {
        Ok(())
    } else {
        Err(Doubt::DeafLink)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn silent() -> Evidence {
        Evidence {
            link_answers: true,
            from_parent: true,
            from_sibling: true,
            addresses: vec![Probed {
                address: "10.0.0.9".parse().unwrap(),
                probes: PROBES,
                answered: false,
            }],
        }
    }

    #[test]
    fn only_proven_silence_evicts() {
        type Change = fn(&mut Evidence);
        let address = silent().addresses[0].address;
        let table: [(Change, Result<(), Doubt>); 7] = [
            (|_| {}, Ok(())),
            (
                |e| e.addresses[0].answered = true,
                Err(Doubt::Answers(address)),
            ),
            (
                |e| e.addresses[0].probes = 2,
                Err(Doubt::TooFewProbes(address)),
            ),
            (|e| e.link_answers = false, Err(Doubt::DeafLink)),
            (
                |e| e.from_sibling = false,
                Err(Doubt::LinkHalfProbed("the parent interface")),
            ),
            (
                |e| {
                    e.from_sibling = false;
                    e.from_parent = false;
                    e.addresses[0].probes = 0;
                },
                Err(Doubt::LinkNotProbed),
            ),
            (|e| e.addresses.clear(), Ok(())),
        ];
        for (change, expected) in table {
            let mut evidence = silent();
            change(&mut evidence);
            assert_eq!(decide(&evidence), expected, "{evidence:?}");
        }
    }
    #[test]
    fn of_two_links_both_must_be_silent() {
        let change: [fn(&mut Evidence); 5] = [
            |e| e.link_answers = false,
            |e| e.from_parent = false,
            |e| e.from_sibling = false,
            |e| e.addresses[0].answered = true,
            |e| e.addresses[0].probes = 2,
        ];
        assert_eq!(decide(&silent().and(silent())), Ok(()));
        for change in change {
            let mut other = silent();
            change(&mut other);
            assert!(decide(&silent().and(other.clone())).is_err());
            assert!(decide(&other.and(silent())).is_err());
        }
    }

    #[test]
    fn the_share_may_speak_for_a_host_that_nobody_hears() {
        let table = [
            (false, false, Ok(())),
            (true, false, Err(Doubt::Beats)),
            (false, true, Err(Doubt::Incomplete)),
            (true, true, Err(Doubt::Beats)),
        ];
        for (beats, is_incomplete, expected) in table {
            let standing = Standing {
                beats,
                is_incomplete,
            };
            assert_eq!(standing.decide(), expected, "{standing:?}");
        }
    }
}
