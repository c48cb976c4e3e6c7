//! Reads from a damaged store what it still shows of its reservations and cursors.
//!
//! Leases can be recovered from the namespaces of what runs. Reservations and cursors exist
//! nowhere but in the store, so `berth rebuild` carries over those that it can read.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnetwork::IpNetwork;

use super::codec::{parse_cursor, split_network, unseal_record};
use super::engine::{self, Engine, Entry};
use super::error::StoreError;
use super::lock::LockGuard;
use super::meta::Meta;
use super::overlay::successor;
use super::reservations::parse_reservation;
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::{Moment, NetworkId, Reservation};

/// Reservations and cursors read from a store that may be damaged.
#[derive(Debug, Default)]
pub struct Salvage {
    reservations: Vec<(NetworkId, IpAddr, Reservation)>,
    cursors: Vec<(NetworkId, IpNetwork, IpAddr)>,
}

impl Salvage {
    /// Reads what can be read of the store in a state directory, or of both stores if there are
    /// two and it is unclear which is the current one. Reservations are put on the clock of the
    /// boot `boot_id`. What cannot be read is left out. The store stays as it is.
    pub fn read(dir: &Path, _guard: &LockGuard<'_>, boot_id: &str, now: Moment) -> Self {
        let mut read = Self::default();
        for kind in engine::all_in(dir).unwrap_or_default() {
            match engine::open(dir, kind) {
                Ok(engine) => read.add(&*engine, boot_id, now),
                Err(error) => log::debug!("cannot read anything from the old lease store: {error}"),
            }
        }
        read
    }

    fn add(&mut self, engine: &dyn Engine, boot_id: &str, now: Moment) {
        let meta = readable(engine, Table::Meta)
            .find_map(|(key, value)| unseal_record::<Meta>(&key, &value));
        let same_boot = meta.is_some_and(|meta| meta.boot_id == boot_id);
        let reservations = readable(engine, Table::Reservation)
            .filter_map(|(key, value)| parse_reservation(&key, &value))
            .map(|(network, address, reservation)| {
                let reservation = if same_boot {
                    reservation
                } else {
                    on_this_clock(reservation, now)
                };
                (network, address, reservation)
            });
        let cursors = readable(engine, Table::Cursor).filter_map(|(key, value)| {
            let (network, mut fields) = split_network(&key)?;
            let subnet = fields.subnet()?;
            fields.end((network, subnet, parse_cursor(&key, &value)?))
        });
        self.reservations.extend(reservations);
        self.cursors.extend(cursors);
    }
}

/// Returns the entries of a table up to the first that the engine fails to read, or that is out
/// of order, as may happen in a damaged tree.
fn readable(engine: &dyn Engine, table: Table) -> impl Iterator<Item = Entry> + '_ {
    let prefix = table.prefix();
    let mut next = prefix.clone();
    std::iter::from_fn(move || {
        let (key, value) = engine.at_or_above(&next).ok()??;
        if key < next {
            return None;
        }
        next = successor(&key);
        key.starts_with(&prefix).then_some((key, value))
    })
}

/// Moves a reservation from an earlier or unknown boot to the clock of this one. Only the wall
/// clock spans boots, and it may jump, so no reservation may become longer than it was.
fn on_this_clock(reservation: Reservation, now: Moment) -> Reservation {
    let lasts = reservation.until.since(&reservation.released);
    let left = reservation.until.wall_ms.saturating_sub(now.wall_ms);
    let left = Duration::from_millis(left).min(lasts);
    let ago = now.wall_ms.saturating_sub(reservation.released.wall_ms);
    Reservation {
        released: Moment {
            boot_ms: now.boot_ms.saturating_sub(ago),
            ..reservation.released
        },
        until: now.after(left),
        ..reservation
    }
}

impl Transaction<'_> {
    /// Takes over what was salvaged, and returns the number of reservations among it. Leaves
    /// out reservations that have ended, and addresses that are leased or reserved here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if this store cannot be read.
    pub fn restore(&mut self, salvage: &Salvage, now: Moment) -> Result<usize, StoreError> {
        let mut restored = 0;
        for (network, address, reservation) in &salvage.reservations {
            let is_over = reservation.until.boot_ms <= now.boot_ms;
            if is_over
                || self.lease(network, *address)?.is_some()
                || self.reservation(network, *address)?.is_some()
            {
                continue;
            }
            self.take(network, *address)?;
            self.put_reservation(network, *address, reservation)?;
            restored += 1;
        }
        for (network, subnet, cursor) in &salvage.cursors {
            self.set_cursor(network, *subnet, *cursor)?;
        }
        Ok(restored)
    }
}
