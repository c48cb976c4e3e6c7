//! The store against a plain model: the same operations on maps, and the same
//! answers, whatever is dropped, closed, rebooted or configured anew between.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use berth::rules::allocator::Shelf;
use berth::rules::lease::{
    Kind, LeasedAddress, Moment, NetworkId, Phase, Reservation, Tenancy, Tenant,
};
use berth::rules::pool::{Family, Pool, last_address, number};
use berth::store::{LockFile, Store, StoreError, Transaction};
use fixture::{at, hold, ip, pool, tenancy, tenant};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Prepare {
        pools: usize,
    },
    Lease {
        container: usize,
        wanted: Vec<(usize, bool)>,
    },
    LeaseNext {
        container: usize,
        from: usize,
    },
    Update {
        container: usize,
        stale: bool,
    },
    Release {
        container: usize,
        address: usize,
        stale: bool,
        hold_ms: Option<u64>,
    },
    Cursor {
        address: usize,
    },
    Forget,
    Wait {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Commit,
    Drop,
    Reopen,
    Reboot { clock_ms: u64 },
}

type Step = (usize, Vec<Op>, End);

const NETWORKS: [&str; 3] = ["web", "we", "webb"];
const CONTAINERS: usize = 6;

/// Returns the pool definitions a network may be configured with.
fn configuration(choice: usize) -> Vec<Pool> {
    let v4 = || pool("10.0.0.0/28", "10.0.0.1", "", &[]);
    let v6 = || pool("fd00::/124", "fd00::1", "", &[]);
    match choice {
        0 => vec![v4()],
        1 => vec![pool(
            "10.0.0.0/28",
            "10.0.0.1",
            "10.0.0.3-10.0.0.9",
            &["10.0.0.5"],
        )],
        2 => vec![v4(), v6()],
        3 => vec![
            v6(),
            pool("10.0.0.16/28", "10.0.0.17", "", &["10.0.0.20-10.0.0.23"]),
        ],
        4 => vec![pool("10.0.0.0/28", "10.0.0.1", "", &["10.0.0.0-10.0.0.15"])],
        _ => vec![],
    }
}

/// Returns one of the addresses tests ask for, inside and outside of pools.
fn address(choice: usize) -> IpAddr {
    let offset = (choice % 64) as u128;
    match offset {
        0..40 => Family::V4.address(number(ip("10.0.0.0")) + offset),
        _ => Family::V6.address(number(ip("fd00::")) + offset - 40),
    }
}

fn container(choice: usize) -> String {
    // Two ids share a name, see `named`.
    format!("c{}", choice % CONTAINERS)
}

/// Gives two containers one name, and one none.
fn name_of(container: &str) -> &'static str {
    match container {
        "c0" | "c1" => "shop",
        "c2" => "",
        _ => "other",
    }
}

