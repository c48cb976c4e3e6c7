//! `berth-migrate adopt`.

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::move_networks::{Choice, Direction};
use crate::adopt::{self, Asked};
use crate::error::Error;
use crate::moves::NetworkReport;
use crate::site::Site;

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
pub(super) fn run(arguments: &Adopt) -> Result<ExitCode, Failure> {
    let choice = &arguments.choice;
    let site = choice.site()?;
    adopt::check_plugin(&site)?;
    let names = choice.names(&site)?;
    let asked = adopt::ask(&site, &names)?;
    let all = choice.all;
    choice.run(&site, &names, &Adoption { asked, all })
}

struct Adoption {
    asked: Asked,
    all: bool,
}

impl Direction for Adoption {
    fn examine(&self, site: &Site, names: &[String]) -> Result<Vec<NetworkReport>, Error> {
        adopt::examine(site, names, &self.asked, self.all)
    }

    fn carry_out(&self, site: &Site, name: &str) -> Result<NetworkReport, Error> {
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
