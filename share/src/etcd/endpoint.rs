//! Where an etcd listens.

use std::fmt;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use wait_timeout::ChildExt;

use super::EtcdError;

/// etcd's client port, if none is given.
const PORT: u16 = 2379;

/// Looks names up. It is run by its full path, because another user may have set `PATH`.
const GETENT: &str = "/usr/bin/getent";

/// An address as in `https://etcd1.example:2379`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(super) secure: bool,
    pub(super) host: String,
    port: u16,
}

impl FromStr for Endpoint {
    type Err = EtcdError;

    fn from_str(text: &str) -> Result<Self, EtcdError> {
        let wrong = || EtcdError::Endpoint(text.to_owned());
        let (secure, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let port_of = |port: &str| port.parse::<u16>().ok().filter(|port| *port != 0);
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let (host, after) = bracketed.split_once(']').ok_or_else(wrong)?;
            let port = match after.strip_prefix(':') {
                Some(port) => port_of(port).ok_or_else(wrong)?,
                None if after.is_empty() => PORT,
                None => return Err(wrong()),
            };
            (
                host.parse::<IpAddr>().map_err(|_| wrong())?.to_string(),
                port,
            )
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host.to_owned(), port_of(port).ok_or_else(wrong)?),
                None => (rest.to_owned(), PORT),
            }
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || host.len() > 253 || !host.chars().all(fits) {
            return Err(wrong());
        }
        Ok(Self { secure, host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl Endpoint {
    /// Returns the address to connect to. Looking up a name takes at most `wait`.
    pub(super) fn resolve(&self, wait: Duration) -> Result<SocketAddr, String> {
        let address = match self.host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => look_up(&self.host, wait)?,
        };
        Ok(SocketAddr::new(address, self.port))
    }
}

/// Looks a name up with getent(1): the C library's own functions have no time limit, and do not
/// work in an executable without shared libraries (`plugin/build.rs`).
fn look_up(name: &str, wait: Duration) -> Result<IpAddr, String> {
    let failed = |error| format!("its name cannot be looked up with {GETENT}: {error}");
    let mut getent = Command::new(GETENT)
        .args(["ahosts", "--", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if getent.wait_timeout(wait).map_err(failed)?.is_none() {
        getent.kill().and_then(|()| getent.wait()).map_err(failed)?;
        return Err(format!("its name was not looked up within {wait:?}"));
    }
    let mut said = String::new();
    if let Some(mut output) = getent.stdout.take() {
        output.read_to_string(&mut said).map_err(failed)?;
    }
    let first = said.split_whitespace().next();
    let address = first.and_then(|address| address.parse().ok());
    address.ok_or_else(|| "its name has no address".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_etcds_own_programs_read_them() {
        for (text, shown) in [
            ("https://10.0.0.1:2379", "10.0.0.1:2379"),
            ("https://etcd1.example", "etcd1.example:2379"),
            ("http://[fd00::1]:1234/", "[fd00::1]:1234"),
            ("https://[fd00::1]", "[fd00::1]:2379"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for wrong in [
            "10.0.0.1:2379",
            "ftp://x",
            "https://",
            "https://a:0",
            "https://a:b",
            "https://a/b",
            "https://[::1",
            "https://[::1]x",
            "https://[etcd]",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_looked_up() {
        let of = |text: &str| text.parse::<Endpoint>().unwrap();
        let wait = Duration::from_secs(20);
        let local = of("http://localhost:7").resolve(wait).unwrap();
        assert!(local.ip().is_loopback() && local.port() == 7, "{local}");
        let literal = of("http://[::1]").resolve(Duration::ZERO).unwrap();
        assert_eq!(literal.to_string(), "[::1]:2379");
        let option = of("http://--help").resolve(wait).unwrap_err();
        assert_eq!(option, "its name has no address");
    }
}
