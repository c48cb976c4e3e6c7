//! The kinds of records.

/// A kind of record. The small tables come first, so that they share leaf pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    /// One record: format, boot, clock, counters.
    Meta = 1,
    /// network, subnet → spans that the subnet was last prepared with.
    Pool,
    /// network, subnet → last address leased dynamically.
    Cursor,
    /// network, subnet, first address → last address of a free extent.
    Free,
    /// network, end, address → nothing: reservations by end.
    Expiry,
    /// network, subnet, kind, end, address → nothing: offered reservations in yielding order.
    Yield,
    /// network, container id, release (latest first), address → nothing.
    FormerId,
    /// network, container name, release (latest first), address → nothing.
    FormerName,
    /// network, address → reservation.
    Reservation,
    /// network, first address of a block of sixteen → its leases.
    Lease,
    /// network, container id, interface → tenant.
    Tenant,
}

impl Table {
    /// Returns every table, in key order.
    pub(super) const ALL: [Self; 11] = [
        Self::Meta,
        Self::Pool,
        Self::Cursor,
        Self::Free,
        Self::Expiry,
        Self::Yield,
        Self::FormerId,
        Self::FormerName,
        Self::Reservation,
        Self::Lease,
        Self::Tenant,
    ];

    /// The tables whose entries are derived from the other tables.
    pub(super) const DERIVED: [Self; 5] = [
        Self::Free,
        Self::Expiry,
        Self::Yield,
        Self::FormerId,
        Self::FormerName,
    ];

    /// Returns the prefix of all keys of the table.
    pub(super) fn prefix(self) -> Vec<u8> {
        vec![self as u8]
    }

    /// Returns the table and key in readable form: `Lease "web\x00\x04\n\x01\x00\x07"`.
    pub(super) fn describe(key: &[u8]) -> String {
        let table = key
            .first()
            .and_then(|byte| Self::ALL.into_iter().find(|table| *table as u8 == *byte));
        match table {
            Some(table) => format!("{table:?} \"{}\"", key[1..].escape_ascii()),
            None => format!("unknown table, key \"{}\"", key.escape_ascii()),
        }
    }
}
