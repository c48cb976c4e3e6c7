//! Published ports, as netavark's requests list them. No I/O.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

/// A range of published ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPorts {
    /// The host's address; `None` for all of its addresses.
    host_ip: Option<IpAddr>,
    first: u64,
    /// The last port, included.
    last: u64,
    protocol: String,
}

impl PublishedPorts {
    /// Reads a request's `port_mappings`, skipping entries that are not port mappings.
    pub fn of(mappings: &Value) -> Vec<Self> {
        let read = |mapping: &Value| {
            let first = mapping["host_port"].as_u64()?;
            let range = mapping["range"].as_u64().unwrap_or(1).max(1);
            let host_ip = mapping["host_ip"].as_str().unwrap_or_default();
            let host_ip: Option<IpAddr> = host_ip.parse().ok();
            Some(Self {
                host_ip: host_ip.filter(|address| !address.is_unspecified()),
                first,
                last: first.saturating_add(range - 1),
                protocol: mapping["protocol"].as_str().unwrap_or("tcp").to_owned(),
            })
        };
        let mappings = mappings.as_array().into_iter().flatten();
        mappings.filter_map(read).collect()
    }

    /// Returns whether one packet may match both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let same_address = match (self.host_ip, other.host_ip) {
            (Some(own), Some(its)) => own == its,
            (None, _) | (_, None) => true,
        };
        let in_both = self.first.max(other.first) <= self.last.min(other.last);
        same_address && in_both && self.protocol == other.protocol
    }
}

impl fmt::Display for PublishedPorts {
    /// As in `8080/tcp` or `7000-7009/udp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            last,
            protocol,
            ..
        } = self;
        match first == last {
            true => write!(f, "{first}/{protocol}"),
            false => write!(f, "{first}-{last}/{protocol}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(host_ip: &str, first: u16, range: u16, protocol: &str) -> PublishedPorts {
        let mappings = json!([{"host_ip": host_ip, "host_port": first, "range": range,
            "protocol": protocol, "container_port": 80}, {"odd": true}]);
        PublishedPorts::of(&mappings).remove(0)
    }

    #[test]
    fn ports_overlap_that_one_packet_may_be_for() {
        let web = one("", 8080, 1, "tcp");
        assert!(web.overlaps(&one("192.0.2.1", 8080, 1, "tcp")));
        assert!(web.overlaps(&one("0.0.0.0", 8000, 81, "tcp")));
        assert!(!web.overlaps(&one("", 8000, 80, "tcp")));
        assert!(!web.overlaps(&one("", 8080, 1, "udp")));
        let own = one("192.0.2.1", 8080, 1, "tcp");
        assert!(!own.overlaps(&one("192.0.2.2", 8080, 1, "tcp")));
    }

    #[test]
    fn they_read_as_podman_writes_them() {
        assert_eq!(one("", 8080, 1, "tcp").to_string(), "8080/tcp");
        assert_eq!(one("", 7000, 10, "udp").to_string(), "7000-7009/udp");
        assert_eq!(PublishedPorts::of(&Value::Null), []);
    }
}
