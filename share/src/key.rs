//! The names of the keys. All keys of a share are below `PREFIX/SHARE/`.
//!
//! ```text
//! /berth/v1/lan/meta                 the terms, and the epoch
//! /berth/v1/lan/h/<host>             the host's record, for ever
//! /berth/v1/lan/live/<host>          expires with an etcd lease: a hint
//! /berth/v1/lan/a/4/c0a80114         an address in use
//! /berth/v1/lan/a/6/<32 hex>
//! ```
//!
//! Hexadecimal addresses sort in numerical order, so a window of addresses is a span of keys.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The prefix of keys if none is configured.
pub const PREFIX: &str = "/berth/v1";

/// The longest name of a share.
const LONGEST_NAME: usize = 63;

/// The name of a share: letters, digits, `-`, `_` and `.`; it begins with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName(String);

/// A text that is no valid name or identity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    #[error(
        "{0:?} cannot be a share's name, which has 1 to 63 letters, digits, `-`, `_` or `.`, and \
         begins with a letter or digit"
    )]
    Share(String),
    #[error("{0:?} cannot be a host's identity, which has 32 hexadecimal digits")]
    Host(String),
}

impl ShareName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ShareName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= LONGEST_NAME && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Share(text.to_owned()))
        }
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of a host: a random number, never its name, which another host may have tomorrow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId(String);

impl HostId {
    /// Makes an identity from a random number.
    pub fn new(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }

    /// Returns it as 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for HostId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let fits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() == 32 && text.chars().all(fits) {
            Ok(Self(text))
        } else {
            Err(NameError::Host(text))
        }
    }
}

impl From<HostId> for String {
    fn from(host: HostId) -> Self {
        host.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A span of keys, its end not included. It always has an end: etcd counts all keys of an
/// open span, which takes 8 ms with 65,000 keys (3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: Vec<u8>,
    pub end: Vec<u8>,
}

impl Span {
    /// Returns the part of the span after one of its keys.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let mut first = key.to_vec();
        first.push(0);
        Self {
            first,
            end: self.end.clone(),
        }
    }

    /// Returns whether a key is in the span.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.first.as_slice() <= key && key < self.end.as_slice()
    }
}

/// The keys of one share.
#[derive(Clone, Debug)]
pub struct Keys {
    base: String,
}

impl Keys {
    /// Returns the keys of a share below a prefix, which has no slash at its end.
    pub fn new(prefix: &str, share: &ShareName) -> Self {
        Self {
            base: format!("{prefix}/{share}/"),
        }
    }

    /// Returns the key of the share's [`Meta`](crate::meta::Meta).
    pub fn meta(&self) -> Vec<u8> {
        self.named("meta")
    }

    /// Returns the key of a host's record.
    pub fn host(&self, host: &HostId) -> Vec<u8> {
        self.named(&format!("h/{host}"))
    }

    /// Returns the keys of all hosts' records.
    pub fn hosts(&self) -> Span {
        self.below("h")
    }

    /// Returns the key that exists as long as a host has sent a beat lately.
    pub fn live(&self, host: &HostId) -> Vec<u8> {
        self.named(&format!("live/{host}"))
    }

    /// Returns the keys of all hosts that have sent a beat lately.
    pub fn all_live(&self) -> Span {
        self.below("live")
    }

    /// Returns the host that a key of [`all_live`](Self::all_live) is about.
    pub fn live_host(&self, key: &[u8]) -> Option<HostId> {
        let text = std::str::from_utf8(key).ok()?;
        let host = text
            .strip_prefix(self.base.as_str())?
            .strip_prefix("live/")?;
        HostId::try_from(host.to_owned()).ok()
    }

    /// Returns the key of an address.
    pub fn address(&self, address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(address) => self.named(&format!("a/4/{:08x}", u32::from(address))),
            IpAddr::V6(address) => self.named(&format!("a/6/{:032x}", u128::from(address))),
        }
    }

    /// Returns the keys of the addresses from `first` to `last`, both included and of one
    /// family.
    pub fn addresses(&self, first: IpAddr, last: IpAddr) -> Span {
        let mut end = self.address(last);
        end.push(0);
        Span {
            first: self.address(first),
            end,
        }
    }

    /// Returns the keys of all addresses.
    pub fn all_addresses(&self) -> Span {
        self.below("a")
    }

    /// Returns the address that a key is about.
    pub fn parse_address(&self, key: &[u8]) -> Option<IpAddr> {
        let text = std::str::from_utf8(key).ok()?;
        let (family, digits) = text
            .strip_prefix(self.base.as_str())?
            .strip_prefix("a/")?
            .split_once('/')?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        match (family, digits.len()) {
            ("4", 8) => Some(Ipv4Addr::from(u32::from_str_radix(digits, 16).ok()?).into()),
            ("6", 32) => Some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?).into()),
            _ => None,
        }
    }

    fn named(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.base).into_bytes()
    }

    /// `0` is the character after `/`.
    fn below(&self, folder: &str) -> Span {
        Span {
            first: self.named(&format!("{folder}/")),
            end: self.named(&format!("{folder}0")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(PREFIX, &"lan".parse().unwrap())
    }

    #[test]
    fn keys_are_as_documented() {
        let text = |key: Vec<u8>| String::from_utf8(key).unwrap();
        let host = HostId::new(0xbe);
        let keys = keys();
        assert_eq!(text(keys.meta()), "/berth/v1/lan/meta");
        assert_eq!(
            text(keys.host(&host)),
            "/berth/v1/lan/h/000000000000000000000000000000be"
        );
        assert_eq!(
            text(keys.address("192.168.1.20".parse().unwrap())),
            "/berth/v1/lan/a/4/c0a80114"
        );
        assert_eq!(
            text(keys.address("fd00::1".parse().unwrap())),
            "/berth/v1/lan/a/6/fd000000000000000000000000000001"
        );
    }

    #[test]
    fn a_key_leads_back_to_its_address_and_to_no_other_share() {
        let keys = keys();
        for address in ["0.0.0.0", "255.255.255.255", "fd00::ffff", "::"] {
            let address: IpAddr = address.parse().unwrap();
            let key = keys.address(address);
            assert_eq!(keys.parse_address(&key), Some(address));
            assert!(keys.all_addresses().covers(&key));
            let other = Keys::new(PREFIX, &"lan2".parse().unwrap());
            assert_eq!(other.parse_address(&key), None);
            assert!(!other.all_addresses().covers(&key));
        }
        for wrong in ["a/4/c0a8011", "a/4/+0a80114", "a/5/c0a80114", "h/c0a80114"] {
            assert_eq!(keys.parse_address(&keys.named(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_ends_with_its_last_address() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let keys = keys();
        let span = keys.addresses(address("10.0.0.9"), address("10.0.1.0"));
        for (inside, at) in [
            (false, "10.0.0.8"),
            (true, "10.0.0.9"),
            (true, "10.0.1.0"),
            (false, "10.0.1.1"),
        ] {
            assert_eq!(span.covers(&keys.address(address(at))), inside, "{at}");
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_share() {
        for wrong in ["", "a/b", "..", "-x", "a b", &"x".repeat(64)] {
            assert!(wrong.parse::<ShareName>().is_err(), "{wrong}");
        }
        for wrong in ["", "../meta", &"G".repeat(32)] {
            assert!(HostId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
