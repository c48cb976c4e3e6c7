//! Leases that several hosts share through etcd: no address is given out twice, whichever host
//! crashes or is cut off.
//!
//! A share is one pool of addresses on one LAN. Each address in use is one key in etcd, put
//! there by a transaction that fails if the key exists. The hosts need no other agreement: there
//! is no index, no leader, and no clock is compared.
//!
//! - [`registry`] is what the protocol needs of etcd, as a trait; `model` in the tests implements
//!   it in memory.
//! - [`key`], [`meta`], [`host`], [`holding`] define the keys' names and their values.
//! - [`span`] is a run of addresses, for the pools of the plugin as well; [`poll`] is every wait
//!   for a lock.
//! - [`beat`], [`claim`], [`window`], [`reconcile`], [`evict`] make the decisions; they touch
//!   neither etcd nor files.
//! - [`Member`] is a host in a share: it carries the decisions out in the registry, and keeps what
//!   the host must remember ([`identity`]; [`files`] on its disk). [`operator`] is what only a
//!   person may do.
//! - [`etcd`] implements the registry with etcd.
//!
//! The invariants, by the names that the tests use:
//!
//! - **I1** no address is plumbed without a confirmed claim.
//! - **I2** a key is deleted only by its owner, by its exact value, or by an operator's evict.
//! - **I3** every write may be repeated, or arrive late.
//! - **I4** no clock is compared between hosts.

pub mod beat;
pub mod claim;
mod error;
pub mod etcd;
pub mod evict;
pub mod files;
pub mod holding;
pub mod host;
pub mod identity;
pub mod key;
mod leases;
pub mod member;
pub mod meta;
pub mod operator;
mod poll;
pub mod reconcile;
pub mod registry;
mod search;
pub mod span;
pub mod window;

pub use error::{Refusal, ShareError, Taker};
pub use holding::{Claim, Holder, Lease};
pub use identity::{Identity, IdentityFile};
pub use key::{HostId, Keys, ShareName};
pub use leases::{Conflict, Proof, Reconciled};
pub use member::{Facts, Member};
pub use meta::{Meta, Terms};
pub use poll::poll;
pub use registry::{Registry, RegistryError};
pub use search::Want;
