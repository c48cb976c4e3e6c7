//! A claim takes all of a container's addresses, or none. Its release deletes a key by the key's
//! exact value.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::beat::standing;
use crate::holding::{Claim, Holder};
use crate::identity::Identity;
use crate::key::Keys;
use crate::registry::{Check, Found, Read, Transaction, Write};

/// A claim to be made, and what its key must hold before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub claim: Claim,
    /// The value of this store's earlier claim for the same address, which this one replaces;
    /// `None` if the key must not exist.
    pub over: Option<Vec<u8>>,
}

/// Returns the transaction that claims addresses, if none of them is taken and the host may
/// speak for itself; otherwise it reads what stood in the way, and which addresses of these
/// windows are taken.
pub fn transaction(
    keys: &Keys,
    identity: &Identity,
    wanted: &[Wanted],
    windows: &[(IpAddr, IpAddr)],
) -> Transaction {
    let mut checks = standing(keys, identity);
    let mut otherwise = vec![Read::Key(keys.meta()), Read::Key(keys.host(&identity.host))];
    let mut writes = Vec::new();
    for Wanted { claim, over } in wanted {
        let key = keys.address(claim.address);
        checks.push(match over {
            Some(earlier) => Check::Is(key.clone(), earlier.clone()),
            None => Check::Absent(key.clone()),
        });
        otherwise.push(Read::Key(key.clone()));
        writes.push(Write::Put(key, claim.value.clone().into()));
    }
    for (first, last) in windows {
        let span = keys.addresses(*first, *last);
        otherwise.push(Read::Names(span, usize::MAX));
    }
    Transaction {
        checks,
        writes,
        otherwise,
    }
}

/// What stood in the way of a claim.
#[derive(Debug)]
pub struct Obstacles<'f> {
    pub meta: Option<&'f [u8]>,
    pub record: Option<&'f [u8]>,
    /// The present value of each claimed address's key.
    pub present: Vec<Option<&'f [u8]>>,
    /// The taken addresses of each window.
    pub windows: Vec<BTreeSet<IpAddr>>,
}

impl<'f> Obstacles<'f> {
    /// Reads the answer to a refused [`transaction`] with this many claims.
    pub fn read(keys: &Keys, found: &'f [Found], claims: usize) -> Self {
        let value = |at: usize| found.get(at).and_then(Found::value);
        let windows = found.iter().skip(2 + claims);
        Self {
            meta: value(0),
            record: value(1),
            present: (2..2 + claims).map(value).collect(),
            windows: windows.map(|found| taken(keys, found)).collect(),
        }
    }

    /// Returns whether the claim was refused only because it had already arrived.
    pub fn is_mine(&self, wanted: &[Wanted]) -> bool {
        let mut pairs = self.present.iter().zip(wanted);
        let is_mine = |(present, one): (&Option<&[u8]>, &Wanted)| {
            *present == Some(one.claim.value.as_bytes())
        };
        !wanted.is_empty() && pairs.all(is_mine)
    }
}

/// Returns the addresses whose keys were found.
pub fn taken(keys: &Keys, found: &Found) -> BTreeSet<IpAddr> {
    let names = found.entries.iter();
    names
        .filter_map(|entry| keys.parse_address(&entry.key))
        .collect()
}

/// Returns the transaction that gives an address back, if the key still has the claim's exact
/// value and the host may speak for itself. However late it arrives, it cannot delete the next
/// holder's claim.
pub fn release(keys: &Keys, identity: &Identity, claim: &Claim) -> Transaction {
    let key = keys.address(claim.address);
    let mut checks = standing(keys, identity);
    checks.push(Check::Is(key.clone(), claim.value.clone().into()));
    Transaction {
        checks,
        writes: vec![Write::Delete(key.clone())],
        otherwise: vec![Read::Key(key)],
    }
}

/// Returns whether a key's value belongs to this host and store.
pub fn is_own(identity: &Identity, store: &str, value: &[u8]) -> bool {
    Holder::decode(value).is_ok_and(|holder| holder.host == identity.host && holder.store == store)
}
