//! A beat: the host says in the share that it is here, and learns whether it may still speak
//! for itself. A beat is sent alone, or as part of a claim's transaction.
//!
//! A beat replaces `h/<host>` only if that still has the value this host last wrote. So of two
//! copies of a host, the second to beat finds out about the first. And if the record is older than
//! the host's own memory, etcd was restored. Nothing here needs a clock (I4).

use crate::host::HostRecord;
use crate::identity::Identity;
use crate::key::Keys;
use crate::meta::Meta;
use crate::registry::{Check, Read, Transaction, Write};
use crate::{HostId, Refusal, ShareError};

/// Returns the transaction that writes a beat's value, if the share's meta and the host's record
/// are as the host knows them; otherwise it reads both.
pub fn transaction(keys: &Keys, identity: &Identity, value: &str) -> Transaction {
    Transaction {
        checks: standing(keys, identity),
        writes: vec![Write::Put(keys.host(&identity.host), value.into())],
        otherwise: vec![Read::Key(keys.meta()), Read::Key(keys.host(&identity.host))],
    }
}

/// Returns the checks that guard everything a host writes: the epoch is the one it knows, and its
/// record has not been written since.
pub fn standing(keys: &Keys, identity: &Identity) -> Vec<Check> {
    let is = |key: Vec<u8>, value: &Option<String>| match value {
        Some(value) => Check::Is(key, value.clone().into()),
        None => Check::Absent(key),
    };
    vec![
        is(keys.meta(), &identity.meta),
        is(keys.host(&identity.host), &identity.record),
    ]
}

/// What a refused beat means.
#[derive(Debug)]
pub enum Standing {
    /// The beat had already arrived. Holds the identity with that beat confirmed.
    Arrived(Identity),
    /// Others have changed the epoch, or the share is again as this host knows it: beat again
    /// with this identity.
    Again(Identity),
    /// etcd was restored, and no host has noticed yet: the share must be suspended. `found` is
    /// its meta, if it has one; `known` is the latest epoch that this host has seen.
    Restored {
        found: Option<Box<Meta>>,
        known: Box<Meta>,
    },
}

/// Judges a refused beat by the present values of the share's meta and the host's record.
///
/// # Errors
/// If the host may no longer speak for itself: it was evicted, or its identity is in use
/// elsewhere. If a value cannot be read.
pub fn judge(
    identity: &Identity,
    meta: Option<&[u8]>,
    record: Option<&[u8]>,
) -> Result<Standing, ShareError> {
    let text =
        |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    let (meta_now, record_now) = (text(meta), text(record));
    let known = identity.known_meta()?;
    let mut next = identity.clone();
    let arrived = record_now.is_some() && record_now == identity.pending;
    if arrived {
        next.record.clone_from(&record_now);
        next.pending = None;
    }
    if meta_now == identity.meta {
        if arrived {
            return Ok(Standing::Arrived(next));
        }
        return match standing_of(&identity.host, identity, record)? {
            Age::Mine => Ok(Standing::Again(next)),
            Age::Older => Ok(Standing::Restored {
                found: Some(Box::new(known.clone())),
                known: Box::new(known),
            }),
        };
    }
    let Some(found) = meta else {
        return Ok(Standing::Restored {
            found: None,
            known: Box::new(known),
        });
    };
    let found = Meta::decode(found)?;
    if found.epoch.number <= known.epoch.number {
        // Another history has reached the same number, or the share has gone back.
        return Ok(Standing::Restored {
            found: Some(Box::new(found)),
            known: Box::new(known),
        });
    }
    // A later epoch. Its restore explains a record that is missing or old, and a beat sent under
    // the old epoch can no longer be carried out.
    standing_of(&identity.host, &next, record)?;
    next.meta = meta_now;
    next.record = record_now;
    next.pending = None;
    Ok(Standing::Again(next))
}

/// Returns why the share refuses this host, as far as that shows without a beat; `None` if nothing
/// does. `found` is the record that the share has of the host now.
///
/// # Errors
/// If what this host knows about itself cannot be read.
pub fn refusal(
    identity: &Identity,
    machine: &str,
    found: Option<&HostRecord>,
) -> Result<Option<Refusal>, ShareError> {
    if identity.machine != machine {
        return Ok(Some(Refusal::OtherMachine));
    }
    let Some(found) = found else {
        return Ok(None);
    };
    // A beat without an answer may have arrived.
    for own in [&identity.record, &identity.pending].into_iter().flatten() {
        if HostRecord::decode(own.as_bytes())? == *found {
            return Ok(None);
        }
    }
    Ok(age_of(identity, found)?.err())
}

enum Age {
    /// As the host last wrote it.
    Mine,
    /// From before the host's last beat.
    Older,
}

fn standing_of(
    host: &HostId,
    identity: &Identity,
    record: Option<&[u8]>,
) -> Result<Age, ShareError> {
    let Some(value) = record else {
        let never = identity.record.is_none();
        return Ok(if never { Age::Mine } else { Age::Older });
    };
    if identity.record.as_deref().map(str::as_bytes) == Some(value) {
        return Ok(Age::Mine);
    }
    age_of(identity, &HostRecord::decode(value)?)?.map_err(|refusal| refusal.of(host))
}

