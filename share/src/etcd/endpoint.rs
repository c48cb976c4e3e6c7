//! Where an etcd listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::EtcdError;

/// The port for etcd's clients, if none is given.
const PORT: u16 = 2379;

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
    /// Returns where to connect to. A name is looked up for at most `wait`: in a thread of its
    /// own, for the C library has no limit.
    pub(super) fn resolve(&self, wait: Duration) -> Result<SocketAddr, String> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, self.port));
        }
        let (sender, receiver) = mpsc::channel();
        let asked = (self.host.clone(), self.port);
        thread::spawn(move || {
            let found = asked.to_socket_addrs().map(|mut found| found.next());
            // Nobody listens once the wait is over.
            let _ = sender.send(found);
        });
        match receiver.recv_timeout(wait) {
            Ok(Ok(Some(address))) => Ok(address),
            Ok(Ok(None)) => Err("its name has no address".to_owned()),
            Ok(Err(error)) => Err(format!("its name cannot be looked up: {error}")),
            Err(_) => Err(format!("its name was not looked up within {wait:?}")),
        }
    }
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
}
