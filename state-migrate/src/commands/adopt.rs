//! `berth-migrate adopt`.

use std::process::ExitCode;

use berth::rules::network_config::Form;
use berth::upkeep::host_wide;
use clap::Args;

use super::Failure;
use super::move_networks::{Choice, Direction};
use crate::adopt::{self, Asked, How};
use crate::error::Error;
use crate::moves::NetworkReport;
use crate::site::Site;

/// Arguments of `berth-migrate adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    #[command(flatten)]
    choice: Choice,
    /// Turn networks that were made with `-d berth` into plain ones as well
    ///
    /// Their driver is netavark's own again; only berth in front of netavark can serve
    /// them then (`berth host-wide on`).
    #[arg(long)]
    plain: bool,
    /// Put berth in front of netavark before the first network is moved (`berth host-wide on`)
    #[arg(long, hide = true)]
    host_wide: bool,
    /// Leave alone what was moved back to Podman (`berth gc`)
    #[arg(long, hide = true)]
    unattended: bool,
}

/// Adopts, and reports what was done.
///
/// # Errors
/// If a network is refused, or something could not be done.
pub(super) fn run(arguments: &Adopt) -> Result<ExitCode, Failure> {
    let choice = &arguments.choice;
    let site = choice.site()?;
    let how = How {
        all: choice.all,
        form: match arguments.host_wide {
            true => Form::Plain,
            false => adopt::form(&site, arguments.plain)?,
        },
        turn: arguments.plain,
        unattended: arguments.unattended,
    };
    let names = choice.names(&site)?;
    let asked = adopt::ask(&site, &names, how)?;
    let adoption = Adoption {
        asked,
        how,
        host_wide: arguments.host_wide,
    };
    choice.run(&site, &names, adoption)
}

struct Adoption {
    asked: Asked,
    how: How,
    /// Whether to put berth in front of netavark.
    host_wide: bool,
}

impl Direction for Adoption {
    fn examine(&mut self, site: &Site, names: &[String]) -> Result<Vec<NetworkReport>, Error> {
        let reports = adopt::examine(site, names, &self.asked, self.how)?;
        if !self.asked.ask_of_statics(site, &reports) {
            return Ok(reports);
        }
        // Now it is known which addresses are static.
        adopt::examine(site, names, &self.asked, self.how)
    }

    fn begin(&mut self, site: &Site) -> Result<(), Error> {
        if self.host_wide {
            host_wide::on(&site.podman)?;
        }
        Ok(())
    }

    fn carry_out(&self, site: &Site, name: &str) -> Result<NetworkReport, Error> {
        adopt::adopt(site, name, &self.asked, self.how)
    }

    fn question(&self, networks: &str) -> String {
        format!("Move {networks} to berth? Containers keep running.")
    }

    fn farewell(&self, site: &Site) -> Option<String> {
        let back = match self.how.form {
            Form::Plain => "berth host-wide off",
            Form::Plugin => "berth-migrate rollback",
        };
        let user = if site.podman.delegation.rootless {
            "--user "
        } else {
            ""
        };
        Some(format!(
            "Turn on collections, which take back what dead containers hold: `systemctl \
             {user}enable --now berth-gc.timer`. `{back}` undoes this."
        ))
    }
}
