//! Moves networks from Podman's own allocation to berth, while their containers run.
//!
//! For each network, under the locks:
//! - M0 the original file is kept, durably ([`crate::backup`]).
//! - M1 the network's file names berth.
//! - M2 the store adopts the addresses that namespaces hold: one transaction.
//! - M3 the network's bucket is removed from ipam.db: one commit.
//!
//! Everything is looked at and decided before the first step. If berth-migrate is killed
//! after M1, the store does not know a network that is in use, so the next setup,
//! teardown or collection adopts as it does after a loss. If it is killed after M2, it
//! leaves a bucket that Podman never looks at while the network is berth's. Either way,
//! running the command again finishes the move. `ARCHITECTURE.md` has the table.

mod movable;
mod plan;

use std::collections::BTreeSet;

use berth::lifecycle::session::{LOCK_PATIENCE, Session, SessionError};
use berth::podman::{ContainersConf, Environment};
use berth::rules::network_config::{Form, OPT_OUT, TakeOverError};
use berth::sight::survey::{self, Survey};
use berth::upkeep::host_wide::{self, SwitchError, end_exemption, is_exempt};

use crate::error::Error;
use crate::evidence::{Evidence, Kernel, Known, State, Statics};
use crate::file::IpamFile;
use crate::ipam::content::Content;
use crate::look::{Look, Reading};
use crate::moves::{NetworkReport, Outcome};
use crate::network_file::{NetworkFile, sweep};
use crate::site::Site;
use movable::{Movable, Undo};
use plan::{Facts, Target, decide};

/// How this command introduces itself to a process that waits for the store.
const INTRODUCTION: &str = "adoption of networks";

/// What Podman answered, before any lock was taken.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// What Podman says; the kernel's part is still missing.
    evidence: Evidence,
    /// The addresses that were requested explicitly for containers.
    statics: Statics,
}

/// Asks Podman about every container with an address on these networks, except those that are
/// left with Podman. No lock may be held.
///
/// # Errors
/// If ipam.db exists and cannot be read.
pub(crate) fn ask(site: &Site, networks: &[String], how: How) -> Result<Asked, Error> {
    let mut files = site.networks()?;
    files.retain(|file| networks.contains(&file.network.name) && how.leaves(site, file).is_none());
    let mut claims = Look::at(&site.ipam_db(), Reading::Whole)?.content.claims();
    claims.retain(|claim| {
        files
            .iter()
            .any(|own| own.network.name == claim.key.network)
    });
    if claims.is_empty() {
        return Ok(Asked::default());
    }
    Ok(Asked {
        evidence: site.ask(claims),
        statics: Statics::default(),
    })
}

impl Asked {
    /// Asks Podman which addresses were requested explicitly for the containers on the networks
    /// that are to be moved, one container after the other. Returns whether it asked. No lock may
    /// be held.
    pub(crate) fn ask_of_statics(&mut self, site: &Site, reports: &[NetworkReport]) -> bool {
        let planned = reports.iter();
        let planned = planned.filter(|report| report.outcome == Outcome::Planned);
        let ids = planned.flat_map(|report| &report.containers);
        let is_up = |id: &&str| {
            let known = self.evidence.word.of(id);
            known.is_some_and(|known: &Known| known.state == State::Up)
        };
        let ids = ids.map(|party| party.container_id.as_str());
        let up: BTreeSet<&str> = ids.filter(is_up).collect();
        let Some(asking) = site.asking.as_ref().filter(|_| !up.is_empty()) else {
            return false;
        };
        self.statics = asking.statics(&up);
        true
    }
}

