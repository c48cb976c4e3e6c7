//! The same operations on the store and on the model, and the same answers.

use std::time::Duration;

use berth::rules::allocator::Shelf;
use berth::rules::lease::{Kind, Moment, NetworkId, Phase};
use berth::rules::pool::number;
use berth::store::{Store, StoreError, Transaction};

use crate::fixture::{tenancy, tenant};
use crate::model::Model;
use crate::steps::{CONTAINERS, NETWORKS, Op, address, configuration, container, left_by};

/// Applies an operation to both, and compares what they answer.
pub(crate) fn apply(
    transaction: &mut Transaction<'_>,
    model: &mut Model,
    network: &str,
    op: &Op,
    now: &mut Moment,
) {
    let id = NetworkId::from(network);
    match op {
        Op::Prepare { pools } => {
            let pools = configuration(*pools);
            transaction.prepare(&id, &pools, *now).unwrap();
            model.prepare(network, &pools, *now);
        }
        Op::Lease {
            container: who,
            wanted,
        } => {
            let kind = |fixed: bool| if fixed { Kind::Static } else { Kind::Dynamic };
            let wanted: Vec<_> = wanted
                .iter()
                .map(|(choice, fixed)| (address(*choice), kind(*fixed)))
                .collect();
            let new = tenant(network, &container(*who), *now);
            let got = transaction.lease_to(new.clone(), &wanted);
            let refused = matches!(
                &got,
                Err(StoreError::Leased { .. } | StoreError::Repeated { .. })
            );
            let expected = model.lease_to(new, &wanted);
            assert_eq!(refused, expected.is_none(), "{got:?}");
            assert_eq!(got.ok(), expected);
        }
        Op::LeaseNext {
            container: who,
            from,
        } => {
            let Some(pool) = model.pools.get(network).and_then(|pools| pools.first()) else {
                return;
            };
            let shelf = transaction.shelf(&id);
            let Some(next) = shelf.first_free(pool, address(*from)).unwrap() else {
                return;
            };
            let new = tenant(network, &container(*who), *now);
            let wanted = [(next, Kind::Dynamic)];
            let got = transaction.lease_to(new.clone(), &wanted).unwrap();
            assert_eq!(Some(got), model.lease_to(new, &wanted));
        }
        Op::Update {
            container: who,
            stale,
        } => {
            let who = tenancy(network, &container(*who));
            let Some(known) = model.tenants.get_mut(&who) else {
                return;
            };
            let mut changed = known.clone();
            changed.phase = Phase::Bound;
            changed.renewed = *now;
            if *stale {
                changed.leased[0].generation += 1;
            }
            let result = transaction.update(&changed);
            assert_eq!(
                matches!(result, Err(StoreError::Changed { .. })),
                *stale,
                "{result:?}"
            );
            if !stale {
                *known = changed;
            }
        }
        Op::Release {
            container: who,
            address: choice,
            stale,
            reserve_ms,
        } => {
            let who = container(*who);
            let tenancy = tenancy(network, &who);
            // Mostly one that it has leased.
            let leased = model
                .tenants
                .get(&tenancy)
                .map_or(&[][..], |tenant| &tenant.leased);
            let (address, generation, kind) = leased
                .get(choice % 3)
                .map_or((address(*choice), 1, Kind::Dynamic), |leased| {
                    (leased.address, leased.generation, leased.kind)
                });
            let generation = generation - u64::from(*stale);
            let left = reserve_ms.map(|ms| left_by(&who, kind, *now, ms));
            let got = transaction.release(&tenancy, address, generation, left.clone());
            assert_eq!(
                got.unwrap(),
                model.release(&tenancy, address, generation, left)
            );
        }
        Op::Cursor { address: choice } => {
            let Some(pool) = model.pools.get(network).and_then(|pools| pools.last()) else {
                return;
            };
            let subnet = pool.subnet();
            transaction
                .set_cursor(&id, subnet, address(*choice))
                .unwrap();
            let key = (network.to_owned(), subnet.network());
            model.cursors.insert(key, address(*choice));
        }
        Op::Forget => {
            let result = transaction.forget_network(&id);
            let in_use = matches!(result, Err(StoreError::InUse { .. }));
            assert_eq!(!in_use, model.forget(network), "{result:?}");
        }
        Op::Wait { ms } => *now = now.after(Duration::from_millis(*ms)),
    }
}

