//! Damaged files: an error or the right data, and never another store.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth::rules::lease::{Kind, NetworkId, Tenant};
use berth::store::{EngineKind, LockFile, Store, StoreError};
use fixture::{BOOT, at, ip, pool, reservation, tenant, with_store};

/// Everything a store says about itself.
type Contents = (
    Vec<Tenant>,
    Vec<(std::net::IpAddr, berth::rules::lease::Reservation)>,
);

fn contents(store: &Store<'_>) -> Result<Contents, StoreError> {
    let transaction = store.begin();
    let tenants = transaction.all_tenants()?;
    let reservations = transaction.reservations(&NetworkId::from("web"))?;
    Ok((tenants, reservations))
}

/// Makes a store with a past: several sessions, leases, reservations, releases.
fn populate(dir: &Path, engine: EngineKind) -> Contents {
    let network = NetworkId::from("web");
    let pools = [pool("10.0.0.0/22", "10.0.0.1", "", &[])];
    for session in 0..12_u32 {
        with_store(dir, engine, at(1), |store| {
            for number in 0..20_u32 {
                let id = session * 20 + number;
                let now = at(u64::from(id));
                let mut transaction = store.begin();
                transaction.prepare(&network, &pools, now).unwrap();
                let address = std::net::Ipv4Addr::from_bits(0x0a00_0002 + id).into();
                let tenant = tenant("web", &format!("{id:064}"), now);
                let tenant = transaction
                    .lease_to(tenant, &[(address, Kind::Dynamic)])
                    .unwrap();
                if id % 3 == 0 {
                    let left = reservation(&format!("{id:064}"), Kind::Dynamic, now, 1_000_000);
                    let generation = tenant.leased[0].generation;
                    transaction
                        .release(&tenant.tenancy, address, generation, Some(left))
                        .unwrap();
                }
                transaction.commit(now).unwrap();
            }
        });
    }
    with_store(dir, engine, at(1), |store| {
        assert_eq!(store.check().unwrap(), []);
        contents(store).unwrap()
    })
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn restore(path: &Path, good: &BTreeMap<PathBuf, Vec<u8>>) {
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path.join("blobs")).unwrap();
    for (file, bytes) in good {
        fs::write(file, bytes).unwrap();
    }
}

/// Returns whether the damage was noticed; fails if the store lies.
fn open_damaged(dir: &Path, engine: EngineKind, good: &Contents, what: &str) -> bool {
    let mut lock = LockFile::open(dir).unwrap();
    let guard = lock
        .acquire(Duration::from_secs(30), "test", || true)
        .unwrap();
    let result = Store::open(dir, &guard, engine, BOOT, at(1)).and_then(|store| {
        let violations = store.check()?;
        Ok((contents(&store)?, violations))
    });
    match result {
        Ok((found, violations)) => {
            assert!(
                found == *good || !violations.is_empty(),
                "{what}: lost {} tenants and said nothing",
                good.0.len().abs_diff(found.0.len())
            );
            !violations.is_empty()
        }
        Err(StoreError::Hung { .. }) => panic!("{what}: hung"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&dir.display().to_string()), "{what}: {text}");
            true
        }
    }
}

/// The result of a run of damages.
#[derive(Debug, Default)]
struct Tally {
    noticed: u32,
    harmless: u32,
}

#[test]
fn damaged_files_are_noticed_or_harmless() {
    for engine in EngineKind::ALL {
        damage_every_file(engine);
    }
}

fn damage_every_file(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let good = populate(dir.path(), engine);
    let path = engine.store_in(dir.path());
    let whole = files(&path);
    let mut tally: BTreeMap<String, Tally> = BTreeMap::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below.max(1) as u64).unwrap()
    };
    for (file, bytes) in &whole {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        for round in 0..24 {
            let mut spoilt = bytes.clone();
            let what = if round < 14 {
                let at = next(used);
                spoilt[at] ^= 1 << next(8);
                format!("{name}: bit flipped at {at} of {used}")
            } else if round < 18 {
                let at = next(used);
                let end = (at + 512).min(spoilt.len());
                spoilt[at..end].fill(0);
                format!("{name}: {at} to {end} zeroed")
            } else {
                let len = next(used);
                spoilt.truncate(len);
                format!("{name}: truncated to {len} of {used}")
            };
            restore(&path, &whole);
            fs::write(file, &spoilt).unwrap();
            let tally = tally.entry(name.clone()).or_default();
            if open_damaged(dir.path(), engine, &good, &what) {
                tally.noticed += 1;
            } else {
                tally.harmless += 1;
            }
            assert!(path.join("db").exists() || name == "db", "{what}");
            let entries = fs::read_dir(dir.path()).unwrap().count();
            assert_eq!(entries, 2, "{what}: the lock and one store");
        }
        // Without it altogether: in a store this young, sled needs no snapshot, and we
        // need no witness.
        restore(&path, &whole);
        fs::remove_file(file).unwrap();
        open_damaged(dir.path(), engine, &good, &format!("{name} removed"));
    }
    eprintln!("{engine:?} {tally:#?}");
    assert!(tally["db"].noticed > 0);
    assert!(engine != EngineKind::Sled || tally["conf"].noticed > 0);
    restore(&path, &whole);
    assert!(!open_damaged(dir.path(), engine, &good, "nothing"));
}

#[test]
fn an_unfinished_snapshot_does_not_lock_us_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EngineKind::Sled;
    let good = populate(dir.path(), engine);
    let path = engine.store_in(dir.path());
    for text in [&b""[..], b"half a snapshot"] {
        // It sorts after every finished one: sled would take it for the latest.
        let left = path.join("snap.7FFFFFFFFFFFFFFF.generating");
        fs::write(&left, text).unwrap();
        assert!(!open_damaged(dir.path(), engine, &good, "generating"));
        assert!(!left.exists());
    }
}

#[test]
fn a_lost_lock_race_is_an_error_and_no_second_store() {
    let dir = tempfile::tempdir().unwrap();
    let engine = EngineKind::default();
    populate(dir.path(), engine);
    with_store(dir.path(), engine, at(1), |store| {
        let mut lock = LockFile::open(dir.path()).unwrap();
        let error = lock
            .acquire(Duration::from_millis(20), "gc", || true)
            .err()
            .unwrap();
        assert!(error.to_string().contains("(test)"), "{error}");
        let address = ip("10.0.0.3");
        assert!(
            store
                .begin()
                .lease(&"web".into(), address)
                .unwrap()
                .is_some()
        );
    });
}
