//! Free addresses as extents in an ordered table.
//!
//! A subnet's free addresses are the entries under one prefix: first address → last address,
//! both included. Extents are disjoint and never touch, so the next free address takes one
//! look-up to find, whether one address is free or 2^64.

use std::net::IpAddr;

use super::codec::{Fields, address_payload, last_address, push_address, seal, unseal};
use super::engine::Entry;
use super::error::StoreError;
use super::overlay::{Ordered, OrderedMut};
use crate::rules::pool::{Family, Span, number};

/// Returns the lowest free address at or above `from`.
pub(super) fn first_free<T: Ordered>(
    table: &T,
    prefix: &[u8],
    from: IpAddr,
) -> Result<Option<IpAddr>, StoreError> {
    if around(table, prefix, from)?.is_some() {
        return Ok(Some(from));
    }
    let above = table.at_or_above(&key(prefix, from))?;
    let extent = parse(table, prefix, above)?;
    Ok(extent
        .map(|extent| extent.first())
        .filter(|first| Family::of(*first) == Family::of(from)))
}

/// Removes an address from the free ones. Returns whether it was free.
pub(super) fn take<T: OrderedMut>(
    table: &mut T,
    prefix: &[u8],
    address: IpAddr,
) -> Result<bool, StoreError> {
    let Some(extent) = around(table, prefix, address)? else {
        return Ok(false);
    };
    table.delete(key(prefix, extent.first()));
    for rest in [
        before(address).and_then(|last| Span::new(extent.first(), last)),
        after(address).and_then(|first| Span::new(first, extent.last())),
    ]
    .into_iter()
    .flatten()
    {
        put(table, prefix, rest);
    }
    Ok(true)
}

/// Makes an address free, joining it with its neighbours. Does nothing if it is free already.
pub(super) fn give<T: OrderedMut>(
    table: &mut T,
    prefix: &[u8],
    address: IpAddr,
) -> Result<(), StoreError> {
    if around(table, prefix, address)?.is_some() {
        return Ok(());
    }
    let (mut first, mut last) = (address, address);
    if let Some(before) = before(address)
        && let Some(lower) = around(table, prefix, before)?
    {
        first = lower.first();
    }
    if let Some(after) = after(address)
        && let Some(upper) = around(table, prefix, after)?
    {
        last = upper.last();
        table.delete(key(prefix, upper.first()));
    }
    if let Some(joined) = Span::new(first, last) {
        put(table, prefix, joined);
    }
    Ok(())
}

/// Stores an extent. It must be disjoint from the others and touch none.
pub(super) fn put<T: OrderedMut>(table: &mut T, prefix: &[u8], extent: Span) {
    let key = key(prefix, extent.first());
    let value = seal(&key, &address_payload(extent.last()));
    table.put(key, value);
}

/// Returns the extent of an entry under the prefix, `None` if it lies elsewhere.
pub(super) fn parse<T: Ordered>(
    table: &T,
    prefix: &[u8],
    entry: Option<Entry>,
) -> Result<Option<Span>, StoreError> {
    let Some((key, value)) = entry.filter(|(key, _)| key.starts_with(prefix)) else {
        return Ok(None);
    };
    let extent = last_address(&key, prefix.len()).and_then(|first| {
        let mut fields = Fields(unseal(&key, &value)?);
        let last = fields.address()?;
        fields.end(Span::new(first, last)?)
    });
    extent.map(Some).ok_or_else(|| table.damaged(&key))
}

/// Returns the spans without the taken addresses, that is, what should be free. Both inputs are
/// sorted.
pub(super) fn remaining(spans: &[Span], taken: impl IntoIterator<Item = IpAddr>) -> Vec<Span> {
    let mut taken = taken.into_iter().peekable();
    let mut free = Vec::new();
    for span in spans {
        let mut first = Some(span.first());
        while taken.next_if(|address| *address < span.first()).is_some() {}
        while let Some(address) = taken.next_if(|address| span.contains(*address)) {
            let below = first
                .zip(before(address))
                .and_then(|(first, last)| Span::new(first, last));
            free.extend(below);
            first = after(address);
        }
        free.extend(first.and_then(|first| Span::new(first, span.last())));
    }
    free
}

