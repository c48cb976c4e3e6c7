//! The checker, the format and the boot: what needs a look inside.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

mod repair;

use super::codec::{
    Table, address_key, address_payload, seal, seal_record, subnet_key, tenancy_key, unseal_record,
};
use super::transaction::with_address;
use super::*;
use crate::rules::allocator::Shelf;
use crate::rules::lease::{Kind, Lease, NetworkId, Reservation, Tenancy, Tenant};
use crate::rules::pool::{Pool, Span};

const BOOT: &str = "boot";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn span(first: &str, last: &str) -> Span {
    Span::new(ip(first), ip(last)).unwrap()
}

fn at(boot_ms: u64) -> Moment {
    Moment {
        wall_ms: boot_ms + 1_000_000,
        boot_ms,
    }
}

fn web() -> NetworkId {
    "web".into()
}

fn tenancy(container: &str) -> Tenancy {
    Tenancy {
        network_id: web(),
        container_id: container.into(),
        interface: "eth0".into(),
    }
}

fn tenant(container: &str) -> Tenant {
    let clock = json!([1, 1]);
    serde_json::from_value(json!({
        "tenancy": tenancy(container),
        "network_name": "web", "container_name": container, "phase": "offered",
        "holdings": [], "namespace": {"path": "/run/netns/netns-1", "device": 4, "inode": 40}, "pid_namespace": 9, "starter": null, "boot_id": BOOT,
        "created": clock, "renewed": clock, "expires": clock, "mac_address": null,
        "request": {
            "container_id": container, "container_name": container,
            "network": {"name": "web", "id": "web", "driver": "berth"},
            "network_options": {"interface_name": "eth0"},
        },
        "delegation": {
            "config": "", "rootless": false, "aardvark_binary": null,
            "firewall_driver": null, "dns_port": null,
        },
    }))
    .unwrap()
}

fn hold(container: &str, released: u64, until: u64) -> Reservation {
    Reservation {
        container_id: container.into(),
        container_name: container.into(),
        kind: Kind::Dynamic,
        released: at(released),
        until: at(until),
    }
}

fn pool() -> Pool {
    let subnet = json!({"subnet": "10.0.0.0/28", "gateway": "10.0.0.1"});
    Pool::new(&serde_json::from_value(subnet).unwrap(), &[]).unwrap()
}

