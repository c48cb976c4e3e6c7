//! The routes of this host that may be in the way of a new subnet.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnetwork::IpNetwork;

use super::HostError;

/// Returns the destinations of all routes, IPv4 (main table) and IPv6 (all tables).
///
/// Leaves out destinations that are not subnets: default routes, multicast, link-local, and
/// host routes that only repeat one of `addresses`. A kernel without a family has no file for
/// it, which is not an error.
pub(super) fn list(root: &Path, addresses: &[IpNetwork]) -> Result<Vec<IpNetwork>, HostError> {
    let read = |name: &str| {
        let path = root.join("proc/net").join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(HostError::Read { path, source }),
        }
    };
    let (v4, v6) = (read("route")?, read("ipv6_route")?);
    let mut routes: Vec<IpNetwork> = v4
        .lines()
        .filter_map(ipv4_destination)
        .chain(v6.lines().filter_map(ipv6_destination))
        .filter(|route| concerns_us(*route, addresses))
        .collect();
    routes.sort_unstable();
    routes.dedup();
    Ok(routes)
}

/// Reads a line of `/proc/net/route`. Destination and mask are columns 2 and 8: the bytes of
/// the address as a hexadecimal number in the machine's byte order (`fib_route_seq_show`, Linux
/// 6.1). The heading is not a route.
fn ipv4_destination(line: &str) -> Option<IpNetwork> {
    let mut columns = line.split_whitespace();
    let address = |column: &str| {
        let number = u32::from_str_radix(column, 16).ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(number.to_ne_bytes())))
    };
    let destination = address(columns.nth(1)?)?;
    let mask = address(columns.nth(5)?)?;
    IpNetwork::with_netmask(destination, mask).ok()
}

/// Reads a line of `/proc/net/ipv6_route`. Destination and prefix length are columns 1 and 2,
/// both hexadecimal without separators (`rt6_info_route`, Linux 6.1).
fn ipv6_destination(line: &str) -> Option<IpNetwork> {
    let mut columns = line.split_whitespace();
    let destination = u128::from_str_radix(columns.next()?, 16).ok()?;
    let prefix = u8::from_str_radix(columns.next()?, 16).ok()?;
    IpNetwork::new(Ipv6Addr::from_bits(destination).into(), prefix).ok()
}

fn concerns_us(route: IpNetwork, addresses: &[IpNetwork]) -> bool {
    let (full, link_local) = match route {
        IpNetwork::V4(v4) => (32, v4.ip().is_link_local()),
        IpNetwork::V6(v6) => (128, v6.ip().is_unicast_link_local()),
    };
    let repeats = route.prefix() == full && addresses.iter().any(|own| own.ip() == route.ip());
    let nobodys = route.prefix() == 0 || route.ip().is_multicast() || link_local;
    !nobodys && !repeats
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_and_what_is_no_subnet_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("proc/net");
        std::fs::create_dir_all(&dir).unwrap();
        let addresses = [
            "10.89.0.1/24".parse().unwrap(),
            "fd01::1/64".parse().unwrap(),
        ];
        assert_eq!(list(root.path(), &addresses).unwrap(), []);
        std::fs::write(
            dir.join("route"),
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n\
             *\t0100590A\t00000000\t0201\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n\
             eth0\t0500590A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n\
             eth0\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
        )
        .unwrap();
        let line = |destination: &str, prefix: &str| {
            format!(
                "{destination} {prefix} {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n",
                zero = "0".repeat(32)
            )
        };
        std::fs::write(
            dir.join("ipv6_route"),
            [
                line("fd010000000000000000000000000000", "40"),
                line("fd020000000000000000000000000000", "30"),
                line("fe800000000000000000000000000000", "40"),
                line("fd010000000000000000000000000001", "80"),
                line("fd010000000000000000000000000002", "80"),
                line("ff000000000000000000000000000000", "08"),
                line("00000000000000000000000000000000", "00"),
            ]
            .concat(),
        )
        .unwrap();
        let found: Vec<String> = list(root.path(), &addresses)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "10.0.0.0/8",
                "10.89.0.5/32",
                "192.0.2.0/24",
                "fd01::/64",
                "fd01::2/128",
                "fd02::/48"
            ]
        );
    }
}
