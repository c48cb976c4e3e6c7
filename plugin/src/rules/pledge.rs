//! Addresses that a person has reserved for good, for one container or for none. No I/O.
//!
//! They are kept in the network's own option `ipam_reserve`, so they last as long as the
//! network does, across reboots and lost lease stores, and every setup request has them. The
//! option is a list, separated by semicolons: `10.0.0.9=web # moved from host b; 10.0.0.10`.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::lease::ContainerName;
use super::network_config::is_valid_name;
use super::options::{self, OptionsError, RESERVE};
use super::pool::{Pool, Unleasable, normalise};
use crate::protocol::Network;

/// The longest comment, in characters.
pub const MAX_COMMENT: usize = 200;

/// An address that a person has reserved for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pledge {
    pub address: IpAddr,
    /// The only container that gets the address, even if it does not ask for it; `None` if no
    /// container does.
    pub container: Option<ContainerName>,
    /// What the address is for; may be empty.
    pub comment: String,
}

/// Why an address cannot be reserved like this.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PledgeError {
    #[error("invalid container name {0:?}: Podman's names have letters, digits and _ . -")]
    Container(String),
    #[error(
        "invalid comment: it may have {MAX_COMMENT} characters, none of them ; or a control character"
    )]
    Comment,
    #[error("{address} cannot be reserved: {reason}")]
    Unleasable { address: IpAddr, reason: Unleasable },
}

impl Pledge {
    /// Returns a pledge whose texts can be written to the option.
    ///
    /// # Errors
    /// If the container's name is not valid, or the comment is too long or has a forbidden
    /// character.
    pub fn new(
        address: IpAddr,
        container: Option<&str>,
        comment: &str,
    ) -> Result<Self, PledgeError> {
        if let Some(name) = container.filter(|name| !is_valid_name(name)) {
            return Err(PledgeError::Container(name.to_owned()));
        }
        let bad = |c: char| c == ';' || c.is_control();
        if comment.chars().count() > MAX_COMMENT || comment.contains(bad) {
            return Err(PledgeError::Comment);
        }
        Ok(Self {
            address: address.to_canonical(),
            container: container.map(ContainerName::from),
            comment: comment.trim().to_owned(),
        })
    }

    /// Returns whether a container of this name gets the address.
    pub fn is_for(&self, name: &ContainerName) -> bool {
        !name.as_str().is_empty() && self.container.as_ref() == Some(name)
    }

    /// Returns whom the address is for, in words.
    pub fn whom(&self) -> String {
        match (&self.container, self.comment.as_str()) {
            (Some(name), "") => format!("for container {name}"),
            (Some(name), comment) => format!("for container {name} ({comment})"),
            (None, "") => "for no container".to_owned(),
            (None, comment) => format!("for no container ({comment})"),
        }
    }
}

impl fmt::Display for Pledge {
    /// Formats the pledge as an item of the option.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(name) = &self.container {
            write!(f, "={name}")?;
        }
        if !self.comment.is_empty() {
            write!(f, " # {}", self.comment)?;
        }
        Ok(())
    }
}

/// Reads the pledges of a network, in the order of the option.
pub(super) fn parse(network: &Network) -> Result<Vec<Pledge>, OptionsError> {
    let list = network.options.get(RESERVE).map_or("", String::as_str);
    let mut pledges = Vec::<Pledge>::new();
    for pledge in items(list) {
        let pledge = pledge?;
        let address = pledge.address;
        if pledges.iter().any(|known| known.address == address) {
            return Err(OptionsError::PledgeRepeated { address });
        }
        check(network, address)?;
        pledges.push(pledge);
    }
    Ok(pledges)
}

/// Reads a list of pledges that need not suit a particular network.
pub(super) fn items(list: &str) -> impl Iterator<Item = Result<Pledge, OptionsError>> {
    let items = list.split(';').map(str::trim);
    items.filter(|item| !item.is_empty()).map(|item| {
        read(item).ok_or_else(|| OptionsError::Pledge {
            item: item.to_owned(),
        })
    })
}

