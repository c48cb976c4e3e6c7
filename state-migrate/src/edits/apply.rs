//! Carries edits out on a tree of buckets.

use serde_json::json;

use super::Edit;
use crate::bolt::{Bucket, Item};
use crate::ipam::content::address_key;
use crate::ipam::key::{IDS, LAST_IP};

/// Returns the root bucket with these changes.
pub(crate) fn apply(root: &Bucket, edits: &[Edit]) -> Bucket {
    let mut root = root.clone();
    for edit in edits {
        one(&mut root, edit);
    }
    root
}

fn one(root: &mut Bucket, edit: &Edit) {
    match edit {
        Edit::RemoveLease {
            network,
            subnet,
            key,
            ..
        } => within(root, network, subnet.as_bytes())
            .items
            .remove(key)
            .map_or((), drop),
        Edit::PutLease {
            network,
            subnet,
            address,
            container,
        } => {
            let id = Item::Value(container.as_bytes().to_vec());
            let subnet = within(root, network, subnet.as_bytes());
            subnet.items.insert(address_key(*address), id);
        }
        Edit::SetList {
            network,
            container,
            addresses,
        } => {
            let list = Item::Value(json!(addresses).to_string().into_bytes());
            let ids = within(root, network, IDS);
            ids.items.insert(container.as_bytes().to_vec(), list);
        }
        Edit::RemoveList { network, container } => {
            let ids = within(root, network, IDS);
            ids.items.remove(container.as_bytes());
        }
        Edit::RemoveCursor { network, subnet } => {
            let subnet = within(root, network, subnet.as_bytes());
            subnet.items.remove(LAST_IP);
        }
        Edit::RemoveSubnet { network, subnet } => {
            let network = child(root, network.as_bytes());
            network.items.remove(subnet.as_bytes());
        }
        Edit::RemoveNetwork { network } => {
            root.items.remove(network.as_bytes());
        }
    }
}

/// Returns a bucket in a network's bucket.
fn within<'a>(root: &'a mut Bucket, network: &str, key: &[u8]) -> &'a mut Bucket {
    child(child(root, network.as_bytes()), key)
}

/// Returns a bucket within another, and makes it if need be, as Podman does.
fn child<'a>(bucket: &'a mut Bucket, key: &[u8]) -> &'a mut Bucket {
    let item = bucket
        .items
        .entry(key.to_owned())
        .or_insert_with(|| Item::Bucket(Bucket::default()));
    if let Item::Value(_) = item {
        *item = Item::Bucket(Bucket::default());
    }
    match item {
        Item::Bucket(bucket) => bucket,
        Item::Value(_) => unreachable!("it was just made a bucket"),
    }
}
