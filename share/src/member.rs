//! A host in a share: what it asks the registry, in which order, and what it remembers.
//!
//! Whoever has a `Member` holds the share's own lock on this host. The lock of the lease store is
//! not held meanwhile, because etcd may take seconds to answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::beat::{self, Standing};
use crate::host::HostRecord;
use crate::identity::{Identity, IdentityFile};
use crate::key::{HostId, Keys};
use crate::meta::{Meta, Terms};
use crate::registry::{Check, Entry, Outcome, Read, Registry, Transaction, Write};
use crate::{RegistryError, ShareError};

/// How many keys one read of the share returns at most.
const PAGE: usize = 1000;

/// How often a step is tried again because others changed something meanwhile. Each retry means
/// that another host has made progress, so the tries run out only under attack.
pub(crate) const TRIES: usize = 200;

/// What a host knows about itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// For people.
    pub name: String,
    /// What tells the machine from a copy of it, hashed.
    pub machine: String,
    pub boot: String,
    /// Seconds since the boot: compared only with this host's own.
    pub uptime: u64,
    /// The lease store that this command serves.
    pub store: String,
    /// How long after its last beat a host still counts as live, for people.
    pub ttl: Duration,
}

/// A host in a share.
pub struct Member<'m> {
    pub(crate) keys: &'m Keys,
    pub(crate) facts: &'m Facts,
    pub(crate) registry: &'m mut dyn Registry,
    file: &'m mut dyn IdentityFile,
    pub(crate) random: &'m mut dyn FnMut() -> u128,
    pub(crate) identity: Identity,
}

impl<'m> Member<'m> {
    /// Reads the host's identity, or makes one. Does not ask the registry anything.
    ///
    /// # Errors
    /// If the identity cannot be read, or was made for another machine.
    pub fn open(
        keys: &'m Keys,
        facts: &'m Facts,
        registry: &'m mut dyn Registry,
        file: &'m mut dyn IdentityFile,
        random: &'m mut dyn FnMut() -> u128,
    ) -> Result<Self, ShareError> {
        let member = Self::open_any(keys, facts, registry, file, random)?;
        if member.identity.machine == member.facts.machine {
            Ok(member)
        } else {
            Err(ShareError::OtherMachine(member.identity.host))
        }
    }

    /// As [`open`](Self::open), for whatever machine the identity was made.
    ///
    /// # Errors
    /// If the identity cannot be read.
    pub(crate) fn open_any(
        keys: &'m Keys,
        facts: &'m Facts,
        registry: &'m mut dyn Registry,
        file: &'m mut dyn IdentityFile,
        random: &'m mut dyn FnMut() -> u128,
    ) -> Result<Self, ShareError> {
        let known = file.load();
        let known = known.map_err(|error| ShareError::Identity("read", error))?;
        let identity = known.unwrap_or_else(|| Identity::new(&facts.machine, random()));
        Ok(Self {
            keys,
            facts,
            registry,
            file,
            random,
            identity,
        })
    }

    /// Returns this host's identity in the share.
    pub fn host(&self) -> &HostId {
        &self.identity.host
    }

    /// Agrees with the share on the terms; the first host sets them. A host that knows the
    /// share's meta asks nothing: its next beat shows whether that meta still holds.
    ///
    /// # Errors
    /// If they differ, with both values; if the registry does not answer.
    pub fn join(&mut self, terms: &Terms) -> Result<(), ShareError> {
        let known = match &self.identity.meta {
            Some(known) => known.clone(),
            None => self.ask_or_set(terms)?,
        };
        let differences = terms.differences(&Meta::decode(known.as_bytes())?.terms);
        if !differences.is_empty() {
            return Err(ShareError::Differs(differences));
        }
        if self.identity.meta.is_none() {
            self.save(Identity {
                meta: Some(known),
                ..self.identity.clone()
            })?;
        }
        Ok(())
    }