fn read(item: &str) -> Option<Pledge> {
    let (what, comment) = item.split_once('#').unwrap_or((item, ""));
    let (address, container) = match what.split_once('=') {
        Some((address, name)) => (address, Some(name.trim())),
        None => (what, None),
    };
    Pledge::new(address.trim().parse().ok()?, container, comment).ok()
}

/// Refuses addresses that no container of the network could get.
fn check(network: &Network, address: IpAddr) -> Result<(), OptionsError> {
    let subnets = network.subnets.iter();
    let mut subnets = subnets.filter(|subnet| normalise(subnet.subnet).contains(address));
    let Some(subnet) = subnets.next() else {
        return Err(OptionsError::PledgeOutside {
            address,
            subnets: options::listed(network),
        });
    };
    // A subnet that cannot be used is refused elsewhere, with its own reason.
    let pool = Pool::new(subnet, &[]).ok();
    match pool.and_then(|pool| pool.unleasable(address)) {
        Some(reason) => Err(OptionsError::PledgeUnleasable(PledgeError::Unleasable {
            address,
            reason,
        })),
        None => Ok(()),
    }
}

impl Network {
    /// Replaces the network's pledges; without any, removes the option.
    pub fn set_pledges(&mut self, pledges: &[Pledge]) {
        let items: Vec<_> = pledges.iter().map(Pledge::to_string).collect();
        match items.is_empty() {
            true => self.options.remove(RESERVE),
            false => self.options.insert(RESERVE.to_owned(), items.join("; ")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::options::Options;

    fn network(reserve: &str) -> Network {
        let network = serde_json::json!({"name": "n", "id": "i", "driver": "berth",
            "options": {"ipam_reserve": reserve},
            "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}]});
        serde_json::from_value(network).expect("a network")
    }

    #[test]
    fn what_is_written_is_read_again() {
        let address = |text: &str| text.parse().expect("an address");
        let pledges = [
            Pledge::new(address("10.0.0.9"), Some("web"), "moved, from #b").expect("good"),
            Pledge::new(address("10.0.0.10"), None, "").expect("good"),
            Pledge::new(address("10.0.0.11"), None, " the printer ").expect("good"),
        ];
        let mut network = network("");
        network.set_pledges(&pledges);
        assert_eq!(
            network.options[RESERVE],
            "10.0.0.9=web # moved, from #b; 10.0.0.10; 10.0.0.11 # the printer"
        );
        assert_eq!(Options::parse(&network).expect("options").pledges, pledges);
        network.set_pledges(&[]);
        assert!(network.options.is_empty());
    }

    #[track_caller]
    fn check_refused(reserve: &str, expected: &str) {
        let error = Options::parse(&network(reserve)).expect_err("it must be refused");
        assert_eq!(
            error.to_string(),
            format!("invalid option ipam_reserve: {expected}")
        );
    }

    #[test]
    fn what_nobody_could_get_is_refused() {
        check_refused(
            "web",
            "\"web\" is not an address (10.0.0.9), with a container's name (10.0.0.9=web) or a \
             comment (10.0.0.9 # the printer) after it",
        );
        check_refused(
            "10.0.0.9=",
            "\"10.0.0.9=\" is not an address (10.0.0.9), with a container's name (10.0.0.9=web) \
             or a comment (10.0.0.9 # the printer) after it",
        );
        check_refused("10.0.0.9; 10.0.0.9=web", "10.0.0.9 is listed twice");
        check_refused(
            "10.1.0.9",
            "10.1.0.9 is not within a subnet of the network (10.0.0.0/24)",
        );
        check_refused(
            "10.0.0.1",
            "10.0.0.1 cannot be reserved: it is the gateway of 10.0.0.0/24",
        );
    }

    #[test]
    fn texts_that_could_not_be_read_again_are_refused() {
        let new = |name, comment| Pledge::new([10, 0, 0, 9].into(), name, comment);
        assert_eq!(
            new(Some("a;b"), ""),
            Err(PledgeError::Container("a;b".to_owned()))
        );
        for comment in ["a;b", "a\nb", &"x".repeat(201)] {
            assert_eq!(new(None, comment), Err(PledgeError::Comment));
        }
    }
}