/// Judges a record that is not the one this host wrote last.
fn age_of(identity: &Identity, found: &HostRecord) -> Result<Result<Age, Refusal>, ShareError> {
    if found.evicted {
        return Ok(Err(Refusal::Evicted));
    }
    let written = match &identity.record {
        Some(mine) => HostRecord::decode(mine.as_bytes())?.seq,
        None => 0,
    };
    Ok(if found.seq < written {
        Ok(Age::Older)
    } else {
        Err(Refusal::Copied)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::meta::Terms;
    use std::collections::BTreeMap;

    fn meta(number: u64) -> String {
        let terms = Terms {
            subnets: Vec::new(),
        };
        let mut meta = Meta::first(terms, number.into());
        meta.epoch.number = number;
        String::from_utf8(meta.encode()).unwrap()
    }

    fn record(seq: u64, nonce: &str, evicted: bool) -> String {
        let record = HostRecord {
            host: HostId::new(7),
            name: "a".into(),
            machine: "m".into(),
            boot: "b".into(),
            seq,
            nonce: nonce.into(),
            stores: BTreeMap::new(),
            evicted,
        };
        String::from_utf8(record.encode()).unwrap()
    }

    /// A host that has written 5, has sent 6, and knows epoch 2.
    fn identity() -> Identity {
        Identity {
            seq: 6,
            record: Some(record(5, "x", false)),
            pending: Some(record(6, "y", false)),
            meta: Some(meta(2)),
            ..Identity::new("m", 7)
        }
    }

    fn judged(meta_now: Option<String>, record_now: Option<String>) -> String {
        let identity = identity();
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
        let (meta_now, record_now) = (bytes(&meta_now), bytes(&record_now));
        match judge(&identity, meta_now.as_deref(), record_now.as_deref()) {
            Ok(Standing::Arrived(_)) => "arrived".into(),
            Ok(Standing::Again(next)) => {
                let kept = if next.pending.is_some() {
                    "keeping"
                } else {
                    "dropping"
                };
                format!("again, {kept} what was sent")
            }
            Ok(Standing::Restored { .. }) => "restored".into(),
            Err(error) => error.to_string().split(':').next().unwrap().to_owned(),
        }
    }

    #[test]
    fn a_refused_beat_tells_what_has_happened() {
        let copied = "this host's identity 000000000000 is in use elsewhere, or its disk was \
                      rolled back";
        let evicted = "this host was evicted from the share";
        for (meta_now, record_now, expected) in [
            (Some(meta(2)), Some(record(6, "y", false)), "arrived"),
            (
                Some(meta(2)),
                Some(record(5, "x", false)),
                "again, keeping what was sent",
            ),
            (Some(meta(2)), Some(record(6, "z", false)), copied),
            (Some(meta(2)), Some(record(5, "z", false)), copied),
            (Some(meta(2)), Some(record(9, "z", false)), copied),
            (Some(meta(2)), Some(record(6, "z", true)), evicted),
            (Some(meta(2)), Some(record(4, "w", false)), "restored"),
            (Some(meta(2)), None, "restored"),
            (None, None, "restored"),
            (Some(meta(1)), Some(record(5, "x", false)), "restored"),
            (
                Some(meta(3)),
                Some(record(5, "x", false)),
                "again, dropping what was sent",
            ),
            (
                Some(meta(3)),
                Some(record(6, "y", false)),
                "again, dropping what was sent",
            ),
            (Some(meta(3)), None, "again, dropping what was sent"),
            (Some(meta(3)), Some(record(9, "z", false)), copied),
            (Some(meta(3)), Some(record(2, "z", true)), evicted),
        ] {
            let told = judged(meta_now.clone(), record_now.clone());
            assert_eq!(told, expected, "{meta_now:?} {record_now:?}");
        }
    }

    #[test]
    fn a_refusal_shows_without_a_beat_and_an_own_beat_is_no_copys() {
        let (evicted, copied) = (Some(Refusal::Evicted), Some(Refusal::Copied));
        for (record_now, expected) in [
            (None, None),
            (Some(record(5, "x", false)), None),
            (Some(record(6, "y", false)), None),
            (Some(record(4, "w", false)), None),
            (Some(record(5, "z", false)), copied),
            (Some(record(6, "z", false)), copied),
            (Some(record(9, "z", false)), copied),
            (Some(record(4, "x", true)), evicted),
            (Some(record(6, "y", true)), evicted),
        ] {
            let found = record_now.as_ref();
            let found = found.map(|value| HostRecord::decode(value.as_bytes()).unwrap());
            let told = |machine| refusal(&identity(), machine, found.as_ref()).unwrap();
            assert_eq!(told("m"), expected, "{record_now:?}");
            assert_eq!(told("other"), Some(Refusal::OtherMachine), "{record_now:?}");
        }
    }
}
