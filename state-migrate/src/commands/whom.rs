//! Whose file a command works on, and whom it asks.

use berth::frontend::operator::Place;
use berth::podman::PodmanError;
use clap::Args;

use crate::site::Site;

/// Whose file it is, and whom to ask about the containers in it.
#[derive(Debug, Args)]
pub(super) struct Whom {
    #[command(flatten)]
    pub(super) place: Place,
    /// Ask this podman, with its options, as in 'podman --root /srv/a --runroot /run/a'
    ///
    /// By default `podman`; without root, with the --root and --runroot that belong to the
    /// directories. All of root's podmans share one file, so if there are several, name
    /// each of them: a container that one does not know may belong to another.
    #[arg(long, value_name = "COMMAND")]
    podman: Vec<String>,
    /// Do not ask Podman: rely on the kernel alone, as when Podman does not answer
    ///
    /// Nothing is removed then unless the kernel shows everything.
    #[arg(long, conflicts_with = "podman")]
    without_podman: bool,
}

impl Whom {
    /// Finds the Podman that is meant, in its namespaces.
    pub(super) fn site(&self) -> Result<Site, PodmanError> {
        let mut site = Site::of(&self.place, &self.podman)?;
        if self.without_podman {
            site.asking = None;
        }
        Ok(site)
    }
}