fn open<T>(dir: &Path, boot_id: &str, now: u64, run: impl FnOnce(Store<'_>) -> T) -> T {
    let mut lock = LockFile::open(dir).unwrap();
    let guard = lock
        .acquire(Duration::from_secs(20), "test", || true)
        .unwrap();
    run(Store::open(dir, &guard, boot_id, at(now)).unwrap())
}

fn refusal(dir: &Path) -> StoreError {
    let mut lock = LockFile::open(dir).unwrap();
    let guard = lock
        .acquire(Duration::from_secs(20), "test", || true)
        .unwrap();
    Store::open(dir, &guard, BOOT, at(1)).err().unwrap()
}

/// Leases .2 and .3 to `a` and .4 to `b`; holds .6 and .7 for `c` and `d`.
fn good(store: &Store<'_>) {
    let mut transaction = store.begin();
    transaction.prepare(&web(), &[pool()], at(0)).unwrap();
    let dynamic = |text| (ip(text), Kind::Dynamic);
    for (container, wanted) in [
        ("a", vec![dynamic("10.0.0.2"), dynamic("10.0.0.3")]),
        ("b", vec![dynamic("10.0.0.4")]),
        ("c", vec![dynamic("10.0.0.6")]),
        ("d", vec![dynamic("10.0.0.7")]),
    ] {
        let tenant = transaction.lease_to(tenant(container), &wanted).unwrap();
        if ["c", "d"].contains(&container) {
            let holding = tenant.leased[0];
            let hold = hold(container, 5, 1000);
            transaction
                .release(
                    &tenant.tenancy,
                    holding.address,
                    holding.generation,
                    Some(hold),
                )
                .unwrap();
        }
    }
    transaction.commit(at(10)).unwrap();
    assert_eq!(store.check().unwrap(), []);
}

fn put(store: &Store<'_>, key: Vec<u8>, payload: &[u8]) {
    let value = seal(&key, payload);
    store
        .engine
        .apply(&Writes::from([(key, Some(value))]))
        .unwrap();
}

fn delete(store: &Store<'_>, key: Vec<u8>) {
    store.engine.apply(&Writes::from([(key, None)])).unwrap();
}

/// Changes a record.
fn edit<T: serde::Serialize + serde::de::DeserializeOwned>(
    store: &Store<'_>,
    key: Vec<u8>,
    change: impl FnOnce(&mut T),
) {
    let mut record: T = unseal_record(&key, &store.engine.get(&key).unwrap().unwrap()).unwrap();
    change(&mut record);
    let value = seal_record(&key, &record);
    store
        .engine
        .apply(&Writes::from([(key, Some(value))]))
        .unwrap();
}

/// Returns the key of the block of 10.0.0.0 to 10.0.0.15.
fn block_key() -> Vec<u8> {
    address_key(Table::Lease, &web(), ip("10.0.0.0")).unwrap()
}

/// Changes the lease of 10.0.0.4 and nothing else.
fn edit_lease(store: &Store<'_>, change: impl FnOnce(&mut Lease)) {
    let mut transaction = store.begin();
    let address = ip("10.0.0.4");
    let mut lease = transaction.lease(&web(), address).unwrap().unwrap();
    change(&mut lease);
    transaction.put_lease(address, &lease).unwrap();
    transaction.commit(at(10)).unwrap();
}

fn delete_lease(store: &Store<'_>) {
    let mut transaction = store.begin();
    transaction.delete_lease(&web(), ip("10.0.0.4")).unwrap();
    transaction.commit(at(10)).unwrap();
}

fn free_key(first: &str) -> Vec<u8> {
    let prefix = subnet_key(Table::Free, &web(), pool().subnet()).unwrap();
    with_address(&prefix, ip(first))
}

/// Breaks a good store, and expects to be told of it in these words.
#[track_caller]
fn check(broken: impl FnOnce(&Store<'_>), expected: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
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
}

#[test]
fn leases_and_tenants_that_disagree_are_found() {
    let a = "container a (interface eth0) on network web";
    let b = "container b (interface eth0) on network web";
    check(|_| {}, &[]);
    check(
        |store| delete(store, tenancy_key(&tenancy("b")).unwrap()),
        &[&format!(
            "10.0.0.4 is leased to {b}, of which there is no record"
        )],
    );
    let not_listed = format!("10.0.0.4 is leased to {b}, whose record does not list it so");
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
            &format!("10.0.0.4 is leased to {a}, whose record does not list it so"),
            &format!("{b} lists 10.0.0.4, which is not leased to it"),
        ],
    );
    check(
        delete_lease,
        &[
            &format!("{b} lists 10.0.0.4, which is not leased to it"),
            "10.0.0.4 of 10.0.0.0/28 on network web is offered and neither leased nor held, \
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
            &format!("10.0.0.4 is leased to {b}, of which there is no record"),
            "container z (interface eth0) on network web lists 10.0.0.4, which is not leased to it",
        ],
    );
    check(
        |store| {
            let mut transaction = store.begin();
            transaction
                .put_reservation(&web(), ip("10.0.0.4"), &hold("c", 5, 9))
                .unwrap();
            transaction.commit(at(10)).unwrap();
        },
        &["10.0.0.4 on network web is both leased and held"],
    );
}

