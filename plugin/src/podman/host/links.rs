//! The interfaces of this host and their addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::HostError;

/// Returns the names of all links, and all addresses with their prefix lengths.
///
/// getifaddrs(3) has an entry of family `AF_PACKET` for every link, so links without an address
/// are listed too.
pub(super) fn list() -> Result<(Vec<String>, Vec<IpNetwork>), HostError> {
    let mut links = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for entry in getifaddrs().map_err(HostError::Links)? {
        let address = entry.address.as_ref().and_then(ip);
        let netmask = entry.netmask.as_ref().and_then(ip);
        if let (Some(address), Some(netmask)) = (address, netmask)
            && let Ok(prefix) = ipnetwork::ip_mask_to_prefix(netmask)
            && let Ok(subnet) = IpNetwork::new(address, prefix)
        {
            addresses.insert(subnet);
        }
        links.insert(entry.interface_name);
    }
    Ok((links.into_iter().collect(), addresses.into_iter().collect()))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_loopback_interface_is_listed() {
        let (links, addresses) = list().unwrap();
        assert!(links.iter().any(|link| link == "lo"));
        assert!(addresses.contains(&"127.0.0.1/8".parse().unwrap()));
    }
}
