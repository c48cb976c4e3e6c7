//! Who has an address: tenancies, leases and reservations. No I/O.
//!
//! A *tenancy* is one container's interface on one network. Every release is checked against
//! it. A *tenant* is the durable record of a tenancy; it owns one lease per address. A
//! *reservation* is what a released address leaves behind: a cooldown for everyone, and a claim
//! for its former holder, who can come back to it.

mod stored;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attachment::Attachment;
use crate::protocol::Shared;
use stored::Stored;
pub use stored::TenantReader;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

name! {
    /// A network's id. It changes when a network is created again under its old name.
    NetworkId
}
name! {
    /// A network's name.
    NetworkName
}
name! {
    /// A container's full id; in a pod, the infra container's.
    ContainerId
}
name! {
    /// A container's name; in a pod, the pod's.
    ContainerName
}
name! {
    /// An interface's name inside the container.
    InterfaceName
}

impl ContainerId {
    /// Returns the id shortened as by [`short_id`].
    pub fn short(&self) -> &str {
        short_id(&self.0)
    }
}

/// Returns the first twelve characters of a container's id, as Podman lists containers.
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Returns whether a text can be the id of a container or network of Podman's. If so, it is safe as
/// the name of a file.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Who holds addresses: the identity of every lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenancy {
    pub network_id: NetworkId,
    pub container_id: ContainerId,
    pub interface: InterfaceName,
}

/// A moment on two clocks. Stored as `[wall_ms, boot_ms]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Moment {
    /// Milliseconds since the Unix epoch. For display only, because it may jump.
    pub wall_ms: u64,
    /// Milliseconds since boot, suspend included (`CLOCK_BOOTTIME`). For decisions: within one
    /// boot id it never goes back.
    pub boot_ms: u64,
}

impl From<(u64, u64)> for Moment {
    fn from((wall_ms, boot_ms): (u64, u64)) -> Self {
        Self { wall_ms, boot_ms }
    }
}

impl From<Moment> for (u64, u64) {
    fn from(moment: Moment) -> Self {
        (moment.wall_ms, moment.boot_ms)
    }
}

impl Moment {
    /// Returns the time since an earlier moment of the same boot, or zero if that moment is not
    /// earlier.
    pub const fn since(&self, earlier: &Self) -> Duration {
        Duration::from_millis(self.boot_ms.saturating_sub(earlier.boot_ms))
    }

    /// Returns the moment this much later, saturating.
    #[must_use]
    pub fn after(&self, wait: Duration) -> Self {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            wall_ms: self.wall_ms.saturating_add(ms),
            boot_ms: self.boot_ms.saturating_add(ms),
        }
    }
}

/// How far a tenancy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Durable, but the interface may not exist yet.
    Offered,
    /// netavark has set the interface up.
    Bound,
}

/// How an address was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By us.
    Dynamic,
    /// The container asked for it.
    Static,
}

/// The durable record that one address belongs to one tenancy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub tenancy: Tenancy,
    /// Unique as long as the store exists. A release names it, and fails if the address has
    /// been leased again since.
    pub generation: u64,
    pub kind: Kind,
}

/// One address of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedAddress {
    pub address: IpAddr,
    pub generation: u64,
    pub kind: Kind,
}

/// A network namespace as it was when the interface was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// The path netavark was given, usually `/run/netns/netns-<uuid>`.
    pub path: PathBuf,
    pub device: u64,
    /// Inode of the namespace file. The kernel reuses the number once the namespace has ended.
    pub inode: u64,
}

/// A process. The start time is needed because the kernel reuses pids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Process id, in the pid namespace we run in.
    pub pid: i32,
    /// Start time in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
}

impl Process {
    /// Returns whether the process started after something that is at least `age` old; `false`
    /// when in doubt.
    pub fn is_younger_than(&self, age: Duration, now: &Moment) -> bool {
        // A second has a hundred ticks on every machine (`USER_HZ`).
        let started_ms = self.start_time.saturating_mul(10);
        let own = Duration::from_millis(now.boot_ms.saturating_sub(started_ms));
        own.saturating_add(Duration::from_secs(1)) < age
    }
}

