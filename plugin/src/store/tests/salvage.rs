//! What only the store knows is carried over into a new one, as far as it can be read.

use super::*;

/// Salvages the store, makes a new one in its place, and restores into it.
fn rebuild<T>(place: &Place, boot_id: &str, now: u64, run: impl FnOnce(&Store<'_>) -> T) -> T {
    let mut lock = LockFile::open(place.path()).unwrap();
    let guard = lock.acquire(Duration::ZERO, "test", || true).unwrap();
    let salvage = Salvage::read(place.path(), &guard, boot_id, at(now));
    Store::set_aside(place.path(), &guard, at(now)).unwrap();
    let store = Store::open(place.path(), &guard, place.engine, boot_id, at(now)).unwrap();
    let mut transaction = store.begin();
    transaction.restore(&salvage, at(now)).unwrap();
    transaction.commit(at(now)).unwrap();
    assert_eq!(store.check().unwrap(), []);
    run(&store)
}

fn reserved(store: &Store<'_>) -> Vec<IpAddr> {
    let reservations = store.begin().reservations(&web()).unwrap();
    reservations
        .into_iter()
        .map(|(address, _)| address)
        .collect()
}

fn good_with_cursor(place: &Place) {
    place.open(BOOT, 1, |store| {
        good(&store);
        let mut transaction = store.begin();
        transaction
            .set_cursor(&web(), pool().subnet(), ip("10.0.0.7"))
            .unwrap();
        transaction.commit(at(10)).unwrap();
    });
}

#[test]
fn reservations_and_cursors_survive_and_are_good_for_use() {
    on_every_engine(|place| {
        good_with_cursor(place);
        let before = place.open(BOOT, 20, |store| {
            store.begin().reservations(&web()).unwrap()
        });
        rebuild(place, BOOT, 20, |store| {
            let mut transaction = store.begin();
            assert_eq!(transaction.reservations(&web()).unwrap(), before);
            assert_eq!(transaction.all_tenants().unwrap(), []);
            transaction.prepare(&web(), &[pool()], at(20)).unwrap();
            let shelf = transaction.shelf(&web());
            assert_eq!(shelf.cursor(&pool()).unwrap(), Some(ip("10.0.0.7")));
            let mine = shelf.reserved_for(&pool(), &"d".into(), &"".into());
            assert_eq!(mine.unwrap(), Some(ip("10.0.0.7")));
            let last = shelf.first_free(&pool(), ip("10.0.0.6")).unwrap();
            assert_eq!(last, Some(ip("10.0.0.8")), "reserved ones are not free");
            transaction.commit(at(20)).unwrap();
            assert_eq!(store.check().unwrap(), []);
        });
    });
}

#[test]
fn what_cannot_be_read_does_not_keep_the_rest_from_being_carried_over() {
    on_every_engine(|place| {
        good_with_cursor(place);
        place.open(BOOT, 1, |store| {
            let spoil = |key: Vec<u8>| {
                let mut value = store.engine.get(&key).unwrap().unwrap();
                value[1] ^= 1;
                let writes = Writes::from([(key, Some(value))]);
                store.engine.apply(&writes).unwrap();
            };
            spoil(address_key(Table::Reservation, &web(), ip("10.0.0.6")).unwrap());
            spoil(block_key());
            spoil(Table::Meta.prefix());
        });
        assert!(matches!(place.refusal(), StoreError::Damaged { .. }));
        rebuild(place, BOOT, 20, |store| {
            assert_eq!(reserved(store), [ip("10.0.0.7")]);
            let transaction = store.begin();
            let cursor = transaction.shelf(&web()).cursor(&pool()).unwrap();
            assert_eq!(cursor, Some(ip("10.0.0.7")));
        });
    });
}

#[test]
fn a_reservation_ends_when_it_would_have_ended() {
    for (boot_id, now, expected) in [
        (BOOT, 999, &["10.0.0.6", "10.0.0.7"][..]),
        (BOOT, 1000, &[]),
        // By the wall clock, which `at` keeps in step.
        ("another boot", 999, &["10.0.0.6", "10.0.0.7"]),
        ("another boot", 1000, &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|text| ip(text)).collect();
        on_every_engine(|place| {
            place.open(BOOT, 1, |store| good(&store));
            rebuild(place, boot_id, now, |store| {
                assert_eq!(reserved(store), expected, "{boot_id} {now}");
                let reservations = store.begin().reservations(&web()).unwrap();
                for (_, reservation) in reservations {
                    assert_eq!(reservation.until.boot_ms, 1000);
                }
            });
        });
    }
}

/// The wall clock was set back by years between two boots.
#[test]
fn no_reservation_gets_longer_than_it_was() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let mut lock = LockFile::open(place.path()).unwrap();
        let guard = lock.acquire(Duration::ZERO, "test", || true).unwrap();
        let early = Moment {
            wall_ms: 0,
            boot_ms: 50,
        };
        let salvage = Salvage::read(place.path(), &guard, "another boot", early);
        Store::set_aside(place.path(), &guard, early).unwrap();
        let store = Store::open(place.path(), &guard, place.engine, "another boot", early);
        let store = store.unwrap();
        let mut transaction = store.begin();
        assert_eq!(transaction.restore(&salvage, early).unwrap(), 2);
        for (_, reservation) in transaction.reservations(&web()).unwrap() {
            // It lasted from 5 to 1000.
            assert_eq!(reservation.until.boot_ms, 50 + 995);
        }
    });
}

#[test]
fn addresses_that_are_leased_meanwhile_are_left_out() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let mut lock = LockFile::open(place.path()).unwrap();
        let guard = lock.acquire(Duration::ZERO, "test", || true).unwrap();
        let salvage = Salvage::read(place.path(), &guard, BOOT, at(20));
        Store::set_aside(place.path(), &guard, at(20)).unwrap();
        let store = Store::open(place.path(), &guard, place.engine, BOOT, at(20)).unwrap();
        let mut transaction = store.begin();
        transaction.prepare(&web(), &[pool()], at(20)).unwrap();
        transaction
            .lease_to(tenant("e"), &[(ip("10.0.0.6"), Kind::Static)])
            .unwrap();
        assert_eq!(transaction.restore(&salvage, at(20)).unwrap(), 1);
        assert_eq!(transaction.restore(&salvage, at(20)).unwrap(), 0);
        transaction.commit(at(20)).unwrap();
        assert_eq!(store.check().unwrap(), []);
        assert_eq!(reserved(&store), [ip("10.0.0.7")]);
    });
}
