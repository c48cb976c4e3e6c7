//! Leases that several hosts share through etcd: no address is given twice, whoever crashes
//! or is cut off.
//!
//! A share is one pool of addresses on one LAN. Each address that somebody has is one key in
//! etcd, put there by a transaction that fails if the key exists. That is all the agreement
//! there is: no index, no leader, no clock that is compared.
//!
//! - [`registry`] is what the protocol needs of etcd, as a trait; `model` in the tests is
//!   another implementation, in memory.
//! - [`key`], [`meta`], [`host`], [`holding`] are what the keys are called and what is in them.
//! - [`beat`], [`claim`], [`window`], [`reconcile`], [`evict`] decide; they know no etcd and
//!   no file.
//! - [`Member`] is a host in a share: it asks the registry what was decided, and keeps what
//!   the host must remember ([`identity`]; [`files`] on its disk). [`operator`] is what only a
//!   person may do.
//! - [`etcd`] is the registry that is etcd.
//!
//! Invariants, which the tests name:
//!
//! - **I1** no address is plumbed without a confirmed claim.
//! - **I2** only the owner deletes a key, by its exact value, or an operator's evict.
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
pub mod reconcile;
pub mod registry;
mod search;
pub mod span;
pub mod window;

pub use error::{ShareError, Taker};
pub use holding::{Claim, Holder, Lease};
pub use identity::{Identity, IdentityFile};
pub use key::{HostId, Keys, ShareName};
pub use leases::{Conflict, Proof, Reconciled};
pub use member::{Facts, Member};
pub use meta::{Meta, Terms};
pub use registry::{Registry, RegistryError};
pub use search::Want;