/// Returns the form that networks get: plain if berth is in front of netavark, else the
/// plugin's. Makes sure that containers can start on them.
///
/// # Errors
/// [`Error::NotHostWide`] if the plain form is asked for and berth is not in front;
/// [`Error::Plugin`] if Podman would not find the plugin.
pub(crate) fn form(site: &Site, plain: bool) -> Result<Form, Error> {
    if host_wide::link(&site.conf).is_some() {
        return Ok(Form::Plain);
    }
    if plain {
        return Err(Error::NotHostWide);
    }
    match berth::upkeep::doctor::plugin(&site.conf) {
        None => Ok(Form::Plugin),
        Some(finding) => Err(Error::Plugin(Box::new(finding))),
    }
}

/// # Errors
/// [`Error::NotHostWide`] if berth is not in front of netavark now.
fn check_in_front() -> Result<(), Error> {
    let conf = ContainersConf::load(&Environment::of_this_process()).map_err(SwitchError::from)?;
    host_wide::link(&conf).map(drop).ok_or(Error::NotHostWide)
}

/// How networks become berth's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// All networks are meant: those whose addresses Podman does not lease, or that a
    /// label keeps with Podman, are skipped, not refused.
    pub(crate) all: bool,
    pub(crate) form: Form,
    /// Whether networks of the plugin are turned into plain ones.
    pub(crate) turn: bool,
    /// Whether networks that were moved back to Podman are skipped.
    pub(crate) unattended: bool,
}

impl How {
    /// Returns why a network stays with Podman, if it does.
    fn leaves(self, site: &Site, file: &NetworkFile) -> Option<String> {
        if !self.all || !file.network.is_podmans() {
            return None;
        }
        if file.network.is_opted_out() {
            return Some(format!("its label {OPT_OUT}=off leaves it with Podman"));
        }
        let is_exempt = self.unattended && is_exempt(&site.directory, &file.network.id);
        is_exempt.then(|| "it was moved back to Podman".to_owned())
    }
}

/// Reports what would be done with networks.
///
/// # Errors
/// If not everything can be looked at.
pub(crate) fn examine(
    site: &Site,
    names: &[String],
    asked: &Asked,
    how: How,
) -> Result<Vec<NetworkReport>, Error> {
    let networks = site.lock()?;
    let files = site.networks()?;
    let content = Look::at(&site.ipam_db(), Reading::Whole)?.content;
    let chosen = |file: &&NetworkFile| names.contains(&file.network.name);
    site.with_store(&networks, INTRODUCTION, |session| {
        let seen = observe(session, asked)?;
        let reports = files.iter().filter(chosen).map(|file| {
            Ok(
                match look(site, session, file, &content, &seen, asked, how)? {
                    Looked::Go(found) => found.report(file, Outcome::Planned),
                    Looked::Not(report) => report,
                },
            )
        });
        reports.collect()
    })
}

/// Moves one network. On return it is durable.
///
/// # Errors
/// If something fails; what was changed is then undone, unless the error says that it could
/// not be.
pub(crate) fn adopt(
    site: &Site,
    name: &str,
    asked: &Asked,
    how: How,
) -> Result<NetworkReport, Error> {
    let networks = site.lock()?;
    if how.form == Form::Plain {
        // `berth host-wide off` takes the link away under this lock.
        check_in_front()?;
    }
    sweep(&site.directory);
    let file = site.network(name)?;
    let ipam = IpamFile::open(&site.ipam_db(), LOCK_PATIENCE)?;
    let root = ipam.as_ref().map(IpamFile::content).transpose()?;
    let content = root.as_ref().map(Content::parse).unwrap_or_default();

    let moved = site.with_store(&networks, INTRODUCTION, |session| {
        let seen = observe(session, asked)?;
        let found = match look(site, session, &file, &content, &seen, asked, how)? {
            Looked::Go(found) => found,
            Looked::Not(report) => return Ok(Moved::Not(report)),
        };
        let undo = found.rewrite(&file)?;
        Ok(match found.commit(session, asked) {
            Ok(()) => Moved::Yes(found),
            Err(error) => Moved::Doubtful {
                error: Box::new(error),
                undo,
                found,
            },
        })
    })?;
    let found = match moved {
        Moved::Yes(found) => found,
        Moved::Not(report) => return Ok(report),
        Moved::Doubtful { error, undo, found } => {
            let adopted =
                site.with_store(&networks, INTRODUCTION, |session| found.is_known(session));
            if !adopted.unwrap_or(false) {
                return Err(undo.after(*error));
            }
            found
        }
    };
    if let Err(error) = end_exemption(&site.directory, &file.network.id) {
        log::warn!("failed to end the exemption of network {name}: {error}");
    }
    let report = found.report(&file, Outcome::Done);
    if let (Some(ipam), Some(mut root)) = (ipam, root)
        && root.items.remove(name.as_bytes()).is_some()
        && let Err(error) = ipam.replace(&root)
    {
        let reason = berth::chain(&error);
        return Ok(report.failed(format!(
            "berth leases for it now, but its entries are still in ipam.db, where they do no \
             harm: {reason}; run this again to remove them"
        )));
    }
    Ok(report)
}