/// Two records claim one address: whoever's lease it is keeps it, whatever the
/// other gives back.
#[test]
fn nothing_is_released_that_is_leased_to_another() {
    let claim = |store: &Store<'_>| {
        edit::<Tenant>(store, tenancy_key(&tenancy("b")).unwrap(), |tenant| {
            let mut holding = tenant.leased[0];
            holding.address = ip("10.0.0.2");
            tenant.leased.push(holding);
        });
    };
    check(
        |store| {
            claim(store);
            let mut transaction = store.begin();
            let holding = transaction.holder(&tenancy("b")).unwrap().leased[1];
            let hold = Some(hold("b", 5, 1000));
            let generation = holding.generation;
            transaction
                .release(&tenancy("b"), holding.address, generation, hold)
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
             nor held, but does not count as free",
        ],
    );
    check(
        |store| put(store, free_key("10.0.0.8"), &last("10.0.0.15")),
        &[
            "10.0.0.15 of 10.0.0.0/28 on network web counts as free, but is leased, held or not offered",
        ],
    );
    check(
        |store| put(store, free_key("10.0.0.5"), &last("10.0.0.6")),
        &[
            "10.0.0.6 of 10.0.0.0/28 on network web counts as free, but is leased, held or not offered",
        ],
    );
    check(
        |store| put(store, free_key("10.0.0.2"), &last("10.0.0.2")),
        &[
            "10.0.0.2 of 10.0.0.0/28 on network web counts as free, but is leased, held or not offered",
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
                "an index names a hold that does not exist so: {}",
                yield_entry("10.0.0.6")
            ),
            &format!(
                "an index names a hold that does not exist so: {}",
                yield_entry("10.0.0.7")
            ),
        ],
    );
}

fn yield_entry(address: &str) -> String {
    let pools = [super::pools::StoredPool {
        subnet: pool().subnet(),
        spans: pool().spans().to_vec(),
    }];
    let hold = hold("c", 5, 1000);
    let keys = reservations::index_keys(&web(), ip(address), &hold, &pools).unwrap();
    Table::describe(&keys[3])
}

#[test]
fn each_index_entry_that_is_missing_or_stray_is_found() {
    let pools = [super::pools::StoredPool {
        subnet: pool().subnet(),
        spans: pool().spans().to_vec(),
    }];
    let kept =
        reservations::index_keys(&web(), ip("10.0.0.6"), &hold("c", 5, 1000), &pools).unwrap();
    let stray =
        reservations::index_keys(&web(), ip("10.0.0.6"), &hold("x", 6, 999), &pools).unwrap();
    assert_eq!(kept.len(), 4);
    for (kept, stray) in kept.into_iter().zip(stray) {
        let entry = Table::describe(&kept);
        check(
            |store| delete(store, kept.clone()),
            &[&format!(
                "the hold on 10.0.0.6 on network web is missing from an index: {entry}"
            )],
        );
        check(
            |store| put(store, stray.clone(), &[]),
            &[&format!(
                "an index names a hold that does not exist so: {}",
                Table::describe(&stray)
            )],
        );
    }
}

#[test]
fn a_value_that_was_changed_is_an_error_with_table_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let expected = |what: &str| {
        format!(
            "lease store {0}/leases.sled is damaged: {what}; `berth rebuild` makes a new one \
             from what runs",
            dir.path().display()
        )
    };
    open(dir.path(), BOOT, 1, |store| {
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
}

#[test]
fn names_that_cannot_be_keys_are_refused_with_nothing_staged() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
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
        let mut hold = hold("b", 5, 9);
        hold.container_name = "x\0y".into();
        transaction
            .release(&lease.tenancy, ip("10.0.0.4"), lease.generation, Some(hold))
            .unwrap_err();
        assert!(transaction.overlay.staged().is_empty());
    });
}

#[test]
fn a_commit_without_changes_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
        good(&store);
        let before = store.meta();
        let mut transaction = store.begin();
        transaction.prepare(&web(), &[pool()], at(20)).unwrap();
        transaction.commit(at(20)).unwrap();
        assert_eq!(store.meta(), before);
    });
}

#[test]
fn generations_go_on_where_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| good(&store));
    let wanted = [(ip("10.0.0.9"), Kind::Static)];
    let lease = || {
        open(dir.path(), BOOT, 1, |store| {
            let mut transaction = store.begin();
            let tenant = transaction.lease_to(tenant("e"), &wanted).unwrap();
            transaction.commit(at(20)).unwrap();
            tenant.leased[0].generation
        })
    };
    assert_eq!((lease(), lease()), (6, 7));
}