/// How netavark was called for a tenancy, so that the tenancy can be torn down later without
/// the caller. It does not say which netavark, because an upgrade may have moved it since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// `--config`: the network run directory.
    pub config: PathBuf,
    /// `--rootless`.
    pub rootless: bool,
    /// `--aardvark-binary`.
    pub aardvark_binary: Option<PathBuf>,
    /// `--firewall-driver`, or `NETAVARK_FW`.
    pub firewall_driver: Option<String>,
    /// `NETAVARK_DNS_PORT`.
    pub dns_port: Option<String>,
}

/// The durable record of a tenancy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Tenant {
    pub tenancy: Tenancy,
    /// The network's name at setup, from the request.
    pub network_name: NetworkName,
    /// The container's name at setup, from the request.
    pub container_name: ContainerName,
    pub phase: Phase,
    /// The leased addresses, in the order netavark got them.
    pub leased: Vec<LeasedAddress>,
    pub namespace: Namespace,
    /// The pid namespace (inode) that the pids of `starter` and all evidence belong to.
    pub pid_namespace: u64,
    /// The podman process that asked; `None` if it was already gone.
    pub starter: Option<Process>,
    /// The boot the tenancy belongs to.
    pub boot_id: String,
    pub created: Moment,
    /// When the container was last seen live.
    pub renewed: Moment,
    /// Until when an unknown verdict keeps the lease.
    pub expires: Moment,
    pub mac_address: Option<String>,
    pub request: Attachment,
    pub delegation: Shared<Delegation>,
}

impl Tenant {
    /// Returns the leased addresses, in the order netavark got them.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.leased.iter().map(|holding| holding.address).collect()
    }

    /// Returns whether the tenant has leased an address.
    pub fn has_leased(&self, address: IpAddr) -> bool {
        self.leased.iter().any(|holding| holding.address == address)
    }
}

/// What a released address leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub container_id: ContainerId,
    /// The former holder's name. It is used to prefer an address, never to free one.
    pub container_name: ContainerName,
    pub kind: Kind,
    pub released: Moment,
    /// Until when only the former holder gets the address, as long as others are free.
    pub until: Moment,
}

/// Returns a tenant for tests: a container with this address on `net`.
#[cfg(test)]
pub(crate) fn fixture_of(container: &str, address: &str) -> Tenant {
    let tenancy = Tenancy {
        network_id: "net".into(),
        container_id: container.into(),
        interface: "eth0".into(),
    };
    let leased = LeasedAddress {
        address: address.parse().expect("an address"),
        generation: 1,
        kind: Kind::Dynamic,
    };
    fixture(tenancy, vec![leased])
}

/// Returns a tenant for tests: bound, of boot `boot`, in a namespace of its own.
#[cfg(test)]
pub(crate) fn fixture(tenancy: Tenancy, leased: Vec<LeasedAddress>) -> Tenant {
    let request = serde_json::json!({
        "container_id": tenancy.container_id, "container_name": "web", "port_mappings": null,
        "network": {"name": "net", "id": tenancy.network_id, "driver": "berth"},
        "network_options": {"interface_name": tenancy.interface},
    });
    let moment = Moment {
        wall_ms: 1_700_000_000_000,
        boot_ms: 1_000_000,
    };
    Tenant {
        network_name: "net".into(),
        container_name: "web".into(),
        phase: Phase::Bound,
        leased,
        namespace: Namespace {
            path: "/run/netns/netns-1".into(),
            device: 4,
            inode: 40,
        },
        pid_namespace: 9,
        starter: Some(Process {
            pid: 50,
            start_time: 500,
        }),
        boot_id: "boot".into(),
        created: moment,
        renewed: moment,
        expires: moment.after(Duration::from_secs(3600)),
        mac_address: None,
        request: serde_json::from_value(request).expect("a request"),
        delegation: Delegation::default().into(),
        tenancy,
    }
}
