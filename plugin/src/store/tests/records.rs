//! Leases, reservations and networks over commits, reopenings and reboots.

use super::check::check;
use super::*;

/// Two records claim one address: the tenancy that has the lease keeps it, whatever the other
/// gives back.
#[test]
fn nothing_is_released_that_is_leased_to_another() {
    let claim = |store: &Store<'_>| {
        edit::<Tenant>(store, tenancy_key(&tenancy("b")).unwrap(), |tenant| {
            let mut leased = tenant.leased[0];
            leased.address = ip("10.0.0.2");
            tenant.leased.push(leased);
        });
    };
    check(
        |store| {
            claim(store);
            let mut transaction = store.begin();
            let leased = transaction.holder(&tenancy("b")).unwrap().leased[1];
            let left = Some(reservation("b", 5, 1000));
            let generation = leased.generation;
            transaction
                .release(&tenancy("b"), leased.address, generation, left)
                .unwrap();
            transaction.commit(at(10)).unwrap();
        },
        &[],
    );
    check(
        |store| {
            claim(store);
            let mut transaction = store.begin();
            let kept = [(ip("10.0.0.4"), Kind::Dynamic)];
            transaction.lease_to(tenant("b"), &kept).unwrap();
            transaction.commit(at(10)).unwrap();
        },
        &[],
    );
}

#[test]
fn a_value_that_was_changed_is_an_error_with_table_and_key() {
    on_every_engine(|place| {
        let expected = |what: &str| {
            format!(
                "lease store {} is damaged: {what}; `berth rebuild` makes a new one \
                 from what runs",
                place.store().display()
            )
        };
        place.open(BOOT, 1, |store| {
            good(&store);
            let good = store.engine.get(&block_key()).unwrap().unwrap();
            // The right value under the wrong key, and a flipped bit.
            let mut flipped = good.clone();
            flipped[9] ^= 1;
            for (key, value) in [
                (
                    address_key(Table::Lease, &web(), ip("10.0.0.16")).unwrap(),
                    good,
                ),
                (block_key(), flipped),
            ] {
                let writes = Writes::from([(key.clone(), Some(value))]);
                store.engine.apply(&writes).unwrap();
                let what = format!("cannot read {}", Table::describe(&key));
                let address = codec::last_address(&key, 5).unwrap();
                let error = store.begin().lease(&web(), address).unwrap_err();
                assert_eq!(error.to_string(), expected(&what));
                assert!(store.check().is_err());
            }
            assert_eq!(
                Table::describe(&block_key()),
                r#"Lease "web\x00\x04\n\x00\x00\x00""#
            );
            assert_eq!(store.begin().tenants(&web()).unwrap().len(), 2);
        });
    });
}

#[test]
fn names_that_cannot_be_keys_are_refused_with_nothing_staged() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            good(&store);
            let mut transaction = store.begin();
            let wanted = [(ip("10.0.0.9"), Kind::Static)];
            for (network, container) in [("", "x"), ("a\0b", "x"), ("web", "x\0y")] {
                let mut tenant = tenant(container);
                tenant.tenancy.network_id = network.into();
                let error = transaction.lease_to(tenant, &wanted).unwrap_err();
                assert!(matches!(error, StoreError::Name { .. }), "{error}");
            }
            let lease = transaction.lease(&web(), ip("10.0.0.4")).unwrap().unwrap();
            let mut left = reservation("b", 5, 9);
            left.container_name = "x\0y".into();
            transaction
                .release(&lease.tenancy, ip("10.0.0.4"), lease.generation, Some(left))
                .unwrap_err();
            assert!(transaction.overlay.staged().is_empty());
        });
    });
}

#[test]
fn a_commit_without_changes_writes_nothing() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            good(&store);
            let before = store.meta();
            let mut transaction = store.begin();
            transaction.prepare(&web(), &[pool()], at(20)).unwrap();
            transaction.commit(at(20)).unwrap();
            assert_eq!(store.meta(), before);
        });
    });
}

#[test]
fn generations_go_on_where_they_ended() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| good(&store));
        let wanted = [(ip("10.0.0.9"), Kind::Static)];
        let lease = || {
            place.open(BOOT, 1, |store| {
                let mut transaction = store.begin();
                let tenant = transaction.lease_to(tenant("e"), &wanted).unwrap();
                transaction.commit(at(20)).unwrap();
                tenant.leased[0].generation
            })
        };
        assert_eq!((lease(), lease()), (6, 7));
    });
}

#[test]
fn a_reboot_moves_reservations_to_the_new_clock_and_keeps_leases() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            good(&store);
            let mut transaction = store.begin();
            // The machine goes down at 900, so the reservations have 100 left.
            transaction
                .set_cursor(&web(), pool().subnet(), ip("10.0.0.7"))
                .unwrap();
            transaction.commit(at(900)).unwrap();
        });
        place.open("another boot", 50, |store| {
            let transaction = store.begin();
            let reservations = transaction.reservations(&web()).unwrap();
            assert_eq!(reservations.len(), 2);
            for (_, left) in reservations {
                assert_eq!((left.until.boot_ms, left.released.boot_ms), (150, 0));
            }
            assert_eq!(transaction.tenants(&web()).unwrap().len(), 2);
            assert_eq!(
                transaction.shelf(&web()).next_yield(&pool()).unwrap(),
                Some(ip("10.0.0.6"))
            );
            assert_eq!(store.check().unwrap(), []);
        });
        place.open("another boot", 149, |store| {
            let mut transaction = store.begin();
            transaction.prepare(&web(), &[pool()], at(149)).unwrap();
            assert_eq!(transaction.reservations(&web()).unwrap().len(), 2);
            transaction.prepare(&web(), &[pool()], at(150)).unwrap();
            assert_eq!(transaction.reservations(&web()).unwrap(), []);
        });
    });
}

