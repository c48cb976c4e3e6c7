//! Everything that can be wrong with a store is found, and reported in these words.

use super::*;

/// Breaks a good store, and expects these messages.
#[track_caller]
pub(super) fn check(broken: impl Fn(&Store<'_>), expected: &[&str]) {
    on_every_engine(|place| {
        place.open(BOOT, 1, |store| {
            good(&store);
            broken(&store);
            let found: Vec<_> = store
                .check()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected);
        });
    });
}

#[test]
fn leases_and_tenants_that_disagree_are_found() {
    let a = "container a (interface eth0) on network web";
    let b = "container b (interface eth0) on network web";
    check(|_| {}, &[]);
    check(
        |store| delete(store, tenancy_key(&tenancy("b")).unwrap()),
        &[&format!("10.0.0.4 is leased to {b}, which has no record")],
    );
    let not_listed =
        format!("10.0.0.4 is leased to {b}, whose record does not list it or lists it differently");
    check(
        |store| edit_lease(store, |lease| lease.generation = 4),
        &[&not_listed],
    );
    check(
        |store| edit_lease(store, |lease| lease.kind = Kind::Static),
        &[&not_listed],
    );
    check(
        |store| {
            edit_lease(store, |lease| {
                lease.tenancy = tenancy("a");
            });
        },
        &[
            &format!(
                "10.0.0.4 is leased to {a}, whose record does not list it or lists it differently"
            ),
            &format!("{b} lists 10.0.0.4, which is not leased to it"),
        ],
    );
    check(
        delete_lease,
        &[
            &format!("{b} lists 10.0.0.4, which is not leased to it"),
            "10.0.0.4 of 10.0.0.0/28 on network web is offered and neither leased nor reserved, \
             but does not count as free",
        ],
    );
    check(
        |store| {
            edit::<Tenant>(store, tenancy_key(&tenancy("a")).unwrap(), |tenant| {
                tenant.leased.push(tenant.leased[0]);
            });
        },
        &[&format!("{a} lists 10.0.0.2 twice")],
    );
    check(
        |store| {
            let key = tenancy_key(&tenancy("e")).unwrap();
            put(store, key, &serde_json::to_vec(&tenant("e")).unwrap());
        },
        &["container e (interface eth0) on network web has a record but no address"],
    );
    check(
        |store| {
            edit::<Tenant>(store, tenancy_key(&tenancy("b")).unwrap(), |tenant| {
                tenant.request.container_id = "z".into();
            });
        },
        &[
            "the record of container z (interface eth0) on network web is filed under another name",
            &format!("10.0.0.4 is leased to {b}, which has no record"),
            "container z (interface eth0) on network web lists 10.0.0.4, which is not leased to it",
        ],
    );
    check(
        |store| {
            let mut transaction = store.begin();
            transaction
                .put_reservation(&web(), ip("10.0.0.4"), &reservation("c", 5, 9))
                .unwrap();
            transaction.commit(at(10)).unwrap();
        },
        &["10.0.0.4 on network web is both leased and reserved"],
    );
}

#[test]
fn generations_that_were_never_given_out_or_twice_are_found() {
    let set = |store: &Store<'_>, generation: u64| {
        edit_lease(store, |lease| lease.generation = generation);
        edit::<Tenant>(store, tenancy_key(&tenancy("b")).unwrap(), |tenant| {
            tenant.leased[0].generation = generation;
        });
    };
    check(
        |store| set(store, 6),
        &["the lease of 10.0.0.4 on network web has generation 6, but the highest given out is 5"],
    );
    check(
        |store| set(store, 1),
        &["the lease of 10.0.0.4 on network web has generation 1, which another lease has too"],
    );
}

#[test]
fn free_extents_that_are_wrong_are_found() {
    let last = |text: &str| address_payload(ip(text));
    // .5 and .8 to .14 are free.
    check(
        |store| delete(store, free_key("10.0.0.8")),
        &[
            "10.0.0.8-10.0.0.14 of 10.0.0.0/28 on network web is offered and neither leased \
             nor reserved, but does not count as free",
        ],
    );
    check(
        |store| put(store, free_key("10.0.0.8"), &last("10.0.0.15")),
        &[
            "10.0.0.15 of 10.0.0.0/28 on network web counts as free, but is leased, reserved or not offered",
        ],
    );
    check(
        |store| put(store, free_key("10.0.0.5"), &last("10.0.0.6")),
        &[
            "10.0.0.6 of 10.0.0.0/28 on network web counts as free, but is leased, reserved or not offered",
        ],
    );
    check(
        |store| put(store, free_key("10.0.0.2"), &last("10.0.0.2")),
        &[
            "10.0.0.2 of 10.0.0.0/28 on network web counts as free, but is leased, reserved or not offered",
        ],
    );
    let not_apart = "the free extent of 10.0.0.0/28 on network web that begins with 10.0.0.11 \
                     overlaps or touches the one below";
    for lower_end in ["10.0.0.10", "10.0.0.12"] {
        check(
            |store| {
                put(store, free_key("10.0.0.8"), &last(lower_end));
                put(store, free_key("10.0.0.11"), &last("10.0.0.14"));
            },
            &[not_apart],
        );
    }
    check(
        |store| {
            delete(
                store,
                subnet_key(Table::Pool, &web(), pool().subnet()).unwrap(),
            )
        },
        &[
            "10.0.0.0/28 on network web has free extents but no pool",
            &format!(
                "an index names a reservation that does not exist or is another: {}",
                yield_entry("10.0.0.6")
            ),
            &format!(
                "an index names a reservation that does not exist or is another: {}",
                yield_entry("10.0.0.7")
            ),
        ],
    );
}

fn yield_entry(address: &str) -> String {
    let left = reservation("c", 5, 1000);
    let keys = index_keys(&web(), ip(address), &left, &stored_pools()).unwrap();
    Table::describe(&keys[3])
}

#[test]
fn each_index_entry_that_is_missing_or_stray_is_found() {
    let kept = index_keys(
        &web(),
        ip("10.0.0.6"),
        &reservation("c", 5, 1000),
        &stored_pools(),
    )
    .unwrap();
    let stray = index_keys(
        &web(),
        ip("10.0.0.6"),
        &reservation("x", 6, 999),
        &stored_pools(),
    )
    .unwrap();
    assert_eq!(kept.len(), 4);
    for (kept, stray) in kept.into_iter().zip(stray) {
        let entry = Table::describe(&kept);
        check(
            |store| delete(store, kept.clone()),
            &[&format!(
                "the reservation of 10.0.0.6 on network web is missing from an index: {entry}"
            )],
        );
        check(
            |store| put(store, stray.clone(), &[]),
            &[&format!(
                "an index names a reservation that does not exist or is another: {}",
                Table::describe(&stray)
            )],
        );
    }
}
