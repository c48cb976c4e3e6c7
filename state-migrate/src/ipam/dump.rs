//! The file's raw content as JSON: all of it, and unambiguously:
//!
//! ```json
//! {
//!  "<network>": {
//!   "ids": { "<container id>": ["<address>", …] },
//!   "subnets": { "<subnet>": { "<address>": "<container id>", "lastIP": "<address>" } }
//!  }
//! }
//! ```
//!
//! What Podman never writes appears as well, in a form that Podman's own entries never have:
//!
//! - text that is not UTF-8 becomes `hex:` and its bytes; so does text that begins with `hex:`;
//! - a key of a subnet that is neither 4 nor 16 bytes nor `lastIP` becomes `hex:` and its
//!   bytes; an IPv4 address in 16 bytes becomes `::ffff:192.0.2.1`;
//! - a value of `ids` that is not a list of texts as Go writes it becomes a text;
//! - a network's values, and an `ids` that is not a bucket, are below `values`;
//! - a bucket in place of a value becomes an object, and a value in place of a network a text;
//! - a bucket's sequence, unless it is 0, is under the name `hex:`, which no key has.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};
use serde_json::json;

use super::key::{IDS, Key, LAST_IP};
use crate::bolt::{Bucket, Item};

const HEX: &str = "hex:";

/// A piece of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dump {
    /// A value.
    Text(String),
    /// A container's addresses.
    List(Vec<String>),
    /// A bucket, in the order of the file, which is that of the keys' bytes.
    Object(Vec<(String, Dump)>),
}

impl Serialize for Dump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, value)))
            }
        }
    }
}

/// Returns the content of the root bucket.
pub fn dump(root: &Bucket) -> Dump {
    bucket(root, text, |item| match item {
        Item::Value(value) => Dump::Text(text(value)),
        Item::Bucket(bucket) => network(bucket),
    })
}

fn network(network: &Bucket) -> Dump {
    let mut parts = sequence(network);
    let mut subnets = Vec::new();
    let mut values = Vec::new();
    for (key, item) in &network.items {
        match item {
            Item::Bucket(ids) if key == IDS => {
                let ids = bucket(ids, text, |item| item_or(item, addresses));
                parts.push(("ids".to_owned(), ids));
            }
            Item::Bucket(entries) => {
                let entries = subnet(entries);
                subnets.push((text(key), entries));
            }
            Item::Value(value) => {
                values.push((text(key), Dump::Text(text(value))));
            }
        }
    }
    for (name, part) in [("subnets", subnets), ("values", values)] {
        if !part.is_empty() {
            parts.push((name.to_owned(), Dump::Object(part)));
        }
    }
    Dump::Object(parts)
}

fn subnet(subnet: &Bucket) -> Dump {
    let mut entries = sequence(subnet);
    for (key, item) in &subnet.items {
        let (name, value): (_, fn(&[u8]) -> Dump) = match Key::parse(key) {
            Key::Address(address) => (address.to_string(), |id| Dump::Text(text(id))),
            Key::Mapped(address) => (address.to_ipv6_mapped().to_string(), |id| {
                Dump::Text(text(id))
            }),
            Key::LastIp => (String::from_utf8_lossy(LAST_IP).into_owned(), cursor),
            Key::Foreign(key) => (hex(key), |value| Dump::Text(text(value))),
        };
        entries.push((name, item_or(item, value)));
    }
    Dump::Object(entries)
}

/// Returns a bucket of any content, given how to write its keys and items.
fn bucket(bucket: &Bucket, key: fn(&[u8]) -> String, item: impl Fn(&Item) -> Dump) -> Dump {
    let mut entries = sequence(bucket);
    entries.extend(
        bucket
            .items
            .iter()
            .map(|(name, value)| (key(name), item(value))),
    );
    Dump::Object(entries)
}

/// Returns a value, or a bucket in place of one.
fn item_or(item: &Item, value: fn(&[u8]) -> Dump) -> Dump {
    match item {
        Item::Value(bytes) => value(bytes),
        Item::Bucket(within) => bucket(within, text, |item| {
            item_or(item, |value| Dump::Text(text(value)))
        }),
    }
}

