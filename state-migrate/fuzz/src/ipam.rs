//! The part of berth-migrate's module `ipam` that prints content.

#[path = "../../src/ipam/dump.rs"]
pub mod dump;
#[path = "../../src/ipam/key.rs"]
pub mod key;