fn held(container: &str, kind: Kind, now: Moment, lasts_ms: u64) -> Reservation {
    Reservation {
        container_name: name_of(container).into(),
        ..hold(container, kind, now, lasts_ms)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    leases: BTreeMap<(String, IpAddr), (Tenancy, u64, Kind)>,
    tenants: BTreeMap<Tenancy, Tenant>,
    holds: BTreeMap<(String, IpAddr), Reservation>,
    pools: BTreeMap<String, Vec<Pool>>,
    cursors: BTreeMap<(String, IpAddr), IpAddr>,
    generation: u64,
}

impl Model {
    fn prepare(&mut self, network: &str, pools: &[Pool], now: Moment) {
        self.cursors.retain(|(owner, subnet), _| {
            owner != network
                || pools.iter().any(|pool| pool.subnet().network() == *subnet)
                || !self
                    .pools
                    .get(network)
                    .is_some_and(|old| old.iter().any(|pool| pool.subnet().network() == *subnet))
        });
        self.pools.insert(network.to_owned(), pools.to_vec());
        self.holds
            .retain(|(owner, _), hold| owner != network || hold.until.boot_ms > now.boot_ms);
    }

    fn lease_to(&mut self, mut tenant: Tenant, wanted: &[(IpAddr, Kind)]) -> Option<Tenant> {
        let network = tenant.tenancy.network_id.0.clone();
        for (at, (address, _)) in wanted.iter().enumerate() {
            let other = self
                .leases
                .get(&(network.clone(), *address))
                .is_some_and(|(holder, ..)| *holder != tenant.tenancy);
            if other || wanted[..at].iter().any(|(earlier, _)| earlier == address) {
                return None;
            }
        }
        self.leases
            .retain(|_, (holder, ..)| *holder != tenant.tenancy);
        self.tenants.remove(&tenant.tenancy);
        tenant.leased.clear();
        for (address, kind) in wanted.iter().copied() {
            self.generation += 1;
            let key = (network.clone(), address);
            self.holds.remove(&key);
            let lease = (tenant.tenancy.clone(), self.generation, kind);
            self.leases.insert(key, lease);
            tenant.leased.push(LeasedAddress {
                address,
                generation: self.generation,
                kind,
            });
        }
        if !wanted.is_empty() {
            self.tenants.insert(tenant.tenancy.clone(), tenant.clone());
        }
        Some(tenant)
    }

    fn release(
        &mut self,
        tenancy: &Tenancy,
        address: IpAddr,
        generation: u64,
        hold: Option<Reservation>,
    ) -> bool {
        let key = (tenancy.network_id.0.clone(), address);
        let matches = self
            .leases
            .get(&key)
            .is_some_and(|lease| lease.0 == *tenancy && lease.1 == generation);
        if !matches {
            return false;
        }
        self.leases.remove(&key);
        let tenant = self.tenants.get_mut(tenancy).unwrap();
        tenant.leased.retain(|holding| holding.address != address);
        if tenant.leased.is_empty() {
            self.tenants.remove(tenancy);
        }
        if let Some(hold) = hold.filter(|hold| hold.until.boot_ms > hold.released.boot_ms) {
            self.holds.insert(key, hold);
        }
        true
    }

    fn forget(&mut self, network: &str) -> bool {
        if self.leases.keys().any(|(owner, _)| owner == network) {
            return false;
        }
        self.holds.retain(|(owner, _), _| owner != network);
        self.cursors.retain(|(owner, _), _| owner != network);
        self.pools.remove(network);
        true
    }

    fn reboot(&mut self, last_ms: u64, now: Moment) {
        for hold in self.holds.values_mut() {
            hold.until.boot_ms = hold.until.boot_ms.saturating_sub(last_ms) + now.boot_ms;
            let ago = last_ms.saturating_sub(hold.released.boot_ms);
            hold.released.boot_ms = now.boot_ms.saturating_sub(ago);
        }
    }

    fn first_free(&self, network: &str, pool: &Pool, from: IpAddr) -> Option<IpAddr> {
        if pool.family() != Family::of(from) {
            return None;
        }
        let low = number(from).max(number(pool.subnet().network()));
        (low..=number(last_address(pool.subnet())))
            .map(|number| pool.family().address(number))
            .find(|address| {
                let key = (network.to_owned(), *address);
                pool.offers(*address)
                    && !self.leases.contains_key(&key)
                    && !self.holds.contains_key(&key)
            })
    }

    fn held_for(&self, network: &str, pool: &Pool, id: &str, name: &str) -> Option<IpAddr> {
        let latest = |matches: &dyn Fn(&Reservation) -> bool| {
            let here = self.holds.iter().filter(|((owner, address), hold)| {
                owner == network && pool.covers(*address) && matches(hold)
            });
            here.max_by_key(|((_, address), hold)| {
                let released = hold.released;
                (
                    released.boot_ms,
                    released.wall_ms,
                    std::cmp::Reverse(*address),
                )
            })
            .map(|((_, address), _)| *address)
        };
        latest(&|hold| hold.container_id.as_str() == id).or_else(|| {
            let named = |hold: &Reservation| hold.container_name.as_str() == name;
            (!name.is_empty()).then(|| latest(&named)).flatten()
        })
    }

    fn next_yield(&self, network: &str, pool: &Pool) -> Option<IpAddr> {
        let here = self
            .holds
            .iter()
            .filter(|((owner, address), _)| owner == network && pool.offers(*address));
        here.min_by_key(|((_, address), hold)| (hold.kind, hold.until.boot_ms, *address))
            .map(|((_, address), _)| *address)
    }
}

/// Applies an operation to both, and compares what they answer.
fn apply(
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
            hold_ms,
        } => {
            let who = container(*who);
            let tenancy = tenancy(network, &who);
            // Mostly one it holds.
            let leased = model
                .tenants
                .get(&tenancy)
                .map_or(&[][..], |tenant| &tenant.leased);
            let (address, generation, kind) = leased
                .get(choice % 3)
                .map_or((address(*choice), 1, Kind::Dynamic), |holding| {
                    (holding.address, holding.generation, holding.kind)
                });
            let generation = generation - u64::from(*stale);
            let hold = hold_ms.map(|ms| held(&who, kind, *now, ms));
            let got = transaction.release(&tenancy, address, generation, hold.clone());
            assert_eq!(
                got.unwrap(),
                model.release(&tenancy, address, generation, hold)
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
fn compare(transaction: &Transaction<'_>, model: &Model) {
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
        let holds: Vec<_> = model
            .holds
            .iter()
            .filter(|((owner, _), _)| owner == network)
            .map(|((_, address), hold)| (*address, hold.clone()))
            .collect();
        assert_eq!(transaction.reservations(&id).unwrap(), holds);
        let shelf = transaction.shelf(&id);
        for choice in 0..64 {
            let address = address(choice);
            let key = (network.to_owned(), address);
            let lease = shelf.lease(address).unwrap();
            let lease = lease.map(|lease| (lease.tenancy, lease.generation, lease.kind));
            assert_eq!(lease.as_ref(), model.leases.get(&key));
            let hold = transaction.reservation(&id, address).unwrap();
            assert_eq!(hold.as_ref(), model.holds.get(&key));
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
                            .held_for(pool, &who.as_str().into(), &name.into())
                            .unwrap(),
                        model.held_for(network, pool, &who, name),
                        "held for {who} {name}"
                    );
                }
            }
        }
    }
}

