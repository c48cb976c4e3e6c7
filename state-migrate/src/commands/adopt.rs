//! `berth-migrate adopt`.

use clap::Args;

use super::Failure;
use super::move_networks::{Choice, Direction};
use crate::adopt;
use crate::evidence::Asking;
use crate::migration::report::NetworkReport;
use crate::migration::{Asked, MigrationError, Site};

/// Arguments of `berth-migrate adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    #[command(flatten)]
    choice: Choice,
}

/// Adopts, and says what was done.
///
/// # Errors
/// If a network is refused, or something could not be done.
pub(super) fn run(arguments: &Adopt) -> Result<(), Failure> {
    let choice = &arguments.choice;
    let site = choice.site()?;
    adopt::check_plugin(&site)?;
    let names = choice.names(&site)?;
    let (run_dir, config_dir) = (&choice.place.run_dir, &choice.place.config_dir);
    let asking = Asking::new(&site.podman, &[], run_dir.as_deref(), config_dir.as_deref());
    let asked = site.ask(&asking, &names)?;
    let all = choice.all;
    choice.run(&site, &names, &Adoption { asked, all })
}

struct Adoption {
    asked: Asked,
    all: bool,
}

impl Direction for Adoption {
    fn examine(&self, site: &Site, names: &[String]) -> Result<Vec<NetworkReport>, MigrationError> {
        adopt::examine(site, names, &self.asked, self.all)
    }

    fn carry_out(&self, site: &Site, name: &str) -> Result<NetworkReport, MigrationError> {
        adopt::adopt(site, name, &self.asked, self.all)
    }

    fn question(&self, networks: &str) -> String {
        format!("Move {networks} to berth? Containers keep running.")
    }

    fn farewell(&self, site: &Site) -> Option<String> {
        let user = if site.podman.delegation.rootless {
            "--user "
        } else {
            ""
        };
        Some(format!(
            "Collections take back what dead containers hold: `systemctl {user}enable --now \
             berth-gc.timer`. `berth-migrate rollback` leads back."
        ))
    }
}
