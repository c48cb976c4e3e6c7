//! IP address management for Podman that cannot leak.
//!
//! The library behind all of berth's front ends. `ARCHITECTURE.md` tells how
//! data flows and which crash leaves what; the names used there are used here.

pub mod allocator;
pub mod containers_conf;
pub mod frontend;
pub mod host;
pub mod lease;
pub mod network_config;
pub mod options;
pub mod pool;
pub mod protocol;
pub mod store;