#[test]
fn a_reboot_moves_holds_to_the_new_clock_and_keeps_leases() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
        good(&store);
        let mut transaction = store.begin();
        // The clock is at 900 when the machine goes down: 100 are left of the holds.
        transaction
            .set_cursor(&web(), pool().subnet(), ip("10.0.0.7"))
            .unwrap();
        transaction.commit(at(900)).unwrap();
    });
    open(dir.path(), "another boot", 50, |store| {
        let transaction = store.begin();
        let holds = transaction.reservations(&web()).unwrap();
        assert_eq!(holds.len(), 2);
        for (_, hold) in holds {
            assert_eq!((hold.until.boot_ms, hold.released.boot_ms), (150, 0));
        }
        assert_eq!(transaction.tenants(&web()).unwrap().len(), 2);
        assert_eq!(
            transaction.shelf(&web()).next_yield(&pool()).unwrap(),
            Some(ip("10.0.0.6"))
        );
        assert_eq!(store.check().unwrap(), []);
    });
    open(dir.path(), "another boot", 149, |store| {
        let mut transaction = store.begin();
        transaction.prepare(&web(), &[pool()], at(149)).unwrap();
        assert_eq!(transaction.reservations(&web()).unwrap().len(), 2);
        transaction.prepare(&web(), &[pool()], at(150)).unwrap();
        assert_eq!(transaction.reservations(&web()).unwrap(), []);
    });
}

#[test]
fn a_huge_pool_is_one_extent() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
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
            for holding in &tenant.leased {
                transaction
                    .release(&tenant.tenancy, holding.address, holding.generation, None)
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
}

/// Returns every file below a directory with its bytes.
fn files(dir: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_store_we_must_not_touch_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE);
    let whole = |dir: &Path| open(dir, BOOT, 1, |store| good(&store));
    let check = |spoil: &dyn Fn(), expected: &str| {
        let _ = fs::remove_dir_all(&path);
        whole(dir.path());
        spoil();
        let before = files(&path);
        let error = refusal(dir.path()).to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(files(&path), before, "{expected}");
    };
    let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
    let remove = |name: &str| fs::remove_file(path.join(name)).unwrap();
    check(
        &|| write("format", "2\n"),
        "leases.sled has format 2, but this berth knows formats up to 1; use the newer berth",
    );
    check(&|| write("format", "0\n"), "cannot read");
    check(&|| write("format", "1"), "cannot read");
    check(&|| write("format", "one\n"), "cannot read");
    check(&|| remove("format"), "leases.sled/format is missing");
    check(&|| remove("conf"), "leases.sled/conf is missing");
    check(&|| remove("db"), "leases.sled/db is missing");
    check(&|| write("db", ""), "cannot read");
    check(&|| write("conf", ""), "cannot read");
    check(
        &|| write("conf", "segment_size: 524288\nuse_compression: false\n"),
        "cannot read",
    );
    check(
        &|| fs::remove_dir(path.join("blobs")).unwrap(),
        "leases.sled/blobs is missing",
    );
    let empty = || {
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
    };
    check(&empty, "leases.sled/format is missing");
    let file = || {
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("format"), "1\n").unwrap();
    };
    check(&file, "leases.sled/conf is missing");
}

#[test]
fn what_killed_processes_leave_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let unfinished = dir.path().join("leases.sled.new");
    fs::create_dir_all(unfinished.join("blobs")).unwrap();
    fs::write(unfinished.join("conf"), "segm").unwrap();
    open(dir.path(), BOOT, 1, |store| good(&store));
    assert!(!unfinished.exists());
    let generating = dir
        .path()
        .join(STORE)
        .join("snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&generating, "").unwrap();
    open(dir.path(), BOOT, 1, |store| {
        assert_eq!(store.begin().tenants(&web()).unwrap().len(), 2);
    });
    assert!(!generating.exists());
}

