//! Checks every invariant of the store, one by one.
//!
//! Each invariant has its [`Violation`]. Nothing is repaired here.

mod violation;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

pub use violation::Violation;

use super::codec::{StoredPool, split_network, unseal};
use super::error::StoreError;
use super::extents;
use super::overlay::Ordered;
use super::reservations::index_keys;
use super::tables::Table;
use super::transaction::Transaction;
use crate::rules::lease::{Lease, NetworkId, Reservation, Tenancy, Tenant};
use crate::rules::pool::{Span, last_address};

/// The contents of the store, without the derived data.
#[derive(Default)]
struct Contents {
    leases: BTreeMap<(NetworkId, IpAddr), Lease>,
    reservations: BTreeMap<(NetworkId, IpAddr), Reservation>,
    /// Keyed by the tenancy in the record, wherever the record is filed.
    tenants: BTreeMap<Tenancy, Tenant>,
    pools: BTreeMap<NetworkId, Vec<StoredPool>>,
}

impl Contents {
    /// Returns a network's addresses in a subnet, in order.
    fn within<T>(
        table: &BTreeMap<(NetworkId, IpAddr), T>,
        network: &NetworkId,
        subnet: IpNetwork,
    ) -> Vec<IpAddr> {
        let first = (network.clone(), subnet.network());
        let last = (network.clone(), last_address(subnet));
        table
            .range(first..=last)
            .map(|((_, address), _)| *address)
            .collect()
    }
}

/// Returns all violations, and all tenants.
pub(super) fn check(
    transaction: &Transaction<'_>,
) -> Result<(Vec<Violation>, Vec<Tenant>), StoreError> {
    let mut found = Vec::new();
    let contents = read(transaction, &mut found)?;
    check_leases(&contents, transaction.meta.generation, &mut found);
    check_tenants(&contents, &mut found);
    check_free(transaction, &contents, &mut found)?;
    check_indexes(transaction, &contents, &mut found)?;
    Ok((found, contents.tenants.into_values().collect()))
}

/// Reads everything but the derived data, and finds records that are misfiled.
fn read(transaction: &Transaction<'_>, found: &mut Vec<Violation>) -> Result<Contents, StoreError> {
    let at = |network, address| (network, address);
    let leases = transaction.all_leases()?.into_iter();
    let reservations = transaction.all_reservations()?.into_iter();
    let mut contents = Contents {
        leases: leases
            .map(|(network, address, lease)| (at(network, address), lease))
            .collect(),
        reservations: reservations
            .map(|(network, address, reservation)| (at(network, address), reservation))
            .collect(),
        ..Contents::default()
    };
    for (tenant, is_filed) in transaction.filed_tenants()? {
        let tenancy = tenant.tenancy.clone();
        if !is_filed {
            found.push(Violation::TenantMisfiled {
                tenancy: tenancy.clone(),
            });
        }
        contents.tenants.insert(tenancy, tenant);
    }
    for (network, pool) in transaction.all_pools()? {
        contents.pools.entry(network).or_default().push(pool);
    }
    Ok(contents)
}

fn check_leases(contents: &Contents, highest: u64, found: &mut Vec<Violation>) {
    let mut generations = BTreeSet::new();
    for ((network, address), lease) in &contents.leases {
        let (network, address) = (network.clone(), *address);
        let tenancy = lease.tenancy.clone();
        let generation = lease.generation;
        match contents.tenants.get(&lease.tenancy) {
            None => found.push(Violation::LeaseWithoutTenant {
                network: network.clone(),
                address,
                tenancy,
            }),
            Some(tenant) => {
                let listed = tenant.leased.iter().any(|leased| {
                    leased.address == address
                        && leased.generation == generation
                        && leased.kind == lease.kind
                });
                if !listed || tenancy.network_id != network {
                    found.push(Violation::LeaseNotListed {
                        network: network.clone(),
                        address,
                        tenancy,
                    });
                }
            }
        }
        if contents
            .reservations
            .contains_key(&(network.clone(), address))
        {
            found.push(Violation::LeasedAndReserved {
                network: network.clone(),
                address,
            });
        }
        if !generations.insert(generation) {
            found.push(Violation::GenerationTwice {
                network: network.clone(),
                address,
                generation,
            });
        }
        if generation > highest {
            found.push(Violation::GenerationAhead {
                network,
                address,
                generation,
                highest,
            });
        }
    }
}