/// Releases all, lets all holds expire, and expects every offered address free.
fn drain(store: &Store<'_>, model: &mut Model, now: Moment) {
    let mut transaction = store.begin();
    for tenant in transaction.all_tenants().unwrap() {
        for holding in &tenant.leased {
            let hold = held("c0", holding.kind, now, 50);
            let released = transaction.release(
                &tenant.tenancy,
                holding.address,
                holding.generation,
                Some(hold.clone()),
            );
            assert!(released.unwrap());
            model.release(
                &tenant.tenancy,
                holding.address,
                holding.generation,
                Some(hold),
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

fn run(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let mut lock = LockFile::open(dir.path()).unwrap();
    let mut model = Model::default();
    let (mut boot, mut now, mut last_ms) = (0, at(1000), 1000);
    let mut steps = steps.iter();
    loop {
        let guard = lock.acquire(Duration::ZERO, "test", || true).unwrap();
        let store = Store::open(dir.path(), &guard, &format!("boot-{boot}"), now).unwrap();
        compare(&store.begin(), &model);
        assert_eq!(store.check().unwrap(), []);
        let Some(end) = session(&store, &mut model, &mut steps, &mut now, &mut last_ms) else {
            drain(&store, &mut model, now);
            return;
        };
        drop(store);
        if let End::Reboot { clock_ms } = end {
            boot += 1;
            now = at(clock_ms);
            model.reboot(last_ms, now);
            last_ms = clock_ms;
        }
    }
}

/// Takes steps until one closes the store, and returns how.
fn session<'a>(
    store: &Store<'_>,
    model: &mut Model,
    steps: &mut impl Iterator<Item = &'a Step>,
    now: &mut Moment,
    last_ms: &mut u64,
) -> Option<End> {
    for (network, ops, end) in steps {
        let network = NETWORKS[network % NETWORKS.len()];
        let mut transaction = store.begin();
        let mut staged = model.clone();
        for op in ops {
            apply(&mut transaction, &mut staged, network, op, now);
        }
        compare(&transaction, &staged);
        if *end == End::Drop {
            drop(transaction);
        } else {
            // Something no model sees, so that every commit sets the clock.
            let subnet = "10.9.9.0/24".parse().unwrap();
            transaction
                .set_cursor(&"clock".into(), subnet, ip("10.9.9.9"))
                .unwrap();
            let mut late = store.begin();
            transaction.commit(*now).unwrap();
            *last_ms = now.boot_ms;
            *model = staged;
            late.set_cursor(&"clock".into(), subnet, ip("10.9.9.1"))
                .unwrap();
            assert!(matches!(late.commit(*now), Err(StoreError::Overtaken)));
        }
        compare(&store.begin(), model);
        assert_eq!(store.check().unwrap(), []);
        if matches!(end, End::Reopen | End::Reboot { .. }) {
            return Some(*end);
        }
    }
    None
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..CONTAINERS;
    let wish = prop_oneof![3 => 0..16usize, 1 => 0..64usize];
    let wanted = prop::collection::vec((wish, any::<bool>()), 0..4);
    prop_oneof![
        2 => (0..6usize).prop_map(|pools| Op::Prepare { pools }),
        4 => (who.clone(), wanted).prop_map(|(container, wanted)| Op::Lease { container, wanted }),
        4 => (who.clone(), 0..64usize)
            .prop_map(|(container, from)| Op::LeaseNext { container, from }),
        1 => (who.clone(), any::<bool>())
            .prop_map(|(container, stale)| Op::Update { container, stale }),
        5 => (
            who,
            0..64usize,
            prop::bool::weighted(0.1),
            prop::option::weighted(0.7, 0..5000u64),
        )
            .prop_map(|(container, address, stale, hold_ms)| Op::Release {
                container,
                address,
                stale,
                hold_ms
            }),
        1 => (0..64usize).prop_map(|address| Op::Cursor { address }),
        1 => Just(Op::Forget),
        2 => (0..3000u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        8 => Just(End::Commit),
        2 => Just(End::Drop),
        1 => Just(End::Reopen),
        1 => (0..4000u64).prop_map(|clock_ms| End::Reboot { clock_ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_a_plain_model(
        steps in prop::collection::vec(
            (0..NETWORKS.len(), prop::collection::vec(op(), 1..8), end()),
            1..16,
        )
    ) {
        run(&steps);
    }
}