#[test]
fn many_records_are_read_in_order_and_none_of_the_damaged_is_left_out() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            let mut transaction = store.begin();
            let names: Vec<_> = (0..1500).map(|number| format!("{number:04}")).collect();
            for (at, name) in (2..).zip(&names) {
                let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + at).into();
                let wanted = [(address, Kind::Static)];
                transaction.lease_to(tenant(name), &wanted).unwrap();
            }
            transaction.commit(at(2)).unwrap();
            let tenants = store.begin().tenants(&web()).unwrap();
            let read = tenants.iter().map(|own| own.tenancy.container_id.as_str());
            assert_eq!(read.collect::<Vec<_>>(), names);
            for damaged in ["0000", "1499"] {
                let key = tenancy_key(&tenancy(damaged)).unwrap();
                let sound = store.engine.get(&key).unwrap();
                let write = |value| store.engine.apply(&Writes::from([(key.clone(), value)]));
                write(Some(b"x".to_vec())).unwrap();
                let read = store.begin().tenants(&web());
                assert!(matches!(read, Err(StoreError::Damaged { .. })), "{damaged}");
                write(sound).unwrap();
            }
        });
    });
}

#[test]
fn whoever_reads_after_a_reboot_changes_nothing() {
    on_every_engine(|place| {
        let read = |now| {
            let mut lock = LockFile::open(place.path()).unwrap();
            let guard = lock
                .acquire(Duration::from_secs(20), "test", || true)
                .unwrap();
            Store::read(
                place.path(),
                &guard,
                "another boot",
                at(now),
                |transaction| {
                    let reservations = transaction.reservations(&web())?;
                    let until = reservations.iter().map(|(_, left)| left.until.boot_ms);
                    assert_eq!(transaction.tenants(&web())?.len(), 2);
                    assert_eq!(transaction.last_collection(), None);
                    Ok::<_, StoreError>(until.collect::<Vec<_>>())
                },
            )
            .unwrap()
        };
        assert_eq!(read(50), None);
        assert!(!Store::exists(place.path()), "it makes none");
        place.open(BOOT, 900, |store| good(&store));
        let left = read(50).unwrap();
        assert_eq!(left.len(), 2);
        // As long as nothing is committed, the new boot has not begun.
        assert_eq!(read(70).unwrap(), [left[0] + 20, left[1] + 20]);
        place.open("another boot", 90, |store| {
            assert_eq!(store.begin().reservations(&web()).unwrap().len(), 2);
        });
        assert_eq!(read(95).unwrap(), [left[0] + 40, left[1] + 40]);
    });
}

#[test]
fn a_huge_pool_is_one_extent() {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            for (subnet, first, last) in [
                ("fd00:1::/64", "fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff"),
                ("::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("0.0.0.0/0", "0.0.0.1", "255.255.255.254"),
            ] {
                let config = serde_json::from_value(json!({"subnet": subnet})).unwrap();
                let pool = Pool::new(&config, &[]).unwrap();
                let mut transaction = store.begin();
                transaction
                    .prepare(&web(), std::slice::from_ref(&pool), at(1))
                    .unwrap();
                let ends = [(ip(first), Kind::Static), (ip(last), Kind::Static)];
                let tenant = transaction.lease_to(tenant("a"), &ends).unwrap();
                transaction.commit(at(1)).unwrap();
                assert_eq!(store.check().unwrap(), []);
                let mut transaction = store.begin();
                let free = |transaction: &Transaction<'_>| {
                    let shelf = transaction.shelf(&web());
                    [first, last].map(|from| shelf.first_free(&pool, ip(from)).unwrap())
                };
                assert_eq!(free(&transaction), [extents::after(ip(first)), None]);
                for leased in &tenant.leased {
                    transaction
                        .release(&tenant.tenancy, leased.address, leased.generation, None)
                        .unwrap();
                }
                assert_eq!(free(&transaction), [Some(ip(first)), Some(ip(last))]);
                let prefix = Table::Free.prefix();
                assert_eq!(transaction.overlay.scan(&prefix).unwrap().len(), 1);
                transaction.commit(at(1)).unwrap();
                assert_eq!(store.check().unwrap(), []);
            }
        });
        assert_eq!(span("::1", "::1").to_string(), "::1");
    });
}

#[test]
fn a_network_that_is_handed_over_was_never_heard_of() {
    on_every_engine(|place| {
        place.open(BOOT, 0, |store| {
            good(&store);
            let mut transaction = store.begin();
            transaction
                .set_cursor(&web(), pool().subnet(), ip("10.0.0.4"))
                .unwrap();
            transaction.commit(at(20)).unwrap();
            let mut transaction = store.begin();
            transaction.hand_over_network(&web()).unwrap();
            transaction.commit(at(30)).unwrap();
        });
        place.open(BOOT, 40, |store| {
            let transaction = store.begin();
            assert_eq!(transaction.networks().unwrap(), []);
            assert_eq!(transaction.all_tenants().unwrap(), []);
            assert_eq!(transaction.reservations(&web()).unwrap(), []);
            assert_eq!(transaction.lease(&web(), ip("10.0.0.4")).unwrap(), None);
            assert_eq!(transaction.shelf(&web()).cursor(&pool()).unwrap(), None);
            assert_eq!(store.check().unwrap(), []);
            drop(transaction);
            // The network can be taken over again.
            good(&store);
        });
    });
}
