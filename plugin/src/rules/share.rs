//! A share as berth.conf describes it, and the properties of a network that all hosts leasing
//! from it must agree on. No I/O.

use std::path::PathBuf;
use std::time::Duration;

use berth_share::etcd::{Certificates, Endpoint, Times};
use berth_share::meta::Subnet;
use berth_share::{Keys, ShareName, Terms};
use thiserror::Error;

use super::options;
use super::pool::{Pool, PoolError};
use super::settings::{Section, Settings, keys};
use crate::protocol::Network;

/// How long after its last command a host still counts as there, if `lease` is not set.
pub const LEASE: Duration = Duration::from_secs(3600);

/// Why a share cannot be used as it is configured.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigurationError {
    #[error(
        "share {0} is not configured on this host; add [share.{0}] with its endpoints to \
         berth.conf, as on the other hosts"
    )]
    Missing(String),
    #[error("share {0} has no endpoints; say in [share.{0}] of berth.conf where etcd listens")]
    NoEndpoints(String),
    #[error("share {share}: {name} is set in berth.conf and {missing} is not; https needs both")]
    HalfCertified {
        share: String,
        name: &'static str,
        missing: &'static str,
    },
    #[error("share {share}: {reason}; correct [share.{share}] in berth.conf")]
    Value { share: String, reason: String },
}

/// How this host takes part in a share.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub name: ShareName,
    pub keys: Keys,
    pub endpoints: Vec<Endpoint>,
    pub certificates: Option<Certificates>,
    /// What other hosts call this host; `None` for its host name.
    pub host: Option<String>,
    pub times: Times,
    /// How long after its last command this host still counts as there.
    pub lease: Duration,
}

impl Configuration {
    /// Reads the settings of a share.
    ///
    /// # Errors
    /// If the share is not configured, or not well enough to reach etcd.
    pub fn of(settings: &Settings, name: &ShareName) -> Result<Self, ConfigurationError> {
        let share = name.to_string();
        let section = settings
            .shares
            .get(&share)
            .ok_or_else(|| ConfigurationError::Missing(share.clone()))?;
        let endpoints = section.get(keys::ENDPOINTS).map(|set| &set.items);
        let endpoints = endpoints.into_iter().flatten();
        let endpoints: Result<Vec<Endpoint>, _> = endpoints.map(|item| item.text.parse()).collect();
        let endpoints = endpoints.map_err(|error| ConfigurationError::Value {
            share: share.clone(),
            reason: error.to_string(),
        })?;
        if endpoints.is_empty() {
            return Err(ConfigurationError::NoEndpoints(share));
        }
        let default = Times::default();
        let time = |key, default| {
            text(section, key)
                .and_then(options::time)
                .unwrap_or(default)
        };
        Ok(Self {
            name: name.clone(),
            keys: Keys::new(
                text(section, keys::PREFIX).unwrap_or(berth_share::key::PREFIX),
                name,
            ),
            endpoints,
            certificates: certificates(section, share)?,
            host: text(section, keys::HOST).map(str::to_owned),
            times: Times {
                connect: time(keys::CONNECT, default.connect),
                attempt: time(keys::ATTEMPT, default.attempt),
                total: time(keys::TOTAL, default.total),
                breaker: time(keys::BREAKER, default.breaker),
            },
            lease: time(keys::LEASE, LEASE),
        })
    }
}

fn text<'s>(section: &'s Section, key: &str) -> Option<&'s str> {
    let item = section.get(key)?.items.first()?;
    Some(&item.text)
}

fn certificates(
    section: &Section,
    share: String,
) -> Result<Option<Certificates>, ConfigurationError> {
    let names = [keys::CA, keys::CERTIFICATE, keys::KEY];
    let files = names.map(|name| text(section, name).map(PathBuf::from));
    match files {
        [Some(ca), Some(certificate), Some(key)] => Ok(Some(Certificates {
            ca,
            certificate,
            key,
        })),
        files => {
            let at = |is_set: bool| files.iter().position(|file| file.is_some() == is_set);
            match (at(true), at(false)) {
                (Some(set), Some(missing)) => Err(ConfigurationError::HalfCertified {
                    share,
                    name: names[set],
                    missing: names[missing],
                }),
                _ => Ok(None),
            }
        }
    }
}

/// Returns the properties of a network that must be the same on all hosts of a share.
/// Exclusions and addresses reserved for good are each host's own business.
///
/// # Errors
/// As [`Pool::new`].
pub fn terms(network: &Network) -> Result<Terms, PoolError> {
    let subnets = network.subnets.iter().map(|subnet| {
        let pool = Pool::new(subnet, &[])?;
        let within = pool.subnet();
        let spans = pool.spans();
        Ok(Subnet {
            subnet: within.to_string(),
            gateway: pool.gateway(),
            first: spans.first().map_or(within.network(), |span| span.first()),
            last: spans.last().map_or(within.network(), |span| span.last()),
        })
    });
    Ok(Terms {
        subnets: subnets.collect::<Result<_, PoolError>>()?,
    })
}

/// Returns the share in which a network's addresses are claimed, if there is one.
pub fn of_network(network: &Network) -> Option<ShareName> {
    network.options.get(options::SHARE)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Configuration, ConfigurationError> {
        let mut settings = Settings::default();
        settings.add(Path::new("berth.conf"), text);
        assert_eq!(settings.mistakes, []);
        Configuration::of(&settings, &"lan".parse().unwrap())
    }

    #[test]
    fn a_share_is_read_with_its_defaults() {
        let read = read(
            "[share.lan]\nendpoints = ['https://10.0.0.1', 'https://10.0.0.2']\nca = '/a'\n\
             certificate = '/b'\nkey = '/c'\ntotal = '2500ms'\nhost = 'alpha'\n",
        )
        .unwrap();
        let shown: Vec<_> = read.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:2379", "10.0.0.2:2379"]);
        assert_eq!(read.certificates.unwrap().key, Path::new("/c"));
        assert_eq!(read.times.total, Duration::from_millis(2500));
        assert_eq!(read.times.breaker, Times::default().breaker);
        assert_eq!(read.host.as_deref(), Some("alpha"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        };
        check(
            "",
            "share lan is not configured on this host; add [share.lan] with its endpoints to \
             berth.conf, as on the other hosts",
        );
        check(
            "[share.lan]\nca = '/a'",
            "share lan has no endpoints; say in [share.lan] of berth.conf where etcd listens",
        );
        check(
            "[share.lan]\nendpoints = ['https://a']\nca = '/a'\nkey = '/k'",
            "share lan: ca is set in berth.conf and certificate is not; https needs both",
        );
    }

    #[test]
    fn terms_are_what_hosts_must_have_alike() {
        let network = |options: serde_json::Value| -> Network {
            serde_json::from_value(serde_json::json!({
                "name": "lan", "id": "i", "driver": "berth", "options": options,
                "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.254",
                    "lease_range": {"start_ip": "10.0.0.10", "end_ip": "10.0.0.99"}}],
            }))
            .unwrap()
        };
        let plain = terms(&network(serde_json::json!({}))).unwrap();
        let own = serde_json::json!({"ipam_exclude": "10.0.0.10-10.0.0.20"});
        assert_eq!(terms(&network(own)).unwrap(), plain);
        let subnet = &plain.subnets[0];
        let texts = [subnet.first, subnet.last].map(|address| address.to_string());
        assert_eq!(texts, ["10.0.0.10", "10.0.0.99"]);
        assert_eq!(subnet.gateway, Some("10.0.0.254".parse().unwrap()));
    }
}
