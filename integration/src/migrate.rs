//! berth-migrate in a lab, and the file that it reads and repairs.

use std::fs::{self, OpenOptions};
use std::net::IpAddr;
use std::path::PathBuf;

use berth_migrate::bolt::{self, Bucket, Item};
use berth_migrate::ipam::content::{Content, address_key};
use serde_json::Value;

use crate::{Cmd, Lab};

/// A change of a file: something put in or taken out.
#[derive(Clone, Debug)]
pub enum Slot<'a> {
    /// Puts an entry: network, subnet, key, container.
    Entry(&'a str, &'a str, Vec<u8>, &'a str),
    /// Removes an entry: network, subnet, address.
    NoEntry(&'a str, &'a str, &'a str),
    /// Puts a list into `ids`: network, container, text.
    List(&'a str, &'a str, &'a str),
    /// Removes a list: network, container.
    NoList(&'a str, &'a str),
}

/// Returns a root bucket with these changes.
#[must_use]
pub fn spoil(mut root: Bucket, slots: &[Slot<'_>]) -> Bucket {
    for slot in slots {
        let (network, within) = match slot {
            Slot::Entry(network, subnet, ..) | Slot::NoEntry(network, subnet, _) => {
                (*network, *subnet)
            }
            Slot::List(network, ..) | Slot::NoList(network, _) => (*network, "ids"),
        };
        let bucket = child(child(&mut root, network), within);
        match slot {
            Slot::Entry(_, _, key, container) => {
                let container = Item::Value(container.as_bytes().to_vec());
                bucket.items.insert(key.clone(), container);
            }
            Slot::NoEntry(_, _, address) => {
                let address: IpAddr = address.parse().expect("an address");
                bucket.items.remove(&address_key(address));
            }
            Slot::List(_, container, list) => {
                let list = Item::Value(list.as_bytes().to_vec());
                bucket.items.insert(container.as_bytes().to_vec(), list);
            }
            Slot::NoList(_, container) => {
                bucket.items.remove(container.as_bytes());
            }
        }
    }
    root
}

fn child<'a>(bucket: &'a mut Bucket, key: &str) -> &'a mut Bucket {
    let empty = || Item::Bucket(Bucket::default());
    let item = bucket.items.entry(key.into()).or_insert_with(empty);
    match item {
        Item::Bucket(bucket) => bucket,
        Item::Value(_) => panic!("{key} is a value"),
    }
}

impl Lab {
    /// Returns a berth-migrate command.
    pub fn migrate<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Cmd<'_> {
        self.cmd("berth-migrate").args(args)
    }

    /// Runs a berth-migrate command and returns its JSON, whatever its exit code.
    ///
    /// # Panics
    /// If it does not answer in JSON.
    #[track_caller]
    pub fn migrate_json<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let outcome = self.migrate(args).arg("--json").run();
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|err| panic!("{err}:\n{outcome}"))
    }

    /// Runs `berth-migrate sanitise`, and asserts that it succeeds and leaves nothing in doubt.
    #[track_caller]
    pub fn sanitise(&self, args: &[&str]) -> Value {
        let text = self.migrate(["sanitise", "--json"]).args(args).ok();
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
    }

    /// Returns the path on the host of Podman's file in this lab.
    pub fn ipam_path(&self) -> PathBuf {
        format!("/proc/{}/root{}/ipam.db", self.init(), self.run_dir()).into()
    }

    /// Returns the root bucket of Podman's file; empty if there is none.
    ///
    /// # Panics
    /// If it is damaged.
    #[track_caller]
    pub fn ipam_root(&self) -> Bucket {
        let bytes = fs::read(self.ipam_path()).unwrap_or_default();
        if bytes.is_empty() {
            return Bucket::default();
        }
        bolt::read(&bytes).unwrap_or_else(|damage| panic!("ipam.db is damaged: {damage}"))
    }

    /// Returns what Podman's file means.
    #[track_caller]
    pub fn ipam_content(&self) -> Content {
        Content::parse(&self.ipam_root())
    }

    /// Returns all claims in Podman's file, as `network address container`, with what
    /// is wrong about each.
    #[track_caller]
    pub fn claims(&self) -> Vec<String> {
        let line = |claim: &berth_migrate::ipam::claim::Claim| {
            let key = &claim.key;
            let wrong = match (claim.is_whole(), claim.mapped) {
                (true, false) => "",
                (_, _) => " (broken)",
            };
            format!("{} {} {}{wrong}", key.network, key.address, key.container)
        };
        self.ipam_content().claims().iter().map(line).collect()
    }

    /// Changes Podman's file in ways that happen only through damage.
    #[track_caller]
    pub fn spoil_ipam(&self, slots: &[Slot<'_>]) {
        let root = spoil(self.ipam_root(), slots);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.ipam_path());
        file.map_err(|err| err.to_string())
            .and_then(|file| bolt::commit(&file, &root).map_err(|err| err.to_string()))
            .unwrap_or_else(|err| panic!("ipam.db: {err}"));
    }
}
