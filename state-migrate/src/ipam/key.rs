//! The keys of a subnet's bucket.

use std::net::IpAddr;

/// The bucket of a network's containers.
pub const IDS: &[u8] = b"ids";
/// The key of a subnet's cursor.
pub const LAST_IP: &[u8] = b"lastIP";

/// A key of a subnet's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// An address, as Podman writes it: 4 bytes for IPv4, 16 bytes for IPv6.
    Address(IpAddr),
    /// 16 bytes that are an IPv4 address: to Podman, a second key for the same address.
    Mapped(std::net::Ipv4Addr),
    /// The cursor.
    LastIp,
    /// Not a key of Podman's.
    Foreign(&'a [u8]),
}

impl<'a> Key<'a> {
    /// Reads a key.
    pub fn parse(key: &'a [u8]) -> Self {
        if key == LAST_IP {
            return Self::LastIp;
        }
        if let Ok(four) = <[u8; 4]>::try_from(key) {
            return Self::Address(four.into());
        }
        match <[u8; 16]>::try_from(key).map(std::net::Ipv6Addr::from) {
            Ok(address) => match address.to_ipv4_mapped() {
                Some(mapped) => Self::Mapped(mapped),
                None => Self::Address(address.into()),
            },
            Err(_) => Self::Foreign(key),
        }
    }
}
