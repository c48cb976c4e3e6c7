//! `berth-migrate rollback`.

use std::process::ExitCode;

use berth::upkeep::collect::{self, Wish};
use berth::upkeep::host_wide;
use clap::Args;

use super::Failure;
use super::move_networks::{Choice, Direction};
use crate::error::Error;
use crate::moves::NetworkReport;
use crate::rollback;
use crate::site::Site;

/// Arguments of `berth-migrate rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    choice: Choice,
}

/// Moves networks back, and reports what was done.
///
/// # Errors
/// If a network is refused, or something could not be done.
pub(super) fn run(arguments: &Rollback) -> Result<ExitCode, Failure> {
    let choice = &arguments.choice;
    let site = choice.site()?;
    let names = choice.names(&site)?;
    choice.run(&site, &names, Return { all: choice.all })
}

struct Return {
    all: bool,
}

impl Direction for Return {
    fn examine(&mut self, site: &Site, names: &[String]) -> Result<Vec<NetworkReport>, Error> {
        rollback::examine(site, names, self.all)
    }

    fn carry_out(&self, site: &Site, name: &str) -> Result<NetworkReport, Error> {
        // Otherwise Podman would never get back the addresses of dead containers.
        let wish = Wish {
            network: Some(name.to_owned()),
            ..Wish::default()
        };
        match collect::collect(&site.podman, &wish) {
            Ok(report) => report.failures.iter().for_each(|why| log::warn!("{why}")),
            Err(error) => log::warn!("{}", berth::chain(&error)),
        }
        rollback::roll_back(site, name, self.all)
    }

    fn question(&self, networks: &str) -> String {
        format!("Move {networks} back to Podman's own allocation? Containers keep running.")
    }

    fn farewell(&self, site: &Site) -> Option<String> {
        host_wide::link(&site.conf)?;
        Some(
            "Collections leave what was moved back with Podman, until `berth-migrate adopt` or \
             `berth host-wide on` moves it to berth again."
                .to_owned(),
        )
    }
}