fn check_tenants(contents: &Contents, found: &mut Vec<Violation>) {
    for (tenancy, tenant) in &contents.tenants {
        if tenant.leased.is_empty() {
            found.push(Violation::TenantWithoutAddress {
                tenancy: tenancy.clone(),
            });
        }
        let mut listed = BTreeSet::new();
        for leased in &tenant.leased {
            let address = leased.address;
            if !listed.insert(address) {
                found.push(Violation::LeasedAddressTwice {
                    tenancy: tenancy.clone(),
                    address,
                });
            }
            let lease = contents.leases.get(&(tenancy.network_id.clone(), address));
            if lease.is_none_or(|lease| lease.tenancy != *tenancy) {
                found.push(Violation::LeasedAddressWithoutLease {
                    tenancy: tenancy.clone(),
                    address,
                });
            }
        }
    }
}

fn check_free(
    transaction: &Transaction<'_>,
    contents: &Contents,
    found: &mut Vec<Violation>,
) -> Result<(), StoreError> {
    let mut extents: BTreeMap<(NetworkId, IpNetwork), Vec<Span>> = BTreeMap::new();
    for (key, value) in transaction.overlay.scan(&Table::Free.prefix())? {
        let damaged = || transaction.overlay.damaged(&key);
        let (network, mut fields) = split_network(&key).ok_or_else(damaged)?;
        let subnet = fields.subnet().ok_or_else(damaged)?;
        let prefix = key[..key.len() - fields.0.len()].to_vec();
        let extent = extents::parse(&transaction.overlay, &prefix, Some((key.clone(), value)))?;
        extents.entry((network, subnet)).or_default().extend(extent);
    }
    for (network, pools) in &contents.pools {
        for pool in pools {
            let mut taken = Contents::within(&contents.leases, network, pool.subnet);
            taken.extend(Contents::within(
                &contents.reservations,
                network,
                pool.subnet,
            ));
            taken.sort_unstable();
            taken.dedup();
            let expected = extents::remaining(&pool.spans, taken);
            let actual = extents
                .remove(&(network.clone(), pool.subnet))
                .unwrap_or_default();
            compare_extents(network, pool.subnet, &expected, &actual, found);
        }
    }
    for (network, subnet) in extents.into_keys() {
        found.push(Violation::FreeWithoutPool { network, subnet });
    }
    Ok(())
}

fn compare_extents(
    network: &NetworkId,
    subnet: IpNetwork,
    expected: &[Span],
    actual: &[Span],
    found: &mut Vec<Violation>,
) {
    if actual == expected {
        // All is well; the comparisons below are quadratic in the number of extents.
        return;
    }
    for pair in actual.windows(2) {
        // Extents are sorted by first address, as keys are.
        if extents::after(pair[0].last()).is_none_or(|next| pair[1].first() <= next) {
            found.push(Violation::ExtentsNotApart {
                network: network.clone(),
                subnet,
                first: pair[1].first(),
            });
        }
    }
    if let Some(span) = lowest_beyond(actual, expected) {
        found.push(Violation::FreeInError {
            network: network.clone(),
            subnet,
            span,
        });
    }
    if let Some(span) = lowest_beyond(expected, actual) {
        found.push(Violation::FreeMissing {
            network: network.clone(),
            subnet,
            span,
        });
    }
}

/// Returns the lowest addresses of `these` that are in none of `those`.
fn lowest_beyond(these: &[Span], those: &[Span]) -> Option<Span> {
    these.iter().find_map(|span| {
        let mut first = span.first();
        for other in those {
            if other.contains(first) {
                first = extents::after(other.last())?;
            }
        }
        let last = those
            .iter()
            .filter(|other| other.first() > first)
            .filter_map(|other| extents::before(other.first()))
            .min()
            .map_or(span.last(), |last| last.min(span.last()));
        Span::new(first, last).filter(|_| span.contains(first))
    })
}

fn check_indexes(
    transaction: &Transaction<'_>,
    contents: &Contents,
    found: &mut Vec<Violation>,
) -> Result<(), StoreError> {
    let mut entries = BTreeSet::new();
    let indexes = Table::DERIVED
        .into_iter()
        .filter(|table| *table != Table::Free);
    for table in indexes {
        entries.extend(transaction.read_all(&table.prefix(), |key, value| {
            (unseal(key, value) == Some(&[])).then(|| key.to_vec())
        })?);
    }
    for ((network, address), reservation) in &contents.reservations {
        let pools = contents.pools.get(network).map_or(&[][..], Vec::as_slice);
        for key in index_keys(network, *address, reservation, pools)? {
            if !entries.remove(&key) {
                found.push(Violation::ReservationNotIndexed {
                    network: network.clone(),
                    address: *address,
                    entry: Table::describe(&key),
                });
            }
        }
    }
    found.extend(
        entries
            .iter()
            .map(|key| Violation::IndexWithoutReservation {
                entry: Table::describe(key),
            }),
    );
    Ok(())
}
