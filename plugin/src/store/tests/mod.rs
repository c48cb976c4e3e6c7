//! The checker, the format and the boot: tests that need a look inside the store. Each test
//! runs with every engine.
#![allow(clippy::unwrap_used)]

mod changeover;
mod check;
mod engines;
mod files;
mod overlay;
mod records;
mod repair;
mod salvage;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::codec::{
    StoredPool, address_key, address_payload, seal, seal_record, subnet_key, tenancy_key,
    unseal_record, with_address,
};
use super::reservations::index_keys;
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

fn reservation(container: &str, released: u64, until: u64) -> Reservation {
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

/// A state directory, and the engine of the store that is made there.
struct Place {
    dir: TempDir,
    engine: EngineKind,
}

/// Runs a test once with each engine, in a state directory of its own.
fn on_every_engine(test: impl Fn(&Place)) {
    for engine in EngineKind::ALL {
        eprintln!("engine {engine:?}");
        let dir = tempfile::tempdir().unwrap();
        test(&Place { dir, engine });
    }
}

impl Place {
    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns where the store is.
    fn store(&self) -> PathBuf {
        self.engine.store_in(self.path())
    }

    fn try_open<T>(
        &self,
        boot_id: &str,
        now: u64,
        run: impl FnOnce(Store<'_>) -> T,
    ) -> Result<T, StoreError> {
        let mut lock = LockFile::open(self.path()).unwrap();
        let wait = Duration::from_secs(20);
        let guard = lock.acquire(wait, "test", || true).unwrap();
        Store::open(self.path(), &guard, self.engine, boot_id, at(now)).map(run)
    }

    fn open<T>(&self, boot_id: &str, now: u64, run: impl FnOnce(Store<'_>) -> T) -> T {
        self.try_open(boot_id, now, run).unwrap()
    }

    fn refusal(&self) -> StoreError {
        self.try_open(BOOT, 1, |store| drop(store)).unwrap_err()
    }
}

/// Leases .2 and .3 to `a` and .4 to `b`; reserves .6 and .7 for `c` and `d`.
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
            let leased = tenant.leased[0];
            let left = reservation(container, 5, 1000);
            transaction
                .release(
                    &tenant.tenancy,
                    leased.address,
                    leased.generation,
                    Some(left),
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

/// Returns the pool of [`pool`] as it is stored.
fn stored_pools() -> [StoredPool; 1] {
    [StoredPool {
        subnet: pool().subnet(),
        spans: pool().spans().to_vec(),
    }]
}
