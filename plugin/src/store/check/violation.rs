//! What the checker can find, and its words.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::rules::lease::{NetworkId, Tenancy};
use crate::rules::pool::Span;

/// A contradiction within the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A lease names a tenancy of which there is no record.
    LeaseWithoutTenant {
        /// The network.
        network: NetworkId,
        /// The leased address.
        address: IpAddr,
        /// Who should hold it.
        tenancy: Tenancy,
    },
    /// A lease's tenant does not list it, or with another generation or kind.
    LeaseNotListed {
        /// The network.
        network: NetworkId,
        /// The leased address.
        address: IpAddr,
        /// Its holder.
        tenancy: Tenancy,
    },
    /// A tenant lists an address of which there is no lease, or another's.
    HoldingWithoutLease {
        /// The tenant.
        tenancy: Tenancy,
        /// The address it lists.
        address: IpAddr,
    },
    /// A tenant lists an address twice.
    HoldingTwice {
        /// The tenant.
        tenancy: Tenancy,
        /// The address it lists.
        address: IpAddr,
    },
    /// A tenant lists no address.
    TenantWithoutHolding {
        /// The tenant.
        tenancy: Tenancy,
    },
    /// A tenant's record is filed under another tenancy.
    TenantMisfiled {
        /// The tenant as the record says.
        tenancy: Tenancy,
    },
    /// An address is leased and held.
    LeasedAndHeld {
        /// The network.
        network: NetworkId,
        /// The address.
        address: IpAddr,
    },
    /// A lease's generation is one that is yet to be given out.
    GenerationAhead {
        /// The network.
        network: NetworkId,
        /// The leased address.
        address: IpAddr,
        /// The lease's generation.
        generation: u64,
        /// The highest generation given out.
        highest: u64,
    },
    /// Two leases have one generation.
    GenerationTwice {
        /// The network of the second.
        network: NetworkId,
        /// The address of the second.
        address: IpAddr,
        /// The generation.
        generation: u64,
    },
    /// Two free extents overlap, or touch and are not one.
    ExtentsNotApart {
        /// The network.
        network: NetworkId,
        /// The subnet.
        subnet: IpNetwork,
        /// First address of the upper one.
        first: IpAddr,
    },
    /// Addresses count as free, but are leased, held or not offered.
    FreeInError {
        /// The network.
        network: NetworkId,
        /// The subnet.
        subnet: IpNetwork,
        /// The lowest such addresses.
        span: Span,
    },
    /// Addresses are offered and neither leased nor held, but do not count as free.
    FreeMissing {
        /// The network.
        network: NetworkId,
        /// The subnet.
        subnet: IpNetwork,
        /// The lowest such addresses.
        span: Span,
    },
    /// Free extents of a subnet that has no pool.
    FreeWithoutPool {
        /// The network.
        network: NetworkId,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// A hold is missing from an index.
    HoldNotIndexed {
        /// The network.
        network: NetworkId,
        /// The held address.
        address: IpAddr,
        /// The index entry's table and key.
        entry: String,
    },
    /// An index has an entry for a hold that is not there, or not like that.
    IndexWithoutHold {
        /// The index entry's table and key.
        entry: String,
    },
}

impl Violation {
    /// Returns the kind's name, which stays the same: `lease-without-tenant`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LeaseWithoutTenant { .. } => "lease-without-tenant",
            Self::LeaseNotListed { .. } => "lease-not-listed",
            Self::HoldingWithoutLease { .. } => "holding-without-lease",
            Self::HoldingTwice { .. } => "holding-twice",
            Self::TenantWithoutHolding { .. } => "tenant-without-holding",
            Self::TenantMisfiled { .. } => "tenant-misfiled",
            Self::LeasedAndHeld { .. } => "leased-and-held",
            Self::GenerationAhead { .. } => "generation-ahead",
            Self::GenerationTwice { .. } => "generation-twice",
            Self::ExtentsNotApart { .. } => "extents-not-apart",
            Self::FreeInError { .. } => "free-in-error",
            Self::FreeMissing { .. } => "free-missing",
            Self::FreeWithoutPool { .. } => "free-without-pool",
            Self::HoldNotIndexed { .. } => "hold-not-indexed",
            Self::IndexWithoutHold { .. } => "index-without-hold",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |tenancy: &Tenancy| {
            format!(
                "container {} (interface {}) on network {}",
                tenancy.container_id.short(),
                tenancy.interface,
                tenancy.network_id
            )
        };
        match self {
            Self::LeaseWithoutTenant {
                address, tenancy, ..
            } => {
                write!(
                    f,
                    "{address} is leased to {}, of which there is no record",
                    of(tenancy)
                )
            }
            Self::LeaseNotListed {
                address, tenancy, ..
            } => {
                write!(
                    f,
                    "{address} is leased to {}, whose record does not list it so",
                    of(tenancy)
                )
            }
            Self::HoldingWithoutLease { tenancy, address } => {
                write!(
                    f,
                    "{} lists {address}, which is not leased to it",
                    of(tenancy)
                )
            }
            Self::HoldingTwice { tenancy, address } => {
                write!(f, "{} lists {address} twice", of(tenancy))
            }
            Self::TenantWithoutHolding { tenancy } => {
                write!(f, "{} has a record but no address", of(tenancy))
            }
            Self::TenantMisfiled { tenancy } => {
                write!(
                    f,
                    "the record of {} is filed under another name",
                    of(tenancy)
                )
            }
            Self::LeasedAndHeld { network, address } => {
                write!(f, "{address} on network {network} is both leased and held")
            }
            Self::GenerationAhead {
                network,
                address,
                generation,
                highest,
            } => write!(
                f,
                "the lease of {address} on network {network} has generation {generation}, \
                 but the highest given out is {highest}"
            ),
            Self::GenerationTwice {
                network,
                address,
                generation,
            } => write!(
                f,
                "the lease of {address} on network {network} has generation {generation}, \
                 which another lease has too"
            ),
            Self::ExtentsNotApart {
                network,
                subnet,
                first,
            } => write!(
                f,
                "the free extent of {subnet} on network {network} that begins with {first} \
                 overlaps or touches the one below"
            ),
            Self::FreeInError {
                network,
                subnet,
                span,
            } => write!(
                f,
                "{span} of {subnet} on network {network} counts as free, but is leased, held or not offered"
            ),
            Self::FreeMissing {
                network,
                subnet,
                span,
            } => write!(
                f,
                "{span} of {subnet} on network {network} is offered and neither leased nor held, \
                 but does not count as free"
            ),
            Self::FreeWithoutPool { network, subnet } => {
                write!(
                    f,
                    "{subnet} on network {network} has free extents but no pool"
                )
            }
            Self::HoldNotIndexed {
                network,
                address,
                entry,
            } => write!(
                f,
                "the hold on {address} on network {network} is missing from an index: {entry}"
            ),
            Self::IndexWithoutHold { entry } => {
                write!(f, "an index names a hold that does not exist so: {entry}")
            }
        }
    }
}