#[test]
fn a_store_that_has_gone_back_is_damaged_until_the_next_boot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE);
    open(dir.path(), BOOT, 1, |store| good(&store));
    let early = files(&path);
    let commit = || {
        open(dir.path(), BOOT, 1, |store| {
            let mut transaction = store.begin();
            transaction
                .set_cursor(&web(), pool().subnet(), ip("10.0.0.5"))
                .unwrap();
            transaction.commit(at(20)).unwrap();
        });
    };
    commit();
    for file in files(&path).into_keys() {
        if !file.ends_with("witness") {
            fs::remove_file(file).unwrap();
        }
    }
    for (file, bytes) in early {
        if !file.ends_with("witness") {
            fs::write(file, bytes).unwrap();
        }
    }
    let error = refusal(dir.path()).to_string();
    assert!(error.contains("its last commits are missing"), "{error}");
    // A power failure may take what was not synced, and everyone is dead then.
    let witness = fs::read(path.join("witness")).unwrap();
    open(dir.path(), "another boot", 1, |store| {
        assert_eq!(store.check().unwrap(), []);
    });
    commit();
    // An unreadable witness knows nothing.
    for text in [
        &b""[..],
        b"00000000 00000000000000000099 boot\n",
        &witness[1..],
    ] {
        fs::write(path.join("witness"), text).unwrap();
        commit();
    }
}

#[test]
fn where_the_file_system_refuses_the_error_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = LockFile::open(&blocked.join("berth")).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to create state directory {}/berth",
            blocked.display()
        )
    );
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.contains("Not a directory"), "{error}");
}

#[test]
fn staged_changes_read_as_if_they_were_made() {
    use super::overlay::{OrderedMut, Overlay};
    use std::collections::BTreeMap;

    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 1, |store| {
        // Keys apart from the store's own; every third is stored, and runs of them
        // are deleted, replaced and added.
        let key = |number: u8| vec![200, number];
        let mut plain: BTreeMap<_, _> = (0..60).step_by(3).map(|n| (key(n), vec![1])).collect();
        let stored = plain
            .iter()
            .map(|(key, value)| (key.clone(), Some(value.clone())));
        store.engine.apply(&stored.collect()).unwrap();
        let mut overlay = Overlay::new(&store.engine);
        for number in (0..12).chain(30..34).chain(54..60) {
            overlay.delete(key(number));
            plain.remove(&key(number));
        }
        for number in [2, 9, 21, 22, 40, 59] {
            overlay.put(key(number), vec![2]);
            plain.insert(key(number), vec![2]);
        }
        let own = |entry: Option<overlay::Entry>| entry.filter(|(key, _)| key[0] == 200);
        let clone = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        for number in 0..70 {
            let key = key(number);
            assert_eq!(overlay.get(&key).unwrap(), plain.get(&key).cloned());
            assert_eq!(
                own(overlay.at_or_above(&key).unwrap()),
                plain.range(key.clone()..).next().map(clone),
                "at or above {number}"
            );
            assert_eq!(
                own(overlay.at_or_below(&key).unwrap()),
                plain.range(..=key).next_back().map(clone),
                "at or below {number}"
            );
        }
        let all: Vec<_> = plain.into_iter().collect();
        assert_eq!(overlay.scan(&[200]).unwrap(), all);
    });
}

#[test]
fn a_network_that_is_handed_over_was_never_heard_of() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), BOOT, 0, |store| {
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
    open(dir.path(), BOOT, 40, |store| {
        let transaction = store.begin();
        assert_eq!(transaction.networks().unwrap(), []);
        assert_eq!(transaction.all_tenants().unwrap(), []);
        assert_eq!(transaction.reservations(&web()).unwrap(), []);
        assert_eq!(transaction.lease(&web(), ip("10.0.0.4")).unwrap(), None);
        assert_eq!(transaction.shelf(&web()).cursor(&pool()).unwrap(), None);
        assert_eq!(store.check().unwrap(), []);
        drop(transaction);
        // And can be taken over again.
        good(&store);
    });
}
