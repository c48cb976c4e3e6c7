//! What Podman keeps in `ipam.db` (containers/common `libnetwork/netavark/ipam.go`):
//!
//! ```text
//! <network name>/            a bucket
//!     ids/                   container id -> JSON list of its addresses
//!     <subnet>/              4 or 16 bytes of an address -> container id
//!                            lastIP -> the last address given out dynamically
//! ```

pub mod claim;
pub mod content;
pub mod dump;
pub mod key;
#[cfg(test)]
pub(crate) mod sample;
