//! What `adopt` and `rollback` have in common: they select networks, show the plan, ask the
//! user, move one network after the other, and report.

use std::io;
use std::process::ExitCode;

use berth::frontend::operator::Place;
use berth::frontend::{completion, print, say};
use berth::podman::PodmanError;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{Failure, consent, exit_code};
use crate::error::Error;
use crate::moves::{MoveReport, NetworkReport, Outcome};
use crate::selection::{Wanted, select};
use crate::site::Site;

/// Which networks to move, and how.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Networks, by name, id or the beginning of an id
    #[arg(
        value_name = "NETWORK",
        required_unless_present = "all",
        conflicts_with = "all",
        add = ArgValueCandidates::new(completion::all_networks)
    )]
    networks: Vec<String>,
    /// Every network that can be moved
    #[arg(long)]
    pub(super) all: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A way to move networks.
pub(super) trait Direction {
    /// Reports what would be done with the networks.
    fn examine(&mut self, site: &Site, names: &[String]) -> Result<Vec<NetworkReport>, Error>;

    /// Does what must be done once the user has agreed, before the first network is moved.
    fn begin(&mut self, _site: &Site) -> Result<(), Error> {
        Ok(())
    }

    /// Moves one network.
    fn carry_out(&self, site: &Site, name: &str) -> Result<NetworkReport, Error>;

    /// Returns the question to ask beforehand; `networks` says how many there are.
    fn question(&self, networks: &str) -> String;

    /// Returns what to tell the user at the end.
    fn farewell(&self, site: &Site) -> Option<String>;
}

impl Choice {
    /// Finds the Podman that is meant, in its namespaces.
    pub(super) fn site(&self) -> Result<Site, PodmanError> {
        Site::of(&self.place, &[])
    }

    /// Returns the names of the networks that are meant.
    pub(super) fn names(&self, site: &Site) -> Result<Vec<String>, Error> {
        let wanted = if self.all {
            Wanted::All
        } else {
            Wanted::Named(self.networks.clone())
        };
        select(&site.networks()?, &wanted, &site.directory)
    }

    /// Does everything, and reports what was done.
    pub(super) fn run(
        &self,
        site: &Site,
        names: &[String],
        mut direction: impl Direction,
    ) -> Result<ExitCode, Failure> {
        let mut report = MoveReport {
            dry_run: self.dry_run,
            networks: direction.examine(site, names)?,
        };
        let planned = report.with(Outcome::Planned);
        if self.dry_run || planned.is_empty() {
            print(&report, self.json)?;
            return Ok(exit_code(report.is_well()));
        }
        if !self.yes {
            // The user must see the plan before the question, but not among the JSON.
            say(&mut io::stderr(), &report.to_string())?;
        }
        let count = match planned.len() {
            1 => format!("network {}", planned[0]),
            many => format!("{many} networks"),
        };
        consent::ask(&direction.question(&count), self.yes)?;
        direction.begin(site)?;
        for own in &mut report.networks {
            if own.outcome != Outcome::Planned {
                continue;
            }
            *own = match direction.carry_out(site, &own.network) {
                Ok(done) => done,
                Err(error) => own.clone().unchanged(berth::chain(&error)),
            };
        }
        print(&report, self.json)?;
        let done = !report.with(Outcome::Done).is_empty();
        if let (true, false, Some(text)) = (done, self.json, direction.farewell(site)) {
            say(&mut io::stdout(), &text)?;
        }
        Ok(exit_code(report.is_well()))
    }
}