/// How a move ended for the store.
enum Moved {
    Yes(Box<Movable>),
    /// There was nothing to do, or it was refused.
    Not(NetworkReport),
    /// The store failed: open it again to see what it knows.
    Doubtful {
        error: Box<Error>,
        undo: Undo,
        found: Box<Movable>,
    },
}

/// What a look at one network found.
enum Looked {
    Go(Box<Movable>),
    Not(NetworkReport),
}

/// One look at the host: what it shows about Podman's claims, and about our networks.
fn observe(session: &Session<'_>, asked: &Asked) -> Result<(Evidence, Survey), Error> {
    Kernel::await_netavark(session.podman);
    let tenants = session.store.begin().all_tenants()?;
    let survey = session.survey(&tenants)?;
    let evidence = Evidence {
        kernel: Kernel::of(&survey, session.podman),
        ..asked.evidence.clone()
    };
    Ok((evidence, survey))
}

fn look(
    site: &Site,
    session: &Session<'_>,
    file: &NetworkFile,
    content: &Content,
    (evidence, survey): &(Evidence, Survey),
    asked: &Asked,
    how: How,
) -> Result<Looked, Error> {
    let not = |outcome, reason: String| {
        let report = NetworkReport::of(&file.network, outcome);
        Ok(Looked::Not(report.because(reason)))
    };
    if let Some(reason) = how.leaves(site, file) {
        return not(Outcome::Skipped, reason);
    }
    let names = survey.links.iter().map(|link| link.name.clone()).collect();
    let target = match Target::of(file, names, how.form, how.turn) {
        Ok(target) => target,
        Err(error) => {
            let is_others = matches!(
                error,
                TakeOverError::Driver(_) | TakeOverError::IpamDriver(_) | TakeOverError::NoSubnet
            );
            let outcome = if how.all && is_others {
                Outcome::Skipped
            } else {
                Outcome::Refused
            };
            return not(outcome, error.to_string());
        }
    };
    let record = content.networks.get(&file.network.name);
    if target.rewrite.is_none() && record.is_none() {
        return not(Outcome::Already, "it is berth's".to_owned());
    }
    let run_directory = &session.podman.delegation.config;
    let survey = survey.clone().including(&target.network, run_directory);
    let survey = survey.map_err(SessionError::from)?;
    let tenants = session.store.begin().all_tenants()?;
    let delegation = &session.podman.delegation;
    let adoptions = survey::adoptions(&survey, &tenants, delegation, session.now);
    let facts = Facts {
        network: &target.network,
        record,
        survey: &survey,
        tenants: &tenants,
        adoptions: &adoptions,
        evidence,
        statics: &asked.statics,
    };
    match decide(&facts) {
        Ok(plan) => Ok(Looked::Go(Box::new(Movable {
            on_record: record.is_some(),
            target,
            plan,
            survey,
        }))),
        Err(doubts) => not(Outcome::Refused, doubts.join("; ")),
    }
}
