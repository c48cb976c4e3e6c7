//! Which addresses Podman's own allocation has on record: its `ipam.db`, a file
//! of bbolt's (format 2).
//!
//! For files that Podman has just written in a lab; a damaged one is a panic.

use std::fs;
use std::net::IpAddr;

use crate::Lab;

const META: usize = 16;
const MAGIC: u32 = 0xED0C_DAED;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;

impl Lab {
    /// Returns the addresses that Podman's own allocation holds on a network.
    #[track_caller]
    pub fn allocated(&self, network: &str) -> Vec<IpAddr> {
        let path = format!("/proc/{}/root{}/ipam.db", self.init(), self.run_dir());
        fs::read(path).map_or_else(|_| Vec::new(), |file| addresses(&file, network))
    }
}

/// Returns the addresses of a network: the keys of its subnets' buckets.
fn addresses(file: &[u8], network: &str) -> Vec<IpAddr> {
    let size = u32_at(file, META + 8) as usize;
    let meta = |page: usize| (u64_at(file, page * size + META + 48), page * size + META);
    let metas = [meta(0), meta(1)];
    let newest = metas.iter().filter(|(_, at)| u32_at(file, *at) == MAGIC);
    let Some((_, at)) = newest.max() else {
        return Vec::new();
    };
    let tree = Tree { file, size };
    let mut found = Vec::new();
    let root = u64_at(file, at + 16);
    for network in tree.buckets(root, Some(network.as_bytes())) {
        for (name, subnet) in tree.items(&network) {
            if !name.contains(&b'/') {
                continue;
            }
            let keys = tree.items(&Bucket(subnet.to_vec()));
            found.extend(keys.iter().filter_map(|(key, _)| address(key)));
        }
    }
    found
}

fn address(key: &[u8]) -> Option<IpAddr> {
    // The other key of this bucket is `lastIP`.
    <[u8; 4]>::try_from(key)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(key).map(IpAddr::from))
        .ok()
}

/// A bucket's value: its root page, or the page itself behind a header.
struct Bucket(Vec<u8>);

struct Tree<'a> {
    file: &'a [u8],
    size: usize,
}

impl Tree<'_> {
    /// Returns the buckets below a page, or only the one of a name.
    fn buckets(&self, page: u64, name: Option<&[u8]>) -> Vec<Bucket> {
        let mut items = Vec::new();
        self.collect(self.page(page), &mut items);
        items.retain(|(key, _)| name.is_none_or(|name| key == name));
        items.into_iter().map(|(_, value)| Bucket(value)).collect()
    }

    /// Returns a bucket's keys and values.
    fn items(&self, bucket: &Bucket) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut items = Vec::new();
        match u64_at(&bucket.0, 0) {
            0 => self.collect(&bucket.0[16..], &mut items),
            root => self.collect(self.page(root), &mut items),
        }
        items
    }

    fn page(&self, number: u64) -> &[u8] {
        let number = usize::try_from(number).expect("a page number fits");
        &self.file[number * self.size..]
    }

    fn collect(&self, page: &[u8], items: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let (flags, count) = (u16_at(page, 8), u16_at(page, 10));
        for element in (0..usize::from(count)).map(|number| 16 + 16 * number) {
            let field = |number: usize| u32_at(page, element + 4 * number) as usize;
            match flags {
                BRANCH => self.collect(self.page(u64_at(page, element + 8)), items),
                LEAF => {
                    let key = element + field(1);
                    let value = key + field(2);
                    let end = value + field(3);
                    items.push((page[key..value].to_vec(), page[value..end].to_vec()));
                }
                _ => panic!("ipam.db has a page with flags {flags:#x} in a tree"),
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
