//! What all hosts of a share agree on: the terms, which never change, and the epoch, which
//! changes when etcd is restored from a backup.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ShareError;

/// The format of a share's keys and values. A share with a newer format is left alone.
pub const FORMAT: u32 = 1;

/// One subnet of a share, as every host must have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// As in `192.168.1.0/24`, without host bits.
    pub subnet: String,
    pub gateway: Option<IpAddr>,
    /// The lease range, both ends included.
    pub first: IpAddr,
    pub last: IpAddr,
}

/// What a network must be like to take part: its subnets, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub subnets: Vec<Subnet>,
}

/// One point in which a network and its share differ, with both values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    pub here: String,
    pub share: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, here, share } = self;
        write!(f, "{what}: {here} here, {share} in the share")
    }
}

impl Terms {
    /// Returns every point in which these terms, of a network here, differ from the share's.
    pub fn differences(&self, share: &Self) -> Vec<Difference> {
        let subnets = |terms: &Self| {
            let subnets = terms.subnets.iter().map(|one| one.subnet.as_str());
            subnets.collect::<Vec<_>>().join(", ")
        };
        let difference = |what: &str, here: String, share: String| Difference {
            what: what.to_owned(),
            here,
            share,
        };
        if subnets(self) != subnets(share) {
            return vec![difference("subnets", subnets(self), subnets(share))];
        }
        let mut found = Vec::new();
        for (here, share) in self.subnets.iter().zip(&share.subnets) {
            if here.gateway != share.gateway {
                let gateway = |subnet: &Subnet| {
                    let gateway = subnet.gateway.map(|gateway| gateway.to_string());
                    gateway.unwrap_or_else(|| "none".to_owned())
                };
                let what = format!("gateway of {}", here.subnet);
                found.push(difference(&what, gateway(here), gateway(share)));
            }
            if (here.first, here.last) != (share.first, share.last) {
                let range = |subnet: &Subnet| format!("{} to {}", subnet.first, subnet.last);
                let what = format!("lease range of {}", here.subnet);
                found.push(difference(&what, range(here), range(share)));
            }
        }
        found
    }
}

/// The share's life between two restores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Grows with every change.
    pub number: u64,
    /// Random: tells apart two histories that reach the same number.
    pub token: String,
    /// etcd was restored, and the hosts are still putting back what the backup lacks. Until they
    /// have, new claims are refused.
    pub suspended: bool,
}

/// The value of the key `meta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub format: u32,
    #[serde(flatten)]
    pub terms: Terms,
    pub epoch: Epoch,
}

impl Meta {
    /// Returns the meta that the first host writes.
    pub fn first(terms: Terms, random: u128) -> Self {
        Self {
            format: FORMAT,
            terms,
            epoch: Epoch {
                number: 1,
                token: format!("{random:032x}"),
                suspended: false,
            },
        }
    }

    /// Returns the same terms in an epoch later than this one and than `known`.
    #[must_use]
    pub fn next(&self, known: u64, suspended: bool, random: u128) -> Self {
        Self {
            epoch: Epoch {
                number: self.epoch.number.max(known).saturating_add(1),
                token: format!("{random:032x}"),
                suspended,
            },
            ..self.clone()
        }
    }

    /// Reads the value of the key.
    ///
    /// # Errors
    /// If it is not such a value, or has a newer format.
    pub fn decode(value: &[u8]) -> Result<Self, ShareError> {
        let meta: Self = crate::holding::decode("meta", value)?;
        if meta.format > FORMAT {
            return Err(ShareError::Newer(meta.format));
        }
        Ok(meta)
    }

    /// Returns the value of the key.
    pub fn encode(&self) -> Vec<u8> {
        crate::holding::encode(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn terms(subnet: &str, gateway: Option<&str>, first: &str, last: &str) -> Terms {
        Terms {
            subnets: vec![Subnet {
                subnet: subnet.to_owned(),
                gateway: gateway.map(|gateway| gateway.parse().unwrap()),
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
            }],
        }
    }

    #[test]
    fn a_difference_shows_both_values() {
        let share = terms("10.0.0.0/24", Some("10.0.0.1"), "10.0.0.1", "10.0.0.254");
        let told = |here: Terms| {
            let found = here.differences(&share);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(share.clone()), [""; 0]);
        assert_eq!(
            told(terms("10.0.1.0/24", None, "10.0.1.1", "10.0.1.254")),
            ["subnets: 10.0.1.0/24 here, 10.0.0.0/24 in the share"]
        );
        assert_eq!(
            told(terms("10.0.0.0/24", None, "10.0.0.9", "10.0.0.254")),
            [
                "gateway of 10.0.0.0/24: none here, 10.0.0.1 in the share",
                "lease range of 10.0.0.0/24: 10.0.0.9 to 10.0.0.254 here, \
                 10.0.0.1 to 10.0.0.254 in the share"
            ]
        );
    }

    #[test]
    fn a_newer_format_is_left_alone() {
        let mut meta = Meta::first(terms("10.0.0.0/24", None, "10.0.0.1", "10.0.0.9"), 7);
        assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
        meta.format = FORMAT + 1;
        assert!(matches!(
            Meta::decode(&meta.encode()),
            Err(ShareError::Newer(2))
        ));
    }
}