/// Returns the extent an address lies in.
fn around<T: Ordered>(
    table: &T,
    prefix: &[u8],
    address: IpAddr,
) -> Result<Option<Span>, StoreError> {
    let below = table.at_or_below(&key(prefix, address))?;
    Ok(parse(table, prefix, below)?.filter(|extent| extent.contains(address)))
}

/// Returns the key of the extent that begins with an address.
fn key(prefix: &[u8], first: IpAddr) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_address(&mut key, first);
    key
}

/// Returns the address before, unless it is the family's first.
pub(super) fn before(address: IpAddr) -> Option<IpAddr> {
    let number = number(address).checked_sub(1)?;
    Some(Family::of(address).address(number))
}

/// Returns the address after, unless it is the family's last.
pub(super) fn after(address: IpAddr) -> Option<IpAddr> {
    let family = Family::of(address);
    let next = family.address(number(address).checked_add(1)?);
    // Beyond the last IPv4 address, the number loses its top bit.
    (next > address).then_some(next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Plain = BTreeMap<Vec<u8>, Vec<u8>>;

    impl Ordered for Plain {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(BTreeMap::get(self, key).cloned())
        }

        fn at_or_above(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
            let entry = self.range(key.to_vec()..).next();
            Ok(entry.map(|(key, value)| (key.clone(), value.clone())))
        }

        fn at_or_below(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
            let entry = self.range(..=key.to_vec()).next_back();
            Ok(entry.map(|(key, value)| (key.clone(), value.clone())))
        }

        fn damaged(&self, key: &[u8]) -> StoreError {
            StoreError::Damaged {
                path: "/".into(),
                what: key.escape_ascii().to_string(),
            }
        }
    }

    impl OrderedMut for Plain {
        fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
            self.insert(key, value);
        }

        fn delete(&mut self, key: Vec<u8>) {
            self.remove(&key);
        }
    }

    const PREFIX: &[u8] = b"free";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn span(text: &str) -> Span {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Span::new(ip(first), ip(last)).unwrap()
    }

    fn spans(text: &str) -> Vec<Span> {
        text.split_whitespace().map(span).collect()
    }

    fn table(text: &str) -> Plain {
        let mut table = Plain::new();
        // Neighbouring keys that must never be taken for ours.
        table.insert(b"fred".to_vec(), vec![]);
        table.insert(b"fraa".to_vec(), vec![]);
        for extent in spans(text) {
            put(&mut table, PREFIX, extent);
        }
        table
    }

    fn show(table: &Plain) -> String {
        let extents = table
            .iter()
            .filter_map(|(key, value)| {
                parse(table, PREFIX, Some((key.clone(), value.clone()))).unwrap()
            })
            .map(|extent| extent.to_string());
        extents.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn taking_shortens_splits_or_empties_an_extent() {
        let check = |before: &str, address: &str, expected: Option<&str>| {
            let mut table = table(before);
            let taken = take(&mut table, PREFIX, ip(address)).unwrap();
            assert_eq!(taken, expected.is_some(), "{before} take {address}");
            assert_eq!(show(&table), expected.unwrap_or(before), "take {address}");
        };
        check("10.0.0.1-10.0.0.9", "10.0.0.1", Some("10.0.0.2-10.0.0.9"));
        check("10.0.0.1-10.0.0.9", "10.0.0.9", Some("10.0.0.1-10.0.0.8"));
        check(
            "10.0.0.1-10.0.0.9",
            "10.0.0.5",
            Some("10.0.0.1-10.0.0.4 10.0.0.6-10.0.0.9"),
        );
        check("10.0.0.1", "10.0.0.1", Some(""));
        check("10.0.0.1-10.0.0.9", "10.0.0.10", None);
        check("10.0.0.1-10.0.0.9", "10.0.0.0", None);
        check("", "10.0.0.0", None);
        check("10.0.0.1-10.0.0.9", "::a00:1", None);
        check(
            "0.0.0.0-255.255.255.255",
            "0.0.0.0",
            Some("0.0.0.1-255.255.255.255"),
        );
        check(
            "0.0.0.0-255.255.255.255",
            "255.255.255.255",
            Some("0.0.0.0-255.255.255.254"),
        );
        let all = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        check(
            all,
            "::",
            Some("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        );
        check(
            all,
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            Some("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
        );
        check(
            "fd00::-fd00::ffff:ffff:ffff:ffff",
            "fd00::1",
            Some("fd00:: fd00::2-fd00::ffff:ffff:ffff:ffff"),
        );
    }

    #[test]
    fn giving_joins_with_what_it_touches() {
        let check = |before: &str, address: &str, expected: &str| {
            let mut table = table(before);
            give(&mut table, PREFIX, ip(address)).unwrap();
            assert_eq!(show(&table), expected, "{before} give {address}");
        };
        check("", "10.0.0.5", "10.0.0.5");
        check("10.0.0.1-10.0.0.4", "10.0.0.5", "10.0.0.1-10.0.0.5");
        check("10.0.0.6-10.0.0.9", "10.0.0.5", "10.0.0.5-10.0.0.9");
        check(
            "10.0.0.1-10.0.0.4 10.0.0.6-10.0.0.9",
            "10.0.0.5",
            "10.0.0.1-10.0.0.9",
        );
        check(
            "10.0.0.1-10.0.0.3 10.0.0.7-10.0.0.9",
            "10.0.0.5",
            "10.0.0.1-10.0.0.3 10.0.0.5 10.0.0.7-10.0.0.9",
        );
        check("10.0.0.1-10.0.0.9", "10.0.0.5", "10.0.0.1-10.0.0.9");
        check("10.0.0.1-10.0.0.9", "10.0.0.9", "10.0.0.1-10.0.0.9");
        check("0.0.0.1-0.0.0.2", "0.0.0.0", "0.0.0.0-0.0.0.2");
        check(
            "255.255.255.254",
            "255.255.255.255",
            "255.255.255.254-255.255.255.255",
        );
        let top = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        check("", top, top);
        check("::1", "::", "::-::1");
        // The families' ends meet in no order.
        check("::", "255.255.255.255", "255.255.255.255 ::");
    }

    #[test]
    fn the_first_free_address_is_at_or_above() {
        let check = |extents: &str, from: &str, expected: Option<&str>| {
            let found = first_free(&table(extents), PREFIX, ip(from)).unwrap();
            assert_eq!(found, expected.map(ip), "{extents} from {from}");
        };
        let two = "10.0.0.2-10.0.0.4 10.0.0.8";
        check(two, "10.0.0.0", Some("10.0.0.2"));
        check(two, "10.0.0.2", Some("10.0.0.2"));
        check(two, "10.0.0.3", Some("10.0.0.3"));
        check(two, "10.0.0.4", Some("10.0.0.4"));
        check(two, "10.0.0.5", Some("10.0.0.8"));
        check(two, "10.0.0.8", Some("10.0.0.8"));
        check(two, "10.0.0.9", None);
        check("", "10.0.0.9", None);
        check(
            "fd00::1-fd00::ffff:ffff:ffff:ffff",
            "fd00::",
            Some("fd00::1"),
        );
        check("fd00::1", "10.0.0.1", None);
    }

    #[test]
    fn what_remains_is_the_spans_without_the_taken() {
        let check = |offered: &str, taken: &str, expected: &str| {
            let taken = taken.split_whitespace().map(ip);
            assert_eq!(
                remaining(&spans(offered), taken),
                spans(expected),
                "{offered}"
            );
        };
        check("10.0.0.1-10.0.0.9", "", "10.0.0.1-10.0.0.9");
        check(
            "10.0.0.1-10.0.0.9",
            "10.0.0.1 10.0.0.9",
            "10.0.0.2-10.0.0.8",
        );
        check(
            "10.0.0.1-10.0.0.3 10.0.0.6-10.0.0.9",
            "10.0.0.0 10.0.0.2 10.0.0.4 10.0.0.5 10.0.0.7 10.0.0.8 10.0.1.0",
            "10.0.0.1 10.0.0.3 10.0.0.6 10.0.0.9",
        );
        check("10.0.0.1-10.0.0.2", "10.0.0.1 10.0.0.2", "");
        check(
            "255.255.255.254-255.255.255.255",
            "255.255.255.255",
            "255.255.255.254",
        );
        check("0.0.0.0-0.0.0.1", "0.0.0.0", "0.0.0.1");
        check("::-::1", "::", "::1");
    }
}
