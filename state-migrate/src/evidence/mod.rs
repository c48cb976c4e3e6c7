//! What shows whether a claim's container is alive: the kernel, and Podman's own word.
//! Facts, without a verdict.
//!
//! The order matters. The file is read, then Podman is asked, then the locks are taken,
//! the file is read again, and only then does the kernel give evidence. So a lease made
//! meanwhile is newer than its evidence and is known to be; and while Podman's network
//! lock is held, no lease is made whose interface is not there yet.

mod kernel;
mod word;

use std::collections::BTreeSet;

pub(crate) use kernel::{Holder, Inhabitant, Kernel};
pub(crate) use word::{Asking, Known, State, Statics, Word};

use crate::ipam::claim::ClaimKey;

/// Everything a verdict rests on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) kernel: Kernel,
    pub(crate) word: Word,
    /// The claims that were in the file before Podman was asked.
    pub(crate) asked_about: BTreeSet<ClaimKey>,
}