    fn ask_or_set(&mut self, terms: &Terms) -> Result<String, ShareError> {
        let first = Meta::first(terms.clone(), (self.random)()).encode();
        let key = self.keys.meta();
        let outcome = self.registry.commit(&Transaction {
            checks: vec![Check::Absent(key.clone())],
            writes: vec![Write::Put(key.clone(), first.clone())],
            otherwise: vec![Read::Key(key)],
        })?;
        let found = match &outcome {
            Outcome::Done => Some(first.as_slice()),
            Outcome::Refused(found) => found.first().and_then(|found| found.value()),
        };
        let found = found.ok_or_else(|| self.changing())?;
        Ok(String::from_utf8_lossy(found).into_owned())
    }

    /// Says in the share that this host is here. On return nothing else can speak for it, and
    /// the returned meta is the share's.
    ///
    /// # Errors
    /// If the host may not speak for itself, or nothing answers.
    pub fn beat(&mut self) -> Result<Meta, ShareError> {
        self.beat_settling(None)
    }

    /// As [`beat`](Self::beat), and says that this store has put its leases back as of epoch
    /// `settled`, but not as of an epoch that has begun meanwhile.
    pub(crate) fn beat_settling(&mut self, settled: Option<u64>) -> Result<Meta, ShareError> {
        self.renew_live()?;
        self.ask_for_former()?;
        for _ in 0..TRIES {
            let repeated = self.identity.pending.is_some();
            if !repeated {
                self.prepare(settled)?;
            }
            let value = self.identity.pending.clone().expect("one was prepared");
            let sent = beat::transaction(self.keys, &self.identity, &value);
            match self.registry.commit(&sent)? {
                Outcome::Done => self.confirm()?,
                Outcome::Refused(found) => {
                    let value = |at: usize| found.get(at).and_then(|found| found.value());
                    match beat::judge(&self.identity, value(0), value(1))? {
                        Standing::Arrived(identity) => self.save(identity)?,
                        Standing::Again(identity) => {
                            self.save(identity)?;
                            continue;
                        }
                        Standing::Restored { found, known } => {
                            self.suspend(found.as_deref(), &known)?;
                            continue;
                        }
                    }
                }
            }
            // A beat left by an earlier command says nothing about this one.
            if !repeated {
                return self.meta();
            }
        }
        Err(self.changing())
    }

    /// Suspends the share if its record of this host's former identity is older than the host's
    /// memory. A newer record is fine: the original still uses that identity, or it was evicted.
    fn ask_for_former(&mut self) -> Result<(), ShareError> {
        let Some((former, seq)) = self.identity.former.clone() else {
            return Ok(());
        };
        let reads = [
            Read::Key(self.keys.meta()),
            Read::Key(self.keys.host(&former)),
        ];
        let found = self.registry.read(&reads)?;
        let value = |at: usize| found.get(at).and_then(|found| found.value());
        let record = value(1).map(HostRecord::decode).transpose()?;
        let known = self.meta()?;
        let now = value(0).map(Meta::decode).transpose()?;
        let is_known = now.as_ref() == Some(&known);
        if is_known && record.is_none_or(|record| record.seq < seq) {
            self.suspend(now.as_ref(), &known)?;
        }
        Ok(())
    }

    /// Writes down the next beat, before it is sent.
    pub(crate) fn prepare(&mut self, settled: Option<u64>) -> Result<(), ShareError> {
        let meta = self.meta()?;
        let before = match &self.identity.record {
            Some(record) => Some(HostRecord::decode(record.as_bytes())?),
            None => None,
        };
        let seq = self
            .identity
            .seq
            .max(before.as_ref().map_or(0, |one| one.seq));
        let mut stores = before.map_or_else(BTreeMap::new, |before| before.stores);
        let epoch = meta.epoch.number;
        let fresh = if meta.epoch.suspended { 0 } else { epoch };
        let at = stores.entry(self.facts.store.clone()).or_insert(fresh);
        if let Some(settled) = settled {
            *at = settled.max(*at);
        }
        let record = HostRecord {
            host: self.identity.host.clone(),
            name: self.facts.name.clone(),
            machine: self.facts.machine.clone(),
            boot: self.facts.boot.clone(),
            seq: seq + 1,
            nonce: format!("{:032x}", (self.random)()),
            stores,
            evicted: false,
        };
        self.save(Identity {
            seq: record.seq,
            pending: Some(String::from_utf8_lossy(&record.encode()).into_owned()),
            ..self.identity.clone()
        })
    }

