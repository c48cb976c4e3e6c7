//! What only a person may do in a share: look at its hosts, let a host join again, end a
//! suspension, evict a host that is gone.

mod eviction;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::ShareError;
use crate::evict::Evidence;
use crate::holding::{Claim, Holder};
use crate::host::HostRecord;
use crate::identity::{Identity, IdentityFile};
use crate::key::{HostId, Keys};
use crate::member::{Facts, Member, entries};
use crate::meta::Meta;
use crate::registry::{Check, Outcome, Read, Registry, Transaction, Write};

pub use eviction::{Eviction, Fenced};

/// A share as it is recorded.
#[derive(Clone, Debug)]
pub struct Picture {
    pub meta: Meta,
    pub hosts: Vec<Host>,
    /// Addresses of hosts that have no record, as after a restore.
    pub unrecorded: Vec<Claim>,
}

/// A host of a share.
#[derive(Clone, Debug)]
pub struct Host {
    pub record: HostRecord,
    /// It has sent a beat lately, so its etcd lease has not expired: a hint.
    pub live: bool,
    pub addresses: Vec<Claim>,
    /// etcd was restored, and the host has not put its leases back: it may have more addresses.
    pub is_incomplete: bool,
}

impl Host {
    /// Returns the addresses that it has claimed.
    pub fn claimed(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|claim| claim.address).collect()
    }
}

impl Picture {
    /// Returns every claim with its host's name, if the host has a record.
    pub fn claims(&self) -> impl Iterator<Item = (Option<&str>, &Claim)> {
        let recorded = self.hosts.iter().flat_map(|host| {
            let name = Some(host.record.name.as_str());
            host.addresses.iter().map(move |claim| (name, claim))
        });
        recorded.chain(self.unrecorded.iter().map(|claim| (None, claim)))
    }
}

/// Reads the whole share; `None` if no host has joined it yet.
///
/// # Errors
/// If nothing answers, or a value cannot be read.
pub fn picture(registry: &mut dyn Registry, keys: &Keys) -> Result<Option<Picture>, ShareError> {
    let found = registry.read(&[Read::Key(keys.meta())])?;
    let Some(meta) = found.first().and_then(|found| found.value()) else {
        return Ok(None);
    };
    let meta = Meta::decode(meta)?;
    let live: BTreeSet<_> = entries(registry, keys.all_live())?
        .iter()
        .filter_map(|entry| keys.live_host(&entry.key))
        .collect();
    let mut addresses: BTreeMap<HostId, Vec<Claim>> = BTreeMap::new();
    for entry in entries(registry, keys.all_addresses())? {
        let address = keys.parse_address(&entry.key);
        let holder = Holder::decode(&entry.value);
        if let (Some(address), Ok(holder)) = (address, holder) {
            let value = String::from_utf8_lossy(&entry.value).into_owned();
            let claim = Claim { address, value };
            addresses.entry(holder.host).or_default().push(claim);
        }
    }
    let mut hosts = Vec::new();
    for entry in entries(registry, keys.hosts())? {
        let record = HostRecord::decode(&entry.value)?;
        hosts.push(Host {
            live: live.contains(&record.host),
            is_incomplete: meta.epoch.suspended && !record.is_settled(meta.epoch.number),
            addresses: addresses.remove(&record.host).unwrap_or_default(),
            record,
        });
    }
    let unrecorded = addresses.into_values().flatten().collect();
    Ok(Some(Picture {
        meta,
        hosts,
        unrecorded,
    }))
}

/// Returns the one host that `called` names: by its identity, the beginning of it, or its name.
///
/// # Errors
/// If it names no host, or several.
pub fn find<'p>(picture: &'p Picture, called: &str) -> Result<&'p Host, ShareError> {
    let is_called = |host: &&Host| {
        let HostRecord { host, name, .. } = &host.record;
        name == called || (called.len() >= 4 && host.as_str().starts_with(called))
    };
    let mut found = picture.hosts.iter().filter(is_called);
    match (found.next(), found.next()) {
        (Some(host), None) => Ok(host),
        (None, _) => Err(ShareError::Operator(format!(
            "the share has no host {called}"
        ))),
        (Some(_), Some(_)) => Err(ShareError::Operator(format!(
            "several hosts of the share are called {called}: give the beginning of its identity, \
             as `berth share hosts` shows it"
        ))),
    }
}

