//! netavark's JSON, as plugins receive it and as Podman stores networks.
//!
//! Field names are netavark's (`src/network/types.rs`, v1.14.0). Fields that this crate does
//! not know are kept and written back unchanged, so that a newer Podman loses nothing by going
//! through us. Nothing here decides anything.

mod envelope;
mod exec;
mod network;
mod network_file;
mod request;
mod shared;

pub use envelope::{API_VERSION, Info, error_envelope};
pub use exec::{PerNetworkOptions, PluginExec};
pub(crate) use network::null_as_empty;
pub use network::{LeaseRange, Network, Route, Subnet};
pub use network_file::{rewritten, written};
pub use request::Request;
pub use shared::{ReadOnce, Shared};
