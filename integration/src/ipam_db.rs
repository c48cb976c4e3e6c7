//! Which addresses Podman's own allocation has on record in `ipam.db`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_migrate::bolt::{self, Bucket, Item};
use berth_migrate::file;
use berth_migrate::ipam::key::Key;
use flate2::read::GzDecoder;

use crate::Lab;

/// The fixtures of `state-migrate` that are files of real Podmans.
pub const PODMANS: [&str; 8] = [
    "podman-5.4.2-leaked",
    "podman-5.4.2-live",
    "podman-5.8.6-leaked",
    "podman-5.8.6-live",
    "podman-6.0-many-networks",
    "podman-6.0-large",
    "podman-6.1.1-leaked",
    "podman-6.1.1-live",
];

/// How long to wait for a slow Podman that keeps the file locked.
const WAIT: Duration = Duration::from_secs(10);

impl Lab {
    /// Returns the path on the host of this lab's file.
    pub fn ipam_db(&self) -> PathBuf {
        format!("/proc/{}/root{}/ipam.db", self.init(), self.run_dir()).into()
    }

    /// Returns the addresses that Podman's own allocation holds on a network.
    #[track_caller]
    pub fn allocated(&self, network: &str) -> Vec<IpAddr> {
        let path = self.ipam_db();
        if !path.exists() {
            return Vec::new();
        }
        let bytes = file::read(&path, WAIT).unwrap_or_else(|err| panic!("{err:?}"));
        let root = file::content(&bytes, &path).unwrap_or_else(|err| panic!("{err:?}"));
        addresses(&root, network).into_keys().collect()
    }
}

/// Returns the addresses of a network, and who holds each.
pub fn addresses(root: &Bucket, network: &str) -> BTreeMap<IpAddr, String> {
    let within =
        |bucket: &Bucket| -> Vec<(Vec<u8>, Item)> { bucket.items.clone().into_iter().collect() };
    let network = match root.items.get(network.as_bytes()) {
        Some(Item::Bucket(network)) => within(network),
        Some(Item::Value(_)) | None => Vec::new(),
    };
    let entries = network.iter().flat_map(|(_, item)| match item {
        Item::Bucket(subnet) => within(subnet),
        Item::Value(_) => Vec::new(),
    });
    let leases = entries.filter_map(|(key, item)| match (Key::parse(&key), item) {
        (Key::Address(address), Item::Value(id)) => {
            Some((address, String::from_utf8_lossy(&id).into_owned()))
        }
        _ => None,
    });
    leases.collect()
}

/// Returns the content of a file, given its bytes.
///
/// # Panics
/// If it is damaged.
#[track_caller]
pub fn content(bytes: &[u8]) -> Bucket {
    bolt::read(bytes).unwrap_or_else(|damage| panic!("the file is damaged: {damage}"))
}

/// Returns the bytes of a fixture of `state-migrate`.
///
/// # Panics
/// If there is no fixture of that name.
#[track_caller]
pub fn fixture(name: &str) -> Vec<u8> {
    let path = format!("../state-migrate/tests/fixtures/{name}.db.gz");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut bytes = Vec::new();
    let unpacked = File::open(&path).map(GzDecoder::new);
    let read = unpacked.and_then(|mut file| file.read_to_end(&mut bytes));
    read.unwrap_or_else(|err| panic!("failed to unpack {}: {err}", path.display()));
    bytes
}
