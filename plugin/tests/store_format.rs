//! A store that an earlier berth wrote is read with all that is in it.
//!
//! `fixtures/format-1` was written by the commit 60b7109, the last whose code called
//! leased addresses holdings and reservations holds. `expected.json` is what that
//! code read from it.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::fs::{self, File};
use std::path::Path;

use berth::rules::allocator::Shelf;
use berth::rules::lease::{Kind, NetworkId, Tenant};
use berth::rules::pool::Pool;
use berth::store::{EngineKind, Store};
use fixture::{at, ip, pool, tenant, with_store};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1");

/// Unpacks the store into a state directory.
fn unpack(dir: &Path) {
    let store = dir.join("leases.sled");
    // sled wants the directory, and git keeps no empty one.
    fs::create_dir_all(store.join("blobs")).unwrap();
    for entry in fs::read_dir(FIXTURE).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        match name.strip_suffix(".gz") {
            Some(name) => {
                let mut packed = GzDecoder::new(File::open(&path).unwrap());
                let mut file = File::create(store.join(name)).unwrap();
                std::io::copy(&mut packed, &mut file).unwrap();
            }
            None if name == "expected.json" => {}
            None => {
                fs::copy(&path, store.join(name)).unwrap();
            }
        }
    }
}

/// The pools of the fixture's networks.
fn pools() -> [(NetworkId, Pool); 4] {
    [
        (
            "web",
            pool("10.0.0.0/24", "10.0.0.1", "", &["10.0.0.100-10.0.0.120"]),
        ),
        (
            "shop",
            pool("10.1.0.0/26", "10.1.0.1", "10.1.0.4-10.1.0.40", &[]),
        ),
        ("shop", pool("fd00:1::/64", "fd00:1::1", "", &[])),
        ("lan", pool("192.168.7.0/28", "192.168.7.1", "", &[])),
    ]
    .map(|(network, pool)| (network.into(), pool))
}

fn describe(tenant: &Tenant) -> Value {
    let leased = tenant.leased.iter().map(|leased| {
        json!({"address": leased.address, "generation": leased.generation, "kind": leased.kind})
    });
    json!({
        "network": tenant.tenancy.network_id,
        "container": tenant.tenancy.container_id,
        "interface": tenant.tenancy.interface,
        "network_name": tenant.network_name,
        "container_name": tenant.container_name,
        "phase": tenant.phase,
        "leased": leased.collect::<Vec<_>>(),
        "namespace": tenant.namespace,
        "pid_namespace": tenant.pid_namespace,
        "starter": tenant.starter,
        "boot_id": tenant.boot_id,
        "created": tenant.created,
        "renewed": tenant.renewed,
        "expires": tenant.expires,
        "mac_address": tenant.mac_address,
        "request": tenant.request,
        "delegation": tenant.delegation,
    })
}

fn contents(store: &Store<'_>) -> Value {
    let transaction = store.begin();
    let tenants = transaction.all_tenants().unwrap();
    let networks = transaction.networks().unwrap();
    let mut reservations = Vec::new();
    for network in &networks {
        for (address, reservation) in transaction.reservations(network).unwrap() {
            reservations.push(json!({
                "network": network,
                "address": address,
                "container": reservation.container_id,
                "container_name": reservation.container_name,
                "kind": reservation.kind,
                "released": reservation.released,
                "until": reservation.until,
            }));
        }
    }
    let pools = pools().map(|(network, pool)| {
        let shelf = transaction.shelf(&network);
        json!({
            "network": network,
            "subnet": pool.subnet(),
            "cursor": shelf.cursor(&pool).unwrap(),
            "next_free": shelf.first_free(&pool, pool.subnet().network()).unwrap(),
            "next_yield": shelf.next_yield(&pool).unwrap(),
        })
    });
    json!({
        "networks": networks,
        "tenants": tenants.iter().map(describe).collect::<Vec<_>>(),
        "reservations": reservations,
        "pools": pools,
        "surveyed": store.is_surveyed(),
        "since": store.since(),
        "collection": store.last_collection(),
    })
}

#[test]
fn a_store_of_format_1_is_read_whole_and_sound() {
    let dir = tempfile::tempdir().unwrap();
    unpack(dir.path());
    let expected = fs::read_to_string(Path::new(FIXTURE).join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    with_store(dir.path(), EngineKind::Sled, at(400), |store| {
        assert_eq!(store.check().unwrap(), []);
        let found = contents(store);
        for (part, expected) in expected.as_object().unwrap() {
            assert_eq!(found[part], *expected, "{part}");
        }
        assert_eq!(found.as_object().unwrap().len(), 7);
    });
}

#[test]
fn a_store_of_format_1_takes_new_leases() {
    let dir = tempfile::tempdir().unwrap();
    unpack(dir.path());
    with_store(dir.path(), EngineKind::Sled, at(400), |store| {
        let mut transaction = store.begin();
        let [(web, v4), ..] = pools();
        transaction.prepare(&web, &[v4], at(400)).unwrap();
        let new = tenant("web", "new", at(400));
        let leased = transaction
            .lease_to(new, &[(ip("10.0.0.200"), Kind::Dynamic)])
            .unwrap();
        // 39 were given out before; a generation is never used twice.
        assert_eq!(leased.leased[0].generation, 40);
        transaction.commit(at(400)).unwrap();
    });
    with_store(dir.path(), EngineKind::Sled, at(500), |store| {
        assert_eq!(store.begin().all_tenants().unwrap().len(), 27);
        assert_eq!(store.check().unwrap(), []);
    });
}