    pub(crate) fn confirm(&mut self) -> Result<(), ShareError> {
        if self.identity.pending.is_none() {
            return Ok(());
        }
        let noted = self.file.confirm();
        noted.map_err(|error| ShareError::Identity("write", error))?;
        self.identity = self.identity.clone().confirmed();
        Ok(())
    }

    /// Renews `live` once a quarter of its time has passed, by this host's own count. It does not
    /// do so with each beat, which would leave as many leases in etcd.
    pub(crate) fn renew_live(&mut self) -> Result<(), ShareError> {
        let quarter = self.facts.ttl.as_secs() / 4;
        let fresh = self.identity.renewed.as_ref().is_some_and(|(boot, at)| {
            *boot == self.facts.boot && self.facts.uptime.saturating_sub(*at) < quarter
        });
        // A host that has not joined yet has no place for it.
        if fresh || self.identity.meta.is_none() {
            return Ok(());
        }
        let lease = self.registry.grant(self.facts.ttl)?;
        let key = self.keys.live(&self.identity.host);
        self.registry.commit(&Transaction {
            writes: vec![Write::PutLeased(key, self.facts.name.clone().into(), lease)],
            ..Transaction::default()
        })?;
        self.save(Identity {
            renewed: Some((self.facts.boot.clone(), self.facts.uptime)),
            ..self.identity.clone()
        })
    }

    /// Stops all claims, because etcd has forgotten something that this host knows.
    fn suspend(&mut self, found: Option<&Meta>, known: &Meta) -> Result<(), ShareError> {
        let key = self.keys.meta();
        let check = match found {
            Some(found) => Check::Is(key.clone(), found.encode()),
            None => Check::Absent(key.clone()),
        };
        let next = found.unwrap_or(known);
        let next = next.next(known.epoch.number, true, (self.random)());
        // The next beat shows whether this was carried out or another host was faster.
        self.registry.commit(&Transaction {
            checks: vec![check],
            writes: vec![Write::Put(key, next.encode())],
            otherwise: Vec::new(),
        })?;
        Ok(())
    }

    /// Returns every address key of the share with its value.
    ///
    /// # Errors
    /// If nothing answers.
    pub fn addresses(&mut self) -> Result<BTreeMap<IpAddr, Vec<u8>>, ShareError> {
        let entries = entries(self.registry, self.keys.all_addresses())?;
        let known = entries.into_iter().filter_map(|entry| {
            let address = self.keys.parse_address(&entry.key)?;
            Some((address, entry.value))
        });
        Ok(known.collect())
    }

    pub(crate) fn meta(&self) -> Result<Meta, ShareError> {
        self.identity.known_meta()
    }

    pub(crate) fn draw(&mut self) -> u128 {
        (self.random)()
    }

    pub(crate) fn save(&mut self, identity: Identity) -> Result<(), ShareError> {
        let saved = self.file.save(&identity);
        saved.map_err(|error| ShareError::Identity("write", error))?;
        self.identity = identity;
        Ok(())
    }

    pub(crate) fn changing(&self) -> ShareError {
        RegistryError::Unreachable("the share keeps changing under this command".into()).into()
    }
}

/// Returns all keys of a span with their values, a page at a time.
pub(crate) fn entries(
    registry: &mut dyn Registry,
    span: crate::key::Span,
) -> Result<Vec<Entry>, ShareError> {
    let mut all = Vec::new();
    let mut left = span;
    loop {
        let found = registry.read(&[Read::Span(left.clone(), PAGE)])?;
        let Some(found) = found.into_iter().next() else {
            return Ok(all);
        };
        let more = found.more;
        all.extend(found.entries);
        match all.last() {
            Some(last) if more => left = left.after(&last.key),
            _ => return Ok(all),
        }
    }
}
