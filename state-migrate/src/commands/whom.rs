//! Whose file a command is about, and whom it asks.

use berth::frontend::operator::Place;
use berth::podman::{Podman, PodmanError};
use clap::Args;

use crate::evidence::Asking;
use crate::look::Subject;

/// Whose file it is, and whom to ask about the containers in it.
#[derive(Debug, Args)]
pub(super) struct Whom {
    #[command(flatten)]
    pub(super) place: Place,
    /// Ask this podman, with its options, as in 'podman --root /srv/a --runroot /run/a'
    ///
    /// By default `podman`; without root, with the --root and --runroot that the
    /// directories tell. All of root's podmans share one file, so name each of them if
    /// there are several: what one does not know may be another's.
    #[arg(long, value_name = "COMMAND")]
    pub(super) podman: Vec<String>,
    /// Do not ask Podman: rely on the kernel alone, as when Podman does not answer
    ///
    /// Where anything cannot be seen, nothing is removed.
    #[arg(long, conflicts_with = "podman")]
    pub(super) without_podman: bool,
}

impl Whom {
    /// Finds the Podman that is meant, in its namespaces.
    pub(super) fn find(&self) -> Result<Podman, PodmanError> {
        self.place.podman()
    }

    /// Returns what to look at.
    pub(super) fn subject<'a>(&self, podman: &'a Podman) -> Subject<'a> {
        let (run, config) = (&self.place.run_dir, &self.place.config_dir);
        let asking = Asking::new(podman, &self.podman, run.as_deref(), config.as_deref());
        Subject {
            podman,
            asking: Some(asking).filter(|_| !self.without_podman),
            salvage: false,
        }
    }
}
