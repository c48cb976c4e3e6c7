//! What is wrong with a file, how that comes about, and what to do about it. Pure.

mod find;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Serialize;

pub(crate) use find::{flaws, unleased};

use crate::ipam::claim::ClaimKey;
use berth::rules::lease::short_id;

/// An inconsistency. Containers are named by their full ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Flaw {
    /// A subnet's entry names a container whose list in `ids` lacks the address.
    NotListed(ClaimKey),
    /// `ids` lists an address for which no subnet has an entry.
    NotLeased(ClaimKey),
    /// Several containers claim one address.
    Contested {
        network: String,
        address: IpAddr,
        containers: Vec<String>,
    },
    /// An IPv4 address under a key of 16 bytes.
    Mapped(ClaimKey),
    /// An address outside the subnet whose bucket it is in, or outside all of them.
    Outside {
        #[serde(flatten)]
        lease: ClaimKey,
        /// The bucket, if it is in one.
        subnet: Option<String>,
    },
    Gateway(ClaimKey),
    /// A container with several addresses of one subnet.
    Twice {
        network: String,
        subnet: IpNetwork,
        container: String,
        addresses: Vec<IpAddr>,
    },
    NoContainerId(ClaimKey),
    /// An entry in `ids` without a list of addresses, or with an empty one.
    NoList {
        network: String,
        container: String,
    },
    /// A network without a configuration file.
    NoNetwork {
        network: String,
    },
    /// A network whose addresses Podman does not lease.
    NotPodmans {
        network: String,
    },
    /// A container that was started before its network was made.
    Recreated {
        network: String,
        container: String,
    },
    /// A subnet that the network does not have.
    NoSubnet {
        network: String,
        /// The key of its bucket.
        subnet: String,
    },
    /// A cursor outside its subnet.
    StrayCursor {
        network: String,
        /// The key of the subnet's bucket.
        subnet: String,
    },
    /// An address that a container has and that is not leased to anything.
    Unleased {
        network: String,
        address: IpAddr,
        /// Who has it, as far as the kernel shows.
        holder: String,
    },
    /// A key that Podman does not write.
    Foreign {
        /// The network and the subnet that it is in, if it is in one.
        network: Option<String>,
        subnet: Option<String>,
        /// As text if it is text, else as hexadecimal digits.
        key: String,
    },
}

/// What to do about a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Remedy {
    Sanitise,
    /// `berth-migrate sanitise`, once the containers that use it are gone.
    WhenUnused,
    /// Stopping and starting the container: it leases an address again (seen with 5.4).
    Restart,
    /// It does no harm.
    Nothing,
}

impl Remedy {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Sanitise => "berth-migrate sanitise",
            Self::WhenUnused => "stop the containers that use it, then run berth-migrate sanitise",
            Self::Restart => {
                "run `podman stop` on that container (it fails because the lease is missing), then \
                 `podman start`"
            }
            Self::Nothing => "nothing to do: it does no harm",
        }
    }
}

/// A flaw for people.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) what: String,
    /// How it comes about.
    pub(crate) cause: &'static str,
    pub(crate) remedy: Remedy,
}

impl Flaw {
    /// Returns the network with the flaw.
    pub(crate) fn network(&self) -> Option<&str> {
        match self {
            Self::NotListed(key)
            | Self::NotLeased(key)
            | Self::Mapped(key)
            | Self::Outside { lease: key, .. }
            | Self::Gateway(key)
            | Self::NoContainerId(key) => Some(&key.network),
            Self::Contested { network, .. }
            | Self::Twice { network, .. }
            | Self::NoList { network, .. }
            | Self::NoNetwork { network }
            | Self::NotPodmans { network }
            | Self::Recreated { network, .. }
            | Self::NoSubnet { network, .. }
            | Self::Unleased { network, .. }
            | Self::StrayCursor { network, .. } => Some(network),
            Self::Foreign { network, .. } => network.as_deref(),
        }
    }

