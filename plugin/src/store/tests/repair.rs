//! A store damaged in every way the checker knows, and repaired as far as that goes.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::rules::lease::LeasedAddress;
use crate::store::engine::Entry;

/// One thing that is wrong with a store.
#[derive(Clone, Debug)]
enum Damage {
    NoTenant(&'static str),
    NoLease(&'static str),
    LeaseOf(&'static str, &'static str),
    LeaseGeneration(&'static str, u64),
    LeaseKind(&'static str),
    Lists(&'static str, &'static str, u64),
    ListsNothing(&'static str),
    FiledElsewhere(&'static str, &'static str),
    Reserved(&'static str),
    NoReservation(&'static str),
    Free(&'static str, &'static str),
    NotFree(&'static str),
    NoPool,
    NoIndex(usize),
    StrayIndex(usize),
}

fn edit_tenant(store: &Store<'_>, container: &str, change: impl FnOnce(&mut Tenant)) {
    let key = tenancy_key(&tenancy(container)).unwrap();
    if store.engine.get(&key).unwrap().is_some() {
        edit(store, key, change);
    }
}

fn with_lease(store: &Store<'_>, address: &str, change: impl FnOnce(&mut Lease)) {
    let mut transaction = store.begin();
    if let Some(mut lease) = transaction.lease(&web(), ip(address)).unwrap() {
        change(&mut lease);
        transaction.put_lease(ip(address), &lease).unwrap();
        transaction.commit(at(10)).unwrap();
    }
}

fn index_key(released: u64, until: u64, place: usize) -> Vec<u8> {
    let reservation = reservation("c", released, until);
    index_keys(&web(), ip("10.0.0.6"), &reservation, &stored_pools()).unwrap()[place].clone()
}

impl Damage {
    fn strike(&self, store: &Store<'_>) {
        match self {
            Self::NoTenant(container) => delete(store, tenancy_key(&tenancy(container)).unwrap()),
            Self::NoLease(address) => {
                let mut transaction = store.begin();
                transaction.delete_lease(&web(), ip(address)).unwrap();
                transaction.commit(at(10)).unwrap();
            }
            Self::LeaseOf(address, container) => {
                with_lease(store, address, |lease| lease.tenancy = tenancy(container));
            }
            Self::LeaseGeneration(address, generation) => {
                with_lease(store, address, |lease| lease.generation = *generation);
            }
            Self::LeaseKind(address) => {
                with_lease(store, address, |lease| lease.kind = Kind::Static);
            }
            Self::Lists(container, address, generation) => {
                edit_tenant(store, container, |tenant| {
                    tenant.leased.push(LeasedAddress {
                        address: ip(address),
                        generation: *generation,
                        kind: Kind::Dynamic,
                    });
                });
            }
            Self::ListsNothing(container) => {
                edit_tenant(store, container, |tenant| tenant.leased.clear());
            }
            Self::FiledElsewhere(container, own) => edit_tenant(store, container, |tenant| {
                tenant.request.container_id = (*own).into();
            }),
            Self::Reserved(address) => {
                let mut transaction = store.begin();
                transaction
                    .put_reservation(&web(), ip(address), &reservation("c", 5, 9))
                    .unwrap();
                transaction.commit(at(10)).unwrap();
            }
            Self::NoReservation(address) => {
                let key = address_key(Table::Reservation, &web(), ip(address)).unwrap();
                delete(store, key);
            }
            Self::Free(first, last) => {
                put(store, free_key(first), &address_payload(ip(last)));
            }
            Self::NotFree(first) => delete(store, free_key(first)),
            Self::NoPool => delete(
                store,
                subnet_key(Table::Pool, &web(), pool().subnet()).unwrap(),
            ),
            Self::NoIndex(place) => delete(store, index_key(5, 1000, *place)),
            Self::StrayIndex(place) => put(store, index_key(6, 999, *place), &[]),
        }
    }
}

fn contents(store: &Store<'_>) -> Vec<Entry> {
    store.begin().overlay.scan(&[]).unwrap()
}

/// Returns the entries that are not derived, except the store's record of itself.
fn records(store: &Store<'_>) -> Vec<Entry> {
    let derived = |key: &[u8]| Table::DERIVED.iter().any(|table| key[0] == *table as u8);
    let mut records = contents(store);
    records.retain(|(key, _)| !derived(key) && *key != Table::Meta.prefix());
    records
}

/// Damages a store, repairs it, and checks what must hold after every repair. Returns the
/// violations that are left.
fn repair(place: &Place, damages: &[Damage]) -> Vec<Violation> {
    let _ = std::fs::remove_dir_all(place.store());
    place.open(BOOT, 1, |store| {
        good(&store);
        for damage in damages {
            damage.strike(&store);
        }
        let found = store.check().unwrap();
        let before = (contents(&store), records(&store));
        let repair = store.repair(at(20)).unwrap();

        assert_eq!(store.check().unwrap(), repair.left);
        assert_eq!(records(&store), before.1, "records are never changed");
        if found.iter().all(Violation::is_derived) {
            assert_eq!((repair.repaired, &repair.left), (found, &vec![]));
        } else {
            // Nothing is derived from records that contradict each other.
            assert_eq!((repair.repaired, &repair.left), (vec![], &found));
            assert_eq!(Violation::remedy(&found), "berth rebuild");
            assert_eq!(contents(&store), before.0);
        }
        let once = contents(&store);
        let again = store.repair(at(30)).unwrap();
        assert_eq!((again.repaired, &again.left), (vec![], &repair.left));
        assert_eq!(contents(&store), once, "the second repair changes nothing");
        repair.left
    })
}

fn damage() -> impl Strategy<Value = Damage> {
    let address = || select(vec!["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    let any_address = || select(vec!["10.0.0.2", "10.0.0.6", "10.0.0.9", "10.0.0.20"]);
    let container = || select(vec!["a", "b"]);
    let anybody = || select(vec!["a", "b", "x"]);
    let generation = || select(vec![1, 2, 3, 6, 7, 900, u64::MAX]);
    prop_oneof![
        container().prop_map(Damage::NoTenant),
        address().prop_map(Damage::NoLease),
        (address(), anybody()).prop_map(|(a, c)| Damage::LeaseOf(a, c)),
        (address(), generation()).prop_map(|(a, g)| Damage::LeaseGeneration(a, g)),
        address().prop_map(Damage::LeaseKind),
        (container(), any_address(), generation()).prop_map(|(c, a, g)| Damage::Lists(c, a, g)),
        container().prop_map(Damage::ListsNothing),
        (container(), anybody()).prop_map(|(c, o)| Damage::FiledElsewhere(c, o)),
        any_address().prop_map(Damage::Reserved),
        select(vec!["10.0.0.6", "10.0.0.7"]).prop_map(Damage::NoReservation),
        (any_address(), select(vec!["10.0.0.20", "10.0.0.30"]))
            .prop_map(|(f, l)| Damage::Free(f, l)),
        select(vec!["10.0.0.5", "10.0.0.8"]).prop_map(Damage::NotFree),
        Just(Damage::NoPool),
        (0..4_usize).prop_map(Damage::NoIndex),
        (0..4_usize).prop_map(Damage::StrayIndex),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_is_repaired_or_left_and_twice_is_once(
        damages in proptest::collection::vec(damage(), 1..5),
    ) {
        on_every_engine(|place| {
            repair(place, &damages);
        });
    }
}

#[test]
fn free_extents_and_indexes_are_made_anew() {
    on_every_engine(|place| {
        let repaired = |damage: Damage| {
            let left = repair(place, std::slice::from_ref(&damage));
            assert_eq!(left, [], "{damage:?}");
        };
        for damage in [
            Damage::NotFree("10.0.0.8"),
            Damage::Free("10.0.0.9", "10.0.0.20"),
            Damage::Free("10.0.0.4", "10.0.0.4"),
            Damage::Reserved("10.0.0.9"),
            Damage::NoReservation("10.0.0.6"),
            Damage::NoPool,
        ] {
            repaired(damage);
        }
        for entry in 0..4 {
            repaired(Damage::NoIndex(entry));
            repaired(Damage::StrayIndex(entry));
        }
    });
}

/// The address of a lost lease does not count as free. Recomputing the free addresses would
/// make it so, and it would be given to another container while `b` uses it.
#[test]
fn where_records_contradict_each_other_nothing_is_worked_out_from_them() {
    on_every_engine(|place| {
        for (damages, name) in [
            (&[Damage::NoTenant("b")][..], "lease-without-tenant"),
            (
                &[Damage::NoLease("10.0.0.4")],
                "leased-address-without-lease",
            ),
            (&[Damage::LeaseKind("10.0.0.4")], "lease-not-listed"),
            (&[Damage::Lists("a", "10.0.0.2", 1)], "leased-address-twice"),
            (
                &[Damage::NoLease("10.0.0.4"), Damage::ListsNothing("b")],
                "tenant-without-address",
            ),
            (&[Damage::FiledElsewhere("b", "z")], "tenant-misfiled"),
            (&[Damage::Reserved("10.0.0.4")], "leased-and-reserved"),
            (
                &[Damage::LeaseGeneration("10.0.0.4", 900)],
                "generation-ahead",
            ),
            (
                &[Damage::LeaseGeneration("10.0.0.4", 1)],
                "generation-twice",
            ),
        ] {
            let left = repair(place, damages);
            assert!(left.iter().any(|left| left.name() == name), "{left:?}");
        }
    });
}

#[test]
fn a_sound_store_is_not_written_to() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            good(&store);
            let before = contents(&store);
            let repair = store.repair(at(20)).unwrap();
            assert_eq!(repair, Repair::default());
            assert_eq!(contents(&store), before);
        });
    });
}
