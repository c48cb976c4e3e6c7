//! A beat: the host says in the share that it is here, and learns whether it may still speak
//! for itself.
//!
//! `h/<host>` is written anew if it is what this host wrote last. So of two copies of a host,
//! the second to beat finds out; and a record that is older than the host's own memory tells
//! that etcd was restored. Nothing here needs a clock (I4).

use crate::host::HostRecord;
use crate::identity::Identity;
use crate::key::Keys;
use crate::meta::Meta;
use crate::registry::{Check, Read, Transaction, Write};
use crate::{HostId, ShareError};

/// Returns the transaction that writes a beat's value, if the share and the host's record are
/// as the host knows them; otherwise it reads both.
pub fn transaction(keys: &Keys, identity: &Identity, value: &str) -> Transaction {
    Transaction {
        checks: standing(keys, identity),
        writes: vec![Write::Put(keys.host(&identity.host), value.into())],
        otherwise: vec![Read::Key(keys.meta()), Read::Key(keys.host(&identity.host))],
    }
}

/// Returns the checks that fence everything a host writes: the epoch is the one it knows, and
/// nobody has written its record since.
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
    /// It had arrived before. The identity is as confirmed.
    Arrived(Identity),
    /// Others have changed the epoch, or a restored share is put right: beat again with this
    /// identity.
    Again(Identity),
    /// etcd was restored, and nobody has noticed yet: the share must be suspended. `found` is
    /// its meta, if it has one; `known` the latest epoch that this host has seen.
    Restored {
        found: Option<Box<Meta>>,
        known: Box<Meta>,
    },
}

/// Judges a beat that was refused, by the share's meta and the host's record as they are.
///
/// # Errors
/// If the host may not speak for itself any more: evicted, or its identity is somebody
/// else's. If a value cannot be read.
pub fn judge(
    identity: &Identity,
    meta: Option<&[u8]>,
    record: Option<&[u8]>,
) -> Result<Standing, ShareError> {
    let text =
        |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    let (meta_now, record_now) = (text(meta), text(record));
    let known = match &identity.meta {
        Some(known) => Meta::decode(known.as_bytes())?,
        // The share's meta is read before the first beat.
        None => {
            return Err(ShareError::Operator(
                "this host has not joined the share".into(),
            ));
        }
    };
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
        // Another history has reached the same number, or this one has gone back.
        return Ok(Standing::Restored {
            found: Some(Box::new(found)),
            known: Box::new(known),
        });
    }
    // A later epoch. Whatever of the record is missing, its restore explains; a beat sent
    // under the old epoch can no longer be carried out.
    standing_of(&identity.host, &next, record)?;
    next.meta = meta_now;
    next.record = record_now;
    next.pending = None;
    Ok(Standing::Again(next))
}

enum Age {
    /// As the host wrote it last.
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
    let found = HostRecord::decode(value)?;
    if found.evicted {
        return Err(ShareError::Evicted);
    }
    let written = match &identity.record {
        Some(mine) => HostRecord::decode(mine.as_bytes())?.seq,
        None => 0,
    };
    if found.seq < written {
        Ok(Age::Older)
    } else {
        Err(ShareError::Copied(host.clone()))
    }
}