    /// Explains what it is, how it comes about and what to do.
    pub(crate) fn explain(&self) -> Explanation {
        let lease = |key: &ClaimKey| {
            let (address, network) = (key.address, &key.network);
            format!(
                "lease of {address} on {network} for container {}",
                short_id(&key.container)
            )
        };
        let (what, cause, remedy) = match self {
            Self::NotListed(key) => (
                format!("{} is missing from the container's list in ids", lease(key)),
                "the container was started again and its list overwritten, so Podman will never \
                 release this address",
                Remedy::Sanitise,
            ),
            Self::NotLeased(key) => (
                format!("{} is only in ids, not in its subnet", lease(key)),
                "the release of another container removed the entry: Podman may lease the address \
                 a second time",
                Remedy::Sanitise,
            ),
            Self::Contested {
                network,
                address,
                containers,
            } => (
                format!(
                    "{address} on {network} is claimed by several containers: {}",
                    list(containers.iter().map(|id| short_id(id)))
                ),
                "when one of them stops, Podman releases the address of the other",
                Remedy::Sanitise,
            ),
            Self::Mapped(key) => (
                format!("{} has a key of 16 bytes", lease(key)),
                "an earlier Podman wrote it; the allocator does not see it",
                Remedy::Sanitise,
            ),
            Self::Outside { lease: key, subnet } => (
                match subnet {
                    Some(subnet) => format!("{} is outside its subnet {subnet}", lease(key)),
                    None => format!("{} is in no subnet of the network", lease(key)),
                },
                "the network had another subnet when the address was leased",
                Remedy::WhenUnused,
            ),
            Self::Gateway(key) => (
                format!("{} is the network's gateway", lease(key)),
                "Podman leases the gateway to a container that asks for it with --ip",
                Remedy::Nothing,
            ),
            Self::Twice {
                network,
                subnet,
                container,
                addresses,
            } => (
                format!(
                    "container {} has several addresses of {subnet} on {network}: {}",
                    short_id(container),
                    list(addresses)
                ),
                "the container was started again before it was stopped, or asked for several",
                Remedy::WhenUnused,
            ),
            Self::NoContainerId(key) => (
                format!(
                    "lease of {} on {} is for {:?}, which is not a container id",
                    key.address, key.network, key.container
                ),
                "buildah leased it for a build, or somebody edited the file",
                Remedy::WhenUnused,
            ),
            Self::NoList { network, container } => (
                format!(
                    "container {} on {network} has no readable list of addresses in ids",
                    short_id(container)
                ),
                "the file was edited or damaged; Podman fails when it stops the container",
                Remedy::Sanitise,
            ),
            Self::NoNetwork { network } => (
                format!("network {network} has no configuration file"),
                "somebody removed the file by hand, or Podman uses another network configuration \
                 directory",
                Remedy::WhenUnused,
            ),
            Self::NotPodmans { network } => (
                format!("Podman does not lease the addresses of network {network}"),
                "its ipam driver was changed while containers had addresses",
                Remedy::WhenUnused,
            ),
            Self::Recreated { network, container } => (
                format!(
                    "container {} was started before network {network} was made",
                    short_id(container)
                ),
                "the network was removed and made again under its name while the container ran",
                Remedy::WhenUnused,
            ),
            Self::NoSubnet { network, subnet } => (
                format!("network {network} no longer has subnet {subnet}"),
                "the network was edited, or made again with another subnet",
                Remedy::WhenUnused,
            ),
            Self::StrayCursor { network, subnet } => (
                format!("the cursor of subnet {subnet} on {network} is outside the subnet"),
                "the network was edited; Podman would lease addresses from outside the subnet",
                Remedy::Sanitise,
            ),
            Self::Unleased {
                network,
                address,
                holder,
            } => (
                format!("{address} on {network} is in use by {holder}, but is not leased"),
                "ipam.db was removed or emptied while containers ran, or the container gave itself \
                 the address: Podman may lease it a second time",
                Remedy::Restart,
            ),
            Self::Foreign {
                network,
                subnet,
                key,
            } => {
                let places = [network, subnet].into_iter().flatten();
                let place: String = places.map(|name| format!(" in {name}")).collect();
                (
                    format!("key {key}{place} is not one that Podman writes"),
                    "a newer Podman or another program wrote it",
                    Remedy::Nothing,
                )
            }
        };
        Explanation {
            what,
            cause,
            remedy,
        }
    }
}

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let texts: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests;
