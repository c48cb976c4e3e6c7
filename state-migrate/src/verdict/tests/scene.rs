//! A claim with the evidence about it, to be judged.

use std::collections::BTreeMap;
use std::time::Instant;

use berth::rules::lease::{Moment, Process};
use berth::sight::{Link, Peer};

use crate::evidence::{Kernel, Known};
use crate::ipam::claim::ClaimKey;
use crate::ipam::sample::address;
use crate::verdict::*;

pub(super) const ADDRESS: &str = "10.1.0.5";
pub(super) const OTHER: &str = "10.1.0.6";

/// A claim of container `own` on [`ADDRESS`], with evidence that a test adds to.
pub(super) struct Scene {
    pub(super) claim: Claim,
    pub(super) network: Option<Network>,
    pub(super) rivals: BTreeSet<&'static str>,
    pub(super) gateway: bool,
    pub(super) others: Vec<std::net::IpAddr>,
    pub(super) evidence: Evidence,
}

impl Scene {
    /// Podman answers and does not know the container, and the kernel shows nothing.
    pub(super) fn new() -> Self {
        let key = ClaimKey {
            network: "net".to_owned(),
            address: address(ADDRESS),
            container: "own".to_owned(),
        };
        let mut claim = Claim::new(key.clone());
        (claim.listed, claim.leased) = (true, true);
        Self {
            claim,
            network: None,
            rivals: BTreeSet::from(["own"]),
            gateway: false,
            others: Vec::new(),
            evidence: Evidence {
                word: Word::Given(BTreeMap::new()),
                asked_about: BTreeSet::from([key]),
                asked: Some(Instant::now()),
                kernel: Kernel {
                    at: Moment {
                        wall_ms: 0,
                        boot_ms: 1_000_000,
                    },
                    ..Kernel::default()
                },
            },
        }
    }

    pub(super) fn known(mut self, status: &str, sandbox: &str) -> Self {
        let known = Known {
            name: "web".to_owned(),
            status: status.to_owned(),
            state: State::of(status, sandbox),
            started: None,
        };
        self.evidence.word = Word::Given(BTreeMap::from([("own".to_owned(), known)]));
        self
    }

    pub(super) fn word(mut self, word: Word) -> Self {
        self.evidence.word = word;
        self
    }

    pub(super) fn holder(
        mut self,
        of: &str,
        inhabitant: Inhabitant,
        container: Option<&str>,
    ) -> Self {
        let holder = Holder {
            link: Link {
                peer: Some(Peer::Host(3)),
                ..Link::default()
            },
            namespace: (4, 1),
            path: "/run/netns/netns-1".into(),
            inhabitant,
            container: container.map(str::to_owned),
        };
        let all = self.evidence.kernel.holders.entry(address(of));
        all.or_default().push(holder);
        self
    }

    pub(super) fn runs(mut self, name: &str, arguments: &[&str]) -> Self {
        self.evidence.kernel.processes.push(ProcessFact {
            process: Process {
                pid: 9,
                start_time: 1,
            },
            parent: 1,
            name: name.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            namespace: None,
        });
        self
    }

    pub(super) fn doubt(mut self) -> Self {
        self.evidence.kernel.doubt = Some("a doubt".to_owned());
        self
    }

    pub(super) fn rival(mut self) -> Self {
        self.rivals.insert("other");
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    #[track_caller]
    pub(super) fn is(self, expected: &str) {
        let text = self.text();
        assert!(
            text.starts_with(expected),
            "`{text}` instead of `{expected}`"
        );
    }

    #[track_caller]
    pub(super) fn ends(self, expected: &str) {
        let text = self.text();
        assert!(text.ends_with(expected), "`{text}` ends in `{expected}`");
    }

    pub(super) fn text(self) -> String {
        let case = Case {
            claim: &self.claim,
            network: self.network.as_ref(),
            rivals: self.rivals,
            gateway: self.gateway,
            others: self.others,
        };
        let verdict = judge(&case, &self.evidence);
        format!("{}: {verdict}", verdict.word())
    }
}

pub(super) fn process() -> Inhabitant {
    Inhabitant::Process {
        pid: 7,
        name: "sleep".to_owned(),
    }
}

pub(super) fn nobody(seconds: u64) -> Inhabitant {
    let since = Some(Duration::from_secs(seconds));
    Inhabitant::Nobody { since }
}
