//! etcd in memory, with everything that a network does to messages.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use berth_share::registry::{
    Check, Entry, Found, LeaseId, Outcome, Read, Registry, RegistryError, Transaction, Write,
};
use berth_share::{Holder, IdentityFile};
use std::io;

use super::world::{Command, Fault, Host, World};

/// What etcd knows.
#[derive(Clone, Default)]
pub(crate) struct Data {
    pub entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Data {
    fn holds(&self, check: &Check) -> bool {
        match check {
            Check::Absent(key) => !self.entries.contains_key(key),
            Check::Is(key, value) => self.entries.get(key) == Some(value),
        }
    }

    /// Answers one look-up.
    pub(crate) fn find(&self, read: &Read) -> Found {
        let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| Entry {
            key: key.clone(),
            value: value.clone(),
        };
        match read {
            Read::Key(key) => Found {
                entries: self
                    .entries
                    .get_key_value(key)
                    .map(entry)
                    .into_iter()
                    .collect(),
                more: false,
            },
            Read::Span(span, limit) | Read::Names(span, limit) => {
                let all = self.entries.range(span.first.clone()..span.end.clone());
                let mut found: Vec<_> = all.map(entry).collect();
                let more = found.len() > *limit;
                found.truncate(*limit);
                if matches!(read, Read::Names(..)) {
                    found.iter_mut().for_each(|entry| entry.value.clear());
                }
                Found {
                    entries: found,
                    more,
                }
            }
        }
    }

    /// Carries out a transaction on behalf of a host, and checks I2.
    pub(crate) fn carry_out(&mut self, by: &Author, sent: &Transaction) -> Outcome {
        if !sent.checks.iter().all(|check| self.holds(check)) {
            return Outcome::Refused(sent.otherwise.iter().map(|read| self.find(read)).collect());
        }
        for write in &sent.writes {
            match write {
                Write::Put(key, value) | Write::PutLeased(key, value, _) => {
                    let before = self.entries.insert(key.clone(), value.clone());
                    let is_address = String::from_utf8_lossy(key).contains("/a/");
                    if is_address && let Some(before) = before {
                        let host = |value: &[u8]| Holder::decode(value).expect("a holder").host;
                        assert_eq!(
                            host(&before),
                            host(value),
                            "I2: a key was taken over by another than its owner"
                        );
                    }
                }
                Write::Delete(key) => {
                    let gone = self.entries.remove(key).unwrap_or_default();
                    if let Author::Host(host) = by {
                        let holder = Holder::decode(&gone).expect("only addresses are deleted");
                        assert_eq!(
                            Some(holder.host.as_str()),
                            host.as_deref(),
                            "I2: a key was deleted by another than its owner"
                        );
                    }
                }
            }
        }
        Outcome::Done
    }
}

/// Who has sent a transaction.
#[derive(Clone)]
pub(crate) enum Author {
    /// A host with this identity, if it has one.
    Host(Option<String>),
    Operator,
}

/// A host's way to etcd, and to its own disk.
pub(crate) struct Line {
    pub world: Rc<RefCell<World>>,
    pub host: usize,
    pub as_operator: bool,
}

impl Line {
    fn dead() -> RegistryError {
        RegistryError::Unreachable("killed, or cut off".into())
    }

    /// What happens at the next call, others' commands included.
    fn next_fault(&self) -> Result<Fault, RegistryError> {
        loop {
            let fault = {
                let mut world = self.world.borrow_mut();
                if world.hosts[self.host].killed {
                    return Err(Self::dead());
                }
                let is_cut = world.hosts[self.host].is_cut;
                let fault = world.faults.pop().unwrap_or(Fault::None);
                if is_cut && !matches!(fault, Fault::Inside(..)) {
                    return Err(Self::dead());
                }
                fault
            };
            match fault {
                Fault::Inside(host, command) => {
                    World::run(&self.world, host, &Command::clone(&command))
                }
                fault => return Ok(fault),
            }
        }
    }

    fn author(&self) -> Author {
        if self.as_operator {
            return Author::Operator;
        }
        let world = self.world.borrow();
        let identity = world.hosts[self.host].disk.as_ref();
        Author::Host(identity.map(|identity| identity.host.as_str().to_owned()))
    }

    fn send(&self, sent: &Transaction) -> Result<Outcome, RegistryError> {
        let fault = self.next_fault()?;
        let by = self.author();
        let mut world = self.world.borrow_mut();
        match fault {
            Fault::LoseRequest => return Err(Self::dead()),
            Fault::KillBefore => {
                world.hosts[self.host].killed = true;
                return Err(Self::dead());
            }
            Fault::Late => {
                world.late.push((by, sent.clone()));
                return Err(Self::dead());
            }
            _ => {}
        }
        let outcome = world.data.carry_out(&by, sent);
        match fault {
            Fault::Twice => world.late.push((by, sent.clone())),
            // The answer is lost, and the client asks the next endpoint.
            Fault::Repeat => return Ok(world.data.carry_out(&by, sent)),
            Fault::LoseAnswer => return Err(Self::dead()),
            Fault::KillAfter => {
                world.hosts[self.host].killed = true;
                return Err(Self::dead());
            }
            _ => {}
        }
        Ok(outcome)
    }
}

impl Registry for Line {
    fn commit(&mut self, transaction: &Transaction) -> Result<Outcome, RegistryError> {
        self.send(transaction)
    }

    fn read(&mut self, reads: &[Read]) -> Result<Vec<Found>, RegistryError> {
        // A check that never holds: all reads are answered in one instant.
        let sent = Transaction {
            checks: vec![Check::Is(b"/nowhere".to_vec(), b"never".to_vec())],
            writes: Vec::new(),
            otherwise: reads.to_vec(),
        };
        match self.send(&sent)? {
            Outcome::Refused(found) => Ok(found),
            Outcome::Done => unreachable!("the check does not hold"),
        }
    }

    fn grant(&mut self, _ttl: Duration) -> Result<LeaseId, RegistryError> {
        self.next_fault().map(|_| 7)
    }
}

impl IdentityFile for Line {
    fn load(&mut self) -> io::Result<Option<berth_share::Identity>> {
        Ok(self.world.borrow().hosts[self.host].disk.clone())
    }

    fn save(&mut self, identity: &berth_share::Identity) -> io::Result<()> {
        self.write(|host| {
            host.disk = Some(identity.clone());
            host.synced = Some(identity.clone());
        })
    }

    fn confirm(&mut self) -> io::Result<()> {
        self.write(|host| host.disk = host.disk.take().map(berth_share::Identity::confirmed))
    }
}

impl Line {
    fn write(&self, change: impl FnOnce(&mut Host)) -> io::Result<()> {
        let dead = || io::Error::other("killed");
        let fault = match self.next_fault() {
            Ok(fault) => fault,
            // A cut host still has its disk.
            Err(_) if self.world.borrow().hosts[self.host].is_cut => Fault::None,
            Err(_) => return Err(dead()),
        };
        let mut world = self.world.borrow_mut();
        let host = &mut world.hosts[self.host];
        if matches!(fault, Fault::KillBefore) {
            host.killed = true;
            return Err(dead());
        }
        change(host);
        if matches!(fault, Fault::KillAfter) {
            host.killed = true;
            return Err(dead());
        }
        Ok(())
    }
}
