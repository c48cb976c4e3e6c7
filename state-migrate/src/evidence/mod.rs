//! What shows whether a claim's container is alive: the kernel, and Podman's own answer.
//! These are facts, without a verdict.
//!
//! The order matters. The file is read, then Podman is asked, then the locks are taken,
//! the file is read again, and only then is the kernel looked at. So a lease made meanwhile
//! counts as newer than Podman's answer; and while Podman's network lock is held, there
//! is no new lease whose interface is not there yet.

mod kernel;
mod word;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use berth::rules::verdict::START_GRACE;
use berth::sight::{self, ProcessFact};

pub(crate) use kernel::{Holder, Inhabitant, Kernel};
pub(crate) use word::{Asking, Known, State, Statics, Word};

use crate::ipam::claim::ClaimKey;

/// Everything that a verdict is based on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) kernel: Kernel,
    pub(crate) word: Word,
    /// When we began to ask Podman.
    pub(crate) asked: Option<Instant>,
    /// The claims that were in the file before Podman was asked.
    pub(crate) asked_about: BTreeSet<ClaimKey>,
}

impl Evidence {
    /// Returns a process that may be about to start a container in a namespace without
    /// processes, and how long that may take. `since` is the age of the namespace's file.
    ///
    /// A podman that starts a container holds the container's lock, and Podman's answer
    /// waits for that lock. So if Podman was asked after the namespace was made, only a podman
    /// that knows other containers can be the one. (A buildah's namespace has no file of this
    /// kind.)
    pub(crate) fn maker(
        &self,
        path: &Path,
        since: Option<Duration>,
    ) -> Option<(&ProcessFact, Duration)> {
        let since = since.unwrap_or_default();
        let left = START_GRACE.checked_sub(since)?;
        let has_answered = matches!(self.word, Word::Given(_))
            && self.asked.is_some_and(|asked| since > asked.elapsed())
            && sight::is_namespace_file(path);
        let mut makers = self.kernel.makers(since);
        let maker = makers.find(|maker| !has_answered || maker.has_other_containers())?;
        Some((maker, left))
    }
}
