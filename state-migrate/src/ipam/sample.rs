//! Samples for tests.

use std::net::IpAddr;

use crate::bolt::{Bucket, Item};

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn value(text: &str) -> Item {
    Item::Value(text.as_bytes().to_vec())
}

pub(crate) fn bucket<const N: usize>(items: [(Vec<u8>, Item); N]) -> Item {
    Item::Bucket(Bucket {
        sequence: 0,
        items: items.into(),
    })
}
