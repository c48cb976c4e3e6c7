//! What the checker can find: each violation with its message, cause and remedy.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::rules::lease::{NetworkId, Tenancy};
use crate::rules::pool::Span;

/// A contradiction within the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An address is leased to a tenancy that has no record.
    LeaseWithoutTenant {
        network: NetworkId,
        address: IpAddr,
        tenancy: Tenancy,
    },
    /// A lease's tenant does not list it, or lists it with another generation or kind.
    LeaseNotListed {
        network: NetworkId,
        address: IpAddr,
        tenancy: Tenancy,
    },
    /// A tenant lists an address that is not leased, or that is leased to another tenancy.
    LeasedAddressWithoutLease { tenancy: Tenancy, address: IpAddr },
    /// A tenant lists an address twice.
    LeasedAddressTwice { tenancy: Tenancy, address: IpAddr },
    /// A tenant lists no address.
    TenantWithoutAddress { tenancy: Tenancy },
    /// A tenant's record is filed under another tenancy.
    TenantMisfiled {
        /// As the record says.
        tenancy: Tenancy,
    },
    /// An address is both leased and reserved.
    LeasedAndReserved { network: NetworkId, address: IpAddr },
    /// A lease's generation has not been given out yet.
    GenerationAhead {
        network: NetworkId,
        address: IpAddr,
        generation: u64,
        highest: u64,
    },
    /// Two leases have the same generation.
    GenerationTwice {
        /// The network and the address are those of the second lease.
        network: NetworkId,
        address: IpAddr,
        generation: u64,
    },
    /// Two free extents overlap, or touch without being joined.
    ExtentsNotApart {
        network: NetworkId,
        subnet: IpNetwork,
        /// First address of the upper extent.
        first: IpAddr,
    },
    /// Addresses count as free, but are leased, reserved or not offered.
    FreeInError {
        network: NetworkId,
        subnet: IpNetwork,
        /// The lowest such addresses.
        span: Span,
    },
    /// Addresses are offered and neither leased nor reserved, but do not count as free.
    FreeMissing {
        network: NetworkId,
        subnet: IpNetwork,
        /// The lowest such addresses.
        span: Span,
    },
    /// A subnet has free extents but no pool.
    FreeWithoutPool {
        network: NetworkId,
        subnet: IpNetwork,
    },
    /// A reservation is missing from an index.
    ReservationNotIndexed {
        network: NetworkId,
        address: IpAddr,
        /// The index entry's table and key.
        entry: String,
    },
    /// An index has an entry for a reservation that does not exist or differs.
    IndexWithoutReservation {
        /// The index entry's table and key.
        entry: String,
    },
}

impl Violation {
    /// Returns the kind's stable name, such as `lease-without-tenant`.
    pub const fn name(&self) -> &'static str {
        self.about().0
    }

    /// Returns how this comes about, and what follows from it.
    pub const fn cause(&self) -> &'static str {
        self.about().1
    }

    /// Returns whether only free extents or indexes are wrong. They follow from the records, so
    /// a repair can rebuild them.
    pub const fn is_derived(&self) -> bool {
        matches!(
            self,
            Self::ExtentsNotApart { .. }
                | Self::FreeInError { .. }
                | Self::FreeMissing { .. }
                | Self::FreeWithoutPool { .. }
                | Self::ReservationNotIndexed { .. }
                | Self::IndexWithoutReservation { .. }
        )
    }

    /// Returns the command that deals with everything found in a store.
    pub fn remedy(found: &[Self]) -> &'static str {
        if found.iter().all(Self::is_derived) {
            "berth doctor --repair"
        } else {
            "berth rebuild"
        }
    }

    /// Returns name and cause.
    const fn about(&self) -> (&'static str, &'static str) {
        let not_kept_up =
            "what berth derives from leases and reservations was not updated with them";
        let not_a_setups = "the record is not one that a setup would write";
        let went_back = "the counter went back, so a late release may name another tenant's lease";
        match self {
            Self::LeaseWithoutTenant { .. } => (
                "lease-without-tenant",
                "the tenant's record is lost, so nothing takes the lease back",
            ),
            Self::LeaseNotListed { .. } => (
                "lease-not-listed",
                "lease and record were not written together, so the lease is never released",
            ),
            Self::LeasedAddressWithoutLease { .. } => (
                "leased-address-without-lease",
                "the lease is lost, or two containers were given one address",
            ),
            Self::LeasedAddressTwice { .. } => ("leased-address-twice", not_a_setups),
            Self::TenantWithoutAddress { .. } => (
                "tenant-without-address",
                "its addresses were lost from its record",
            ),
            Self::TenantMisfiled { .. } => ("tenant-misfiled", not_a_setups),
            Self::LeasedAndReserved { .. } => (
                "leased-and-reserved",
                "the reservation should have ended when the address was leased",
            ),
            Self::GenerationAhead { .. } => ("generation-ahead", went_back),
            Self::GenerationTwice { .. } => ("generation-twice", went_back),
            Self::ExtentsNotApart { .. } => ("extents-not-apart", not_kept_up),
            Self::FreeInError { .. } => (
                "free-in-error",
                "what berth derives from the leases was not updated, so an address may be \
                 given twice",
            ),
            Self::FreeMissing { .. } => ("free-missing", not_kept_up),
            Self::FreeWithoutPool { .. } => ("free-without-pool", not_kept_up),
            Self::ReservationNotIndexed { .. } => ("reservation-not-indexed", not_kept_up),
            Self::IndexWithoutReservation { .. } => ("index-without-reservation", not_kept_up),
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
                    "{address} is leased to {}, which has no record",
                    of(tenancy)
                )
            }
            Self::LeaseNotListed {
                address, tenancy, ..
            } => {
                write!(
                    f,
                    "{address} is leased to {}, whose record does not list it or lists it differently",
                    of(tenancy)
                )
            }
            Self::LeasedAddressWithoutLease { tenancy, address } => {
                write!(
                    f,
                    "{} lists {address}, which is not leased to it",
                    of(tenancy)
                )
            }
            Self::LeasedAddressTwice { tenancy, address } => {
                write!(f, "{} lists {address} twice", of(tenancy))
            }
            Self::TenantWithoutAddress { tenancy } => {
                write!(f, "{} has a record but no address", of(tenancy))
            }
            Self::TenantMisfiled { tenancy } => {
                write!(
                    f,
                    "the record of {} is filed under another name",
                    of(tenancy)
                )
            }
            Self::LeasedAndReserved { network, address } => {
                write!(
                    f,
                    "{address} on network {network} is both leased and reserved"
                )
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
                "{span} of {subnet} on network {network} counts as free, but is leased, reserved or not offered"
            ),
            Self::FreeMissing {
                network,
                subnet,
                span,
            } => write!(
                f,
                "{span} of {subnet} on network {network} is offered and neither leased nor reserved, \
                 but does not count as free"
            ),
            Self::FreeWithoutPool { network, subnet } => {
                write!(
                    f,
                    "{subnet} on network {network} has free extents but no pool"
                )
            }
            Self::ReservationNotIndexed {
                network,
                address,
                entry,
            } => write!(
                f,
                "the reservation of {address} on network {network} is missing from an index: {entry}"
            ),
            Self::IndexWithoutReservation { entry } => {
                write!(
                    f,
                    "an index names a reservation that does not exist or is another: {entry}"
                )
            }
        }
    }
}