/// Ends the suspension after a restore, once every recorded host has put its leases back or
/// is named in `without`. Returns `false` if the share is not suspended.
///
/// # Errors
/// If hosts are missing (the error names them), or nothing answers.
pub fn accept(member: &mut Member<'_>, without: &[&str]) -> Result<bool, ShareError> {
    let Some(picture) = picture(member.registry, member.keys)? else {
        return Err(ShareError::Operator(
            "no host has joined the share yet".into(),
        ));
    };
    let meta = picture.meta.clone();
    if !meta.epoch.suspended {
        return Ok(false);
    }
    let mut named = BTreeSet::new();
    for called in without {
        named.insert(find(&picture, called)?.record.host.clone());
    }
    let missing: Vec<_> = picture
        .hosts
        .iter()
        .map(|host| &host.record)
        .filter(|host| !host.is_settled(meta.epoch.number) && !named.contains(&host.host))
        .map(|host| format!("{} ({})", host.name, host.host.short()))
        .collect();
    if !missing.is_empty() {
        return Err(ShareError::Operator(format!(
            "these hosts have not put their leases back: {}; run `berth gc` there, or name those \
             that are gone for good with --without",
            missing.join(", ")
        )));
    }
    let next = meta.next(meta.epoch.number, false, member.draw());
    let outcome = member.registry.commit(&Transaction {
        checks: vec![Check::Is(member.keys.meta(), meta.encode())],
        writes: vec![Write::Put(member.keys.meta(), next.encode())],
        otherwise: vec![Read::Key(member.keys.meta())],
    })?;
    match outcome {
        Outcome::Done => Ok(true),
        Outcome::Refused(found) => match found.first().and_then(|found| found.value()) {
            Some(now) if now == next.encode() => Ok(true),
            _ => Err(ShareError::Operator(
                "the share has changed meanwhile: try again".into(),
            )),
        },
    }
}

/// How a host that was refused takes part again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejoin {
    /// As a new host. Its old identity keeps its addresses until it is evicted.
    Anew,
    /// As the host it was: any other host that uses the identity is refused from now on.
    Original,
}

/// Lets this host take part again, and beats.
///
/// # Errors
/// If the identity cannot be read or written, or nothing answers.
pub fn rejoin(
    (keys, facts): (&Keys, &Facts),
    registry: &mut dyn Registry,
    file: &mut dyn IdentityFile,
    random: &mut dyn FnMut() -> u128,
    how: Rejoin,
) -> Result<HostId, ShareError> {
    let mut member = Member::open_any(keys, facts, registry, file, random)?;
    let host = match how {
        Rejoin::Original => member.identity.host.clone(),
        Rejoin::Anew => HostId::new(member.draw()),
    };
    let reads = [Read::Key(keys.meta()), Read::Key(keys.host(&host))];
    let found = member.registry.read(&reads)?;
    let text = |at: usize| {
        let value = found.get(at).and_then(|found| found.value());
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let seq = match how {
        Rejoin::Original => member.identity.seq,
        Rejoin::Anew => 0,
    };
    let seq_of = |record: &str| HostRecord::decode(record.as_bytes()).map(|record| record.seq);
    let written = known_seq(&member.identity)?;
    // If the record is missing or older than this host's own, etcd was restored from a backup: the
    // beat will find out.
    let record = match text(1) {
        Some(found) if seq_of(&found)? >= written => Some(found),
        _ if how == Rejoin::Original => member.identity.record.clone(),
        found => found,
    };
    // The old identity and its last record; or, if that one has never sent a beat either, its own
    // former identity.
    let known = &member.identity;
    let former = match (how, &known.record) {
        (Rejoin::Original, _) => None,
        (Rejoin::Anew, Some(_)) => Some((known.host.clone(), written)),
        (Rejoin::Anew, None) => known.former.clone(),
    };
    member.save(Identity {
        former,
        host: host.clone(),
        machine: facts.machine.clone(),
        seq,
        record,
        pending: None,
        // As the host last saw it: the beat finds out whether it has changed.
        meta: member.identity.meta.clone().or_else(|| text(0)),
        renewed: None,
    })?;
    member.beat()?;
    Ok(host)
}

/// Returns the number of the last beat that this host wrote; 0 if none.
fn known_seq(identity: &Identity) -> Result<u64, ShareError> {
    match &identity.record {
        Some(record) => Ok(HostRecord::decode(record.as_bytes())?.seq),
        None => Ok(0),
    }
}

/// Frees a host's addresses for others, in the steps of [`Eviction`]. `probe` asks the link
/// whether anything still uses these addresses.
///
/// # Errors
/// If anything shows that the host is still there; nothing was then taken from it. If nothing
/// answers: what was done stays done, and doing it again does no harm.
pub fn evict(
    member: &mut Member<'_>,
    called: &str,
    probe: &mut dyn FnMut(&[IpAddr]) -> Result<Evidence, ShareError>,
) -> Result<Vec<Claim>, ShareError> {
    let own = member.identity.host.clone();
    let nonce = member.draw();
    let (registry, keys) = (&mut *member.registry, member.keys);
    let eviction = Eviction::begin(registry, keys, Some(&own), called)?;
    let evidence = probe(&eviction.addresses())?;
    let fenced = eviction.fence(registry, keys, evidence, nonce)?;
    let evidence = probe(&fenced.addresses())?;
    fenced.free(registry, keys, evidence)
}
