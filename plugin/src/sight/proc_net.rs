//! What `/proc/PID/net` shows of a process's network namespace. Any process may read
//! it, even one to which `/proc/PID/ns/net` is refused because it may not trace, or by
//! a security module.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{View, read_proc};

/// Room for a file. On a router, the one with the routes is longer; then nothing is
/// concluded.
const LIMIT: u64 = 1 << 20;

/// Reads what is visible of the namespace of a process: `thread-self` or a pid.
///
/// # Errors
/// If it is not there, is unreadable, or longer than we have room for.
pub(super) fn view_of(process: &str) -> io::Result<View> {
    let read = |name: &str| read_proc(&format!("/proc/{process}/net/{name}"), LIMIT);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut addresses = v4(&text(read("fib_trie")?));
    match read("if_inet6") {
        Ok(bytes) => addresses.extend(text(bytes).lines().filter_map(v6)),
        // The kernel has no IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let interfaces = interfaces(&read("dev")?);
    if interfaces.is_empty() {
        return Err(io::Error::other("a zombie shows no namespace"));
    }
    Ok(View {
        interfaces,
        addresses,
    })
}

/// Reads `net/dev`: two lines of headings, then `NAME: NUMBERS`. A name has no colon.
fn interfaces(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = bytes.split(|byte| *byte == b'\n').skip(2);
    lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some(line[..colon].trim_ascii().to_vec())
        })
        .collect()
}

/// Reads `net/fib_trie`: a line `|-- ADDRESS`, then its routes, `/32 host LOCAL` among
/// them if it is the namespace's own.
fn v4(text: &str) -> BTreeSet<IpAddr> {
    let (mut found, mut last) = (BTreeSet::new(), None);
    for line in text.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.trim() == "/32 host LOCAL" {
            found.extend(last.map(IpAddr::V4));
        }
    }
    found
}

/// Reads a line of `net/if_inet6`: the address in hexadecimal digits comes first.
fn v6(line: &str) -> Option<IpAddr> {
    let digits = line.split_whitespace().next()?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some(Ipv6Addr::from_bits(number).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_own_is_read() {
        let own = view_of("self").unwrap();
        assert!(own.interfaces.contains(b"lo".as_slice()));
        assert!(own.is_beside_the_point(&own));
        let links = crate::sight::links().unwrap();
        let addresses = links.iter().flat_map(|link| link.addresses.clone());
        assert_eq!(own.addresses, addresses.collect());
    }

    #[test]
    fn an_address_is_one_of_the_namespaces_own() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.77.0.0\n        /24 link UNICAST\n     \
                    |-- 10.77.0.1\n        /32 host LOCAL\n     |-- 10.77.0.255\n        /32 link \
                    BROADCAST\n";
        assert_eq!(v4(text), BTreeSet::from(["10.77.0.1".parse().unwrap()]));
        let line = "fd770000000000000000000000000001 02 40 00 80     eth0";
        assert_eq!(v6(line), Some("fd77::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_file_is_the_readers_end(bytes: Vec<u8>, text: String) {
            let _ = (interfaces(&bytes), v4(&text), v6(&text));
        }
    }
}