/// Compares every read.
pub(crate) fn compare(transaction: &Transaction<'_>, model: &Model) {
    let tenants: Vec<_> = model.tenants.values().cloned().collect();
    assert_eq!(transaction.all_tenants().unwrap(), tenants);
    for network in NETWORKS {
        let id = NetworkId::from(network);
        let here: Vec<_> = tenants
            .iter()
            .filter(|tenant| tenant.tenancy.network_id == id)
            .cloned()
            .collect();
        assert_eq!(transaction.tenants(&id).unwrap(), here);
        for tenant in &here {
            let read = transaction.tenant(&tenant.tenancy).unwrap();
            assert_eq!(read.as_ref(), Some(tenant));
        }
        let reservations: Vec<_> = model
            .reservations
            .iter()
            .filter(|((owner, _), _)| owner == network)
            .map(|((_, address), left)| (*address, left.clone()))
            .collect();
        assert_eq!(transaction.reservations(&id).unwrap(), reservations);
        let shelf = transaction.shelf(&id);
        for choice in 0..64 {
            let address = address(choice);
            let key = (network.to_owned(), address);
            let lease = shelf.lease(address).unwrap();
            let lease = lease.map(|lease| (lease.tenancy, lease.generation, lease.kind));
            assert_eq!(lease.as_ref(), model.leases.get(&key));
            let left = transaction.reservation(&id, address).unwrap();
            assert_eq!(left.as_ref(), model.reservations.get(&key));
        }
        for pool in model.pools.get(network).into_iter().flatten() {
            for choice in 0..64 {
                let from = address(choice);
                assert_eq!(
                    shelf.first_free(pool, from).unwrap(),
                    model.first_free(network, pool, from),
                    "first free of {} from {from}",
                    pool.subnet()
                );
            }
            let key = (network.to_owned(), pool.subnet().network());
            assert_eq!(
                shelf.cursor(pool).unwrap().as_ref(),
                model.cursors.get(&key)
            );
            assert_eq!(
                shelf.next_yield(pool).unwrap(),
                model.next_yield(network, pool)
            );
            for who in (0..CONTAINERS).map(container) {
                for name in ["shop", "other", "", "unknown"] {
                    assert_eq!(
                        shelf
                            .reserved_for(pool, &who.as_str().into(), &name.into())
                            .unwrap(),
                        model.reserved_for(network, pool, &who, name),
                        "reserved for {who} {name}"
                    );
                }
            }
        }
    }
}

/// Releases all, waits until all reservations end, and expects every offered address free.
pub(crate) fn drain(store: &Store<'_>, model: &mut Model, now: Moment) {
    let mut transaction = store.begin();
    for tenant in transaction.all_tenants().unwrap() {
        for leased in &tenant.leased {
            let left = left_by("c0", leased.kind, now, 50);
            let released = transaction.release(
                &tenant.tenancy,
                leased.address,
                leased.generation,
                Some(left.clone()),
            );
            assert!(released.unwrap());
            model.release(
                &tenant.tenancy,
                leased.address,
                leased.generation,
                Some(left),
            );
        }
    }
    compare(&transaction, model);
    let late = now.after(Duration::from_secs(1_000_000));
    for network in NETWORKS {
        let pools = configuration(2);
        let id = NetworkId::from(network);
        transaction.prepare(&id, &pools, late).unwrap();
        let shelf = transaction.shelf(&id);
        for pool in &pools {
            for span in pool.spans() {
                for number in number(span.first())..=number(span.last()) {
                    let address = pool.family().address(number);
                    assert_eq!(shelf.first_free(pool, address).unwrap(), Some(address));
                }
            }
        }
    }
    transaction.commit(late).unwrap();
    assert_eq!(store.check().unwrap(), []);
}
