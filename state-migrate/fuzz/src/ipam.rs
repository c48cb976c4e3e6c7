//! Of berth-migrate's module `ipam`, what prints content.

#[path = "../../src/ipam/dump.rs"]
pub mod dump;
#[path = "../../src/ipam/key.rs"]
pub mod key;