/// Returns the first of a bucket's entries: its sequence, unless that is 0.
fn sequence(bucket: &Bucket) -> Vec<(String, Dump)> {
    match bucket.sequence {
        0 => Vec::new(),
        number => vec![(HEX.to_owned(), Dump::Text(number.to_string()))],
    }
}

/// Returns the addresses of a container as a list if they are written exactly as Go writes
/// them, else as a text.
fn addresses(value: &[u8]) -> Dump {
    let list = serde_json::from_slice::<Vec<String>>(value).ok();
    let list = list.filter(|list| as_go_writes(list).as_bytes() == value);
    list.map_or_else(|| Dump::Text(text(value)), Dump::List)
}

/// Writes a list as Go does, which escapes what HTML and JavaScript would misread
/// (`encoding/json`).
fn as_go_writes(list: &[String]) -> String {
    ['<', '>', '&', '\u{2028}', '\u{2029}']
        .into_iter()
        .fold(json!(list).to_string(), |text, character| {
            text.replace(character, &format!("\\u{:04x}", u32::from(character)))
        })
}

fn cursor(value: &[u8]) -> Dump {
    let four = <[u8; 4]>::try_from(value).map(|four| Ipv4Addr::from(four).to_string());
    let sixteen = || <[u8; 16]>::try_from(value).map(|bytes| Ipv6Addr::from(bytes).to_string());
    Dump::Text(four.or_else(|_| sixteen()).unwrap_or_else(|_| hex(value)))
}

fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(HEX) => text.to_owned(),
        _ => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(HEX.to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(items: &[(&[u8], Item)]) -> Item {
        let items = items.iter().cloned();
        Item::Bucket(Bucket {
            sequence: 0,
            items: items.map(|(key, item)| (key.to_vec(), item)).collect(),
        })
    }

    fn value(bytes: &[u8]) -> Item {
        Item::Value(bytes.to_vec())
    }

    #[track_caller]
    fn check(root: &Item, expected: &serde_json::Value) {
        let Item::Bucket(root) = root else {
            panic!("the root is a bucket");
        };
        assert_eq!(serde_json::to_value(dump(root)).unwrap(), *expected);
    }

    #[test]
    fn what_podman_does_not_write_is_there_and_told_apart() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2];
        let subnet = of(&[
            (&[10, 0, 0, 2], value(b"one")),
            (&mapped, value(b"two")),
            (b"10.0.0.2", value(b"three")),
            (b"lastIP", value(b"five!")),
            (b"bucket", of(&[(b"hex:", value(b"\xff"))])),
        ]);
        let ids = of(&[
            (b"go", value(br#"["10.0.0.2"]"#)),
            (b"spaced", value(br#"[ "10.0.0.2" ]"#)),
            (b"null", value(b"null")),
            (b"html", value(br#"["10.2.0&77"]"#)),
            (b"html in go", value(br#"["10.2.0\u002677"]"#)),
        ]);
        let network = of(&[(b"10.0.0.0/24", subnet), (b"ids", ids), (b"k", value(b"v"))]);
        let mut other = of(&[(b"ids", value(b"no bucket"))]);
        if let Item::Bucket(other) = &mut other {
            other.sequence = 7;
        }
        let root = of(&[(b"\xfe", value(b"")), (b"n", network), (b"o", other)]);
        check(
            &root,
            &json!({
                "hex:fe": "",
                "n": {
                    "ids": {
                        "go": ["10.0.0.2"],
                        "html": "[\"10.2.0&77\"]",
                    "html in go": ["10.2.0&77"],
                    "spaced": r#"[ "10.0.0.2" ]"#,
                        "null": "null",
                    },
                    "subnets": {"10.0.0.0/24": {
                        "10.0.0.2": "one",
                        "::ffff:10.0.0.2": "two",
                        "hex:31302e302e302e32": "three",
                        "lastIP": "hex:6669766521",
                        "hex:6275636b6574": {"hex:6865783a": "hex:ff"},
                    }},
                    "values": {"k": "v"},
                },
                "o": {"hex:": "7", "values": {"ids": "no bucket"}},
            }),
        );
    }
}
