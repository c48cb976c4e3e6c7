//! What `adopt` and `rollback` have in common: which networks, the plan, the question,
//! one network after the other, the report.

use std::io::{self, Write};

use berth::frontend::operator::Place;
use berth::podman::PodmanError;
use berth::podman::{ContainersConf, Environment};
use clap::Args;

use super::{Failure, consent};
use crate::migration::report::{NetworkReport, Outcome, Report};
use crate::migration::{MigrationError, Site};
use crate::selection::{Wanted, select};

/// Which networks to move, and how.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Networks, by name, id or the beginning of an id
    #[arg(
        value_name = "NETWORK",
        required_unless_present = "all",
        conflicts_with = "all"
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
    pub(super) place: Place,
}

/// A way to move networks.
pub(super) trait Direction {
    /// Says what would be done with them.
    fn examine(&self, site: &Site, names: &[String]) -> Result<Vec<NetworkReport>, MigrationError>;

    /// Moves one.
    fn carry_out(&self, site: &Site, name: &str) -> Result<NetworkReport, MigrationError>;

    /// What is asked before, given how many there are.
    fn question(&self, networks: &str) -> String;

    /// What is said at the end, to people.
    fn farewell(&self, site: &Site) -> Option<String>;
}

impl Choice {
    /// Finds the Podman that is meant, in its namespaces.
    pub(super) fn site(&self) -> Result<Site, Failure> {
        let podman = self.place.podman()?;
        let conf = ContainersConf::load(&Environment::of_this_process());
        Ok(Site {
            podman,
            conf: conf.map_err(PodmanError::from)?,
        })
    }

    /// Returns the names of the networks that are meant.
    pub(super) fn names(&self, site: &Site) -> Result<Vec<String>, Failure> {
        let wanted = if self.all {
            Wanted::All
        } else {
            Wanted::Named(self.networks.clone())
        };
        let files = site.networks()?;
        let names = select(&files, &wanted, site.directory()?);
        Ok(names.map_err(MigrationError::from)?)
    }

    /// Does it all, and says what was done.
    pub(super) fn run(
        &self,
        site: &Site,
        names: &[String],
        direction: &impl Direction,
    ) -> Result<(), Failure> {
        let mut report = Report {
            dry_run: self.dry_run,
            networks: direction.examine(site, names)?,
        };
        let planned = report.with(Outcome::Planned);
        if self.dry_run || planned.is_empty() {
            self.print(&report)?;
            return well(&report);
        }
        if !self.yes {
            // Whoever is asked must see it first, but not among the JSON.
            writeln!(io::stderr(), "{report}")?;
        }
        let count = match planned.len() {
            1 => format!("network {}", planned[0]),
            many => format!("{many} networks"),
        };
        consent::ask(&direction.question(&count), self.yes)?;
        for own in &mut report.networks {
            if own.outcome != Outcome::Planned {
                continue;
            }
            *own = match direction.carry_out(site, &own.network) {
                Ok(done) => done,
                Err(error) => own.clone().unchanged(berth::chain(&error)),
            };
        }
        self.print(&report)?;
        let done = !report.with(Outcome::Done).is_empty();
        if let (true, false, Some(text)) = (done, self.json, direction.farewell(site)) {
            writeln!(io::stdout(), "{text}")?;
        }
        well(&report)
    }

    fn print(&self, report: &Report) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut stdout, report).map_err(io::Error::from)?;
            return writeln!(stdout);
        }
        writeln!(stdout, "{report}")
    }
}

fn well(report: &Report) -> Result<(), Failure> {
    if report.is_well() {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}
