//! A host in a share, without a Podman, for tests and benchmarks of the crate `share` against a
//! real etcd.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_share::files::{Breaker, Folder};
use berth_share::key::PREFIX;
use berth_share::meta::Subnet;
use berth_share::span::Span;
use berth_share::{Claim, Facts, Keys, Member, Registry, ShareError, ShareName, Terms, Want};

/// A host with a directory of its own.
pub struct SharedHost {
    pub keys: Keys,
    pub facts: Facts,
    pub terms: Terms,
    pub range: Span,
    directory: PathBuf,
}

impl SharedHost {
    /// Makes a host of this name that takes part in the share `lan`, with the dynamic addresses
    /// of a subnet of `10.0.0.0/8`.
    ///
    /// # Panics
    /// If the subnet has no dynamic addresses.
    pub fn new(directory: &Path, name: &str, prefix_length: u32) -> Self {
        let share: ShareName = "lan".parse().unwrap_or_else(|error| panic!("{error}"));
        let last = (1u32 << (32 - prefix_length)) - 2;
        let address = |offset: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + offset));
        let range = Span::new(address(1), address(last)).expect("a subnet has addresses");
        let subnet = Subnet {
            subnet: format!("10.0.0.0/{prefix_length}"),
            gateway: None,
            first: range.first(),
            last: range.last(),
        };
        Self {
            keys: Keys::new(PREFIX, &share),
            facts: Facts {
                name: name.to_owned(),
                machine: format!("machine of {name}"),
                boot: "boot".to_owned(),
                uptime: 1,
                store: "/run/berth".to_owned(),
                ttl: Duration::from_secs(3600),
            },
            terms: Terms {
                subnets: vec![subnet],
            },
            range,
            directory: directory.join(name),
        }
    }

    /// Calls `act` as the host, which joins the share first if it has not yet.
    ///
    /// # Errors
    /// If `act` fails, or the host cannot join.
    ///
    /// # Panics
    /// If its directory cannot be locked.
    pub fn with<T>(
        &self,
        registry: &mut dyn Registry,
        act: impl FnOnce(&mut Member<'_>) -> Result<T, ShareError>,
    ) -> Result<T, ShareError> {
        let mut folder = self.folder();
        let mut random = || fastrand::u128(..);
        let (keys, facts) = (&self.keys, &self.facts);
        let mut member = Member::open(keys, facts, registry, &mut folder, &mut random)?;
        member.join(&self.terms)?;
        act(&mut member)
    }

    /// Claims any address for a container.
    ///
    /// # Errors
    /// As [`Member::claim`].
    pub fn claim(&self, registry: &mut dyn Registry, name: &str) -> Result<Claim, ShareError> {
        let start = self.range.at(fastrand::u128(..));
        let want = Want::Dynamic {
            range: self.range,
            start,
            usable: &|_| true,
        };
        self.with(registry, |member| one(member.claim(name, name, &[want])))
    }

    /// Claims this address for a container.
    ///
    /// # Errors
    /// As [`Member::claim`].
    pub fn claim_static(
        &self,
        registry: &mut dyn Registry,
        name: &str,
        address: IpAddr,
    ) -> Result<Claim, ShareError> {
        let want = [Want::Static(address)];
        self.with(registry, |member| one(member.claim(name, name, &want)))
    }

    /// Returns the host's breaker.
    ///
    /// # Panics
    /// If its directory cannot be locked.
    pub fn breaker(&self) -> Breaker {
        self.folder().breaker()
    }

    /// Returns the host's directory, locked.
    ///
    /// # Panics
    /// If it cannot be locked.
    pub fn folder(&self) -> Folder {
        let wait = Duration::from_secs(5);
        let folder = Folder::lock(&self.directory, wait);
        folder.unwrap_or_else(|error| panic!("{}: {error}", self.directory.display()))
    }
}

fn one(claims: Result<Vec<Claim>, ShareError>) -> Result<Claim, ShareError> {
    claims.map(|mut claims| claims.remove(0))
}
